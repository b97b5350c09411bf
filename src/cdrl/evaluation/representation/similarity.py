"""Content similarity: high for the same moment in two emotions, low for another moment in the same emotion.

Cosines are unclamped (the paper's released loss clamps them, which hides what lies below zero). Paper: section on CCRL;
its health check on people not trained on is ≥ .95 and ≤ .011.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.representation.estimates import Values
from cdrl.evaluation.representation.moments import APART, Ints, Moments, person_of

PER_GROUP = 40  # pairs of moments taken of each pair of clips, evenly


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows: `first` [n], `second` [n], and of which person and clip (or pair of clips) each one is."""

    first: Ints
    second: Ints
    person: tuple[str, ...]
    group: tuple[str, ...]

    def values(self, vectors: NDArray[np.float32]) -> Values:
        """Cosines of unit vectors [N, D], sorted by person and clip; pairs that touch a row of NaN are left out."""
        cosine = np.einsum("nd,nd->n", vectors[self.first], vectors[self.second])
        return sort_values(cosine, self.person, self.group)

    def where(self, kept: NDArray[np.bool_]) -> Pairs:
        """Only the pairs for which `kept` [n] is true."""
        index = np.flatnonzero(kept)
        names = {"person": tuple(self.person[i] for i in index), "group": tuple(self.group[i] for i in index)}
        return replace(self, first=self.first[index], second=self.second[index], **names)


def sort_values(numbers: NDArray[np.floating], person: tuple[str, ...], group: tuple[str, ...]) -> Values:
    """Person → group → numbers; NaN is left out."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number, who, where in zip(numbers, person, group, strict=True):
        if np.isfinite(number):
            found[who][where].append(float(number))
    return found


def emotion_pairs(moments: Moments) -> Iterator[tuple[int, int]]:
    """Unordered pairs of clips of one person and sentence in two different emotions."""
    for group in moments.groups():
        for place, first in enumerate(group):
            for second in group[place + 1 :]:
                if moments.clips[first].metadata.emotion != moments.clips[second].metadata.emotion:
                    yield first, second


def same_content(moments: Moments) -> Pairs:
    """The same moment of what is said, in two emotions of the same person."""
    rows: list[Ints] = []
    person: list[str] = []
    group: list[str] = []
    for first, second in emotion_pairs(moments):
        found = moments.matches(first, second)
        found = found[np.unique(np.linspace(0, len(found) - 1, min(PER_GROUP, len(found))).astype(np.intp))]
        rows.append(found)
        facts = moments.clips[first].metadata, moments.clips[second].metadata
        person += [person_of(moments.clips[first])] * len(found)
        group += [f"{facts[0].id} & {facts[1].id}"] * len(found)
    pairs = np.concatenate([np.zeros((0, 2), np.intp), *rows])
    return Pairs(pairs[:, 0], pairs[:, 1], tuple(person), tuple(group))


def other_content(moments: Moments, seed: int = 0) -> Pairs:
    """Two different moments of the same person in the same emotion, both speaking.

    The second one is at least 0.2 s away in the same clip, or in a clip with other words. Another take of the same
    words is left out: it holds the first moment again.
    """
    random = np.random.default_rng(seed)
    first: list[Ints] = []
    second: list[Ints] = []
    person: list[str] = []
    group: list[str] = []
    for number, clip in enumerate(moments.clips):
        rows = moments.of_clips([number])
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(PER_GROUP, len(rows))).astype(np.intp))]
        others = moments.of_clips(other_sentences(moments, number, clip.metadata.emotion))
        for row in rows:
            pool = np.concatenate([away(moments, row, moments.of_clips([number])), others])
            if len(pool):
                first.append(np.array([row]))
                second.append(random.choice(pool, 1))
                person.append(person_of(clip))
                group.append(clip.metadata.id)
    none = np.zeros(0, np.intp)
    return Pairs(np.concatenate([none, *first]), np.concatenate([none, *second]), tuple(person), tuple(group))


def away(moments: Moments, row: int, rows: Ints) -> Ints:
    """Those of `rows` (of the same clip as `row`) that are at least 0.2 s from it."""
    found: Ints = rows[np.abs(moments.time[rows] - moments.time[row]) >= APART - 1e-6]
    return found


def other_sentences(moments: Moments, clip: int, emotion: str) -> list[int]:
    """Clips of the same person in `emotion` that certainly have other words than clip number `clip`."""
    own = moments.clips[clip]
    return [
        number
        for number, other in enumerate(moments.clips)
        if person_of(other) == person_of(own)
        and other.metadata.emotion == emotion
        and own.metadata.sentence_id
        and other.metadata.sentence_id
        and other.metadata.sentence_id != own.metadata.sentence_id
        and not _neighbours(own.metadata.sentence) & _neighbours(other.metadata.sentence)
    ]


def _neighbours(sentence: str) -> set[tuple[str, str]]:
    """Pairs of words that follow one another: two sentences that share one hold the same moments there."""
    words = re.findall(r"[a-z']+", sentence.lower())
    return set(pairwise(words))


def other_viseme(moments: Moments, pairs: Pairs) -> Pairs:
    """Those of the pairs in which the mouth really makes another shape, by the truth of made clips."""

    def viseme(rows: Ints) -> Ints:
        found = []
        for row in rows:
            truth = moments.clips[moments.clip[row]].ground_truth
            found.append(-1 if truth is None else int(truth.visemes[moments.frame[row]]))
        return np.array(found, np.intp)

    one, two = viseme(pairs.first), viseme(pairs.second)
    return pairs.where((one != two) & (one >= 0) & (two >= 0))
