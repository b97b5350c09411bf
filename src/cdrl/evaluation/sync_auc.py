"""How well a lip-sync network tells sound in its place from shifted sound, on prepared clips of known people.

A clip's own sound is shifted by up to 15 moments either way. Sound in its place (shift 0) should be nearer to the lips
than sound that is three moments off or more: the share of such comparisons that come out right, over all clips, is the
area under the ROC curve (AUC). People weigh alike, and so do the clips of one. Shifts of one or two moments are left
out: few could tell them.

Published clips don't all keep sound and pictures together. So a second comparison lets every sound find its best shift
first: a clip's own sound against sounds of other people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.evaluation.estimates import (
    MIN_UNITS,
    Estimate,
    Measurement,
    Threshold,
    mean_estimate,
    missing,
    with_interval,
)
from cdrl.evaluation.lip_clips import LipClip
from cdrl.evaluation.sync_metrics import (
    EMBEDDING_RATE,
    MAX_SHIFT,
    Array,
    SyncScores,
    measure_shift_distances,
    score_distances,
)
from cdrl.representations.lip_sync import LipSyncNetwork, embed_lips, embed_speech

WIDEST_SHIFT = 15  # moments either way
OUT_OF_SYNC = 3  # moments from which on sound is out of place
WINDOW = EMBEDDING_RATE  # moments: 1 s
THRESHOLD = Threshold("at least", 0.8)
WHOLE, WINDOWS, FOREIGN = "whole clips", "windows of 1 s", "others' sound, best shift"
PEOPLE = {"real": False, "synthetic": True}
"""Who is measured apart → whether they are synthetic."""
_FOREIGN_SOUNDS = 8  # sounds of other people that a clip is dubbed with


@dataclass
class DistancePairs:
    """Distances of one clip to sound in its place, and to other sound."""

    in_place: list[float] = field(default_factory=list)
    """Distances to the clip's own sound."""
    other: list[float] = field(default_factory=list)
    """Distances to sound that is three moments off or more, or of other people."""

    def add_shifts(self, shifts: NDArray[np.integer[Any]], distances: Array) -> None:
        """Add the distances at some shifts, where the distance in place is known."""
        known = np.isfinite(distances)
        if known[shifts == 0].all():
            self.in_place += distances[shifts == 0].tolist()
            self.other += distances[known & (np.abs(shifts) >= OUT_OF_SYNC)].tolist()


PersonPairs = dict[str, list[DistancePairs]]
"""Person → clips."""
Embeddings = tuple[Array, Array]
"""Lips [n, D] and speech [m, D] of a clip."""


def compare_shifts(video: Array, audio: Array) -> tuple[DistancePairs, DistancePairs]:
    """Compare embeddings [n, D] and [m, D] of one clip over the whole clip, and over windows of 1 s in a row."""
    whole, windows = DistancePairs(), DistancePairs()
    shifts = np.arange(-WIDEST_SHIFT, WIDEST_SHIFT + 1)
    whole.add_shifts(shifts, measure_shift_distances(video, audio, WIDEST_SHIFT))
    count = min(len(video), len(audio))
    for first in range(0, count - WINDOW + 1, WINDOW):
        inside = shifts[(first + shifts >= 0) & (first + shifts <= count - WINDOW)]
        pairs = [video[first : first + WINDOW] - audio[first + shift :][:WINDOW] for shift in inside]
        # NaN where the face is lost within the window.
        windows.add_shifts(inside, np.array([np.linalg.norm(pair, axis=1).mean() for pair in pairs]))
    return whole, windows


def estimate_auc(clips: Mapping[str, Sequence[DistancePairs]], seed: int = 0) -> Estimate:
    """Estimate the AUC over people → clips, with a 95 % interval that draws people where there are five, else clips.

    Every clip's sound in its place is compared with every clip's other sound, so a network must be right across clips.
    """
    usable = [(person, clip) for person, own in sorted(clips.items()) for clip in own if clip.in_place and clip.other]
    if not usable:
        return missing("no clip with sound is long enough")
    owner, names = pd.factorize(np.array([person for person, _ in usable]))
    shares = np.array([[_share_nearer(one.in_place, two.other) for _, two in usable] for _, one in usable])
    weights = 1 / (len(names) * np.bincount(owner)[owner])
    own = {str(name): float(shares[np.ix_(owner == k, owner == k)].mean()) for k, name in enumerate(names)}
    estimate = Estimate(float(weights @ shares @ weights), count=len(usable), people=own)
    by_people = len(names) >= MIN_UNITS
    units = owner if by_people else np.arange(len(usable))
    strata = np.zeros(len(names), np.intp) if by_people else owner

    def auc(counts: Array) -> Array:
        weighted = counts[:, units] * weights
        return np.asarray(np.einsum("di,ij,dj->d", weighted, shares, weighted))

    return with_interval(estimate, "people" if by_people else "clips", auc, strata, seed)


