"""The files of a prepared data set: WebDataset tars, and the manifest that describes them.

A clip is one sample: a run of tar members `ID.json`, `ID.0000.jpg` ..., `ID.landmarks.npy` and so on. Samples are
written without the end-of-archive mark, so that a shard is its samples, one behind the other. The same input gives the
same bytes. `cdrl.datasets.prepared` reads shards; so does the package `webdataset`.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cdrl.errors import InputError, InputNotFoundError, OutputError
from cdrl.files import atomic_write, file_sha256, loads_untrusted, small_bytes

FORMAT = "cdrl-prepared-1"
MANIFEST = "manifest.json"
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
"""The end-of-archive mark of a tar."""
SHARD_NAME = re.compile(r"\d{6,}\.tar")
MAX_METADATA = 1 << 20
"""Most bytes of a sample's JSON, written and read."""
MAX_MANIFEST = 1 << 28
"""Most bytes of a manifest, written and read: enough for a million clips."""


@dataclass(frozen=True)
class Shard:
    """A tar file of a prepared data set."""

    name: str
    bytes: int
    sha256: str

    def find_fault(self, folder: Path, hashed: bool = True) -> str:
        """Compare the file in a folder with this size and, where `hashed`, this SHA-256.

        Returns:
            What is wrong, in words; empty where nothing is.
        """
        path = folder / self.name
        if not path.is_file():
            return "missing"
        if (size := path.stat().st_size) != self.bytes:
            return f"cut off or changed ({size:,} bytes instead of {self.bytes:,})"
        return f"damaged (not the SHA-256 that {MANIFEST} says)" if hashed and file_sha256(path) != self.sha256 else ""


@dataclass(frozen=True)
class ClipEntry:
    """Where a clip's sample lies in a prepared data set."""

    id: str
    shard: str
    """Name of the shard's file."""
    offset: int
    """First byte of the sample in the shard."""
    bytes: int
    """Size of the sample."""
    frames: int
    """Number of frames with a face, which are stored."""
    frames_seen: int
    """Number of frames in which a face was looked for."""
    sound: bool
    """Whether the sample has speech features."""


