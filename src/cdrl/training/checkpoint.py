"""The state of a run in progress: weights, their average, the optimizer's moments and the step, in one file.

It is written whole or not at all, so that a run resumes after a crash, a full disk or a kill from where it last stood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cdrl.errors import InputError, InputNotFoundError
from cdrl.files import atomic_write
from cdrl.representations.checkpoints import read_tensors, serialize
from cdrl.training.distributed import trainable_parameters

_FORMAT = "cdrl-run-2"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
START_OVER = "choose another --output, or begin anew with --restart"
"""Ends the message about a folder whose run cannot be resumed."""
_FACTS: dict[str, type | tuple[type, ...]] = {
    "step": int, "validated": int, "best": (float, int, type(None)), "settings": dict, "scaler": (dict, type(None)),
}  # fmt: skip


class ExponentialMovingAverage(AveragedModel):
    """Exponential moving average of the trained weights, which generalizes better than the weights themselves.

    After n updates the decay is at most (n + 1) / (n + 10), so that early weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            return averaged.lerp(current, 1 - min(decay, float(count) / (9 + float(count))))

        super().__init__(_trained(model), avg_fn=average)
        self.n_averaged += 1  # the initial weights count as the first ones

    def update(self, model: nn.Module) -> None:
        """Move the average towards the weights of `model`."""
        self.update_parameters(_trained(model))

    @contextmanager
    def swap_weights(self, model: nn.Module) -> Iterator[None]:
        """Give `model` the averaged weights within the block."""
        weights = list(_trained(model))
        own = [parameter.detach().clone() for parameter in weights]
        _copy(self.module.parameters(), weights)
        try:
            yield
        finally:
            _copy(own, weights)


def _trained(model: nn.Module) -> nn.ParameterList:
    return nn.ParameterList([parameter for _, parameter in trainable_parameters(model)])


@torch.no_grad()
def _copy(source: Any, target: Any) -> None:
    for value, parameter in zip(source, target, strict=True):
        parameter.copy_(value)


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: ExponentialMovingAverage,
    facts: Mapping[str, Any],
) -> None:
    """Write the state of a run.

    Args:
        path: The file.
        model: The model, of which the trained weights are written.
        optimizer: The optimizer, of which the moments are written.
        average: The moving average of the weights.
        facts: JSON: step, step of the last validation, best score, settings, state of the gradient scaler.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for (name, parameter), averaged in zip(trainable_parameters(model), average.module.parameters(), strict=True):
        tensors |= {f"model.{name}": parameter.detach(), f"average.{name}": averaged.detach()}
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
    whole = {name: value.cpu().contiguous() for name, value in tensors.items()}
    atomic_write(path, [serialize(whole, {**facts, "format": _FORMAT})])


def load_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: ExponentialMovingAverage
) -> dict[str, Any]:
    """Restore a saved state into the model, the optimizer and the average, and return its facts.

    Raises:
        InputError: The file is damaged, or the state of another model.
    """
    tensors, facts = read_state(path)
    named = list(trainable_parameters(model))
    shapes = {f"{part}.{name}": p.shape for name, p in named for part in ("model", "average")}
    stored = {name: value.shape for name, value in tensors.items() if name.startswith(("model.", "average."))}
    moments = {f"optimizer.{key}.{name}" for name, _ in named for key in _MOMENTS}
    if shapes != stored or not tensors.keys() - stored.keys() <= moments:
        raise InputError(f"{path}: the state of another model; {START_OVER}")
    _copy([tensors[f"model.{name}"] for name, _ in named], _trained(model))
    _copy([tensors[f"average.{name}"] for name, _ in named], average.module.parameters())
    average.n_averaged.fill_(facts["step"] + 1)
    for name, parameter in named:
        optimizer.state[parameter] = {
            # AdamW keeps its step count on the CPU.
            key: tensors[stored_name].to("cpu" if key == "step" else parameter.device)
            for key in _MOMENTS
            if (stored_name := f"optimizer.{key}.{name}") in tensors
        }
    return facts


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the facts of a saved state.

    Raises:
        InputError: The file is damaged, or no state.
    """
    try:
        tensors, facts = read_tensors(path)
    except InputNotFoundError:
        raise
    except InputError as error:
        raise InputError(f"{error}; {START_OVER}") from error
    if facts.get("format") != _FORMAT:
        raise InputError(f"{path}: not the state of a run of this version of cdrl; {START_OVER}")
    if wrong := [name for name, kind in _FACTS.items() if name not in facts or not isinstance(facts[name], kind)]:
        raise InputError(f"{path}: damaged, or of another version of cdrl (no {wrong[0]}); {START_OVER}")
    return tensors, facts
