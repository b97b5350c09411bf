"""Leakage: what each representation must not know, read by probes on people whom the probes have not seen.

Emotion from content features, and the viseme from emotion features, must stay near chance. That the same probes find
both in the raw encoders' features shows that they can read, and that there was something to leave out. The number for
what each representation should know stands beside them.

There are two probes: a linear one (multinomial logistic regression) and a small network with one hidden layer. People
are dealt into folds, never frames; each fold is predicted by a probe trained on the other people's. Features are
standardized by the training people. How strongly the linear probe is regularized, and how long the network is trained,
is chosen on a quarter of the training people. Classes weigh alike in the loss, however many cases they have.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from cdrl.datasets.pairs import measure_mouth_opening
from cdrl.emotions import EMOTIONS
from cdrl.evaluation.estimates import Estimate, accuracy_estimate, missing
from cdrl.evaluation.representation.frame_index import FrameIndex, Ints

Kind = Literal["linear", "small network"]
KINDS: tuple[Kind, ...] = ("linear", "small network")

MARGIN, GAIN = 0.10, 0.25
"""How far above chance a representation may be, and how far the raw features must be."""

_MAX_ROWS = 2000  # rows that a probe sees in all
_MIN_ROWS = 15  # rows of a class, below which it is left out
_FOLDS = 5
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the squared weights, beside the mean loss
_EPOCHS = (5, 40)


@dataclass(frozen=True)
class ProbeTask:
    """Frames and the class that a probe reads from them."""

    cases: pd.DataFrame
    """A frame a line: its `row`, `label` (0 … classes − 1), `person` and `clip`."""
    names: tuple[str, ...]
    """Names of the classes."""
    reason: str = ""
    """Why there is nothing to probe."""

    @property
    def rows(self) -> Ints:
        """Rows [n] of the frames."""
        return np.asarray(self.cases["row"], np.intp)

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing; of seven classes where there is nothing to probe."""
        return 1 / (len(self.names) if len(self.names) > 1 else len(EMOTIONS))


def make_emotion_task(index: FrameIndex, allowed: Ints | None = None, seed: int = 0) -> ProbeTask:
    """Ask for the emotion of speaking frames, out of those of the seven that at least two people show.

    Where clips of one sentence in several emotions are there (synthetic people), only those are taken: words that are
    said in one emotion alone would give it away.
    """
    groups = {number for group in index.content_groups() for number in group}
    rows = index.rows_of(groups or range(len(index.clips)))
    labels = label_emotions(index)[index.clip[rows]]
    return _make_task(index, rows, labels, dict(enumerate(EMOTIONS)), allowed, seed)


def make_viseme_task(index: FrameIndex, allowed: Ints | None = None, seed: int = 0) -> ProbeTask:
    """Ask for the viseme of speaking frames, by the truth of synthetic clips."""
    rows = index.rows_of([number for number, clip in enumerate(index.clips) if clip.ground_truth is not None])
    labels = index.visemes(rows)
    return _make_task(index, rows, labels, {label: f"viseme {label}" for label in set(labels.tolist())}, allowed, seed)


def make_opening_task(index: FrameIndex, allowed: Ints | None = None, seed: int = 0) -> ProbeTask:
    """Ask for the mouth's opening in thirds of its own clip: what a viseme is where no truth is known.

    Thirds of each clip, so that an emotion that opens every mouth (surprise) tells nothing about them.
    """
    opening = measure_mouth_opening(index.landmarks)
    chosen = [rows for number in range(len(index.clips)) if len(rows := index.rows_of([number])) >= 9]
    labels = [np.searchsorted(np.quantile(opening[rows], (1 / 3, 2 / 3)), opening[rows]) for rows in chosen]
    names = dict(enumerate(("narrow", "middle", "wide")))
    none = np.zeros(0, np.intp)
    return _make_task(index, np.concatenate([none, *chosen]), np.concatenate([none, *labels]), names, allowed, seed)


def label_emotions(index: FrameIndex) -> Ints:
    """Return each clip's emotion as an index of `EMOTIONS`; −1 for others."""
    emotions = [clip.metadata.emotion for clip in index.clips]
    return np.array([EMOTIONS.index(emotion) if emotion in EMOTIONS else -1 for emotion in emotions], np.intp)


