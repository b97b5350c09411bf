"""What a linear probe reads from features of other people: a quick look while training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MIN_ROWS = 20  # of a class
_RIDGE = 0.1  # times the number of rows, of standardized features


def linear_probe_accuracy(
    features: Tensor, labels: NDArray[np.int64], people: NDArray[np.str_]
) -> tuple[float, float] | None:
    """Read labels from features by ridge regression, fitted on half of the people and read on the other, both ways.

    Args:
        features: [n, d].
        labels: Class numbers [n]; negative ones are unknown.
        people: Names [n].

    Returns:
        The balanced accuracy, and that of guessing; None where there are fewer than two people or two classes.
    """
    known = labels >= 0
    for number in np.unique(labels[known]):
        if (labels == number).sum() < _MIN_ROWS:
            known &= labels != number
    classes, names = np.unique(labels[known]), np.unique(people[known])
    if len(classes) < 2 or len(names) < 2:
        return None
    values = features[torch.from_numpy(known)].double()
    values = (values - values.mean(0)) / values.std(0).clamp(min=1e-6)
    wanted, half = np.searchsorted(classes, labels[known]), np.isin(people[known], names[::2])
    targets = torch.nn.functional.one_hot(torch.from_numpy(wanted), len(classes)).double()
    targets = targets / targets.sum(0).clamp(min=1).sqrt()  # classes count alike
    right = np.zeros(len(wanted), bool)
    for test in (half, ~half):
        train = torch.from_numpy(~test)
        x, y = values[train], targets[train] - targets[train].mean(0)
        # The smaller of the two equal systems: over rows, or over features.
        gram = x @ x.T + _RIDGE * len(x) * torch.eye(len(x), dtype=x.dtype)
        slopes = x.T @ torch.linalg.solve(gram, y)
        right[test] = (values[torch.from_numpy(test)] @ slopes).argmax(1).numpy() == wanted[test]
    recalls = [right[wanted == number].mean() for number in range(len(classes))]
    return float(np.mean(recalls)), 1 / len(classes)
