"""Frames of both sides as a detector learns from them: features, who is seen, and which belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.evaluation.realism.detector import train_detector
from cdrl.evaluation.realism.features import describe_pictures
from cdrl.evaluation.realism.footage import Footage

Array = NDArray[np.float64]
Ints = NDArray[np.intp]
Floats = NDArray[np.float32]
Sides = tuple[Floats, Floats]
"""Features [N,D] of frames and of their mirror images."""

CONTROL = "real"
"""Stands for the emotion of frames that the control calls edited."""
_DRAWS = 5  # of the control: of a few clips a single one is off by chance


@dataclass(frozen=True)
class Examples:
    """Frames of one region on both sides, and what a detector knows of them."""

    features: Sides
    """Of M frames."""
    frames: pd.DataFrame
    """[M] rows: `person`; `clip`, a number; `emotion`, which was asked for, empty on the real side."""
    pairs: Ints
    """[N,2] rows of a real frame and of the edited one that is compared with it."""

    @property
    def people(self) -> NDArray[np.str_]:
        """[N] who is seen in a pair."""
        return np.asarray(self.frames["person"].to_numpy(str)[self.pairs[:, 0]])


def describe_footage(
    footage: Sequence[Footage], region: str, methods: Sequence[str], seed: int
) -> Iterator[tuple[str | None, Examples]]:
    """Describe the frames of a region: of each method and, last, of each draw of the control.

    Args:
        footage: The clips.
        region: A key of `REGIONS`.
        methods: Names of methods.
        seed: Of the draws which of two real frames the control calls edited.

    Yields:
        The method, None for the control, and its frames. The real ones are described once.
    """
    real = [describe_pictures(clip.real.pictures[region]) for clip in footage]
    for method in methods:
        yield method, pair_edits(footage, real, region, method)
    random = np.random.default_rng(seed)
    for _ in range(_DRAWS):
        yield None, pair_real_frames(footage, real, random)


class _Collector:
    """Puts frames and pairs in rows."""

    def __init__(self) -> None:
        self._features: list[Sides] = []
        self._frames: list[tuple[str, int, str]] = []
        self._pairs: list[Ints] = []

    def add_frames(self, features: Sides, person: str, clip: int, emotion: str) -> int:
        """Add a file's frames; returns the row of the first."""
        first = len(self._frames)
        self._features.append(features)
        self._frames += [(person, clip, emotion)] * len(features[0])
        return first

    def add_pairs(self, real: Ints, edited: Ints) -> None:
        """Add pairs of rows [n] and [n]."""
        self._pairs.append(np.stack([real, edited], axis=1))

    def finish(self) -> Examples:
        """Return what was added."""
        plain, mirrored = (np.concatenate(side) for side in zip(*self._features, strict=True))
        frames = pd.DataFrame(self._frames, columns=["person", "clip", "emotion"])
        pairs = np.concatenate(self._pairs) if self._pairs else np.empty((0, 2), np.intp)
        return Examples((plain, mirrored), frames, pairs)


def pair_edits(footage: Sequence[Footage], real: Sequence[Sides], region: str, method: str) -> Examples:
    """Pair every frame of a method's edits with the same frame of the real side.

    Args:
        footage: The clips.
        real: Features of the real side of each.
        region: A key of `REGIONS`.
        method: The method's name.
    """
    collector = _Collector()
    for number, (clip, features) in enumerate(zip(footage, real, strict=True)):
        first = collector.add_frames(features, clip.person, number, "")
        for edit in clip.edits:
            if edit.method != method or edit.crops is None:
                continue
            begin = collector.add_frames(
                describe_pictures(edit.crops.pictures[region]), clip.person, number, edit.emotion
            )
            _, here, there = np.intersect1d(
                np.intersect1d(clip.real.frames, clip.moments[:, 0]), edit.crops.frames, return_indices=True
            )
            rows = np.flatnonzero(np.isin(clip.real.frames, clip.moments[:, 0]))[here]
            collector.add_pairs(first + rows, begin + there)
    return collector.finish()


def pair_real_frames(footage: Sequence[Footage], real: Sequence[Sides], random: np.random.Generator) -> Examples:
    """Pair real frames with those a moment later, and call one of them edited, drawn for each clip.

    What a detector makes of these that it was not shown is the control: with nothing edited it must be at a loss.

    Args:
        footage: The clips.
        real: Features of the real side of each.
        random: Draws.
    """
    collector = _Collector()
    for number, (clip, features) in enumerate(zip(footage, real, strict=True)):
        moments = clip.moments[:, ::-1] if random.integers(2) else clip.moments
        rows = [np.searchsorted(clip.real.frames, side) for side in moments.T]
        begins = [
            collector.add_frames((features[0][side], features[1][side]), clip.person, number, emotion)
            for side, emotion in zip(rows, ("", CONTROL), strict=True)
        ]
        count = np.arange(len(moments))
        collector.add_pairs(begins[0] + count, begins[1] + count)
    return collector.finish()


@dataclass(frozen=True)
class Judgment:
    """What detectors say of frames."""

    frames: pd.DataFrame
    """[M] rows as of `Examples`, and the `score`, a logit: higher of what looks edited; NaN where nobody was asked."""
    pairs: Ints
    """[N,2] rows, as of `Examples`."""


def score_left_out(examples: Examples, people: Sequence[str]) -> Judgment:
    """Score each person's frames by a detector that was trained on everybody else's pairs.

    Args:
        examples: Frames and pairs.
        people: Who is left out, one after the other.

    Returns:
        Scores of their frames, none of anybody else's.
    """
    scores = np.full(len(examples.frames), np.nan)
    seen, persons = examples.people, examples.frames["person"].to_numpy(str)
    for person in people:
        others, own = seen != person, persons == person
        if own.any() and others.any():
            detector = train_detector(*examples.features, examples.pairs[others], seen[others])
            scores[own] = detector(*(side[own] for side in examples.features))
    return Judgment(examples.frames.assign(score=scores), examples.pairs)


def average_scores(judgments: Sequence[Judgment]) -> Judgment:
    """Average what several detectors say of the same frames."""
    score = np.mean([judgment.frames["score"] for judgment in judgments], axis=0)
    return Judgment(judgments[0].frames.assign(score=score), judgments[0].pairs)