def _share_nearer(in_place: Sequence[float], other: Sequence[float]) -> float:
    """Share of pairs in which the first distance is smaller; a tie is half."""
    ordered = np.sort(other)
    ranks = np.searchsorted(ordered, in_place, "left") + np.searchsorted(ordered, in_place, "right")
    return float(1 - ranks.mean() / 2 / len(ordered))


def embed_clips(network: LipSyncNetwork, clips: Sequence[LipClip]) -> list[Embeddings]:
    """Embed lips [n, D] and speech [m, D] of each clip."""
    return [(embed_lips(network, clip.lips, clip.visible), embed_speech(network, clip.speech)) for clip in clips]


def compare_shifted_sound(clips: Sequence[LipClip], embedded: Sequence[Embeddings]) -> dict[str, PersonPairs]:
    """Compare each clip's sound in its place and shifted, over whole clips (`WHOLE`) and over `WINDOWS`."""
    pairs: dict[str, PersonPairs] = {WHOLE: defaultdict(list), WINDOWS: defaultdict(list)}
    for clip, (video, audio) in zip(clips, embedded, strict=True):
        for condition, distances in zip(pairs, compare_shifts(video, audio), strict=True):
            pairs[condition][clip.person].append(distances)
    return pairs


def compare_foreign_sound(clips: Sequence[LipClip], embedded: Sequence[Embeddings]) -> PersonPairs:
    """Compare each clip's own sound and sounds of other people, every sound at its best shift."""
    pairs: PersonPairs = defaultdict(list)
    for place, (clip, (video, audio)) in enumerate(zip(clips, embedded, strict=True)):
        strangers = [number for number, other in enumerate(clips) if other.person != clip.person]
        random = np.random.default_rng(place)
        drawn = random.choice(strangers, min(_FOREIGN_SOUNDS, len(strangers)), replace=False) if strangers else ()
        best = [_score(video, sound).lse_d for sound in (audio, *(embedded[number][1] for number in drawn))]
        own, foreign = ([d for d in part if np.isfinite(d)] for part in (best[:1], best[1:]))
        pairs[clip.person].append(DistancePairs(own, foreign))
    return pairs


def measure_lip_sync(network: LipSyncNetwork, clips: Sequence[LipClip]) -> list[Measurement]:
    """Measure a network on clips, real and synthetic people apart."""
    rows = []
    for people, synthetic in PEOPLE.items():
        chosen = [clip for clip in clips if clip.synthetic == synthetic]
        embedded = embed_clips(network, chosen)
        pairs = {**compare_shifted_sound(chosen, embedded), FOREIGN: compare_foreign_sound(chosen, embedded)}
        for condition, distances in pairs.items():
            threshold = THRESHOLD if condition == WHOLE else None
            rows.append(Measurement("sync", "AUC", people, condition, estimate_auc(distances), threshold, 0.5))
        scored = [
            {"person": clip.person, "clip": clip.clip, **_score(*pair).to_dict()}
            for clip, pair in zip(chosen, embedded, strict=True)
        ]
        table = pd.DataFrame(scored, columns=["person", "clip", "lse_d", "lse_c", "sync_shift"])
        shifts = table["sync_shift"].astype(float)
        in_place = (shifts.abs() <= 1).astype(float).where(shifts.notna())
        for measure, values, chance in (
            ("best shift within one moment", in_place, 3 / (2 * MAX_SHIFT + 1)),
            ("LSE-D", table["lse_d"], None),
            ("LSE-C", table["lse_c"], None),
        ):
            estimate = mean_estimate(table.assign(value=values))
            rows.append(Measurement("sync", measure, people, f"of ±{MAX_SHIFT}", estimate, None, chance))
    return rows


def _score(video: Array, audio: Array) -> SyncScores:
    return score_distances(measure_shift_distances(video, audio))
