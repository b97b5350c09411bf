"""Arrays that are computed once and cached in a folder, under the hash of what they were computed from.

Long ones are written row by row into a file of their own name, `NAME.partial`, so that a run that was killed resumes
where it was. A finished file ends with the SHA-256 of all before it; one that is damaged is computed again.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic, write_array_header_1_0
from numpy.typing import NDArray
from rich.console import Console

from cdrl.errors import CdrlError, OutputError
from cdrl.files import atomic_write, sync, take_name
from cdrl.locks import lock_file
from cdrl.training.progress import track

_MAX_HASHED = 1 << 30  # bytes up to which a file is compared with its SHA-256 before it is used
_CHUNK = 1 << 20  # bytes
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class ArrayRequest:
    """An array that is computed row by row."""

    name: str
    """What the rows are, for the file's name."""
    activity: str
    """What is done to compute them, for the progress line."""
    key: bytes
    """All that the rows depend on, or hashes of it."""
    count: int
    """Number of rows."""
    compute: Callable[[int], Iterator[NDArray[Any]]]
    """Given how many rows there are already (a multiple of `batch`, or all), yields those that follow, [k, ...] at a
    time, all of one dtype and one shape of a row; where `count` is 0, one batch of no rows."""
    batch: int = 1
    """Rows that are computed together, whose values may depend on one another."""


def cache_array(folder: Path, rows: ArrayRequest, console: Console) -> Path:
    """Compute an array into a folder where it is not there yet; rows that are there are not computed again.

    Processes that request the same array at once wait for the first of them, which computes it.

    Args:
        folder: The cache.
        rows: What is computed.
        console: Where progress is printed.

    Returns:
        Path of the .npy file.

    Raises:
        OutputError: The folder cannot be written.
    """
    path = folder / f"{rows.name}_{hashlib.sha256(rows.key).hexdigest()[:16]}.npy"
    if _is_intact(path, rows.count):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_file(
            path.with_name(f".{path.stem}.lock"), path, "cdrl train", wait=lambda: _announce_wait(console, path)
        ):
            if not _is_intact(path, rows.count):  # or else the run that was waited for has computed it
                _compute(path, rows, console)
    except CdrlError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}): free space, or choose another --cache; what is "
            "computed already is kept"
        ) from error
    return path


def cached_array(folder: Path, rows: ArrayRequest, console: Console) -> NDArray[np.float32]:
    """Return the array of `cache_array` in memory, as float32."""
    return np.asarray(np.load(cache_array(folder, rows, console), allow_pickle=False), np.float32)


def write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """Write small arrays as an .npz, whole or not at all, into a folder that is made where it is missing.

    Raises:
        OutputError: The file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror}): choose another --cache") from error
    atomic_write(path, [buffer.getvalue()])


def read_npz(path: Path, *names: str) -> list[NDArray[Any]] | None:
    """Read arrays of an .npz by name; None where it is missing or damaged, and what is in it is computed again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _announce_wait(console: Console, path: Path) -> None:
    console.print(f"another run computes {path}: waiting for it", highlight=False)


def _is_intact(path: Path, count: int) -> bool:
    try:
        with path.open("rb") as file:
            start, shape, row = _read_header(file)
            size = os.fstat(file.fileno()).st_size
            if shape[0] != count or size != start + count * row + _DIGEST:
                return False
            if size > _MAX_HASHED:
                return True
            file.seek(0)
            digest = _digest(file, size - _DIGEST)
            return digest == file.read(_DIGEST)
    except (OSError, ValueError):
        return False


def _read_header(file: BinaryIO) -> tuple[int, tuple[int, ...], int]:
    """Where the rows begin, the array's shape, and a row's bytes. Raises ValueError where that is no array of ours."""
    if read_magic(file) != (1, 0):
        raise ValueError("another version of the format")
    shape, _, dtype = read_array_header_1_0(file)
    return file.tell(), shape, dtype.itemsize * int(np.prod(shape[1:]))


def _compute(path: Path, rows: ArrayRequest, console: Console) -> None:
    partial = path.with_suffix(".partial")
    done = _truncate_partial(partial, rows)
    with partial.open("ab") as file:
        for batch in track(rows.compute(done), rows.activity, console, rows.count, done, len):
            if not file.tell():
                write_array_header_1_0(file, _header(batch, rows.count))
            file.write(np.ascontiguousarray(batch).tobytes())
            file.flush()
            done += len(batch)
    if done != rows.count:
        raise ValueError(f"{done} rows of {path.name} were computed, and {rows.count} wanted")
    with partial.open("r+b") as file:
        file.write(_digest(file, partial.stat().st_size))
    sync(partial)
    take_name(partial, path, overwrite=True)


def _truncate_partial(partial: Path, rows: ArrayRequest) -> int:
    """Cut what a killed run has left to a whole number of batches; returns how many rows remain."""
    try:
        with partial.open("r+b") as file:
            start, shape, row = _read_header(file)
            whole = (partial.stat().st_size - start) // row if row else 0
            done = min(whole, rows.count) // rows.batch * rows.batch
            if shape[0] == rows.count and done:
                file.truncate(start + done * row)
                return done
    except (FileNotFoundError, ValueError):
        pass
    partial.unlink(missing_ok=True)
    return 0


def _header(batch: NDArray[Any], count: int) -> dict[str, Any]:
    return {"descr": batch.dtype.str, "fortran_order": False, "shape": (count, *batch.shape[1:])}


def _digest(file: BinaryIO, size: int) -> bytes:
    """SHA-256 of the next `size` bytes."""
    digest = hashlib.sha256()
    while size > 0 and (piece := file.read(min(size, _CHUNK))):
        digest.update(piece)
        size -= len(piece)
    return digest.digest()
