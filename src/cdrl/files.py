"""Files appear whole or not at all, and are known by their SHA-256."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from cdrl.errors import InputError, InputNotFoundError, LimitError, OutputError

_NO_BRACKETS = re.compile(r"[^][{}]+")
DEEPEST = 50
"""Brackets within brackets in JSON; what we write has at most five."""


def write_whole(path: Path, pieces: Iterable[bytes]) -> tuple[int, str]:
    """Write `pieces` one after the other by way of a partial file; returns bytes and SHA-256.

    A reader never sees half of it, and nothing is left behind where it fails. Raises OutputError.
    """
    partial = path.with_name(path.name + ".partial")
    digest, count = hashlib.sha256(), 0
    try:
        partial.unlink(missing_ok=True)  # what somebody put there may be a link to something else
        with partial.open("xb") as file:
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


def sidecar_path(video: str | Path) -> Path:
    """Where a video's record goes: happy.mp4 → happy.mp4.provenance.json."""
    video = Path(video)
    return video.with_name(video.name + ".provenance.json")


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Where to write an entry of a cache: it has its name `path` when the block ends, and is gone where it fails.

    Each writer has a file of its own, since several processes may fill one cache with the same entry at once. It ends
    as `path` does. Makes the folder. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid4().hex}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def small_text(path: Path, most: int, what: str) -> str:
    """The UTF-8 text of a file that somebody else may have written; raises as `small_bytes`, and InputError."""
    try:
        return small_bytes(path, most, what).decode("utf-8-sig")  # spreadsheets put a mark in front
    except UnicodeDecodeError:
        raise InputError(f"{path} is no {what}: it is not UTF-8 text") from None


def small_bytes(path: Path, most: int, what: str) -> bytes:
    """A file that somebody else may have written, at most `most` bytes; `what` it is, for messages.

    Raises InputNotFoundError, InputError (a folder, a pipe, a device, no permission) and LimitError.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is no regular file: give a {what}'s name")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        raise InputNotFoundError(f"{path}: no such {what}; check the name and the folder") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)[:200]!r} cannot be read ({why}); check its name and permissions") from None
    if len(content) > most:
        raise LimitError(f"{path} is too large for a {what}: at most {most:,} bytes are read")
    return content


def parsed(text: str | bytes) -> Any:
    """JSON that a stranger may have written. Raises ValueError for what is none, or nested deeper than any of ours."""
    depth = deepest = 0
    whole = text.decode("utf-8") if isinstance(text, bytes) else text
    for bracket in _NO_BRACKETS.sub("", whole):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise ValueError("it is nested too deeply")
    return json.loads(whole)
