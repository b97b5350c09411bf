"""Faces to learn emotion from: prepared clips, labeled stills, gray FER-2013 pictures; in memory, small.

Every face records its person, so that nobody is in training and report, and what its landmarks measure, so that it can
be described in words.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cdrl.assets import LANDMARKS, load_manifest
from cdrl.datasets.face_crops import find_crops
from cdrl.datasets.fer import read_fer
from cdrl.datasets.prepared import PreparedClip, PreparedDataset
from cdrl.datasets.splits import SYNTHETIC, PeopleSplit, load_split
from cdrl.emotions import EMOTIONS, parse_emotion
from cdrl.errors import InputError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import PRESENCE, BundleDetector, Region, StillImage
from cdrl.files import file_sha256
from cdrl.training.array_cache import ArrayRequest, cached_array
from cdrl.training.options import FaceOptions
from cdrl.training.people import open_data
from cdrl.training.progress import track
from cdrl.training.tables import read_table

SIDE = 112
"""Side in pixels at which faces are kept."""
GRAY = "fer"
"""The source of gray faces."""
UNKNOWN = -1
"""Number of an unknown emotion or viseme."""
_ENLARGED = 192  # pixels a side at which landmarks are detected in a gray picture
_LABELED_FRAMES, _OTHER_FRAMES = 48, 16  # of a clip whose emotion is known, and of one whose is not

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceDataset:
    """A number of faces, as columns."""

    pictures: list[Picture]
    """Each [h, h, 3] RGB or [h, h] gray, of any side."""
    emotion: NDArray[np.int64]
    """[n] number in EMOTIONS, or UNKNOWN."""
    blendshapes: NDArray[np.float32]
    """[n, 52]; NaN where no landmarks were found."""
    viseme: NDArray[np.int64]
    """[n] number of the viseme, UNKNOWN where there is no ground truth."""
    person: NDArray[np.str_]
    clip: NDArray[np.str_]
    source: NDArray[np.str_]
    """[n] data set: synthetic, fer, stills, or a clip's."""
    split: NDArray[np.str_]
    """[n] train, validation or test."""

    def __len__(self) -> int:
        return len(self.pictures)

    def select(self, mask: NDArray[np.bool_]) -> FaceDataset:
        """Return the faces [n] of a mask."""
        columns = {name: getattr(self, name)[mask] for name in _COLUMNS}
        return FaceDataset([self.pictures[i] for i in np.flatnonzero(mask)], **columns)

    def of(self, split: str) -> FaceDataset:
        """Return the faces of one split."""
        return self.select(self.split == split)

    @property
    def trained_people(self) -> set[str]:
        """Names of the real people to train on; gray faces are nameless."""
        named = (self.split == "train") & (self.source != SYNTHETIC) & (self.source != GRAY)
        return set(self.person[named].tolist())

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Whether the emotion is known [n]."""
        return np.asarray(self.emotion != UNKNOWN)

    @property
    def priors(self) -> NDArray[np.float32]:
        """How often each face's person shows each emotion [n, 7]; gray faces, each of another person, count as one.

        A person seen in one emotion alone teaches looks, not emotion: there the label adds nothing.
        """
        owner = np.where(self.source == GRAY, GRAY, self.person)
        names, row = np.unique(owner, return_inverse=True)
        counts = np.zeros((len(names), len(EMOTIONS)), np.float32)
        np.add.at(counts, (row[self.labeled], self.emotion[self.labeled]), 1)
        return np.asarray((counts / np.maximum(counts.sum(1, keepdims=True), 1))[row], np.float32)

    @property
    def informative(self) -> NDArray[np.bool_]:
        """Whether a face's label tells more than its person does [n]."""
        return np.asarray(self.labeled & ((self.priors > 0).sum(1) > 1))

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Whether blendshapes were measured [n]."""
        return np.asarray(np.isfinite(self.blendshapes).all(1))


_COLUMNS = ("emotion", "blendshapes", "viseme", "person", "clip", "source", "split")


def concat(datasets: Sequence[FaceDataset]) -> FaceDataset:
    """Concatenate at least one data set."""
    columns = {name: np.concatenate([getattr(faces, name) for faces in datasets]) for name in _COLUMNS}
    return FaceDataset([picture for faces in datasets for picture in faces.pictures], **columns)


def balance_weights(faces: FaceDataset) -> NDArray[np.float64]:
    """Weigh faces [n], sum 1: every source alike in each emotion, in it every person, in those every frame."""
    owners = list(zip(faces.source.tolist(), faces.emotion.tolist(), faces.person.tolist(), strict=True))
    frames = Counter(owners)
    people = Counter((source, emotion) for source, emotion, _ in frames)
    weights = np.array([1 / (people[owner[:2]] * frames[owner]) for owner in owners])
    return np.asarray(weights / max(weights.sum(), 1e-12), np.float64)


def load_clip_faces(
    data: PreparedDataset, console: Console, splits: Sequence[str] = ("train", "validation")
) -> FaceDataset:
    """Load frames of prepared clips, evenly over each clip: more of those whose emotion is known.

    Raises:
        UsageError: There are no clips of these splits.
    """
    clips = [clip for clip in data.clips if clip.metadata.split in splits]
    if not clips:
        raise UsageError(f"the prepared folders hold no clip of people to {' or '.join(splits)} on")
    return concat([_load_frames(clip) for clip in track(clips, "reading faces", console)])


def _load_frames(clip: PreparedClip) -> FaceDataset:
    metadata = clip.metadata
    emotion = EMOTIONS.index(metadata.emotion) if metadata.emotion in EMOTIONS else UNKNOWN
    most = _OTHER_FRAMES if metadata.synthetic or emotion == UNKNOWN else _LABELED_FRAMES
    chosen = np.unique(np.linspace(0, clip.count - 1, min(most, clip.count)).round().astype(int))
    pictures = [
        np.asarray(cv2.resize(clip.image(int(i)), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8) for i in chosen
    ]
    texts = metadata.actor, metadata.id, metadata.dataset, metadata.split
    faces = _label_alike(pictures, emotion, clip.blendshapes[chosen], *texts)
    return faces if clip.ground_truth is None else replace(faces, viseme=clip.ground_truth.visemes[chosen])


def _label_alike(pictures: list[Picture], emotion: int, blendshapes: Floats, *texts: str) -> FaceDataset:
    """Faces that share emotion and `texts`: person, clip, source and split."""
    count = len(pictures)
    emotions, visemes = (np.full(count, number, np.int64) for number in (emotion, UNKNOWN))
    columns = (np.full(count, text) for text in texts)
    return FaceDataset(pictures, emotions, np.asarray(blendshapes, np.float32), visemes, *columns)


def load_image_faces(folder: Path, people: PeopleSplit, console: Console) -> tuple[FaceDataset, str]:
    """Load the faces of DIR/stills.csv (columns path, emotion, person), aligned as clips are.

    Args:
        folder: The folder DIR.
        people: Who is in which split.
        console: Where progress, and the number of pictures without a face, are printed.

    Returns:
        The faces, and the SHA-256 over the table and every picture that it names, hexadecimal.

    Raises:
        InputNotFoundError: There is no table.
        InputError: A picture cannot be read.
        UsageError: A column is missing, or no picture has a face.
    """
    table = folder / "stills.csv"
    rows = read_table(table, ("path", "emotion", "person"), "--stills")
    detector, faces, lost, digest = BundleDetector(), list[FaceDataset](), 0, hashlib.sha256(table.read_bytes())
    for row in track(rows, "reading stills", console):
        path = folder / row["path"]
        decoded = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if decoded is None:
            raise InputError(f"{path}: not a picture, or missing; correct {table}")
        digest.update(path.read_bytes())
        still = StillImage(np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8))
        regions = detector.detect_faces(still)
        points = _detect_landmarks(detector, still, regions[0]) if regions else None
        if points is None:
            lost += 1
            continue
        crop = find_crops(points[None], np.zeros(1), np.zeros(1, np.int64))[0]
        picture = still.rgb_crop(crop.matrix(SIDE), (SIDE, SIDE))
        emotion, person = EMOTIONS.index(parse_emotion(row["emotion"])), row["person"]
        texts = person, row["path"], "stills", people.assign(person, "stills")
        faces.append(_label_alike([picture], emotion, detector.estimate_blendshapes(points)[None], *texts))
    if lost:
        console.print(f"{table}: no face found in {lost} of {len(rows)} pictures, left out", highlight=False)
    if not faces:
        raise UsageError(f"{table}: no picture with a face")
    return concat(faces), digest.hexdigest()


def _detect_landmarks(detector: BundleDetector, still: StillImage, region: Region) -> Floats | None:
    """Landmarks in a region, refined once; None where there is no face."""
    first = detector.estimate_landmarks(still, region)
    refined = detector.estimate_landmarks(still, Region.of_landmarks(first.points))
    return refined.points if refined.presence >= PRESENCE else None


def load_gray_faces(path: Path, cache: Path, console: Console) -> FaceDataset:
    """Load gray faces to train and to validate on; see `cdrl.datasets.fer`.

    Args:
        path: The .npz file.
        cache: Folder that keeps the measured landmarks.
        console: Where progress is printed.
    """
    gray = read_fer(path).select("train", "validation")
    names = np.array([f"{path.stem}-{index}" for index in range(len(gray.images))])
    blendshapes = _measure_gray_faces(gray.images, cache, console)
    visemes, source = np.full(len(names), UNKNOWN, np.int64), np.full(len(names), GRAY)
    return FaceDataset(list(gray.images), gray.emotion, blendshapes, visemes, names, names, source, gray.split)


def _measure_gray_faces(images: Picture, cache: Path, console: Console) -> NDArray[np.float32]:
    """Blendshapes [n, 52]; NaN where the landmark network sees no face."""

    def measure(done: int) -> Iterator[NDArray[np.float32]]:
        detector = BundleDetector()
        for image in images[done:]:
            large = cv2.resize(image, (_ENLARGED, _ENLARGED), interpolation=cv2.INTER_CUBIC)
            still = StillImage(np.repeat(np.asarray(large, np.uint8)[..., None], 3, 2))
            center = Region(_ENLARGED / 2, _ENLARGED / 2, 1.15 * _ENLARGED, 0.0)
            points = _detect_landmarks(detector, still, center)
            measured = np.full((1, 52), np.nan, np.float32)
            if points is not None:
                measured[0] = detector.estimate_blendshapes(points)
            yield measured
        yield np.zeros((0, 52), np.float32)

    key = load_manifest()[LANDMARKS].sha256.encode() + str(images.shape).encode() + images.tobytes()
    return cached_array(cache, ArrayRequest("gray", "measuring gray faces", key, len(images), measure), console)


def summarize(faces: FaceDataset) -> str:
    """Say in a few words what was trained on, for the list of model files."""
    train = faces.of("train")
    synthetic, gray = train.source == SYNTHETIC, train.source == GRAY
    real, made = (len(np.unique(train.person[mask])) for mask in (~synthetic & ~gray, synthetic))
    return f"{int(gray.sum())} gray faces, {real} real and {made} synthetic people in color"


@dataclass(frozen=True)
class Stratum:
    """Faces that have a share of every batch."""

    rows: NDArray[np.int64]
    """Their numbers [n]."""
    probability: NDArray[np.float64]
    """The probability of each [n], sum 1."""
    count: int
    """How many are drawn for a batch."""


def batch_strata(faces: FaceDataset, batch: int, options: FaceOptions) -> list[Stratum]:
    """Divide faces by their share of a batch.

    Gray faces, synthetic ones, and others of which a description alone is learned have the fractions of the options;
    the rest are real people in color who show more than one emotion.
    """
    gray, synthetic = faces.source == GRAY, faces.source == SYNTHETIC
    color = ~gray & ~synthetic
    fractions = (
        (gray, options.gray_fraction),
        (synthetic, options.synthetic_fraction),
        (color & ~faces.informative & faces.measured, options.described_fraction),
        (color & faces.informative, 1.0),
    )
    present = [(mask, fraction) for mask, fraction in fractions if mask.any() and fraction > 0]
    strata, left = [], batch
    for number, (mask, fraction) in enumerate(present, 1):
        count = left if number == len(present) else min(left, round(batch * fraction))
        left -= count
        strata.append(Stratum(np.flatnonzero(mask), balance_weights(faces.select(mask)), count))
    return strata


def draw_batch(strata: Sequence[Stratum], random: np.random.Generator) -> NDArray[np.int64]:
    """Draw the numbers of a batch's faces, in random order, so that every process gets some of each stratum."""
    rows = [random.choice(stratum.rows, stratum.count, p=stratum.probability) for stratum in strata]
    return random.permutation(np.concatenate(rows))


