"""One number of a report: a mean with people as units, its interval, how often it was measured, and its threshold.

Intervals are 95 % percentile bootstraps with a fixed seed. What is drawn with replacement is people where there are at
least five of them; else, within each person, clips (or pairs of clips) where there are at least five; else single
moments. Which of them it was stands beside every number: moments of one clip are anything but independent, so an
interval over moments is narrower than the truth. Of one person there is no interval: one person's clips say nothing of
how people differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.evaluation.json_numbers import finite_or_none
from cdrl.evaluation.measure_registry import MINIMUM_PEOPLE, ONE_PERSON

Array = NDArray[np.float64]

UNKNOWN = "people unknown"
"""Stands for the person of clips or pictures whose people nobody knows."""
MIN_UNITS = 5
"""Units that an interval needs; with fewer of them, smaller ones are drawn."""
_DRAWS = 1000
_TAIL = 2.5  # percent on each side


@dataclass(frozen=True)
class Estimate:
    """A number and how far it can be trusted."""

    value: float | None
    """The number; None where it could not be measured."""
    low: float | None = None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None = None
    """Upper end of the 95 % interval; None where there is none."""
    unit: str = ""
    """What was drawn for the interval."""
    count: int = 0
    """Single measurements."""
    people: Mapping[str, float] = field(default_factory=dict)
    """The number of each person alone."""
    reason: str = ""
    """Why there is no number, or no interval."""


@dataclass(frozen=True)
class Threshold:
    """What a number must reach: at least `at`, at most `at`, or its whole interval above `at`."""

    relation: Literal["at least", "at most", "interval above"]
    """How the number is compared."""
    at: float
    """The limit."""

    def passes(self, estimate: Estimate) -> bool | None:
        """Return whether an estimate passes; None where the number or the interval that decides is missing."""
        decisive = estimate.low if self.relation == "interval above" else estimate.value
        if estimate.value is None or decisive is None:
            return None
        return {"at least": decisive >= self.at, "at most": decisive <= self.at}.get(self.relation, decisive > self.at)

    def __str__(self) -> str:
        sign = {"at least": "≥", "at most": "≤", "interval above": "interval >"}[self.relation]
        return f"{sign} {self.at:.3g}"


@dataclass(frozen=True)
class Measurement:
    """One line of a report."""

    model: str
    """What is measured: "content", "emotion", "sync", or an ablation's name."""
    measure: str
    """Name of the measure."""
    people: str
    """On whom it is measured."""
    condition: str
    """With which sound, over what, or by which probe."""
    estimate: Estimate
    """The number."""
    threshold: Threshold | None = None
    """What is asked of it."""
    chance: float | None = None
    """What guessing gives, where that has a meaning."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What is measured, of whichever model: measure, people and condition."""
        return self.measure, self.people, self.condition

    @property
    def passes(self) -> bool | None:
        """Whether it reaches its threshold; None where there is none, or could not be measured."""
        return self.threshold.passes(self.estimate) if self.threshold else None

    @property
    def verdict(self) -> str:
        """Either "pass", "fail" or "not measured"; empty where nothing is asked."""
        return {True: "pass", False: "fail", None: "not measured"}[self.passes] if self.threshold else ""

    def to_json(self) -> dict[str, Any]:
        """Return everything, with the verdict; numbers that are not finite become null."""
        estimate = self.estimate
        return {
            "model": self.model,
            "measure": self.measure,
            "people": self.people,
            "condition": self.condition,
            "value": finite_or_none(estimate.value),
            "interval": [finite_or_none(end) for end in (estimate.low, estimate.high)],
            "interval over": estimate.unit,
            "count": estimate.count,
            "each person": {name: finite_or_none(value) for name, value in estimate.people.items()},
            "chance": finite_or_none(self.chance),
            "threshold": str(self.threshold) if self.threshold else None,
            "passes": self.passes,
            "reason": estimate.reason,
        }


def missing(reason: str) -> Estimate:
    """Return an estimate without a number, and why there is none."""
    return Estimate(None, reason=reason)


