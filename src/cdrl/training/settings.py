"""What a run is: every setting that shapes its result, so that a folder's run goes on only as the run it was.

Settings are compared by default; those that shape nothing are named here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cdrl.files import file_sha256

_OF_RECIPES = frozenset({"loop", "data", "stills", "cache", "publish", "overwrite"})
"""Not compared: the loop's own (below), places of folders (a digest of what is in them is), places of results."""
_OF_THE_LOOP = frozenset({"output", "device", "restart"})


def settings_of(options: Any, digest: str, **further: Any) -> dict[str, Any]:
    """What a recipe's run is, for `fit`: its options (a dataclass with `loop`), and the digest of its data.

    A file that is named stands with the SHA-256 of its bytes: the name alone says nothing about what is in it.
    """
    chosen = {name: _known(value) for name, value in asdict(options).items() if name not in _OF_RECIPES}
    return {**chosen, "data": digest, **further}


def shaping(loop: Any, precision: str) -> dict[str, Any]:
    """The loop's options that shape the result; `precision` is what is computed in, which `auto` leaves open."""
    chosen = {name: value for name, value in asdict(loop).items() if name not in _OF_THE_LOOP}
    return {**chosen, "precision": precision}


def as_stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they are read again from JSON."""
    stored: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return stored


def differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Names of the settings that are not the same in both."""
    return sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))


def _known(value: Any) -> Any:
    """`value` with files, as in `Path("own.npz")` or "iresnet50:arcface.safetensors", replaced by their digests."""
    if isinstance(value, Mapping):
        return {name: _known(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_known(inside) for inside in value]
    if isinstance(value, Path):
        return f"SHA-256 {file_sha256(value)}" if value.is_file() else str(value)
    if isinstance(value, str):
        kind, colon, name = value.rpartition(":")
        return f"{kind}{colon}{_known(Path(name))}" if Path(name).suffix else value
    return value
