"""Shards: WebDataset tars of prepared clips, and the manifest that says what is in them.

A clip is one part: a run of tar members `ID.json`, `ID.0000.jpg` ..., `ID.landmarks.npy` and so on. Parts are written
without the end-of-archive mark, so that a shard is simply parts put one behind the other. The same input gives the same
bytes. Read back by `cdrl.datasets.prepared`, or by the `webdataset` package.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import InputError, InputNotFoundError
from cdrl.files import atomic_write

FORMAT = "cdrl-prepared-1"
MANIFEST = "manifest.json"
BLOCK = 512  # bytes, the unit of tar
END = bytes(2 * BLOCK)  # end-of-archive mark


@dataclass(frozen=True)
class Shard:
    """A file of the data set."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """Where a clip lies: its shard, and the range of bytes there; `frames` with a face of `frames_seen`."""

    id: str
    shard: str
    offset: int
    bytes: int
    frames: int
    frames_seen: int
    sound: bool


@dataclass(frozen=True)
class Manifest:
    """What a prepared folder holds. `settings` are those of `cdrl data prepare`; `failures`: clip → reason."""

    settings: Mapping[str, Any]
    shards: tuple[Shard, ...] = ()
    clips: tuple[Entry, ...] = ()
    failures: Mapping[str, str] | None = None
    complete: bool = False

    def to_json(self) -> str:
        """As it is stored; equal content gives equal text."""
        content = {"format": FORMAT, **asdict(self), "failures": dict(self.failures or {})}
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared folder.

    Raises InputNotFoundError where there is none and InputError where it is damaged or of something else.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputNotFoundError(f"{folder}: no prepared data set (no {MANIFEST}); make one with `cdrl data prepare`")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise InputError(f"{path}: written by another version ({raw['format']}); run `cdrl data prepare` anew")
        return Manifest(
            raw["settings"],
            tuple(Shard(**shard) for shard in raw["shards"]),
            tuple(Entry(**entry) for entry in raw["clips"]),
            raw["failures"],
            raw["complete"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it and run `cdrl data prepare` anew") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it whole or not at all; raises OutputError."""
    atomic_write(folder / MANIFEST, [manifest.to_json().encode()])


def part_bytes(clip: str, facts: Mapping[str, Any], pictures: Iterable[bytes], arrays: Mapping[str, Any]) -> bytes:
    """A clip as tar members: JSON first, then pictures (JPEG) in order, then arrays by name (.npy)."""
    buffer = io.BytesIO()
    _add(buffer, f"{clip}.json", json.dumps(facts, sort_keys=True, ensure_ascii=False).encode())
    for number, picture in enumerate(pictures):
        _add(buffer, f"{clip}.{number:04d}.jpg", picture)
    for name in sorted(arrays):
        array = io.BytesIO()
        np.save(array, np.ascontiguousarray(arrays[name]), allow_pickle=False)
        _add(buffer, f"{clip}.{name}.npy", array.getvalue())
    return buffer.getvalue()


def _add(buffer: io.BytesIO, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    buffer.write(member.tobuf(tarfile.USTAR_FORMAT))
    buffer.write(content)
    buffer.write(bytes(-len(content) % BLOCK))


def part_facts(part: bytes) -> dict[str, Any]:
    """The JSON at the head of a part, of which the first few thousand bytes are enough. Raises ValueError."""
    facts: dict[str, Any] = json.JSONDecoder().raw_decode(part[BLOCK:].decode("utf-8", "ignore"))[0]
    return facts


def members(part: memoryview | bytes, clip: str) -> Iterator[tuple[str, int, int]]:
    """(what, offset, size) of each member of a part, `what` being the name after `ID.`: "json", "0000.jpg", ...

    Raises InputError, without a place, where the bytes are not such a part.
    """
    at, view = 0, memoryview(part)
    while at < len(view):
        try:
            member = tarfile.TarInfo.frombuf(bytes(view[at : at + BLOCK]), "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise InputError(f"damaged at byte {at}") from error
        at += BLOCK
        if not member.name.startswith(f"{clip}.") or at + member.size > len(view):
            raise InputError(f"damaged at byte {at - BLOCK}")
        yield member.name[len(clip) + 1 :], at, member.size
        at += member.size + -member.size % BLOCK


def load_array(content: bytes | memoryview) -> NDArray[Any]:
    """An .npy; never a pickle."""
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
