"""A detector of edits: logistic regression on what an ImageNet network sees (`features`).

It learns from pairs of the same frame, real and edited, of other people, each also mirrored. The sides are balanced by
making, and people with many pairs weigh less than their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

_STRENGTH = 1e-3  # inverse of the weight decay; chosen on people who are in no number
_ITERATIONS = 300
_STEADY = 1e-3  # a feature that varies by less is constant


@dataclass(frozen=True)
class EditDetector:
    """`detector(features)` → logits that frames are edited."""

    mean: Array
    """[D] of the features it was trained on."""
    scale: Array
    """[D] their standard deviation."""
    weights: Array
    """[D] of the features, less `mean`, over `scale`."""
    bias: float

    def __call__(self, plain: Floats, mirrored: Floats) -> Array:
        """Return logits [N] of frames, by features [N,D] of them and of their mirror images."""
        both = [((side - self.mean) / self.scale) @ self.weights for side in (plain, mirrored)]
        return np.asarray(np.mean(both, axis=0) + self.bias)


def train_detector(plain: Floats, mirrored: Floats, pairs: NDArray[np.intp], people: NDArray[np.str_]) -> EditDetector:
    """Train a detector on pairs; the same pairs give the same detector.

    Args:
        plain: Features [M,D] of frames.
        mirrored: Features [M,D] of their mirror images.
        pairs: [N,2] rows of a real frame and of an edit of it.
        people: [N] who is seen in a pair; a person with n pairs weighs √n.
    """
    values = np.concatenate([side[pairs.T].reshape(-1, side.shape[1]) for side in (plain, mirrored)])
    labels = np.tile(np.repeat([0, 1], len(pairs)), 2)
    _, person, counts = np.unique(people, return_inverse=True, return_counts=True)
    weights = counts[person] ** -0.5
    mean, scale = values.mean(0, dtype=np.float64), np.maximum(values.std(0, dtype=np.float64), _STEADY)
    model = LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS)
    model.fit((values - mean) / scale, labels, sample_weight=np.tile(weights / weights.mean(), 4))
    return EditDetector(mean, scale, model.coef_[0].astype(np.float64), float(model.intercept_[0]))


def compute_auc(real: Array, edited: Array) -> float:
    """Compute the area under the ROC curve: the share of pairs in which the edited one has the higher score.

    Args:
        real: [N] scores; ties count half.
        edited: [M] scores.

    Returns:
        In [0, 1]; .5: not told apart.
    """
    labels = np.repeat([0, 1], [len(real), len(edited)])
    return float(roc_auc_score(labels, np.concatenate([real, edited])))
