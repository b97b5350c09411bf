"""A finished checkpoint goes where it is used from, and into the list of model files beside it."""

from __future__ import annotations

from pathlib import Path

from cdrl.assets import record
from cdrl.errors import InputNotFoundError
from cdrl.files import atomic_write

LICENCE = "CC-BY-NC-SA-4.0"
"""Of what is trained on recordings for research."""


def publish(best: Path, target: Path, origin: str, licence: str = LICENCE) -> None:
    """Copy the checkpoint `best` to `target` and record it, with `origin` saying what it was trained on.

    Raises InputNotFoundError where no validation has written one yet, OutputError where it cannot be written.
    """
    if not best.is_file():
        raise InputNotFoundError(f"{best}: training has written no checkpoint; let it run to a validation first")
    publish_bytes(best.read_bytes(), target, origin, licence)


def publish_bytes(content: bytes, target: Path, origin: str, licence: str = LICENCE) -> None:
    """Write `content` to `target` and record it; see `publish`."""
    atomic_write(target, [content])
    record(target, licence, origin)
