"""How well a lip-sync judge tells sound in its place from sound that was shifted, on prepared clips of known people.

A clip's own sound is shifted by up to 15 moments either way. Sound in its place (shift 0) should be nearer to the lips
than sound that is three moments off or more: the share of such comparisons that come out right, over all clips, is the
area under the ROC curve (AUC). People weigh alike, and so do the clips of one. Shifts of one or two moments are
neither: few could tell them.

Published clips don't all keep sound and pictures together. So a second comparison lets every sound find its best shift
first: a clip's own sound against sounds of other people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.measures import MINIMUM_PEOPLE
from cdrl.evaluation.representation.estimates import (
    DRAWS,
    FEW,
    ONE_PERSON,
    Bar,
    Estimate,
    Row,
    mean_estimate,
    missing,
)
from cdrl.evaluation.sync import RATE, REACH, Array, scores_of, shift_distances
from cdrl.evaluation.sync_expert import SyncNetwork, embedded_lips, embedded_speech
from cdrl.evaluation.sync_moments import Moments

REACH_SHIFTED = 15  # moments either way
APART = 3  # moments from which on sound is out of place
WINDOW = RATE  # moments: 1 s
BAR = Bar("at least", 0.8)
_OTHERS = 8  # sounds of other people that a clip is dubbed with


@dataclass
class Compared:
    """Distances of one clip with its sound `near` (in its place) and `far` (three moments off or more)."""

    near: list[float] = field(default_factory=list)
    far: list[float] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        return bool(self.near and self.far)


def compared(video: Array, sound: Array) -> tuple[Compared, Compared]:
    """Embeddings of one clip → its distances over the whole clip, and over windows of 1 s one after the other."""
    whole, windows = Compared(), Compared()
    shifts = np.arange(-REACH_SHIFTED, REACH_SHIFTED + 1)
    _sort(whole, shifts, shift_distances(video, sound, REACH_SHIFTED))
    count = min(len(video), len(sound))
    for first in range(0, count - WINDOW + 1, WINDOW):
        seen = video[first : first + WINDOW]
        inside = [shift for shift in shifts if 0 <= first + shift <= count - WINDOW]
        found = [_distance(seen, sound[first + shift :][:WINDOW]) for shift in inside]
        _sort(windows, np.array(inside), np.array(found))
    return whole, windows


def _distance(seen: Array, heard: Array) -> float:
    # Not a number where the face is lost within the window.
    return float(np.linalg.norm(seen - heard, axis=1).mean())


def _sort(into: Compared, shifts: NDArray[np.integer[Any]], distances: Array) -> None:
    known = np.isfinite(distances)
    if known[shifts == 0].all():
        into.near += distances[shifts == 0].tolist()
        into.far += distances[known & (np.abs(shifts) >= APART)].tolist()


def auc_estimate(clips: Mapping[str, Sequence[Compared]], seed: int = 0) -> Estimate:
    """AUC over people → clips, with a 95 % bootstrap interval: of people where there are five, else of their clips;
    no interval of one person.

    Every clip's sound in its place is compared with every clip's shifted sound, so a judge must be right across clips.
    """
    kept = {person: [clip for clip in theirs if clip.usable] for person, theirs in sorted(clips.items())}
    kept = {person: theirs for person, theirs in kept.items() if theirs}
    if not kept:
        return missing("no clip with sound is long enough")
    flat = [clip for theirs in kept.values() for clip in theirs]
    right = np.array([[_right(one.near, other.far) for other in flat] for one in flat])
    owner = np.concatenate([[number] * len(theirs) for number, theirs in enumerate(kept.values())])
    sizes = np.bincount(owner)
    weights = 1 / (len(kept) * sizes[owner])
    own = {person: float(right[np.ix_(owner == k, owner == k)].mean()) for k, person in enumerate(kept)}
    value = float(weights @ right @ weights)
    if len(kept) < MINIMUM_PEOPLE:
        return Estimate(value, count=len(flat), people=own, reason=ONE_PERSON)
    random = np.random.default_rng(seed)
    if len(kept) >= FEW:
        unit, drawn = "people", random.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), DRAWS)[:, owner]
    else:
        unit = "clips"
        drawn = np.concatenate([random.multinomial(size, np.full(size, 1 / size), DRAWS) for size in sizes], 1)
    varied = drawn * weights
    values = np.einsum("di,ij,dj->d", varied, right, varied)
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(value, float(low), float(high), unit, len(flat), own)


def _right(near: Sequence[float], far: Sequence[float]) -> float:
    """Share of pairs in which the first is nearer; a tie is half."""
    order = np.sort(far)
    under = np.searchsorted(order, near, "left") + np.searchsorted(order, near, "right")
    return float(1 - under.mean() / 2 / len(order))


def judge_of_sync(network: SyncNetwork, clips: Sequence[Moments]) -> list[Row]:
    """The report's rows on these clips, real and made people apart."""
    rows: list[Row] = []
    for people, synthetic in (("real", False), ("made", True)):
        chosen = [clip for clip in clips if clip.synthetic == synthetic]
        rows += _rows(network, chosen, people)
    return rows


def _rows(network: SyncNetwork, clips: Sequence[Moments], people: str) -> list[Row]:
    pairs = [(embedded_lips(network, clip.curves, clip.seen), embedded_speech(network, clip.speech)) for clip in clips]
    whole: dict[str, list[Compared]] = {}
    windows: dict[str, list[Compared]] = {}
    single: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in ("found", "lse_d", "lse_c")}
    for clip, pair in zip(clips, pairs, strict=True):
        for kind, of_clip in zip((whole, windows), compared(*pair), strict=True):
            kind.setdefault(clip.person, []).append(of_clip)
        scores = scores_of(shift_distances(*pair))
        if not scores.reason:
            numbers = {**scores.numbers(), "found": float(abs(scores.sync_shift) <= 1)}
            for name, values in single.items():
                values.setdefault(clip.person, {})[clip.clip] = [numbers[name]]
    means = {name: mean_estimate(values) for name, values in single.items()}
    shifts = f"of ±{REACH}"
    return [
        Row("sync", "AUC", people, "whole clips", auc_estimate(whole), BAR, 0.5),
        Row("sync", "AUC", people, "windows of 1 s", auc_estimate(windows), None, 0.5),
        Row("sync", "AUC", people, "others' sound, best shift", auc_estimate(_dubbed(clips, pairs)), None, 0.5),
        Row("sync", "best shift within one moment", people, shifts, means["found"], None, 3 / (2 * REACH + 1)),
        Row("sync", "LSE-D", people, shifts, means["lse_d"]),
        Row("sync", "LSE-C", people, shifts, means["lse_c"]),
    ]


def _dubbed(clips: Sequence[Moments], pairs: Sequence[tuple[Array, Array]]) -> dict[str, list[Compared]]:
    """LSE-D of every clip with its own sound, and with sounds of other people."""
    found: dict[str, list[Compared]] = {}
    for place, (clip, (video, sound)) in enumerate(zip(clips, pairs, strict=True)):
        others = [number for number, other in enumerate(clips) if other.person != clip.person]
        draw = np.random.default_rng(place)
        drawn = draw.choice(others, min(_OTHERS, len(others)), replace=False) if others else ()
        foreign = [scores_of(shift_distances(video, pairs[number][1])).lse_d for number in drawn]
        own = scores_of(shift_distances(video, sound)).lse_d
        near = [own] if np.isfinite(own) else []
        found.setdefault(clip.person, []).append(Compared(near, [d for d in foreign if np.isfinite(d)]))
    return found
