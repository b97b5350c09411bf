"""Prepared clips, read straight from their shards: any frame of any clip, decoded when it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.shards import MANIFEST, Entry, Manifest, facts_end, load_array, members, part_facts, read_manifest
from cdrl.datasets.splits import SYNTHETIC, Part, part
from cdrl.errors import InputError, UsageError
from cdrl.files import file_sha256

SIZE = 224
"""Pixels, side of the aligned pictures."""

_HEAD = 1 << 13  # bytes of a clip that are read at once to learn its facts: mostly all of them
_HASHED = 8 << 30  # bytes in a folder up to which opening it reads it all, to compare the SHA-256 sums


@dataclass(frozen=True)
class Facts:
    """What is known about a prepared clip; see `cdrl.datasets.table.Clip`."""

    id: str
    dataset: str
    actor: str
    emotion: str
    intensity: int | None
    sentence: str
    sentence_id: str
    view: str
    synthetic: bool
    part: Part


@dataclass(frozen=True)
class Truth:
    """Ground truth of a made clip, frame by frame.

    `position` float32 [T]: the place within the sentence, equal in all takes of it · `visemes` int64 [T]: class ·
    `speaking` bool [T] · `weights` float32 [T, k]: of the face units.
    """

    position: NDArray[np.float32]
    visemes: NDArray[np.int64]
    speaking: NDArray[np.bool_]
    weights: NDArray[np.float32]


class PreparedClip:
    """One clip of T frames, those in which the face was seen. Small arrays stay in memory once read; pictures and
    landmarks are read each time."""

    def __init__(self, shard: Path, entry: Entry) -> None:
        self._shard = shard
        self._entry = entry

    def __repr__(self) -> str:
        return f"PreparedClip({self._entry.id!r}, {self.count} frames)"

    @property
    def count(self) -> int:
        """T, the number of frames."""
        return self._entry.frames

    @cached_property
    def facts(self) -> Facts:
        """Who, what, and in which part of the split."""
        try:
            raw = self._read_facts()["clip"]
            return Facts(
                id=self._entry.id,
                dataset=raw["dataset"],
                actor=raw["actor"],
                emotion=raw["emotion"],
                intensity=raw["intensity"],
                sentence=raw["sentence"],
                sentence_id=raw["sentence_id"],
                view=raw["view"],
                synthetic=raw["dataset"] == SYNTHETIC,
                part=part(raw["actor"], raw["dataset"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged() from error

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """[T] seconds since the clip's start. Frames without a face, or thinned out, leave gaps."""
        return self._array("times").astype(np.float64)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Frame `index` as RGB [224, 224, 3]; the face upright, its landmark box 10 % from each side."""
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of a clip of {self.count}")
        content = self._bytes(f"{index:04d}.jpg")
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise self._damaged()
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)

    def images(self, indices: Iterable[int]) -> NDArray[np.uint8]:
        """Those frames as RGB [n, 224, 224, 3]."""
        pictures = [self.image(int(index)) for index in indices]
        return np.stack(pictures) if pictures else np.empty((0, SIZE, SIZE, 3), np.uint8)

    @cached_property
    def speech(self) -> NDArray[np.float32] | None:
        """Speech features [T, width] at the frames' times; None for a clip without sound."""
        return self._array("speech").astype(np.float32) if "speech.npy" in self._members else None

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """[T, 478, 3] in pixels of the aligned picture (z in the same unit, negative towards the viewer)."""
        return self._array("landmarks").astype(np.float32)

    @cached_property
    def blendshapes(self) -> NDArray[np.float32]:
        """ARKit coefficients [T, 52] in [0, 1], in the order of `cdrl.face.landmarks.BLENDSHAPES`."""
        return self._array("blendshapes").astype(np.float32)

    @cached_property
    def shots(self) -> NDArray[np.int64]:
        """[T] number of the shot each frame belongs to; a cut begins the next."""
        return self._array("shots").astype(np.int64)

    @cached_property
    def truth(self) -> Truth | None:
        """What is known exactly of a made clip; None of a real one."""
        if "position.npy" not in self._members:
            return None
        return Truth(
            self._array("position").astype(np.float32),
            self._array("visemes").astype(np.int64),
            self._array("speaking").astype(np.bool_),
            self._array("weights").astype(np.float32),
        )

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """What → (offset in the shard, size)."""
        entry = self._entry
        try:
            found = members(self._read(entry.offset, entry.bytes), entry.id)
            return {what: (entry.offset + at, size) for what, at, size in found}
        except InputError as error:
            raise self._damaged() from error

    def _read_facts(self) -> dict[str, Any]:
        """The first member; read alone, so that a list of all clips does not read all pictures. Raises ValueError."""
        entry = self._entry
        head = self._read(entry.offset, min(entry.bytes, _HEAD))
        end = facts_end(head)
        return part_facts(head if end <= len(head) else self._read(entry.offset, min(entry.bytes, end)))

    def _array(self, name: str) -> NDArray[Any]:
        try:
            return load_array(self._bytes(f"{name}.npy"))
        except (ValueError, EOFError) as error:
            raise self._damaged() from error

    def _bytes(self, what: str) -> bytes:
        if what not in self._members:
            raise self._damaged()
        return self._read(*self._members[what])

    def _read(self, offset: int, size: int) -> bytes:
        try:
            with self._shard.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise InputError(f"{self._shard}: cannot be read ({error.strerror or error})") from error
        if len(content) < size:
            raise self._damaged()
        return content

    def _damaged(self) -> InputError:
        return InputError(_cure(self._shard, f"damaged, at clip {self._entry.id}"))


