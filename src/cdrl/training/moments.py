"""Which moments a content model is trained and validated on: the same words of one person in two emotions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.pairs import aligned_pairs, content_groups, speaking
from cdrl.datasets.prepared import PreparedClip

Numbers = NDArray[np.integer[Any]]
_ENOUGH = 120  # frames of a real clip: a long one adds moments, not people
_APART = 3  # frames between two moments of a draw: neighbours are no fair negatives


@dataclass(frozen=True)
class Twins:
    """Two clips with the same content. `frames` [n, 2]: the same moments in both, while somebody speaks. A real clip
    of which no second take exists is its `own` twin, beside varied pictures of itself."""

    first: PreparedClip
    second: PreparedClip
    frames: Numbers
    own: bool = False

    @property
    def clips(self) -> tuple[PreparedClip, PreparedClip]:
        """Both."""
        return self.first, self.second

    @property
    def person(self) -> str:
        return f"{self.first.facts.dataset}/{self.first.facts.actor}"


def twins_of(clips: Sequence[PreparedClip], fewest: int) -> list[Twins]:
    """All pairs of takes of the same words by the same person in different emotions, with `fewest` moments or more."""
    found = []
    for group in content_groups(clips):
        for first, second in combinations(group, 2):
            if first.facts.emotion == second.facts.emotion:
                continue
            frames = aligned_pairs(first, second)
            frames = frames[speaking(first)[frames[:, 0]] & speaking(second)[frames[:, 1]]]
            if len(frames) >= fewest * _APART:
                found.append(Twins(first, second, frames))
    return found


def twins_of_themselves(clips: Sequence[PreparedClip], fewest: int) -> list[Twins]:
    """Real clips of people trained on, each with the varied copy of itself."""
    found = []
    for clip in clips:
        if clip.facts.synthetic or clip.facts.part != "train":
            continue
        frames = np.flatnonzero(speaking(clip))[:_ENOUGH]
        if len(frames) >= fewest * _APART:
            found.append(Twins(clip, clip, np.stack([frames, frames], 1), own=True))
    return found


def draw_moments(twins: Twins, count: int, draw: np.random.Generator) -> Numbers:
    """[count, 2] moments in order, one from each of as many equal parts, at random but rarely close together."""
    slot = len(twins.frames) / count
    within = draw.random() * min(slot, _APART) + draw.random(count) * max(slot - _APART, 0.0)
    places = (np.arange(count) * slot + within).astype(int)
    drawn: Numbers = twins.frames[np.minimum(places, len(twins.frames) - 1)]
    return drawn