def probe_accuracy(task: ProbeTask, features: NDArray[np.floating], kind: Kind, seed: int = 0) -> Estimate:
    """Measure a probe's balanced accuracy from features [n, d] of the task's rows, on people it was not trained on."""
    if task.reason:
        return missing(task.reason)
    labels, people = task.cases["label"].to_numpy(np.intp), task.cases["person"].to_numpy(str)
    predicted = predict_across_people(features, labels, people, kind, seed)
    return accuracy_estimate(task.cases.assign(predicted=predicted), len(task.names), "clips", seed)


def _make_task(
    index: FrameIndex, rows: Ints, labels: Ints, names: Mapping[int, str], allowed: Ints | None, seed: int
) -> ProbeTask:
    """Classes that enough people show, thinned to an equal number of rows of each."""
    cases = index.table(rows, row=rows, label=labels)
    cases = cases[(labels >= 0) & (np.isin(rows, allowed) if allowed is not None else True)]
    people = cases["person"].nunique()
    classes = cases.groupby("label").agg(rows=("row", "size"), people=("person", "nunique"))
    shown = classes.index[(classes["rows"] >= _MIN_ROWS) & (classes["people"] >= 2)].tolist()
    chosen = tuple(names[int(label)] for label in shown)
    if people < 2:
        reason = f"a probe needs two people, one to be trained on and another to be read; there is {people}"
        return ProbeTask(cases[:0], chosen, reason)
    if len(shown) < 2:
        return ProbeTask(cases[:0], chosen, "fewer than two classes that two people show")
    random = np.random.default_rng(seed)
    most = _MAX_ROWS // len(shown)
    parts = [_thin(cases[cases["label"] == label], most, random).assign(label=k) for k, label in enumerate(shown)]
    return ProbeTask(pd.concat(parts).sort_values("row", kind="stable", ignore_index=True), chosen)


def _thin(cases: pd.DataFrame, most: int, random: np.random.Generator) -> pd.DataFrame:
    """At most `most` of the cases, from as many people as evenly as there are."""
    shuffled = pd.concat([own.iloc[random.permutation(len(own))] for _, own in cases.groupby("person")])
    turns = shuffled.groupby("person").cumcount().to_numpy()
    return shuffled.iloc[np.argsort(turns, kind="stable")][:most]


def predict_across_people(
    features: NDArray[np.floating], labels: NDArray[np.integer], people: NDArray[np.str_], kind: Kind, seed: int = 0
) -> NDArray[np.intp]:
    """Predict the class of every case by a probe that is trained on other people.

    Args:
        features: Features [n, d].
        labels: Classes [n], from 0 on.
        people: The person of each case [n]; at least two. A class that is missing among the training people cannot be
            predicted for the others.
        kind: Which probe.
        seed: Seed of folds and probes.

    Returns:
        Predicted classes [n].
    """
    values = np.ascontiguousarray(features, np.float32)
    predicted = np.zeros(len(labels), np.intp)
    folds = GroupKFold(min(_FOLDS, len(np.unique(people))), shuffle=True, random_state=seed)
    for train, test in folds.split(values, labels, people):
        # Of a lone person, quarters of the rows take the place of people.
        lone = len(np.unique(people[train])) == 1
        groups = np.arange(len(train)) * 4 // len(train) if lone else people[train]
        weights = compute_sample_weight("balanced", labels[train])
        with warnings.catch_warnings():  # of epochs that end early, and classes that only some people show
            warnings.simplefilter("ignore")
            probe = _make_probe(kind, len(train), seed)
            probe.fit(values[train], labels[train], groups=groups, classifier__sample_weight=weights)
        predicted[test] = probe.predict(values[test])
    return predicted


def _make_probe(kind: Kind, count: int, seed: int) -> Any:
    """A probe of standardized features that chooses its regularization or length on a quarter of the people."""
    grid: dict[str, list[float]]
    if kind == "linear":
        classifier = LogisticRegression(max_iter=50)
        grid = {"classifier__C": [1 / (2 * count * strength) for strength in _STRENGTHS]}
    else:
        batch = min(512, count)
        classifier = MLPClassifier(64, batch_size=batch, learning_rate_init=2e-3, alpha=1.0, random_state=seed)
        grid = {"classifier__max_iter": list(_EPOCHS)}
    steps = Pipeline([("scaler", StandardScaler()), ("classifier", classifier)])
    inner = GroupShuffleSplit(1, test_size=0.25, random_state=seed)
    return GridSearchCV(steps, grid, scoring="balanced_accuracy", cv=inner)
