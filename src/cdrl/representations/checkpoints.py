"""Checkpoints: safetensors with their architecture and configuration in the same file, never a pickle.

One file holds everything needed to build the model again, so that weights and configuration cannot be mixed up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cdrl.errors import InputError, InputNotFoundError, UsageError
from cdrl.files import atomic_write, loads_untrusted

FORMAT = "cdrl-checkpoint-1"
Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)
_NAMED = 5  # people whom a message names
_PICKLES = (b"PK\x03\x04", b"\x80")  # torch's zip archives, and plain pickles of protocol 2 and later


def save_model(
    path: Path, tensors: Mapping[str, Tensor], architecture: str, config: Mapping[str, Any], half: bool = True
) -> None:
    """Write `tensors` and what they are to `path`, whole or not at all.

    `config` must be JSON; `half` stores floating-point tensors as float16. Raises OutputError where the file cannot
    be written.
    """
    kept = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in tensors.items()
    }
    facts = {"format": FORMAT, "architecture": architecture, "config": dict(config)}
    atomic_write(path, [serialize(kept, facts)])


def serialize(tensors: dict[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """A safetensors file of `tensors` and JSON `facts`; equal content gives equal bytes."""
    # One entry: the order of several is random.
    return bytes(save(tensors, {"facts": json.dumps(facts, sort_keys=True)}))


def load_model(path: Path, architecture: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (floating-point ones as float32) and the configuration of the checkpoint at `path`.

    Raises InputNotFoundError where there is none, and InputError for a pickle (naming `cdrl convert`), a damaged file,
    or the checkpoint of another architecture.
    """
    tensors, facts = read_tensors(path)
    if facts.get("format") != FORMAT:
        raise InputError(f"{path}: not a checkpoint of cdrl (it holds tensors without a configuration)")
    if facts.get("architecture") != architecture:
        raise InputError(f"{path}: a checkpoint of {facts.get('architecture')!r}, but {architecture!r} is needed here")
    config = facts.get("config")
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds no configuration; train it again with this version of cdrl")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}, config


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of a safetensors file, and the facts that `serialize` put there, if any; raises like `load_model`."""
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such checkpoint")
    with path.open("rb") as file:
        begin = file.read(9)
        # Safetensors begin with the length of their header, whose lowest byte may be a pickle's, and with the header.
        if begin.startswith(_PICKLES) and begin[8:] != b"{":
            raise InputError(
                f"{path}: a pickle, which can run any code when it is loaded: make safetensors of it once with "
                f"`cdrl convert {path}`"
            )
    try:
        with safe_open(path, "pt") as file:
            facts = loads_untrusted((file.metadata() or {}).get("facts", "{}"))
            if not isinstance(facts, dict):
                raise ValueError("its facts are none")
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not safetensors, or damaged ({error})") from error


def read_trained_people(path: Path) -> frozenset[str]:
    """Read the names of the real people whom the checkpoint at `path` was trained on; none where it does not say.

    Raises what `read_tensors` raises.
    """
    record: Any = read_tensors(path)[1]
    for name in ("config", "training", "split_people", "train"):
        record = record.get(name) if isinstance(record, dict) else None
    return frozenset(map(str, record)) if isinstance(record, list) else frozenset()


def refuse_trained_people(path: Path, people: Iterable[str]) -> None:
    """Refuse to report numbers on people whom the checkpoint at `path` was trained on.

    Raises UsageError that names them, and what `read_tensors` raises.
    """
    if known := sorted(read_trained_people(path).intersection(people)):
        more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        raise UsageError(
            f"{path}: was trained on {', '.join(known[:_NAMED])}{more}, on whom numbers would be reported: name the "
            "split of its training with --split, or train it again without them"
        )


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give `module` all its weights; raises InputError naming what is missing, left over or misshapen."""
    wanted = module.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    misshapen = [name for name in wanted.keys() & tensors.keys() if wanted[name].shape != tensors[name].shape]
    faults = (("missing", missing), ("left over", extra), ("of another shape", sorted(misshapen)))
    wrong = [f"{len(names)} {what} (first: {names[0]})" for what, names in faults if names]
    if wrong:
        raise InputError(f"{path}: does not fit the model, tensors are {', '.join(wrong)}")
    with torch.no_grad():
        module.load_state_dict(dict(tensors))


def load_network(path: Path, architecture: str, config: type[Config], network: Callable[[Config], Network]) -> Network:
    """A trained network that is all in one checkpoint, frozen; raises InputError for another one, or none."""
    tensors, stored = load_model(path, architecture)
    model = network(parse_config(config, stored, path))
    load_into(model, tensors, path)
    return model.eval().requires_grad_(False)


def parse_config(kind: type[Config], stored: Mapping[str, Any], path: Path) -> Config:
    """A configuration dataclass from what stands in a checkpoint; raises InputError where something is missing."""
    names = vars(kind)["__dataclass_fields__"].keys()
    if not names <= stored.keys():
        raise InputError(f"{path}: its configuration is incomplete; train it again with this version of cdrl")
    return kind(**{name: tuple(v) if isinstance(v := stored[name], list) else v for name in names})
