"""The state of a run that is under way: weights, their average, the optimiser's moments and the step, in one file.

Written whole or not at all, so that a run goes on after a crash, a full disk or a kill from where it last stood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cdrl.errors import InputError, InputNotFoundError
from cdrl.files import atomic_write
from cdrl.representations.checkpoints import as_bytes, read_tensors
from cdrl.training.distributed import trained

_FORMAT = "cdrl-run-1"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_ANEW = "choose another --output, or begin anew with --restart"
_FACTS: dict[str, type | tuple[type, ...]] = {
    "step": int, "validated": int, "best": (float, int, type(None)), "settings": dict, "scaler": (dict, type(None)),
}  # fmt: skip


@dataclass
class Average:
    """Exponential moving average of the trained weights: smoother, and better on people not seen."""

    decay: float
    values: dict[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module, decay: float) -> Average:
        return cls(decay, {name: parameter.detach().clone() for name, parameter in trained(model)})

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the weights after `step` steps; early steps, far from any good weights, are soon forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in trained(model):
            self.values[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Within it, the model has the averaged weights."""
        with torch.no_grad():
            own = {name: parameter.detach().clone() for name, parameter in trained(model)}
            for name, parameter in trained(model):
                parameter.copy_(self.values[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in trained(model):
                    parameter.copy_(own[name])


def save_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average,
    facts: Mapping[str, Any],
) -> None:
    """Write the run's state; `facts` are JSON: step, step of the last validation, best score, settings, scaler.

    Raises OutputError.
    """
    tensors = {f"average.{name}": value for name, value in average.values.items()}
    for name, parameter in trained(model):
        tensors[f"model.{name}"] = parameter.detach()
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}.{name}"] = torch.as_tensor(value)
    whole = {name: value.cpu().contiguous() for name, value in tensors.items()}
    atomic_write(path, [as_bytes(whole, {**facts, "format": _FORMAT})])


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a saved state; raises InputError for another file."""
    return _read(path)[1]


def load_state(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, average: Average) -> dict[str, Any]:
    """Put a saved state back into place and return its facts; raises InputError where it is of another model."""
    tensors, facts = _read(path)
    names = [name for name, _ in trained(model)]
    shapes = {f"{part}.{name}": p.shape for name, p in trained(model) for part in ("model", "average")}
    found = {name: value.shape for name, value in tensors.items() if name.startswith(("model.", "average."))}
    moments = {f"optimiser.{key}.{name}" for name in names for key in _MOMENTS}
    if shapes != found or not tensors.keys() - found.keys() <= moments:
        raise InputError(f"{path}: the state of another model; {_ANEW}")
    with torch.no_grad():
        for name, parameter in trained(model):
            parameter.copy_(tensors[f"model.{name}"])
            average.values[name].copy_(tensors[f"average.{name}"])
            keys = [key for key in _MOMENTS if f"optimiser.{key}.{name}" in tensors]
            optimiser.state[parameter] = {
                # AdamW keeps its step count on the CPU.
                key: tensors[f"optimiser.{key}.{name}"].to("cpu" if key == "step" else parameter.device)
                for key in keys
            }
    return facts


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        tensors, facts = read_tensors(path)
    except InputNotFoundError:
        raise
    except InputError as error:
        raise InputError(f"{error}; {_ANEW}") from error
    if facts.get("format") != _FORMAT:
        raise InputError(f"{path}: not the state of a training run; {_ANEW}")
    if wrong := [name for name, kind in _FACTS.items() if name not in facts or not isinstance(facts[name], kind)]:
        raise InputError(f"{path}: damaged, or of another version of cdrl (no {wrong[0]}); {_ANEW}")
    return tensors, facts
