"""Finding the matching moment: one of 32 moments of the same person in another emotion is what the query frame says.

The wrong ones are 31 other moments of that person in that emotion, at least 0.2 s from the match in its own clip, or
from clips with other words. A tie at the top counts as its chance, so that a constant representation finds 1 of 32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.representation.estimates import Values
from cdrl.evaluation.representation.moments import Ints, Moments, person_of
from cdrl.evaluation.representation.similarity import away, emotion_pairs, other_sentences, sort_values

CANDIDATES = 32
PER_PAIR = 12  # queries of each ordered pair of clips, evenly over the sentence
_TIE = 1e-6  # cosines that differ by less are the same


@dataclass(frozen=True)
class Queries:
    """`query` [n] rows; `candidates` [n, 32] rows, the match first. `tolerance` [n]: how near to the match the nearest
    wrong candidate of its clip is, seconds. `skipped`: queries that had fewer than 31 other moments."""

    query: Ints
    candidates: Ints
    tolerance: NDArray[np.float64]
    person: tuple[str, ...]
    group: tuple[str, ...]
    skipped: int

    def hits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """[n] 1 where the match is the nearest of unit vectors [N, D], 0 where it is not, a share where it ties; NaN
        where a vector is missing."""
        cosine = np.einsum("nd,nkd->nk", vectors[self.query], vectors[self.candidates])
        best = cosine.max(1, keepdims=True)
        top = cosine >= best - _TIE
        found: NDArray[np.float64] = np.where(top[:, 0], 1 / np.maximum(top.sum(1), 1), 0.0)
        found[np.isnan(cosine).any(1)] = np.nan
        return found

    def values(self, vectors: NDArray[np.float32]) -> Values:
        """Hits by person and ordered pair of clips."""
        return sort_values(self.hits(vectors), self.person, self.group)


def queries(moments: Moments, seed: int = 0) -> Queries:
    """The queries of a block: every ordered pair of clips of one person and sentence in two emotions."""
    random = np.random.default_rng(seed)
    query: list[int] = []
    candidates: list[Ints] = []
    tolerance: list[float] = []
    person: list[str] = []
    group: list[str] = []
    skipped = 0
    for one, two in emotion_pairs(moments):
        for first, second in ((one, two), (two, one)):
            found = moments.matches(first, second)
            found = found[np.unique(np.linspace(0, len(found) - 1, min(PER_PAIR, len(found))).astype(np.intp))]
            for row, match in found:
                wrong = _wrong(moments, int(match), second, random)
                if len(wrong) < CANDIDATES - 1:
                    skipped += 1
                    continue
                near = wrong[moments.clip[wrong] == second]
                gap = np.abs(moments.time[near] - moments.time[match])
                query.append(int(row))
                candidates.append(np.concatenate([[match], wrong]))
                tolerance.append(float(gap.min()) if len(gap) else np.inf)
                person.append(person_of(moments.clips[first]))
                group.append(f"{moments.clips[first].metadata.id} → {moments.clips[second].metadata.id}")
    rows = np.array(candidates, np.intp).reshape(-1, CANDIDATES)
    names = tuple(person), tuple(group)
    return Queries(np.array(query, np.intp), rows, np.array(tolerance), *names, skipped)


def _wrong(moments: Moments, match: int, clip: int, random: np.random.Generator) -> Ints:
    """31 moments other than the match, in the match's emotion, or fewer where there are not that many.

    Drawn from all suitable clips of the person; where the match's clip is the only one, evenly from it. A short clip's
    silent moments are called in only where nothing else is left.
    """
    wanted = CANDIDATES - 1
    sound = moments.clips[clip].speech is not None
    others = other_sentences(moments, clip, moments.clips[clip].metadata.emotion)
    others = [number for number in others if (moments.clips[number].speech is not None) == sound]
    elsewhere = moments.of_clips(others)
    whole = moments.rows(clip)
    for inside in (away(moments, match, moments.of_clips([clip])), away(moments, match, whole)):
        pool = np.concatenate([inside, elsewhere])
        if len(pool) >= wanted:
            if len(elsewhere):
                return random.choice(pool, wanted, replace=False)
            return pool[np.linspace(0, len(pool) - 1, wanted).round().astype(np.intp)]
    return whole[:0]
