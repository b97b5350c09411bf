"""What a run is: every setting that shapes its result, so that a folder's run is resumed only as the run it was.

Settings are compared by default; those that do not shape the result are named here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cdrl.files import file_sha256

# Not compared: the loop's own, which `loop_settings` gives, places of results, and places of folders (a digest of what
# is in them is).
_IGNORED = frozenset({"loop", "release", "publish", "overwrite", "data", "stills", "cache"})
_IGNORED_OF_LOOP = frozenset({"output", "device", "restart"})


def recipe_settings(options: Any, digest: str, **further: Any) -> dict[str, Any]:
    """Describe a recipe's run for `fit`.

    A file is described by the SHA-256 of its bytes: the name alone does not tell what is in it.

    Args:
        options: The recipe's options, a dataclass; groups of options inside it are flattened.
        digest: Digest of the data.
        further: More settings by name.
    """
    chosen: dict[str, Any] = {}
    for name, value in asdict(options).items():
        if name not in _IGNORED:
            chosen |= value if isinstance(value, dict) else {name: value}
    compared = {name: _replace_files(value) for name, value in chosen.items() if name not in _IGNORED}
    return {**compared, "data": digest, **further}


def loop_settings(loop: Any, precision: str) -> dict[str, Any]:
    """Return the loop's options that shape the result, with the precision that `auto` leaves open."""
    chosen = {name: value for name, value in asdict(loop).items() if name not in _IGNORED_OF_LOOP}
    return {**chosen, "precision": precision}


def to_json_types(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are read again from JSON."""
    stored: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return stored


def find_differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return the sorted names of the settings that are not the same in both."""
    return sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))


def _replace_files(value: Any) -> Any:
    """Replace files, as in `Path("own.npz")` or "iresnet50:arcface.safetensors", by their digests."""
    if isinstance(value, list | tuple):
        return [_replace_files(inside) for inside in value]
    if isinstance(value, Path):
        return f"SHA-256 {file_sha256(value)}" if value.is_file() else str(value)
    if isinstance(value, str):
        kind, colon, name = value.rpartition(":")
        return f"{kind}{colon}{_replace_files(Path(name))}" if Path(name).suffix else value
    return value
