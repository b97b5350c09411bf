"""Files appear whole or not at all, and are known by their SHA-256."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from cdrl.errors import InputError, InputNotFoundError, LimitError, OutputError, OutputExistsError

EXISTS = "exists already: choose another name, or add --overwrite (overwrite=True in Python)"
"""Ends the message about a file that is not to be replaced."""

SIDECAR_ENDING = ".provenance.json"

MAX_DEPTH = 50
"""Most brackets within brackets that are read in JSON; what we write has at most five."""

# A string of JSON, also one that never ends; possessive, so that no text takes more than linear time.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^][{}]++")
_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.part(\.[^.]*)?")  # names that `temporary_path` gives


@contextmanager
def atomic_path(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A path to write to; when the block ends, what was written there is on the disk and has the name `path`.

    The temporary file has a name of its own beside `path` and ends as `path` does, so writers of one name never meet.
    Where the block fails, nothing is left. A link at `path` is replaced, not followed. The folder must exist.

    Args:
        path: The file's final name.
        overwrite: Whether a file of that name is replaced; without it the name is taken in one step, so that a file
            that appears meanwhile stays as it is.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
        OSError: The folder cannot be written.
    """
    temporary = temporary_path(path)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        sync(temporary)
        take_name(temporary, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, pieces: Iterable[bytes], *, overwrite: bool = True) -> tuple[int, str]:
    """Write `pieces` one after the other as the file `path`, whole or not at all; see `atomic_path`.

    Returns:
        The file's size in bytes and its SHA-256, hexadecimal.

    Raises:
        OutputExistsError: `path` exists and `overwrite` is False.
        OutputError: The file cannot be written.
    """
    digest, count = hashlib.sha256(), 0
    try:
        with atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                count += len(piece)
    except FileExistsError as error:
        raise OutputExistsError(f"{path} {EXISTS}") from error
    except OSError as error:
        if isinstance(error, OutputError | InputError):  # of `pieces`, in words already
            raise
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}): free space or choose another place, then run the "
            "same command again; one that makes many files goes on with what is missing"
        ) from error
    return count, digest.hexdigest()


def temporary_path(path: Path) -> Path:
    """A hidden name beside `path` that nobody else has, with the same ending."""
    return path.with_name(f".{uuid4().hex[:12]}.part{path.suffix}")


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that killed writers left in a folder that this process alone works in."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def take_name(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give a finished file its name, in one step, and wait until the folder says so.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False; it is left as it is.
        OSError: The folder cannot be written.
    """
    if overwrite:
        temporary.replace(path)
    elif os.name == "nt":
        temporary.rename(path)  # refuses a name that is taken
    else:
        _rename_without_replacing(temporary, path)
    sync(path.parent)


def _rename_without_replacing(temporary: Path, path: Path) -> None:
    """`os.rename`, which on POSIX replaces silently, for a name that must be free."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system: an empty file holds the name, and is ours to replace.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    else:
        temporary.unlink()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Where folders cannot be synced nothing is done."""
    folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)  # Windows syncs only what is open for writing
    except PermissionError:
        if folder:  # Windows opens none
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (folder and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)


def sidecar_path(video: str | Path) -> Path:
    """Where a video's record goes: happy.mp4 → happy.mp4.provenance.json."""
    video = Path(video)
    return video.with_name(video.name + SIDECAR_ENDING)


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


def find_all(content: mmap.mmap, wanted: bytes, begin: int = 0, end: int | None = None) -> Iterator[int]:
    """Where `wanted` stands in a file, between `begin` and `end`: the place of each, none of which overlap."""
    end = len(content) if end is None else end
    place = content.find(wanted, begin, end)
    while place >= 0:
        yield place
        place = content.find(wanted, place + len(wanted), end)


def loads_untrusted(text: str | bytes) -> Any:
    """The value of JSON that a stranger may have written.

    Raises:
        ValueError: It is no JSON in UTF-8, or nested deeper than `MAX_DEPTH`, which would exhaust Python's stack.
    """
    whole = text.decode("utf-8") if isinstance(text, bytes) else text
    depth = 0
    for bracket in _NO_BRACKETS.sub("", _STRING.sub("", whole)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
    return json.loads(whole)
