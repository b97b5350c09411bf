"""`cdrl convert`: a third-party checkpoint (a pickle: .pth, .pt, .bin) becomes safetensors, once and for all."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional

from cdrl.errors import InputError, InputNotFoundError, OutputExistsError

_NESTED = ("state_dict", "model", "model_state_dict", "net")  # under which trainers keep the weights


@dataclass(frozen=True)
class Options:
    """Make safetensors of a PyTorch checkpoint. Only tensors are read from it; no code in it runs."""

    checkpoint: Positional[Path]
    """The checkpoint: ArcFace's iResNet-50, SyncNet, or another file of tensors that PyTorch saved."""
    output: Annotated[Path | None, "-o"] = None
    """Where to write; CHECKPOINT with the ending .safetensors where it is not given."""
    overwrite: bool = False
    """Replace OUTPUT where it exists."""


def run(options: Options) -> int:
    """The command."""
    from cdrl.representation.checkpoints import as_bytes, write_whole

    output = options.output or options.checkpoint.with_suffix(".safetensors")
    if not options.checkpoint.is_file():
        raise InputNotFoundError(f"{options.checkpoint}: no such file")
    if output.exists() and not options.overwrite:
        raise OutputExistsError(f"{output}: exists; choose another --output, or --overwrite it")
    tensors = read_pickle(options.checkpoint)
    digest = hashlib.sha256(options.checkpoint.read_bytes()).hexdigest()
    write_whole(output, as_bytes(tensors, {"converted from": options.checkpoint.name, "sha256": digest}))
    print(f"{output}: {len(tensors)} tensors, {sum(tensor.numel() for tensor in tensors.values()):,} numbers")
    return 0


def read_pickle(path: Path) -> dict[str, Any]:
    """The tensors of a PyTorch checkpoint by name, unpickled without running what is in it.

    Wrappers around the state dict and the `module.` that DataParallel puts before names are taken off. Raises
    InputError where the file holds anything but tensors, or is damaged.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not a checkpoint of tensors alone, or damaged ({reason}): save its state_dict() with PyTorch "
            "and convert that"
        ) from error
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = found.items() if isinstance(found, Mapping) else ()
    named = {str(name).removeprefix("module."): value for name, value in tensors if isinstance(value, torch.Tensor)}
    if not named:
        raise InputError(f"{path}: holds no tensors by name; save the model's state_dict() and convert that")
    return {name: value.detach().clone().contiguous() for name, value in named.items()}