def mean_estimate(values: pd.DataFrame, what: str = "clips", seed: int = 0) -> Estimate:
    """Estimate the mean over people of the mean over their clips of the mean over moments.

    Args:
        values: Columns `person`, `clip` (or pair of clips) and `value`; rows of NaN are left out.
        what: What `clip` holds, for the report.
        seed: Seed of the bootstrap.
    """
    values = values.assign(value=values["value"].astype(float)).dropna(subset="value")
    values = values.sort_values("person", kind="stable")
    if values.empty:
        return missing("nothing to measure")
    grouped = values.groupby(["person", "clip"], sort=False)
    clips = grouped["value"].mean()
    people = clips.groupby("person").mean()
    share = 1 / len(people) / clips.groupby("person").transform("size")
    if len(people) >= MIN_UNITS:
        unit, parts, strata = "people", people / len(people), np.zeros(len(people), np.intp)
    elif len(clips) >= MIN_UNITS:
        unit, parts, strata = what, clips * share, pd.factorize(clips.index.get_level_values("person"))[0]
    else:
        strata = grouped.ngroup().to_numpy()
        unit, parts = "moments", values["value"] * (share / grouped.size()).to_numpy()[strata]
    estimate = Estimate(float(people.mean()), count=len(values), people=people.to_dict())
    return with_interval(estimate, unit, lambda counts: counts @ parts.to_numpy(), strata, seed)


def accuracy_estimate(cases: pd.DataFrame, classes: int, what: str = "clips", seed: int = 0) -> Estimate:
    """Estimate balanced accuracy: the mean over the classes that occur of the share of their cases recognized.

    Args:
        cases: Columns `person`, `clip`, `label` and `predicted` (0 … classes − 1). `UNKNOWN` as the only person: nobody
            knows who is seen, so each of `what` counts as a person.
        classes: How many classes there are.
        what: What `clip` holds, for the report.
        seed: Seed of the bootstrap.
    """
    if cases.empty:
        return missing("nothing to measure")
    cases = cases.sort_values("person", kind="stable")
    people, names = pd.factorize(cases["person"])
    unit, units = "people", people
    if len(names) < MIN_UNITS:
        unit, units = what, cases.groupby(["person", "clip"], sort=False).ngroup().to_numpy()
    strata = np.zeros(len(names), np.intp) if unit == "people" else people[np.unique(units, return_index=True)[1]]
    confusions = count_confusions(cases, units, classes)
    own = balanced_accuracy(count_confusions(cases, people, classes))
    each = dict(zip(names, own.tolist(), strict=True))
    estimate = Estimate(float(balanced_accuracy(confusions.sum(0))), count=len(cases), people=each)
    return with_interval(estimate, unit, lambda n: balanced_accuracy(np.tensordot(n, confusions, 1)), strata, seed)


def count_confusions(cases: pd.DataFrame, groups: NDArray[np.integer[Any]], classes: int) -> NDArray[np.int64]:
    """Count cases (columns `label`, `predicted`) of each group [n] as [groups, classes, classes], true class by row."""
    counts = np.zeros((int(groups.max(initial=0)) + 1, classes, classes), np.int64)
    np.add.at(counts, (groups, cases["label"].to_numpy(np.intp), cases["predicted"].to_numpy(np.intp)), 1)
    return counts


def balanced_accuracy(confusion: NDArray[Any]) -> Array:
    """Compute the mean recall [...] over the classes that occur in counts [..., classes, classes]; NaN of no case."""
    cases = confusion.sum(-1)
    occurs = cases > 0
    recall = np.diagonal(confusion, axis1=-2, axis2=-1) / np.where(occurs, cases, 1)
    mean: Array = np.where(occurs.any(-1), (recall * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1), np.nan)
    return mean


def with_interval(
    estimate: Estimate, unit: str, statistic: Callable[[Array], Array], strata: NDArray[np.integer[Any]], seed: int = 0
) -> Estimate:
    """Add a 95 % percentile bootstrap interval to an estimate; of one known person there is none, as `reason` says.

    Args:
        estimate: The number, with those of its people.
        unit: What is drawn with replacement, for the report.
        statistic: Maps how often each of n units was drawn, [draws, n], to the number, [draws].
        strata: The stratum [n] of each unit, within which units are drawn.
        seed: Seed of the draws.
    """
    if len(estimate.people) < MINIMUM_PEOPLE and UNKNOWN not in estimate.people:
        return replace(estimate, reason=ONE_PERSON)
    random = np.random.default_rng(seed)
    counts = np.empty((_DRAWS, len(strata)))
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        counts[:, inside] = random.multinomial(len(inside), np.full(len(inside), 1 / len(inside)), _DRAWS)
    low, high = np.nanpercentile(statistic(counts), [_TAIL, 100 - _TAIL])
    return replace(estimate, low=float(low), high=float(high), unit=unit)
