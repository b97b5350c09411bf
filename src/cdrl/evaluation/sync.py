"""Whether lips and sound belong together: LSE-D and LSE-C of a written file, by any judge that embeds both.

Chung & Zisserman, "Out of Time: Automated Lip Sync in the Wild", 2016; as measures of generated talking heads: Prajwal
et al. ("Wav2Lip"), 2020. A judge turns pictures and sound into vectors that are near each other where they belong
together. The sound is shifted against the pictures: the distance at the best shift is LSE-D (the lower, the better),
and how far that lies under the median over the shifts is LSE-C (the higher, the better). Distances of different judges
are on different scales: compare numbers of one judge only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import CdrlError, InputError, UsageError
from cdrl.evaluation.clips import Frames, Image
from cdrl.evaluation.observe import find_points
from cdrl.media import read
from cdrl.speech.audio import Samples, read_samples

Array = NDArray[np.float64]

RATE = 25
"""Moments a second of every judge's embeddings: moment i is at i / 25 s of the clip."""

REACH = 10
"""Moments that the sound is shifted either way."""

SILENCE = 1e-4  # of full scale: what dithering leaves of no sound at all
_FEWEST = 5  # moments that pictures and sound must share at a shift


@dataclass(frozen=True)
class Footage:
    """The pictures of a clip of T frames as a judge gets them."""

    frames: Frames
    """A fresh pass over the RGB frames each call."""
    times: Array
    """[T] seconds since the clip's start."""
    points: Array
    """[T, 468, 2] landmarks in pixels, of the evaluation's own face finder; NaN where no face is seen."""


class SyncJudge(Protocol):
    """A pair of networks. Both embed 25 moments a second; vectors of D numbers."""

    @property
    def name(self) -> str:
        """For tables: "syncnet", "cdrl"."""
        ...

    @property
    def padded(self) -> bool:
        """Whether beyond the ends of the sound zero vectors are heard, as SyncNet's published measure has it."""
        ...

    def video(self, footage: Footage) -> Array:
        """[n, D] of the moments' pictures; NaN where the face is not seen."""
        ...

    def sound(self, samples: Samples) -> Array:
        """[m, D] of mono sound at 16 kHz."""
        ...


@dataclass(frozen=True)
class SyncScores:
    """LSE-D, LSE-C and the best shift (moments of 1/25 s; positive: the sound comes late), or NaN thrice and why."""

    lse_d: float = np.nan
    lse_c: float = np.nan
    sync_shift: float = np.nan
    reason: str = ""

    def numbers(self) -> dict[str, float]:
        """The three by name."""
        return {"lse_d": self.lse_d, "lse_c": self.lse_c, "sync_shift": self.sync_shift}


def shift_distances(video: Array, sound: Array, reach: int = REACH, padded: bool = False) -> Array:
    """[2 · reach + 1] mean over t of ‖video[t] − sound[t + s]‖ for s = −reach … reach.

    `video` [T, D], `sound` [T', D]; rows that are NaN count nowhere. The mean is over the moments that both have, NaN
    at shifts with fewer than five of them; with `padded`, the longer is cut off, and beyond its ends the sound is zero
    (the code that was published with SyncNet).
    """
    if video.ndim != 2 or video.shape[1:] != sound.shape[1:]:
        raise UsageError(f"embeddings of pictures {video.shape} and sound {sound.shape} cannot be compared")
    if padded:
        count = min(len(video), len(sound))
        wide = np.pad(sound[:count], ((reach, reach), (0, 0)))
        pairs = [(video[:count], wide[first : first + count]) for first in range(2 * reach + 1)]
    else:
        pairs = [_overlapping(video, sound, shift) for shift in range(-reach, reach + 1)]
    return np.array([_mean_distance(*pair) for pair in pairs])


def _overlapping(video: Array, sound: Array, shift: int) -> tuple[Array, Array]:
    seen, heard = video[max(0, -shift) :], sound[max(0, shift) :]
    count = min(len(seen), len(heard))
    return seen[:count], heard[:count]


