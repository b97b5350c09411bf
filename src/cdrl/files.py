"""Files appear whole or not at all, and are known by their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cdrl.errors import OutputError


def write_whole(path: Path, pieces: Iterable[bytes]) -> tuple[int, str]:
    """Write `pieces` one after the other by way of a partial file; returns bytes and SHA-256.

    A reader never sees half of it, and nothing is left behind where it fails. Raises OutputError.
    """
    partial = path.with_name(path.name + ".partial")
    digest, count = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                count += len(piece)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}): free space or choose another place, then run the "
            "same command again; one that makes many files goes on with what is missing"
        ) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return count, digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
