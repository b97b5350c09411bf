"""Pairs of clips that a content model is trained and validated on: the same words of one person in two emotions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.pairs import align_frames, detect_speaking, group_by_content
from cdrl.datasets.prepared import PreparedClip

FrameNumbers = NDArray[np.integer[Any]]
_MAX_REAL_FRAMES = 120  # of a real clip: a long one adds moments, not people
_MIN_DISTANCE = 3  # frames between two moments of a draw: adjacent frames are no fair negatives


@dataclass(frozen=True)
class ClipPair:
    """Two clips with the same content."""

    first: PreparedClip
    second: PreparedClip
    frames: FrameNumbers
    """Frames [n, 2] of the same moments in both, while somebody speaks."""
    is_self: bool = False
    """Whether a real clip without a second take is paired with augmented pictures of itself."""

    @property
    def clips(self) -> tuple[PreparedClip, PreparedClip]:
        """Both clips."""
        return self.first, self.second

    @property
    def person(self) -> str:
        """The person as DATASET/ACTOR."""
        return f"{self.first.metadata.dataset}/{self.first.metadata.actor}"


def find_pairs(clips: Sequence[PreparedClip], min_moments: int) -> list[ClipPair]:
    """Find all pairs of takes of the same words by the same person in different emotions.

    Args:
        clips: Clips to pair.
        min_moments: Pairs with fewer moments are left out.
    """
    pairs = []
    for group in group_by_content(clips):
        for first, second in combinations(group, 2):
            if first.metadata.emotion == second.metadata.emotion:
                continue
            frames = align_frames(first, second)
            frames = frames[detect_speaking(first)[frames[:, 0]] & detect_speaking(second)[frames[:, 1]]]
            if len(frames) >= min_moments * _MIN_DISTANCE:
                pairs.append(ClipPair(first, second, frames))
    return pairs


def self_pairs(clips: Sequence[PreparedClip], min_moments: int) -> list[ClipPair]:
    """Pair each real clip of training people with the augmented copy of itself."""
    pairs = []
    for clip in clips:
        if clip.metadata.synthetic or clip.metadata.split != "train":
            continue
        frames = np.flatnonzero(detect_speaking(clip))[:_MAX_REAL_FRAMES]
        if len(frames) >= min_moments * _MIN_DISTANCE:
            pairs.append(ClipPair(clip, clip, np.stack([frames, frames], 1), is_self=True))
    return pairs


def draw_moments(pair: ClipPair, count: int, random: np.random.Generator) -> FrameNumbers:
    """Draw moments [count, 2] in order, one from each of as many equal parts, rarely close together."""
    slot = len(pair.frames) / count
    within = random.random() * min(slot, _MIN_DISTANCE) + random.random(count) * max(slot - _MIN_DISTANCE, 0.0)
    positions = (np.arange(count) * slot + within).astype(int)
    drawn: FrameNumbers = pair.frames[np.minimum(positions, len(pair.frames) - 1)]
    return drawn
