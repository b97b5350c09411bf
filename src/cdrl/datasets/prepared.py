"""Prepared clips, read straight from their shards: any frame of any clip, decoded when it is asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.clip import LABELS
from cdrl.datasets.shards import ClipEntry, Shard, ShardManifest, list_members, read_manifest, read_metadata
from cdrl.datasets.splits import SYNTHETIC, PeopleSplit, Split, load_split
from cdrl.errors import InputError, UsageError

SIZE = 224
"""Pixels, side of the aligned pictures."""

Watch = Callable[[Sequence[Shard]], Iterable[Shard]]
"""Passes on the shards that are checked, and shows how many of them are done."""

_HASHED = 8 << 30  # bytes in a folder up to which opening it reads it all, to compare the SHA-256 sums


@dataclass(frozen=True)
class ClipMetadata:
    """Labels of a prepared clip; the fields are those of `cdrl.datasets.clip.Clip`."""

    id: str
    dataset: str
    actor: str
    emotion: str
    intensity: int | None
    sentence: str
    sentence_id: str
    view: str
    synthetic: bool
    """Whether the person is a synthetic subject."""
    split: Split
    """The split that the person belongs to."""


@dataclass(frozen=True)
class GroundTruth:
    """Exact labels of a synthetic clip of T frames."""

    position: NDArray[np.float32]
    """[T] place within the sentence, in phones, equal in all takes of it."""
    visemes: NDArray[np.int64]
    """[T] viseme class."""
    speaking: NDArray[np.bool_]
    """[T] whether a phone is said."""
    weights: NDArray[np.float32]
    """[T, k] weights of the face units, in [0, 1]."""


class PreparedClip:
    """One clip of T frames, those in which a face was found.

    Small arrays stay in memory once read; pictures and landmarks are read each time.
    """

    def __init__(self, shard: Path, entry: ClipEntry) -> None:
        self._shard = shard
        self._entry = entry
        self.people = PeopleSplit()
        """Who is in which split; set by the data set that the clip is part of."""

    def __repr__(self) -> str:
        return f"PreparedClip({self._entry.id!r}, {self.count} frames)"

    @property
    def count(self) -> int:
        """T, the number of frames."""
        return self._entry.frames

    @cached_property
    def labels(self) -> dict[str, Any]:
        """The fields `cdrl.datasets.clip.LABELS` of the clip."""
        with self._open() as file:
            raw = read_metadata(file, self._entry.id, self._entry.offset, self._entry.bytes)["clip"]
            return {name: raw[name] for name in LABELS}

    @cached_property
    def metadata(self) -> ClipMetadata:
        """Who is seen, saying what, with which emotion."""
        actor, dataset = self.labels["actor"], self.labels["dataset"]
        split = self.people.assign(actor, dataset)
        return ClipMetadata(self._entry.id, **self.labels, synthetic=dataset == SYNTHETIC, split=split)

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """[T] seconds since the clip's start. Frames without a face, or thinned out, leave gaps."""
        return self._array("times").astype(np.float64)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode one frame.

        Args:
            index: Number of the frame, in [0, T).

        Returns:
            RGB [224, 224, 3]; the face upright, its landmark box 10 % from each side.

        Raises:
            IndexError: There is no such frame.
            InputError: The shard is damaged.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of a clip of {self.count}")
        with self._open() as file:
            content = self._read(file, f"{index:04d}.jpg")
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise self._damaged()
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)

    def images(self, indices: Iterable[int]) -> NDArray[np.uint8]:
        """Decode frames as RGB [n, 224, 224, 3]; see `image`."""
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
        """[T] number of the shot that each frame belongs to; a cut begins the next."""
        return self._array("shots").astype(np.int64)

    @cached_property
    def ground_truth(self) -> GroundTruth | None:
        """Exact labels of a synthetic clip; None for a real one."""
        if "position.npy" not in self._members:
            return None
        return GroundTruth(
            self._array("position").astype(np.float32),
            self._array("visemes").astype(np.int64),
            self._array("speaking").astype(np.bool_),
            self._array("weights").astype(np.float32),
        )

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """Name → (offset in the shard, size)."""
        with self._open() as file:
            members = list(list_members(file, self._entry.id, self._entry.offset, self._entry.bytes))
        return {name: (offset, size) for name, offset, size in members}

    def _array(self, name: str) -> NDArray[Any]:
        with self._open() as file:
            return np.asarray(np.load(io.BytesIO(self._read(file, f"{name}.npy")), allow_pickle=False))

    def _read(self, file: BinaryIO, name: str) -> bytes:
        """The bytes of a member. Raises KeyError, or EOFError where the shard ends before them."""
        offset, size = self._members[name]
        file.seek(offset)
        content = file.read(size)
        if len(content) < size:
            raise EOFError
        return content

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        """The shard's file; whatever goes wrong with its content is an InputError that says what to do."""
        try:
            with self._shard.open("rb") as file:
                yield file
        except (InputError, ValueError, KeyError, TypeError, EOFError) as error:
            raise self._damaged() from error
        except OSError as error:
            raise InputError(f"{self._shard}: cannot be read ({error.strerror or error})") from error

    def _damaged(self) -> InputError:
        return InputError(_damaged_message(self._shard, f"damaged, at clip {self._entry.id}"))