def labeled_rows_by_source(faces: FaceDataset) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield each source with the rows of its labeled faces."""
    for source in sorted(set(faces.source[faces.labeled].tolist())):
        yield source, np.flatnonzero((faces.source == source) & faces.labeled)


def load_faces(options: FaceOptions, console: Console) -> tuple[FaceDataset, str, PeopleSplit]:
    """Load all faces to train and to validate on.

    Returns:
        The faces, the digest of where they came from, and who is in which split.

    Raises:
        UsageError: No source is named, or none of the faces to train on has an emotion.
    """
    datasets, digests, people = [], [], load_split("shipped")
    if options.data:
        prepared = open_data(options)
        people = prepared.people
        datasets.append(load_clip_faces(prepared, console))
        digests.append(prepared.digest)
    if options.fer is not None:
        datasets.append(load_gray_faces(options.fer, options.cache, console))
        digests.append(file_sha256(options.fer))
    if options.stills is not None:
        stills, digest = load_image_faces(options.stills, people, console)
        datasets.append(stills)
        digests.append(digest)
    if not datasets:
        raise UsageError("no faces to learn from: name --data FOLDER, --fer FILE or --stills FOLDER")
    faces = concat(datasets)
    if not faces.of("train").labeled.any():
        raise UsageError("no face of the people to train on has an emotion: label some clips, or add --fer or --stills")
    return faces, hashlib.sha256("".join(digests).encode()).hexdigest(), people
