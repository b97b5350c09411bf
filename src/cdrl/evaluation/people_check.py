"""Finds one person under two names: by a recognition network, over the clips of all data sets together.

Labels of people are wrong more often than one thinks: demonstrations show actors of published data sets, and one speech
stands in two collections. A person who is trained on under one name and reported on under another makes every number
too good.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.prepared import PreparedClip
from cdrl.datasets.splits import PeopleSplit
from cdrl.errors import FaceError
from cdrl.evaluation.evaluators import FaceRecognizer
from cdrl.evaluation.measures import unit_rows
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import probe, read

Array = NDArray[np.float64]

SAME = 0.73
"""Cosine of two clips' vectors, less the mean over people, from which they show one person. Chosen on MEAD, CREMA-D,
RAVDESS and footage of demonstrations by what `describe_threshold` says of them."""
_SAME_RAW = 0.965  # of the vectors as they are, where there are too few people to take the mean of
_FEW_PEOPLE = 10
_DIMENSIONS = 128
_FRAMES = 5  # of each clip
_SECONDS = 5  # of each clip that are looked at


@dataclass(frozen=True, eq=False)
class PersonClip:
    """A clip, the person it is said to show, and what the recognition network sees."""

    name: str
    """The clip, for messages."""
    dataset: str
    actor: str
    vector: Array
    """[128], of length 1."""


@dataclass(frozen=True, eq=False)
class Match:
    """Two names that seem to be one person."""

    first: PersonClip
    second: PersonClip
    """The two clips that are most alike."""
    cosine: float

    def __str__(self) -> str:
        one, two = (f"{clip.dataset}/{clip.actor} ({clip.name})" for clip in (self.first, self.second))
        return f"{one} and {two} seem to be one person: cosine {self.cosine:.2f}"


_load_recognizer = functools.cache(FaceRecognizer)


def recognize_file(path: Path) -> Array:
    """Compute the recognition vector of a clip's largest face, over five frames of its first five seconds.

    Returns:
        [128], of length 1.

    Raises:
        FaceError: No face is found.
        ModelFileError: dlib, or its model, is not installed.
        CdrlError: The file cannot be read.
    """
    recognizer, info = _load_recognizer(), probe(path)
    step = max(1, int(float(info.rate or 25) * _SECONDS) // _FRAMES)
    tracker, vectors = FaceTracker(BundleDetector()), list[Array]()
    with read(info, stop=Fraction(_SECONDS)) as frames:
        for frame in frames:
            if frame.index % step:
                tracker.skip(frame)
            elif (track := tracker.step(frame)) is not None:
                vectors.append(recognizer(frame.rgb(), track.points[:468, :2].astype(np.float64)))
    return _average(vectors, str(path))


def recognize_prepared(clip: PreparedClip) -> Array:
    """Compute the recognition vector [128] of a prepared clip, over five of its frames; see `recognize_file`."""
    recognizer, points = _load_recognizer(), clip.landmarks[:, :468, :2].astype(np.float64)
    chosen = np.unique(np.linspace(0, clip.count - 1, min(_FRAMES, clip.count)).round().astype(int))
    return _average([recognizer(clip.image(int(index)), points[index]) for index in chosen], clip.metadata.id)


def _average(vectors: Sequence[Array], name: str) -> Array:
    unit = unit_rows(np.array(vectors)) if vectors else np.empty((0, _DIMENSIONS))
    if not len(unit):
        raise FaceError(f"{name}: no face is found")
    return np.asarray(unit_rows(unit.mean(0, keepdims=True))[0])


def _compare(clips: Sequence[PersonClip]) -> tuple[Array, float]:
    """Cosine [n, n] of every two clips, and from which on they show one person."""
    vectors, threshold = np.array([clip.vector for clip in clips]).reshape(-1, _DIMENSIONS), _SAME_RAW
    actors = sorted({clip.actor for clip in clips})
    people = [np.mean([clip.vector for clip in clips if clip.actor == actor], 0) for actor in actors]
    if len(people) >= _FEW_PEOPLE:
        centered = vectors - np.mean(people, 0)
        vectors, threshold = centered / np.linalg.norm(centered, axis=1, keepdims=True), SAME
    return vectors @ vectors.T, threshold


def find_matches(clips: Sequence[PersonClip]) -> list[Match]:
    """Find the pairs of names that seem to be one person, the most alike first.

    A name means one person, whatever data set it stands in: those pairs are left out.
    """
    cosines, threshold = _compare(clips)
    best: dict[frozenset[str], Match] = {}
    for i, j in np.argwhere(np.triu(cosines, 1) >= threshold):
        key = frozenset((clips[i].actor, clips[j].actor))
        if len(key) > 1 and (key not in best or cosines[i, j] > best[key].cosine):
            best[key] = Match(clips[i], clips[j], float(cosines[i, j]))
    return sorted(best.values(), key=lambda match: -match.cosine)


def describe_threshold(clips: Sequence[PersonClip]) -> str:
    """Say how well the threshold tells the named people of these clips apart, in one line.

    Of one person are clips of one name; of different people are clips of two names in one data set.
    """
    cosines, threshold = _compare(clips)
    actors, datasets = (np.array([getattr(clip, name) for clip in clips]) for name in ("actor", "dataset"))
    own = (actors[:, None] == actors) & ~np.eye(len(clips), dtype=bool)
    others = (actors[:, None] != actors) & (datasets[:, None] == datasets)
    nearest = np.where(own, cosines, -np.inf).max(1, initial=-np.inf)[own.any(1)]
    reached, below = int((nearest >= threshold).sum()), int((cosines[others] < threshold).sum()) // 2
    pairs = int(others.sum()) // 2
    return (
        f"a cosine of {threshold:g} is reached with another clip of the same name by {reached} of {len(nearest)} "
        f"clips, and not by {below} of {pairs} pairs of two names in one data set"
    )


def find_crossings(matches: Iterable[Match], people: PeopleSplit) -> list[Match]:
    """Select the matches of two names that are in different splits: their person is on both sides."""
    return [
        match
        for match in matches
        if people.assign(match.first.actor, match.first.dataset)
        != people.assign(match.second.actor, match.second.dataset)
    ]
