"""Shards: WebDataset tars of prepared clips, and the manifest that says what is in them.

A clip is one part: a run of tar members `ID.json`, `ID.0000.jpg` ..., `ID.landmarks.npy` and so on. Parts are written
without the end-of-archive mark, so that a shard is simply parts put one behind the other. The same input gives the same
bytes. Read back by `cdrl.datasets.prepared`, or by the `webdataset` package.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import InputError, InputNotFoundError, OutputError
from cdrl.files import atomic_write, loads_untrusted, small_bytes, take_name

FORMAT = "cdrl-prepared-1"
MANIFEST = "manifest.json"
BLOCK = 512  # bytes, the unit of tar
END = bytes(2 * BLOCK)  # end-of-archive mark
SHARD_NAME = re.compile(r"\d{6,}\.tar")
MAX_FACTS = 1 << 20
"""Most bytes of a part's JSON, written and read."""
MAX_MANIFEST = 1 << 28
"""Most bytes of a manifest, written and read: enough for a million clips."""


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
    content = small_bytes(path, MAX_MANIFEST, "manifest")
    try:
        raw = loads_untrusted(content)
        if raw["format"] != FORMAT:
            raise InputError(f"{path}: written by another version ({raw['format']!r}); prepare into another folder")
        return _parse(raw)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); prepare into another folder") from error


def _parse(raw: Mapping[str, Any]) -> Manifest:
    """A manifest of its JSON; raises ValueError, KeyError or TypeError where it is none."""
    manifest = Manifest(
        raw["settings"],
        tuple(Shard(**shard) for shard in raw["shards"]),
        tuple(Entry(**entry) for entry in raw["clips"]),
        raw["failures"],
        raw["complete"],
    )
    if "speech" not in dict(manifest.settings) or not isinstance(manifest.failures, dict):
        raise ValueError("its settings or failures are missing")
    sizes = {}
    for shard in manifest.shards:
        if not SHARD_NAME.fullmatch(shard.name) or not isinstance(shard.bytes, int):
            raise ValueError(f"{shard.name!r} is no shard's name, or its size is no number")
        sizes[shard.name] = shard.bytes
    for entry in manifest.clips:
        numbers = (entry.offset, entry.bytes, entry.frames, entry.frames_seen)
        if not isinstance(entry.id, str) or not all(isinstance(each, int) and each >= 0 for each in numbers):
            raise ValueError(f"the numbers of clip {entry.id!r}")
        if entry.offset + entry.bytes > sizes[entry.shard]:
            raise ValueError(f"clip {entry.id!r} lies beyond its shard's end")
    return manifest


def write_manifest(folder: Path, manifest: Manifest, staging: Path | None = None) -> None:
    """Write it whole or not at all, in the folder `staging` before it takes its name. Raises OutputError."""
    content = manifest.to_json().encode()
    if len(content) > MAX_MANIFEST:
        raise OutputError(f"{folder / MANIFEST}: more clips than a manifest holds; prepare parts of the data set")
    if staging is None:
        atomic_write(folder / MANIFEST, [content])
        return
    atomic_write(staging / MANIFEST, [content])
    move_file(staging / MANIFEST, folder / MANIFEST)


def move_file(staged: Path, path: Path) -> None:
    """Give a file that is written and on the disk its name in another folder. Raises OutputError."""
    try:
        take_name(staged, path, overwrite=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}): free space or choose another place, then run the "
            "same command again, which goes on with what is missing"
        ) from error


def part_bytes(clip: str, facts: Mapping[str, Any], pictures: Iterable[bytes], arrays: Mapping[str, Any]) -> bytes:
    """A clip as tar members: JSON first, then pictures (JPEG) in order, then arrays by name (.npy).

    Raises InputError where the JSON takes more than `MAX_FACTS`.
    """
    buffer = io.BytesIO()
    described = json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()
    if len(described) > MAX_FACTS:
        raise InputError(
            f"{clip}: its sentence and labels take {len(described):,} bytes and {MAX_FACTS:,} are stored; shorten them"
        )
    _add(buffer, f"{clip}.json", described)
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
    """The JSON at the head of a part, of which the first `facts_end` bytes are enough. Raises ValueError."""
    facts = loads_untrusted(part[BLOCK : facts_end(part)])
    if not isinstance(facts, dict):
        raise ValueError("it does not begin with its facts")
    return facts


def facts_end(part: bytes) -> int:
    """How many bytes at the head of a part hold its JSON; the first `BLOCK` of them tell. Raises ValueError."""
    try:
        member = tarfile.TarInfo.frombuf(part[:BLOCK], "utf-8", "strict")
    except tarfile.HeaderError as error:
        raise ValueError(str(error)) from error
    if not member.name.endswith(".json") or not 0 <= member.size <= MAX_FACTS:
        raise ValueError("it does not begin with its facts")
    return BLOCK + member.size


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
