"""Pairs of clips that a content model is trained and validated on: the same words of one person in two emotions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cdrl.datasets.pairs import align_frames, detect_speaking, group_by_content
from cdrl.datasets.prepared import PreparedClip
from cdrl.training.progress import track

FrameNumbers = NDArray[np.integer[Any]]
_MAX_REAL_FRAMES = 120  # of a real clip: a long one adds moments, not people
_MIN_DISTANCE = 3  # frames between two moments of a draw: adjacent frames are no fair negatives
_SAME_PLACE = 1.5  # phones of a sentence: moments of two draws that are no farther apart may show the same


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

    @property
    def sentence(self) -> tuple[str, str] | None:
        """The data set and the sentence's id in it; None where the words are unknown."""
        labels = self.first.metadata
        return (labels.dataset, labels.sentence_id) if labels.sentence_id else None


def find_pairs(
    clips: Sequence[PreparedClip], min_moments: int, console: Console, neutral: bool = False
) -> list[ClipPair]:
    """Find all pairs of takes of the same words by the same person in different emotions.

    Args:
        clips: Clips to pair.
        min_moments: Pairs with fewer moments are left out.
        console: Where progress is printed.
        neutral: Whether only neutral takes are paired with others, as in the paper; they are the first of each pair.
    """
    takes = [
        (first, second)
        for group in group_by_content(clips)
        for first, second in combinations(sorted(group, key=_is_emotional) if neutral else group, 2)
        if first.metadata.emotion != second.metadata.emotion and not (neutral and _is_emotional(first))
    ]
    pairs = []
    for first, second in track(takes, "pairing takes", console):
        frames = align_frames(first, second)
        frames = frames[detect_speaking(first)[frames[:, 0]] & detect_speaking(second)[frames[:, 1]]]
        if len(frames) >= min_moments * _MIN_DISTANCE:
            pairs.append(ClipPair(first, second, frames))
    return pairs


def _is_emotional(clip: PreparedClip) -> bool:
    return clip.metadata.emotion != "neutral"


def self_pairs(clips: Sequence[PreparedClip], min_moments: int, console: Console) -> list[ClipPair]:
    """Pair each real clip of training people with the augmented copy of itself; see `find_pairs`."""
    pairs = []
    for clip in track(clips, "looking for speech", console):
        if clip.metadata.synthetic or clip.metadata.split != "train":
            continue
        frames = np.flatnonzero(detect_speaking(clip))[:_MAX_REAL_FRAMES]
        if len(frames) >= min_moments * _MIN_DISTANCE:
            pairs.append(ClipPair(clip, clip, np.stack([frames, frames], 1), is_self=True))
    return pairs


def mark_same_content(pairs: Sequence[ClipPair], moments: Sequence[FrameNumbers]) -> NDArray[np.bool_]:
    """Mark which moments of a draw may show the same content as one of another pair.

    Two pairs say the same where their sentence is known and the same, or where they share a clip. How far apart their
    moments are is told by the exact places in the sentence, else by the frames of the clip that both have; where
    neither is known, all moments of the two are marked.

    Args:
        pairs: The drawn pairs [g], of which one may be drawn twice.
        moments: The moments [k, 2] of each.

    Returns:
        [g · k, g · k], symmetric; False within a drawn pair, whose moments are told from one another.
    """
    count = len(moments[0])
    same = np.zeros((len(pairs), count, len(pairs), count), bool)
    for one, other in combinations(range(len(pairs)), 2):
        block = _compare_content(pairs[one], moments[one], pairs[other], moments[other])
        same[one, :, other], same[other, :, one] = block, block.T
    return same.reshape(len(pairs) * count, -1)


def _compare_content(one: ClipPair, ones: FrameNumbers, other: ClipPair, others: FrameNumbers) -> NDArray[np.bool_]:
    """Whether each moment of a pair may show the same as each moment of another pair, [k, k]."""
    truths = one.first.ground_truth, other.first.ground_truth
    is_same_sentence = one.sentence is not None and one.sentence == other.sentence
    if is_same_sentence and truths[0] is not None and truths[1] is not None:
        apart = truths[0].position[ones[:, :1]] - truths[1].position[others[:, 0]]
        return np.asarray(~(np.abs(apart) > _SAME_PLACE))  # a place that is not a number is unknown
    near = [
        np.abs(ones[:, side, None] - others[:, place]) <= _MIN_DISTANCE
        for side, clip in enumerate(one.clips)
        for place, another in enumerate(other.clips)
        if clip is another
    ]
    unknown = np.full((len(ones), len(others)), is_same_sentence)
    return np.asarray(np.any(near, axis=0)) if near else unknown


def draw_moments(pair: ClipPair, count: int, random: np.random.Generator) -> FrameNumbers:
    """Draw moments [count, 2] in order, one from each of as many equal parts, rarely close together."""
    slot = len(pair.frames) / count
    within = random.random() * min(slot, _MIN_DISTANCE) + random.random(count) * max(slot - _MIN_DISTANCE, 0.0)
    positions = (np.arange(count) * slot + within).astype(int)
    drawn: FrameNumbers = pair.frames[np.minimum(positions, len(pair.frames) - 1)]
    return drawn
