"""Probes: how well a class can be read from features of people that the probe has not seen.

Two of them: a linear one (multinomial logistic regression) and a small network with one hidden layer. People are dealt
into folds, never frames; each fold is predicted by a probe trained on the other people's. Features are standardised by
the training people. How strongly the linear probe is held back, and when the network stops, is chosen inside the
training people too. Classes weigh alike in the loss, however many cases they have.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cdrl.evaluation.representation.estimates import balanced_accuracy

Kind = Literal["linear", "small network"]
KINDS: tuple[Kind, ...] = ("linear", "small network")

FOLDS = 5
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the squared weights, beside the mean loss
_HIDDEN = 64
_EPOCHS = 40
_BATCH = 512


def predict(
    features: NDArray[np.floating], labels: NDArray[np.integer], people: NDArray[np.str_], kind: Kind, seed: int = 0
) -> NDArray[np.intp]:
    """The class [n] that a probe, trained on other people, reads from features [n, d]; `labels` [n] from 0 on.

    At least two people are needed. A class that is missing among the training people cannot be found among the others.
    """
    values = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    wanted = torch.from_numpy(np.ascontiguousarray(labels, np.int64))
    classes = int(wanted.max()) + 1
    random = np.random.default_rng(seed)
    names = random.permutation(np.unique(people))
    found = np.zeros(len(labels), np.intp)
    for fold in np.array_split(names, min(FOLDS, len(names))):
        test = np.isin(people, fold)
        inner = _validation(people, ~test, random)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            chosen = _linear if kind == "linear" else _network
            probe = chosen(values, wanted, torch.from_numpy(~test), torch.from_numpy(inner), classes)
        with torch.no_grad():
            found[test] = probe(values[torch.from_numpy(test)]).argmax(1).numpy()
    return found


def _validation(people: NDArray[np.str_], train: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the training rows choose strength and length: a quarter of the people, or, of a lone one, a block."""
    names = random.permutation(np.unique(people[train]))
    if len(names) > 1:
        return train & np.isin(people, names[: max(1, len(names) // 4)])
    rows = np.flatnonzero(train)
    chosen = np.zeros(len(train), bool)
    chosen[rows[len(rows) // 3 : len(rows) // 2]] = True
    return chosen


class _Standard(nn.Module):
    """Features less the training people's mean, over their deviation."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = values.mean(0), values.std(0).clamp(min=1e-6)

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.scale


def _class_weights(labels: Tensor, classes: int) -> Tensor:
    counts = torch.bincount(labels, minlength=classes).float()
    weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
    return weights * (len(labels) / (weights * counts).sum())


def _accuracy(logits: Tensor, labels: Tensor, classes: int) -> float:
    pairs = labels * classes + logits.argmax(1)
    counts = torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    return float(balanced_accuracy(counts.numpy()))


def _linear(values: Tensor, labels: Tensor, train: Tensor, inner: Tensor, classes: int) -> nn.Module:
    """Logistic regression; the best strength on the inner people, then fitted to all training people."""
    fit = train & ~inner
    scores = []
    for strength in _STRENGTHS:
        probe = _logistic(values[fit], labels[fit], classes, strength)
        with torch.no_grad():
            scores.append(_accuracy(probe(values[inner]), labels[inner], classes))
    return _logistic(values[train], labels[train], classes, _STRENGTHS[int(np.argmax(scores))])


def _logistic(values: Tensor, labels: Tensor, classes: int, strength: float) -> nn.Module:
    standard = _Standard(values)
    layer = nn.Linear(values.shape[1], classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    inputs, weights = standard(values), _class_weights(labels, classes)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=30, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = functional.cross_entropy(layer(inputs), labels, weights) + strength * layer.weight.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return nn.Sequential(standard, layer)


def _network(values: Tensor, labels: Tensor, train: Tensor, inner: Tensor, classes: int) -> nn.Module:
    """One hidden layer; as it was when the inner people were read best."""
    fit = train & ~inner
    standard = _Standard(values[fit])
    inputs, targets = standard(values[fit]), labels[fit]
    checked, truth = standard(values[inner]), labels[inner]
    layers = nn.Sequential(nn.Linear(values.shape[1], _HIDDEN), nn.GELU(), nn.Dropout(0.3), nn.Linear(_HIDDEN, classes))
    weights = _class_weights(targets, classes)
    optimiser = torch.optim.AdamW(layers.parameters(), lr=2e-3, weight_decay=1e-2)
    best, kept, waited = -1.0, {name: value.clone() for name, value in layers.state_dict().items()}, 0
    for _ in range(_EPOCHS):
        layers.train()
        for rows in torch.split(torch.randperm(len(inputs)), _BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(layers(inputs[rows]), targets[rows], weights).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        layers.eval()
        with torch.no_grad():
            score = _accuracy(layers(checked), truth, classes)
        if score > best:
            best, kept, waited = score, {name: value.clone() for name, value in layers.state_dict().items()}, 0
        else:
            waited += 1
        if waited >= 8:
            break
    layers.load_state_dict(kept)
    return nn.Sequential(standard, layers).eval()
