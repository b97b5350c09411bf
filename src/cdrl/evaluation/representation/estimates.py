"""What one number of the report is: a mean with people as units, its interval, how often it was measured, its bar.

Intervals are 95 % percentile bootstraps with a fixed seed. What is drawn with replacement is people where there are at
least five of them; else, within each person, clips (or pairs of clips) where there are at least five; else single
moments. Which of them it was stands beside every number: moments of one clip are anything but independent, so an
interval over moments is narrower than the truth. Of one person there is no interval at all: the person's clips say
nothing of how people differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.finite import finite
from cdrl.evaluation.measures import MINIMUM_PEOPLE

Array = NDArray[np.float64]
Values = Mapping[str, Mapping[str, Sequence[float]]]
"""Person → clip (or pair of clips) → one number a moment."""
Confusions = Mapping[str, Mapping[str, NDArray[np.int64]]]
"""Person → clip → [classes, classes] counts, true class by row."""

UNKNOWN = "people unknown"
"""Whose the clips are of whom nobody knows the people."""
FEW = 5  # units: with fewer of them, smaller ones are drawn
DRAWS = 1000
_TAIL = 2.5  # percent on each side
ONE_PERSON = "one person: no interval"


@dataclass(frozen=True)
class Estimate:
    """A number and how far it can be trusted; `value` is None where it could not be measured, and `reason` says why.

    `low`, `high`: 95 % interval, None of one person, as `reason` says; `unit`: what was drawn for it; `count`: single
    measurements; `people`: each one's own.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    count: int = 0
    people: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Bar:
    """What a number must reach: at least `at`, at most `at`, or its whole interval above `at`."""

    relation: Literal["at least", "at most", "interval above"]
    at: float

    def met(self, found: Estimate) -> bool | None:
        """Whether it does; None where there is no number, or no interval where one is asked for."""
        if found.value is None or (self.relation == "interval above" and found.low is None):
            return None
        if self.relation == "at least":
            return found.value >= self.at
        if self.relation == "at most":
            return found.value <= self.at
        return found.low is not None and found.low > self.at

    def __str__(self) -> str:
        sign = {"at least": "≥", "at most": "≤", "interval above": "interval >"}[self.relation]
        return f"{sign} {self.at:.3g}"


@dataclass(frozen=True)
class Row:
    """One line of the report. `model`: "content", "emotion", or an ablation's name; `people`: who it was measured on;
    `condition`: with which sound, or by which probe; `chance`: what guessing gives, where that has a meaning."""

    model: str
    measure: str
    people: str
    condition: str
    found: Estimate
    bar: Bar | None = None
    chance: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything, with the verdict; numbers that are not finite become null."""
        found = self.found
        return {
            "model": self.model,
            "measure": self.measure,
            "people": self.people,
            "condition": self.condition,
            "value": finite(found.value),
            "interval": [finite(found.low), finite(found.high)],
            "interval over": found.unit,
            "count": found.count,
            "each person": {name: finite(value) for name, value in found.people.items()},
            "chance": finite(self.chance),
            "bar": str(self.bar) if self.bar else None,
            "met": self.bar.met(found) if self.bar else None,
            "reason": found.reason,
        }


def missing(reason: str) -> Estimate:
    """No number, and why."""
    return Estimate(None, reason=reason)


def mean_estimate(values: Values, what: str = "clips", seed: int = 0) -> Estimate:
    """Mean over people of the mean over their clips (`what`, for the report) of the mean over moments."""
    kept = {
        person: {clip: np.asarray(moments, float) for clip, moments in clips.items() if len(moments)}
        for person, clips in values.items()
    }
    kept = {person: clips for person, clips in kept.items() if clips}
    if not kept:
        return missing("nothing to measure")
    parts = {person: [np.array([moments.mean() for moments in clips.values()])] for person, clips in kept.items()}
    count = sum(len(moments) for clips in kept.values() for moments in clips.values())
    unit = _unit(len(kept), sum(len(clips) for clips in kept.values()), what)
    if unit == "moments":
        parts = {person: list(clips.values()) for person, clips in kept.items()}
    people = {person: float(np.mean([rows.mean() for rows in parts[person]])) for person in sorted(parts)}
    value = float(np.mean(list(people.values())))
    if len(people) < MINIMUM_PEOPLE:
        return Estimate(value, count=count, people=people, reason=ONE_PERSON)
    random = np.random.default_rng(seed)
    if unit == "people":
        drawn = _drawn_mean(np.array(list(people.values())), random)
    else:
        drawn = np.mean(
            [np.mean([_drawn_mean(rows, random) for rows in parts[person]], axis=0) for person in people], axis=0
        )
    low, high = np.percentile(drawn, [_TAIL, 100 - _TAIL])
    return Estimate(value, float(low), float(high), unit, count, people)


def accuracy_estimate(confusions: Confusions, what: str = "clips", seed: int = 0) -> Estimate:
    """Balanced accuracy: the mean over the classes that occur of the share of their cases recognised, cases pooled.

    A person's own is over the classes they show. `UNKNOWN` as the only person: nobody knows who is seen, so each of
    `what` counts as somebody.
    """
    kept = {person: {c: m for c, m in clips.items() if m.sum()} for person, clips in confusions.items()}
    kept = {person: clips for person, clips in kept.items() if clips}
    if not kept:
        return missing("nothing to measure")
    counts = {person: np.stack(list(clips.values())).astype(float) for person, clips in sorted(kept.items())}
    whole = np.stack([rows.sum(0) for rows in counts.values()])
    people = {person: float(balanced_accuracy(rows.sum(0))) for person, rows in counts.items()}
    value = float(balanced_accuracy(whole.sum(0)))
    if len(people) < MINIMUM_PEOPLE and UNKNOWN not in people:
        return Estimate(value, count=int(whole.sum()), people=people, reason=ONE_PERSON)
    random = np.random.default_rng(seed)
    unit = "people" if len(kept) >= FEW else what
    if unit == "people":
        drawn = _drawn_sum(whole, random)
    else:
        drawn = np.sum([_drawn_sum(rows, random) for rows in counts.values()], axis=0)
    low, high = np.nanpercentile(balanced_accuracy(drawn), [_TAIL, 100 - _TAIL])
    return Estimate(value, float(low), float(high), unit, int(whole.sum()), people)


def balanced_accuracy(confusion: NDArray[Any]) -> Array:
    """Mean recall [...] over the classes that occur in counts [..., classes, classes]; NaN where there is none."""
    cases = confusion.sum(-1)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    shown = cases > 0
    recall = np.where(shown, right / np.maximum(cases, 1e-9), 0)
    classes = shown.sum(-1)
    mean: Array = np.where(classes > 0, recall.sum(-1) / np.maximum(classes, 1), np.nan)
    return mean


def _unit(people: int, clips: int, what: str) -> str:
    if people >= FEW:
        return "people"
    return what if clips >= FEW else "moments"


def _drawn_mean(rows: Array, random: np.random.Generator) -> Array:
    """Means [draws] of as many numbers drawn with replacement from `rows` [n]."""
    return _drawn_sum(rows, random) / len(rows)


def _drawn_sum(rows: Array, random: np.random.Generator) -> Array:
    """Sums [draws, ...] of n rows drawn with replacement from `rows` [n, ...]."""
    times = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), DRAWS)
    sums: Array = (times @ rows.reshape(len(rows), -1)).reshape(DRAWS, *rows.shape[1:])
    return sums
