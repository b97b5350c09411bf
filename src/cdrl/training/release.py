"""Puts a finished checkpoint where it is used from, and registers it in the list of model files beside it."""

from __future__ import annotations

from pathlib import Path

from cdrl.assets import MANIFEST, MAX_BYTES, load_manifest, register_asset
from cdrl.errors import ModelFileError, OutputError, OutputExistsError, UsageError
from cdrl.files import EXISTS, atomic_write
from cdrl.training.options import RESEARCH_LICENSE


def check_target(target: Path | None, overwrite: bool, flag: str = "--publish") -> None:
    """Refuse before any work a file that could not be written and registered, or would be replaced unasked.

    Args:
        target: The file; None: nothing is published.
        overwrite: Whether an existing file may be replaced.
        flag: The option that names the file, for messages.

    Raises:
        OutputExistsError: The file exists, or is in the list.
        OutputError: There is no such folder.
        UsageError: The manifest beside it is no list of model files.
    """
    if target is None:
        return
    manifest = target.parent / MANIFEST
    if not target.parent.is_dir():
        raise OutputError(f"{flag} {target}: there is no folder {target.parent}; make it first")
    try:
        known = load_manifest(target.parent) if manifest.exists() else {}
    except ModelFileError:
        raise UsageError(
            f"{flag} {target}: {manifest} is no list of model files, in which it would be entered; choose another "
            "folder"
        ) from None
    if not overwrite and target.exists():
        raise OutputExistsError(f"{flag} {target} {EXISTS}")
    if not overwrite and target.name in known:
        raise OutputExistsError(f"{flag} {target}: in the list {manifest} it {EXISTS}")


def publish(
    content: bytes, target: Path, origin: str, license_id: str = RESEARCH_LICENSE, *, overwrite: bool = False
) -> None:
    """Write a model file and register it.

    Args:
        content: The file's bytes.
        target: The file.
        origin: What made it, and of what data.
        license_id: SPDX identifier.
        overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists and may not be replaced.
        OutputError: The file cannot be written, or is too large.
    """
    if len(content) > MAX_BYTES:
        raise OutputError(
            f"{target}: {len(content):,} bytes, and no more than {MAX_BYTES:,} are read of a model's file"
        )
    atomic_write(target, [content], overwrite=overwrite)
    register_asset(target, license_id, origin)
