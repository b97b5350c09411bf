"""Leakage: what each representation must not know, read by probes on people whom the probes have not seen.

Emotion from content features, and the viseme from emotion features, must stay near chance. That the same probes find
both in the raw encoders' features shows that they can read, and that there was something to leave out. The number for
what each representation should know stands beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.pairs import measure_mouth_opening
from cdrl.emotions import EMOTIONS
from cdrl.evaluation.representation.estimates import Estimate, accuracy_estimate, missing
from cdrl.evaluation.representation.moments import Ints, Moments, person_of
from cdrl.evaluation.representation.probes import Kind, predict

MARGIN, GAIN = 0.10, 0.25
"""How far above chance a representation may be, and how far the raw features must be."""

LARGEST = 2000  # rows that a probe sees in all
_FEWEST = 15  # rows of a class, below which it is left out


@dataclass(frozen=True)
class Task:
    """Rows [n] with their class [n] (0 … classes − 1), the person and clip of each; `names` of the classes.

    `reason`: why there is nothing to probe, where there is not.
    """

    rows: Ints
    labels: NDArray[np.intp]
    people: NDArray[np.str_]
    clips: NDArray[np.str_]
    names: tuple[str, ...]
    reason: str = ""

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing; of seven classes where there is nothing to probe."""
        return 1 / (len(self.names) if len(self.names) > 1 else len(EMOTIONS))


def emotion_task(moments: Moments, rows: Ints | None = None, seed: int = 0) -> Task:
    """The emotion of speaking moments, out of those of the seven that at least two people show.

    Where clips of one sentence in several emotions are there (made people), only those are taken: words that are said
    in one emotion alone would give it away.
    """
    groups = {number for group in moments.groups() for number in group}
    chosen = moments.of_clips(groups or range(len(moments.clips)))
    labels = np.array([_emotion(moments, row) for row in chosen], np.intp)
    return _task(moments, chosen, labels, dict(enumerate(EMOTIONS)), rows, seed)


def viseme_task(moments: Moments, rows: Ints | None = None, seed: int = 0) -> Task:
    """The viseme of speaking moments, by the truth of made clips."""
    chosen = moments.of_clips([n for n, clip in enumerate(moments.clips) if clip.ground_truth is not None])
    labels = np.array([_viseme(moments, row) for row in chosen], np.intp)
    return _task(moments, chosen, labels, {number: f"viseme {number}" for number in set(labels.tolist())}, rows, seed)


def opening_task(moments: Moments, rows: Ints | None = None, seed: int = 0) -> Task:
    """The mouth's opening of speaking moments in thirds of its own clip: what a viseme is where no truth is known.

    Thirds of each clip, so that an emotion that opens every mouth (surprise) tells nothing about them.
    """
    opening = measure_mouth_opening(moments.landmarks)
    chosen: list[Ints] = []
    labels: list[Ints] = []
    for number in range(len(moments.clips)):
        inside = moments.of_clips([number])
        if len(inside) >= 9:
            chosen.append(inside)
            labels.append(np.searchsorted(np.quantile(opening[inside], (1 / 3, 2 / 3)), opening[inside]))
    none = np.zeros(0, np.intp)
    names = dict(enumerate(("narrow", "middle", "wide")))
    return _task(moments, np.concatenate([none, *chosen]), np.concatenate([none, *labels]), names, rows, seed)


def read(task: Task, features: NDArray[np.floating], kind: Kind, seed: int = 0) -> Estimate:
    """Balanced accuracy of a probe on people it was not trained on; `features` [n, d] of the task's rows."""
    if task.reason:
        return missing(task.reason)
    found = predict(features, task.labels, task.people, kind, seed)
    classes = len(task.names)
    confusions: dict[str, dict[str, NDArray[np.int64]]] = defaultdict(dict)
    for clip in np.unique(task.clips):
        inside = task.clips == clip
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (task.labels[inside], found[inside]), 1)
        confusions[str(task.people[inside][0])][str(clip)] = counts
    return accuracy_estimate(confusions, "clips", seed)


def _emotion(moments: Moments, row: int) -> int:
    emotion = moments.clips[moments.clip[row]].metadata.emotion
    return EMOTIONS.index(emotion) if emotion in EMOTIONS else -1


def _viseme(moments: Moments, row: int) -> int:
    truth = moments.clips[moments.clip[row]].ground_truth
    return -1 if truth is None else int(truth.visemes[moments.frame[row]])


def _task(
    moments: Moments, chosen: Ints, labels: Ints, names: Mapping[int, str], allowed: Ints | None, seed: int
) -> Task:
    """Classes that enough people show, thinned to an equal number of rows of each."""
    kept = labels >= 0
    if allowed is not None:
        kept &= np.isin(chosen, allowed)
    chosen, labels = chosen[kept], labels[kept]
    people = np.array([person_of(moments.clips[moments.clip[row]]) for row in chosen], str)
    clips = np.array([moments.clips[moments.clip[row]].metadata.id for row in chosen], str)
    everybody = len(set(people.tolist()))
    shown = [
        label
        for label in np.unique(labels)
        if (labels == label).sum() >= _FEWEST and len(set(people[labels == label].tolist())) >= 2
    ]
    found = tuple(names[int(label)] for label in shown)
    if everybody < 2:
        reason = "a probe needs two people, one to be trained on and another to be read"
        return Task(chosen[:0], labels[:0], people[:0], clips[:0], found, f"{reason}; there is {everybody}")
    if len(shown) < 2:
        return Task(chosen[:0], labels[:0], people[:0], clips[:0], found, "fewer than two classes that two people show")
    random = np.random.default_rng(seed)
    each = LARGEST // len(shown)
    parts = [_thinned(np.flatnonzero(labels == label), people, each, random) for label in shown]
    rows = np.concatenate(parts)
    new = np.concatenate([np.full(len(part), number, np.intp) for number, part in enumerate(parts)])
    order = np.argsort(chosen[rows], kind="stable")
    rows = rows[order]
    return Task(chosen[rows], new[order], people[rows], clips[rows], found)


def _thinned(rows: Ints, people: NDArray[np.str_], most: int, random: np.random.Generator) -> Ints:
    """At most `most` of the rows, from as many people as evenly as there are."""
    queues = [random.permutation(rows[people[rows] == name]) for name in np.unique(people[rows])]
    turns = np.concatenate([np.arange(len(queue)) for queue in queues])
    return np.concatenate(queues)[np.argsort(turns, kind="stable")][:most]
