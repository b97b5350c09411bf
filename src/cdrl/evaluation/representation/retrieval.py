"""Finding the matching moment: one of 32 frames of the same person in another emotion shows what the query says.

The wrong ones are 31 other frames of that person in that emotion, at least 0.2 s from the match in its own clip, or
from clips with other words. A tie at the top counts as its chance, so that a constant representation finds 1 of 32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.evaluation.representation.frame_index import FrameIndex, Ints
from cdrl.evaluation.representation.similarity import drop_near, find_other_sentences, iter_emotion_pairs

CANDIDATES = 32
_PER_PAIR = 12  # queries of each ordered pair of clips, evenly over the sentence
_TIE = 1e-6  # cosines that differ by less are the same


@dataclass(frozen=True)
class Queries:
    """The queries of a block."""

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
    rows: list[int] = []
    candidates: list[Ints] = []
    more: list[tuple[str, float]] = []
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
                rows.append(int(row))
                candidates.append(np.concatenate([[match], wrong]))
                more.append((names, float(gap)))
    queries = np.array(rows, np.intp)
    table = index.table(queries, row=queries, tolerance=[gap for _, gap in more]).assign(
        clip=[name for name, _ in more]
    )
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