@dataclass(frozen=True)
class ShardManifest:
    """What a prepared folder holds."""

    settings: Mapping[str, Any]
    """The settings of `cdrl data prepare`."""
    shards: tuple[Shard, ...] = ()
    clips: tuple[ClipEntry, ...] = ()
    failures: Mapping[str, str] | None = None
    """Clip to reason, for clips that could not be prepared."""
    complete: bool = False
    """Whether the run that wrote it has ended."""

    def to_json(self) -> str:
        """The manifest as it is stored; equal content gives equal text."""
        content = {"format": FORMAT, **asdict(self), "failures": dict(self.failures or {})}
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> ShardManifest:
    """Read the manifest of a prepared folder.

    Raises:
        InputNotFoundError: The folder has no manifest.
        InputError: The manifest is damaged, or something else.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputNotFoundError(f"{folder}: no prepared data set (no {MANIFEST}); make one with `cdrl data prepare`")
    content = small_bytes(path, MAX_MANIFEST, "manifest")
    try:
        raw = loads_untrusted(content)
        if raw["format"] != FORMAT:
            raise InputError(f"{path}: written by another version ({raw['format']!r}); prepare into another folder")
        return _parse_manifest(raw)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); prepare into another folder") from error


def _parse_manifest(raw: Mapping[str, Any]) -> ShardManifest:
    """The manifest of its JSON. Raises ValueError, KeyError or TypeError where it is none."""
    shards = tuple(Shard(**shard) for shard in raw["shards"])
    clips = tuple(ClipEntry(**entry) for entry in raw["clips"])
    manifest = ShardManifest(raw["settings"], shards, clips, raw["failures"], raw["complete"])
    if "speech" not in dict(manifest.settings) or not isinstance(manifest.failures, dict):
        raise ValueError("its settings or failures are missing")
    for shard in shards:
        if not SHARD_NAME.fullmatch(shard.name) or not isinstance(shard.bytes, int):
            raise ValueError(f"{shard.name!r} is no shard's name, or its size is no number")
    sizes = {shard.name: shard.bytes for shard in shards}
    for entry in clips:
        numbers = (entry.offset, entry.bytes, entry.frames, entry.frames_seen)
        if not isinstance(entry.id, str) or not all(isinstance(each, int) and each >= 0 for each in numbers):
            raise ValueError(f"the numbers of clip {entry.id!r}")
        if entry.offset + entry.bytes > sizes[entry.shard]:
            raise ValueError(f"clip {entry.id!r} lies beyond its shard's end")
    return manifest


def write_manifest(folder: Path, manifest: ShardManifest) -> None:
    """Write the manifest of a folder, whole or not at all.

    Raises:
        OutputError: The file cannot be written, or would be larger than what is read.
    """
    content = manifest.to_json().encode()
    if len(content) > MAX_MANIFEST:
        raise OutputError(f"{folder / MANIFEST}: more clips than a manifest holds; prepare parts of the data set")
    atomic_write(folder / MANIFEST, [content])


def encode_sample(clip: str, metadata: Mapping[str, Any], images: Iterable[bytes], arrays: Mapping[str, Any]) -> bytes:
    """Encode a clip as tar members.

    Args:
        clip: The clip's id.
        metadata: What is stored as JSON, in the first member.
        images: JPEG files, in order.
        arrays: Name to array, stored as .npy.

    Returns:
        The members without an end-of-archive mark.

    Raises:
        InputError: The JSON is longer than `MAX_METADATA`.
    """
    described = json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()
    if len(described) > MAX_METADATA:
        raise InputError(
            f"{clip}: its sentence and labels take {len(described):,} bytes and {MAX_METADATA:,} are stored; shorten "
            "them"
        )
    files = {"json": described} | {f"{number:04d}.jpg": image for number, image in enumerate(images)}
    for name in sorted(arrays):
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False)
        files[f"{name}.npy"] = buffer.getvalue()
    sample = io.BytesIO()
    archive = tarfile.TarFile(fileobj=sample, mode="w", format=tarfile.USTAR_FORMAT)
    for name, content in files.items():
        member = tarfile.TarInfo(f"{clip}.{name}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return sample.getvalue()


def list_members(file: BinaryIO, clip: str, offset: int, size: int) -> Iterator[tuple[str, int, int]]:
    """List the tar members of a sample; only their headers are read.

    Args:
        file: A shard, or a sample alone.
        clip: The clip's id.
        offset: First byte of the sample in the file.
        size: Bytes of the sample.

    Yields:
        Name without the clip's id ("json", "0000.jpg", "times.npy"), first byte in the file, and size.

    Raises:
        InputError: The bytes are no such sample; the message names no file.
    """
    at, end = offset, offset + size
    while at < end:
        file.seek(at)
        try:
            member = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise InputError(f"damaged at byte {at}") from error
        at += BLOCK
        if not member.name.startswith(f"{clip}.") or not 0 <= member.size <= end - at:
            raise InputError(f"damaged at byte {at - BLOCK}")
        yield member.name[len(clip) + 1 :], at, member.size
        at += member.size + -member.size % BLOCK


def read_metadata(file: BinaryIO, clip: str, offset: int, size: int) -> dict[str, Any]:
    """Read the JSON at the head of a sample; see `list_members` for the arguments.

    Raises:
        InputError: The sample does not begin with it.
    """
    name, at, length = next(list_members(file, clip, offset, size), ("", 0, 0))
    file.seek(at)
    try:
        metadata = loads_untrusted(file.read(length)) if name == "json" and length <= MAX_METADATA else None
    except ValueError as error:
        raise InputError(f"damaged at byte {at}") from error
    if not isinstance(metadata, dict):
        raise InputError("it does not begin with its metadata")
    return metadata