def _mean_distance(video: Array, sound: Array) -> float:
    distances = np.linalg.norm(video - sound, axis=1)
    known = distances[np.isfinite(distances)]
    return float(known.mean()) if len(known) >= _FEWEST else np.nan


def scores_of(distances: Array) -> SyncScores:
    """The measures of `shift_distances`; the smallest shift where several are best."""
    known = np.isfinite(distances)
    if not known.all():
        return SyncScores(reason="too short to be shifted against its sound, or the face is hardly seen")
    shifts = np.arange(len(distances)) - len(distances) // 2
    least = float(distances.min())
    best = min(shifts[distances == least], key=abs)
    return SyncScores(least, float(np.median(distances)) - least, float(best))


def sync_scores(path: Path, judge: SyncJudge | None, reach: int = REACH, points: Array | None = None) -> SyncScores:
    """Judge a written file: decoded again, face found again, its own sound heard.

    Where there is nothing to judge (no judge, no sound, silence, no face, too short) the numbers are NaN and `reason`
    says why. `points` [T, 468, 2]: the face, where it was found already.
    Raises InputError where the file is no video that can be read.
    """
    if judge is None:
        return SyncScores(reason="no lip-sync judge is available")
    footage = footage_of(path, points)
    try:
        samples = read_samples(path)
    except InputError as error:
        return SyncScores(reason=" ".join(str(error).split()).removeprefix(f"{path}: "))
    if not len(samples) or float(np.abs(samples).max()) < SILENCE:
        return SyncScores(reason="its sound is silence")
    if not np.isfinite(footage.points).any():
        return SyncScores(reason="no face is seen")
    return scores_of(shift_distances(judge.video(footage), judge.sound(samples), reach, judge.padded))


def footage_of(path: Path, points: Array | None = None) -> Footage:
    """A file's frames by the project's reader, on the clock of its sound, and the face that the judges' finder sees
    (`points`, where it looked already)."""

    def frames() -> Iterator[Image]:
        with read(path) as reader:
            for frame in reader:
                yield frame.rgb()

    with read(path) as reader:
        times = np.array([float(frame.time) for frame in reader])
    found = find_points(frames) if points is None else points
    # Files whose last frames nobody could judge: what has no landmarks is not seen.
    count = min(len(times), len(found))
    return Footage(frames, times[:count], found[:count])


def sync_judge(spec: str = "cdrl") -> SyncJudge:
    """The judge that `spec` names: "cdrl" (the one that ships), "cdrl:FILE" (from `cdrl train sync`), "syncnet:FILE".

    Raises UsageError for another spec, AssetError where a file of ours is missing, InputError for an unfit checkpoint.
    """
    kind, _, file = spec.partition(":")
    if kind == "cdrl":
        from cdrl.evaluation.sync_expert import ExpertJudge  # noqa: PLC0415  they bring torch

        return ExpertJudge.load(Path(file) if file else None)
    if kind == "syncnet" and file:
        from cdrl.evaluation.syncnet import SyncNetJudge  # noqa: PLC0415

        return SyncNetJudge.load(Path(file))
    raise UsageError(f"no lip-sync judge {spec!r}: choose cdrl, cdrl:FILE or syncnet:FILE")


def available_judge(spec: str = "cdrl") -> tuple[SyncJudge | None, str]:
    """`sync_judge(spec)`, or None and why there is none: for tables, whose column then stays empty."""
    try:
        return sync_judge(spec), ""
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed"
    except UsageError:
        raise
    except CdrlError as error:
        return None, str(error)


def grid(seconds: float) -> Array:
    """Times of the moments up to `seconds`: 0, 0.04, 0.08, ... s."""
    return np.arange(int(np.floor(max(seconds, 0.0) * RATE + 1e-6)) + 1) / RATE
