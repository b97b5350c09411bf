"""Checkpoints that PyTorch saved as pickles: read once, tensors alone, and kept as safetensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cdrl import pretrained
from cdrl.errors import InputError, ModelFileError, OutputError
from cdrl.files import atomic_write
from cdrl.representations.checkpoints import read_tensors, serialize

_NESTED = ("state_dict", "model", "model_state_dict", "net")  # under which trainers keep the weights


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch checkpoint by name, unpickled without running what is in it.

    Wrappers around the state dict and the `module.` that DataParallel puts before names are taken off. Raises
    InputError where the file holds anything but tensors, or is damaged.
    """
    try:
        result = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler stumbles over damaged bytes in any way there is
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not a checkpoint of tensors alone, or damaged ({reason}): save its state_dict() with PyTorch "
            "and convert that"
        ) from error
    for key in _NESTED:
        if isinstance(result, Mapping) and isinstance(result.get(key), Mapping):
            result = result[key]
    tensors = result.items() if isinstance(result, Mapping) else ()
    named = {str(name).removeprefix("module."): value for name, value in tensors if isinstance(value, Tensor)}
    if not named:
        raise InputError(f"{path}: holds no tensors by name; save the model's state_dict() and convert that")
    return {name: value.detach().clone().contiguous() for name, value in named.items()}


def convert_to_safetensors(name: str) -> Path:
    """The model `name` of `cdrl.pretrained`, a pickle, as safetensors in the user's cache; converted at first use.

    What lies in the cache is used again only where it was made of the very file that is listed. Raises ModelFileError
    where the model is missing or cannot be read, or the cache cannot be written.
    """
    model = pretrained.MODELS[name]
    path = pretrained.cache_folder() / "models" / Path(name).with_suffix(".safetensors")
    try:
        if path.is_file() and read_tensors(path)[1].get("sha256") == model.sha256:
            return path
    except InputError:
        pass  # damaged: made again
    source = pretrained.find_model(name)
    try:
        tensors = read_pickle(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = path.with_stem(f"{path.stem}-{os.getpid()}")  # several processes of one training may come here at once
        atomic_write(own, [serialize(tensors, {"converted from": name, "sha256": model.sha256})])
        own.replace(path)
    except (InputError, OutputError) as error:
        raise ModelFileError(str(error)) from error
    except OSError as error:
        raise ModelFileError(f"{path.parent} cannot be made ({error.strerror}): set XDG_CACHE_HOME") from error
    return path
