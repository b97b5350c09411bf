"""Content similarity, and finding the matching moment: what a content representation must hold, frame by frame.

The cosine is high for the same moment in two emotions and low for another moment in the same emotion. Cosines are
unclamped (the paper's released loss clamps them, which hides what lies below zero). Paper: section on CCRL; its health
check on people not trained on is ≥ .95 and ≤ .011.

Retrieval: one of 32 frames of the same person in another emotion shows what the query says. The wrong ones are 31 other
frames of that person in that emotion, at least 0.2 s from the match in its own clip, or from clips with other words. A
tie at the top counts as its chance, so that a constant representation finds 1 of 32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.datasets.prepared import ClipMetadata
from cdrl.evaluation.representation.frame_index import MIN_GAP, FrameIndex, Ints, name_person, pick_evenly

CANDIDATES = 32
_PER_GROUP = 40  # pairs of frames of each pair of clips, evenly
_PER_PAIR = 12  # queries of each ordered pair of clips, evenly over the sentence
_TIE = 1e-6  # cosines that differ by less are the same


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
    own, person = index.clips[clip].metadata, name_person(index.clips[clip])
    return [
        number
        for number, other in enumerate(index.clips)
        if (name_person(other), other.metadata.emotion) == (person, emotion) and _differ(own, other.metadata)
    ]


def _differ(one: ClipMetadata, two: ClipMetadata) -> bool:
    """Whether two sentences are known to differ, and share no two words in a row: they hold the same moments there."""
    words, others = (set(pairwise(re.findall(r"[a-z']+", clip.sentence.lower()))) for clip in (one, two))
    known = bool(one.sentence_id and two.sentence_id)
    return known and one.sentence_id != two.sentence_id and not words & others


def select_other_visemes(index: FrameIndex, pairs: pd.DataFrame) -> pd.DataFrame:
    """Select the pairs in which the mouth really makes another shape, by the truth of synthetic clips."""
    one, two = (index.visemes(pairs[side].to_numpy()) for side in ("first", "second"))
    return pairs[(one != two) & (one >= 0) & (two >= 0)]


@dataclass(frozen=True)
class Queries:
    """The queries of retrieval in a block."""

    table: pd.DataFrame
    """A query a line: its `row`, `person`, `clip` (which names both clips), and `tolerance`: how near to the match the
    nearest wrong candidate of its clip is, in seconds."""
    candidates: Ints
    """Rows [n, 32], the match first."""
    skipped: int
    """Queries that had fewer than 31 other frames."""

    def hit_values(self, vectors: NDArray[np.float32]) -> pd.DataFrame:
        """Add `value`: 1 where the match is the nearest of unit vectors [N, D], 0 where not, a share where it ties.

        It is NaN where a vector is missing.
        """
        cosine = np.einsum("nd,nkd->nk", vectors[self.table["row"]], vectors[self.candidates])
        top = cosine >= cosine.max(1, keepdims=True) - _TIE
        hits = np.where(top[:, 0], 1 / np.maximum(top.sum(1), 1), 0.0)
        return self.table.assign(value=np.where(np.isnan(cosine).any(1), np.nan, hits))


def draw_queries(index: FrameIndex, seed: int = 0) -> Queries:
    """Draw the queries of a block: of every ordered pair of clips of one person and sentence in two emotions."""
    random = np.random.default_rng(seed)
    lines: list[tuple[int, str, str, float]] = []
    candidates: list[Ints] = []
    skipped = 0
    for pair in iter_emotion_pairs(index):
        for first, second in (pair, pair[::-1]):
            names = " → ".join(index.clips[number].metadata.id for number in (first, second))
            for row, match in index.align(first, second, _PER_PAIR):
                wrong = _draw_wrong(index, int(match), second, random)
                if len(wrong) < CANDIDATES - 1:
                    skipped += 1
                    continue
                near = wrong[index.clip[wrong] == second]
                gap = np.abs(index.time[near] - index.time[match]).min(initial=np.inf)
                lines.append((int(row), name_person(index.clips[first]), names, float(gap)))
                candidates.append(np.concatenate([[match], wrong]))
    table = pd.DataFrame(lines, columns=["row", "person", "clip", "tolerance"])
    table = table.astype({"row": np.intp, "person": str, "tolerance": float})
    return Queries(table, np.array(candidates, np.intp).reshape(-1, CANDIDATES), skipped)


def _draw_wrong(index: FrameIndex, match: int, clip: int, random: np.random.Generator) -> Ints:
    """31 frames other than the match, in the match's emotion, or fewer where there are not that many.

    Drawn from all suitable clips of the person; where the match's clip is the only one, evenly from it. A short clip's
    silent frames are called in only where nothing else is left.
    """
    wanted = CANDIDATES - 1
    sound = index.clips[clip].speech is not None
    others = find_other_sentences(index, clip, index.clips[clip].metadata.emotion)
    elsewhere = index.rows_of([number for number in others if (index.clips[number].speech is not None) == sound])
    for speaking in (True, False):
        pool = np.concatenate([drop_near(index, match, index.rows_of([clip], speaking)), elsewhere])
        if len(pool) >= wanted:
            if len(elsewhere):
                return random.choice(pool, wanted, replace=False)
            return pool[np.linspace(0, len(pool) - 1, wanted).round().astype(np.intp)]
    return pool[:0]