@dataclass(frozen=True)
class Prepared:
    """Prepared clips of one or more folders. `digest` changes with any byte of them; `speech` names the encoder."""

    clips: tuple[PreparedClip, ...]
    digest: str
    speech: str

    @classmethod
    def open(cls, folders: Sequence[Path]) -> Prepared:
        """The clips of `folders`, in the order of their manifests.

        Every shard's size is compared with the manifest, and its SHA-256 too unless the folder is larger than 8 GiB.
        Raises InputNotFoundError, InputError (a shard missing, cut or changed; nothing in it; not finished) and
        UsageError where folders were prepared with different speech encoders.
        """
        manifests = {folder: _checked(folder) for folder in dict.fromkeys(map(Path, folders))}
        if not manifests:
            raise UsageError("no prepared data set is given: name one or more folders that `cdrl data prepare` made")
        encoders = {str(manifest.settings["speech"]): folder for folder, manifest in manifests.items()}
        if len(encoders) > 1:
            named = ", ".join(f"{folder}: {name}" for name, folder in encoders.items())
            raise UsageError(f"the folders hold different speech features ({named}): prepare them with one --speech")
        clips = tuple(PreparedClip(f / e.shard, e) for f, manifest in manifests.items() for e in manifest.clips)
        digests = sorted(hashlib.sha256(manifest.to_json().encode()).hexdigest() for manifest in manifests.values())
        return cls(clips, hashlib.sha256("".join(digests).encode()).hexdigest(), next(iter(encoders)))

    def of(self, wanted: Part, synthetic: bool | None = None) -> tuple[PreparedClip, ...]:
        """The clips of one part of the split; only made or only real ones where that is given."""
        return tuple(
            clip
            for clip in self.clips
            if clip.facts.part == wanted and (synthetic is None or clip.facts.synthetic == synthetic)
        )


def _checked(folder: Path) -> Manifest:
    """The manifest of a folder whose shards are what it says."""
    manifest = read_manifest(folder)
    if not manifest.complete:
        raise InputError(f"{folder}: not finished; run the same `cdrl data prepare` again, it goes on where it stopped")
    if not manifest.clips:
        raise InputError(f"{folder}: holds no clip; see `cdrl data check` on the data set it was made from")
    whole = sum(shard.bytes for shard in manifest.shards) <= _HASHED
    for shard in manifest.shards:
        path = folder / shard.name
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            raise InputError(_cure(path, "missing"))
        if size != shard.bytes:
            raise InputError(_cure(path, f"cut off or changed ({size:,} bytes instead of {shard.bytes:,})"))
        if whole and file_sha256(path) != shard.sha256:
            raise InputError(_cure(path, f"damaged (not the SHA-256 that {MANIFEST} says)"))
    return manifest


def _cure(path: Path, what: str) -> str:
    return f"{path}: {what}; run the same `cdrl data prepare` again, which makes this shard anew"