@dataclass(frozen=True)
class PreparedDataset:
    """Prepared clips of one or more folders."""

    clips: tuple[PreparedClip, ...]
    digest: str
    """SHA-256 that changes with any byte of the clips."""
    speech: str
    """Name of the speech encoder whose features the clips have."""
    people: PeopleSplit
    """Who is in which split."""

    @classmethod
    def open(cls, folders: Sequence[Path], split: str = "auto", watch: Watch = iter) -> PreparedDataset:
        """Open prepared folders.

        The size of every shard is compared with the manifest, and its SHA-256 too unless the folder is larger than
        8 GiB.

        Args:
            folders: Folders that `cdrl data prepare` made.
            split: The split by person, as `cdrl.datasets.splits.load_split` takes it.
            watch: Shows the progress over the shards of each folder.

        Returns:
            Their clips, in the order of the folders' manifests.

        Raises:
            InputNotFoundError: A folder has no manifest.
            InputError: A shard is missing, cut or changed; a folder holds no clip or is not finished.
            UsageError: No folder is given, they were prepared with different speech encoders, or there is no such
                split.
        """
        manifests = {folder: _verify_folder(folder, watch) for folder in dict.fromkeys(map(Path, folders))}
        if not manifests:
            raise UsageError("no prepared data set is given: name one or more folders that `cdrl data prepare` made")
        encoders = {str(manifest.settings["speech"]): folder for folder, manifest in manifests.items()}
        if len(encoders) > 1:
            named = ", ".join(f"{folder}: {name}" for name, folder in encoders.items())
            raise UsageError(f"the folders hold different speech features ({named}): prepare them with one --speech")
        clips = tuple(PreparedClip(f / e.shard, e) for f, manifest in manifests.items() for e in manifest.clips)
        digests = sorted(hashlib.sha256(manifest.to_json().encode()).hexdigest() for manifest in manifests.values())
        people = load_split(split, {(clip.labels["dataset"], clip.labels["actor"]) for clip in clips})
        for clip in clips:
            clip.people = people
        return cls(clips, hashlib.sha256("".join(digests).encode()).hexdigest(), next(iter(encoders)), people)

    def select(self, split: Split, synthetic: bool | None = None) -> tuple[PreparedClip, ...]:
        """Select the clips of a split.

        Args:
            split: The split.
            synthetic: Whether only clips of synthetic subjects, or only real ones, are wanted; None for both.
        """
        return tuple(
            clip
            for clip in self.clips
            if clip.metadata.split == split and (synthetic is None or clip.metadata.synthetic == synthetic)
        )


def _verify_folder(folder: Path, watch: Watch) -> ShardManifest:
    """The manifest of a folder whose shards are as it says."""
    manifest = read_manifest(folder)
    if not manifest.complete:
        raise InputError(f"{folder}: not finished; run the same `cdrl data prepare` again, it goes on where it stopped")
    if not manifest.clips:
        raise InputError(f"{folder}: holds no clip; see `cdrl data check` on the data set it was made from")
    hashed = sum(shard.bytes for shard in manifest.shards) <= _HASHED
    for shard in watch(manifest.shards):
        if fault := shard.find_fault(folder, hashed):
            raise InputError(_damaged_message(folder / shard.name, fault))
    return manifest


def _damaged_message(path: Path, fault: str) -> str:
    return f"{path}: {fault}; run the same `cdrl data prepare` again, which makes this shard anew"
