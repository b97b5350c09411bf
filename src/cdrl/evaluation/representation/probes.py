"""Probes: how well a class can be read from features of people whom the probe has not seen.

Two of them: a linear one (multinomial logistic regression) and a small network with one hidden layer. People are dealt
into folds, never frames; each fold is predicted by a probe trained on the other people's. Features are standardized by
the training people. How strongly the linear probe is regularized, and how long the network is trained, is chosen on a
quarter of the training people. Classes weigh alike in the loss, however many cases they have.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

Kind = Literal["linear", "small network"]
KINDS: tuple[Kind, ...] = ("linear", "small network")

_FOLDS = 5
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the squared weights, beside the mean loss
_EPOCHS = (5, 40)


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
        classifier = MLPClassifier(
            64, batch_size=min(512, count), learning_rate_init=2e-3, alpha=1.0, random_state=seed
        )
        grid = {"classifier__max_iter": list(_EPOCHS)}
    steps = Pipeline([("scaler", StandardScaler()), ("classifier", classifier)])
    inner = GroupShuffleSplit(1, test_size=0.25, random_state=seed)
    return GridSearchCV(steps, grid, scoring="balanced_accuracy", cv=inner)
