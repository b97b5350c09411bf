"""Content similarity: high for the same moment in two emotions, low for another moment in the same emotion.

Cosines are unclamped (the paper's released loss clamps them, which hides what lies below zero). Paper: section on CCRL;
its health check on people not trained on is ≥ .95 and ≤ .011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.evaluation.representation.frame_index import MIN_GAP, FrameIndex, Ints, name_person, pick_evenly

_PER_GROUP = 40  # pairs of frames of each pair of clips, evenly


def cosine_values(pairs: pd.DataFrame, vectors: NDArray[np.float32]) -> pd.DataFrame:
    """Compute the cosine of each pair's unit vectors [N, D] as the column `value`; NaN where a vector is missing."""
    return pairs.assign(value=np.einsum("nd,nd->n", vectors[pairs["first"]], vectors[pairs["second"]]))


def iter_emotion_pairs(index: FrameIndex) -> Iterator[tuple[int, int]]:
    """Yield unordered pairs of clips of one person and sentence in two different emotions."""
    for group in index.content_groups():
        for first, second in combinations(group, 2):
            if index.clips[first].metadata.emotion != index.clips[second].metadata.emotion:
                yield first, second


def find_same_content(index: FrameIndex) -> pd.DataFrame:
    """Find frames of the same moment of what is said in two emotions of one person.

    Returns:
        A pair a line: rows `first` and `second`, `person`, and `clip`, which names both clips.
    """
    tables = [_pair_table(index, np.zeros((0, 2), np.intp))]
    for first, second in iter_emotion_pairs(index):
        names = " & ".join(index.clips[number].metadata.id for number in (first, second))
        tables.append(_pair_table(index, index.align(first, second, _PER_GROUP)).assign(clip=names))
    return pd.concat(tables, ignore_index=True)


def find_other_content(index: FrameIndex, seed: int = 0) -> pd.DataFrame:
    """Find pairs of different moments of one person in one emotion, both speaking.

    The second one is at least 0.2 s away in the same clip, or in a clip with other words. Another take of the same
    words is left out: it holds the first moment again.

    Returns:
        A pair a line: rows `first` and `second`, `person` and `clip` of the first.
    """
    random = np.random.default_rng(seed)
    pairs: list[tuple[int, int]] = []
    for number, clip in enumerate(index.clips):
        others = index.rows_of(find_other_sentences(index, number, clip.metadata.emotion))
        for row in pick_evenly(index.rows_of([number]), _PER_GROUP):
            pool = np.concatenate([drop_near(index, row, index.rows_of([number])), others])
            if len(pool):
                pairs.append((int(row), int(random.choice(pool, 1)[0])))
    return _pair_table(index, np.array(pairs, np.intp).reshape(-1, 2))


def _pair_table(index: FrameIndex, pairs: Ints) -> pd.DataFrame:
    return index.table(pairs[:, 0], first=pairs[:, 0], second=pairs[:, 1])


def drop_near(index: FrameIndex, row: int, rows: Ints) -> Ints:
    """Drop those of `rows` (of the same clip as `row`) that are less than 0.2 s from it."""
    far: Ints = rows[np.abs(index.time[rows] - index.time[row]) >= MIN_GAP - 1e-6]
    return far


def find_other_sentences(index: FrameIndex, clip: int, emotion: str) -> list[int]:
    """Find the clips of the same person in `emotion` that certainly have other words than clip number `clip`."""
    own = index.clips[clip]
    return [
        number
        for number, other in enumerate(index.clips)
        if name_person(other) == name_person(own)
        and other.metadata.emotion == emotion
        and own.metadata.sentence_id
        and other.metadata.sentence_id
        and other.metadata.sentence_id != own.metadata.sentence_id
        and not _word_pairs(own.metadata.sentence) & _word_pairs(other.metadata.sentence)
    ]


def _word_pairs(sentence: str) -> set[tuple[str, str]]:
    """Pairs of words that follow one another: two sentences that share one hold the same moments there."""
    return set(pairwise(re.findall(r"[a-z']+", sentence.lower())))


def select_other_visemes(index: FrameIndex, pairs: pd.DataFrame) -> pd.DataFrame:
    """Select the pairs in which the mouth really makes another shape, by the truth of synthetic clips."""
    one, two = (read_visemes(index, pairs[side].to_numpy()) for side in ("first", "second"))
    return pairs[(one != two) & (one >= 0) & (two >= 0)]


def read_visemes(index: FrameIndex, rows: Ints) -> Ints:
    """Read the viseme [n] of each row from the truth of synthetic clips; −1 where none is known."""
    truths = [index.clips[index.clip[row]].ground_truth for row in rows]
    frames = index.frame[rows]
    return np.array([-1 if t is None else int(t.visemes[f]) for t, f in zip(truths, frames, strict=True)], np.intp)
