"""`cdrl convert`: a third-party checkpoint (a pickle: .pth, .pt, .bin) becomes safetensors, once and for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from cdrl.errors import InputNotFoundError, OutputExistsError


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
    from cdrl.files import atomic_write, file_sha256
    from cdrl.representations.checkpoints import serialize
    from cdrl.representations.pickles import read_pickle

    output = options.output or options.checkpoint.with_suffix(".safetensors")
    if not options.checkpoint.is_file():
        raise InputNotFoundError(f"{options.checkpoint}: no such file")
    if output.exists() and not options.overwrite:
        raise OutputExistsError(f"{output}: exists; choose another --output, or --overwrite it")
    tensors = read_pickle(options.checkpoint)
    digest = file_sha256(options.checkpoint)
    atomic_write(output, [serialize(tensors, {"converted from": options.checkpoint.name, "sha256": digest})])
    print(f"{output}: {len(tensors)} tensors, {sum(tensor.numel() for tensor in tensors.values()):,} numbers")
    return 0
