"""A finished checkpoint goes where it is used from, and into the list of model files beside it."""

from __future__ import annotations

from pathlib import Path

from cdrl.assets import MANIFEST, MAX_BYTES, listed, record
from cdrl.errors import AssetError, InputNotFoundError, OutputError, OutputExistsError, UsageError
from cdrl.files import EXISTS, atomic_write

LICENCE = "CC-BY-NC-SA-4.0"
"""Of what is trained on recordings for research."""


def check_target(target: Path | None, overwrite: bool, flag: str = "--publish") -> None:
    """Refuse before any work a file that could not be written and recorded in the end, or would be replaced unasked.

    Raises OutputExistsError; OutputError where there is no such folder; UsageError where the list beside it is none.
    """
    if target is None:
        return
    manifest = target.parent / MANIFEST
    if not target.parent.is_dir():
        raise OutputError(f"{flag} {target}: there is no folder {target.parent}; make it first")
    try:
        known = listed(target.parent) if manifest.exists() else {}
    except AssetError:
        raise UsageError(
            f"{flag} {target}: {manifest} is no list of model files, in which it would be entered; choose another "
            "folder"
        ) from None
    if not overwrite and target.exists():
        raise OutputExistsError(f"{flag} {target} {EXISTS}")
    if not overwrite and target.name in known:
        raise OutputExistsError(f"{flag} {target}: in the list {manifest} it {EXISTS}")


def publish(best: Path, target: Path, origin: str, licence: str = LICENCE, *, overwrite: bool = False) -> None:
    """Copy the checkpoint `best` to `target` and record it, with `origin` saying what it was trained on.

    Raises InputNotFoundError where no validation has written one yet, OutputExistsError where `target` exists and is
    not to be replaced, OutputError where it cannot be written.
    """
    if not best.is_file():
        raise InputNotFoundError(f"{best}: training has written no checkpoint; let it run to a validation first")
    publish_bytes(best.read_bytes(), target, origin, licence, overwrite=overwrite)


def publish_bytes(
    content: bytes, target: Path, origin: str, licence: str = LICENCE, *, overwrite: bool = False
) -> None:
    """Write `content` to `target` and record it; see `publish`."""
    if len(content) > MAX_BYTES:
        raise OutputError(
            f"{target}: {len(content):,} bytes, and no more than {MAX_BYTES:,} are read of a model's file"
        )
    atomic_write(target, [content], overwrite=overwrite)
    record(target, licence, origin)
