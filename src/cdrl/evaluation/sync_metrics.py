"""Lip-sync measures of a written file: LSE-D and LSE-C by any evaluator that embeds pictures and sound in one space.

Chung & Zisserman, "Out of Time: Automated Lip Sync in the Wild", 2016; as measures of generated talking heads: Prajwal
et al. ("Wav2Lip"), 2020. The sound is shifted against the pictures: the distance at the best shift is LSE-D (the lower,
the better), and how far that lies under the median over the shifts is LSE-C (the higher, the better). Distances of
different evaluators are on different scales: compare numbers of one evaluator only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import InputError, UsageError
from cdrl.evaluation.clip_features import track_landmarks
from cdrl.evaluation.clips import Frames, Image
from cdrl.media import read
from cdrl.speech.audio import Samples, read_samples

Array = NDArray[np.float64]

EMBEDDING_RATE = 25
"""Embeddings a second of every evaluator: moment i is at i / 25 s of the clip."""

MAX_SHIFT = 10
"""Moments by which the sound is shifted either way."""

_SILENCE = 1e-4  # of full scale: what dithering leaves of no sound at all
_MIN_MOMENTS = 5  # moments that pictures and sound must share at a shift


@dataclass(frozen=True)
class FaceFootage:
    """The pictures of a clip of T frames, and where its face is."""

    frames: Frames
    """Returns a fresh pass over the RGB frames."""
    times: Array
    """Times [T] in seconds since the clip's start."""
    points: Array
    """Landmarks [T, 468, 2] in pixels by the evaluation's own face finder; NaN where no face is seen."""


class SyncEvaluator(Protocol):
    """A pair of networks that embed pictures and sound as vectors of D numbers, 25 a second."""

    @property
    def name(self) -> str:
        """Name in tables: "syncnet", "cdrl"."""
        ...

    @property
    def padded(self) -> bool:
        """Whether sound beyond its ends counts as zero vectors, as in SyncNet's published measure."""
        ...

    def embed_video(self, footage: FaceFootage) -> Array:
        """Embed the pictures as [n, D]; NaN where the face is not seen."""
        ...

    def embed_audio(self, samples: Samples) -> Array:
        """Embed mono sound at 16 kHz as [m, D]."""
        ...


@dataclass(frozen=True)
class SyncScores:
    """The lip-sync measures of a file; NaN thrice, and the reason, where there is nothing to measure."""

    lse_d: float = np.nan
    """Mean distance at the best shift, ≥ 0."""
    lse_c: float = np.nan
    """Median distance over the shifts less that at the best, ≥ 0."""
    sync_shift: float = np.nan
    """The best shift in moments of 1/25 s; positive where the sound comes late."""
    reason: str = ""
    """Why there are no numbers."""

    def to_dict(self) -> dict[str, float]:
        """Return the three numbers by name."""
        return {"lse_d": self.lse_d, "lse_c": self.lse_c, "sync_shift": self.sync_shift}


def measure_shift_distances(video: Array, audio: Array, max_shift: int = MAX_SHIFT, padded: bool = False) -> Array:
    """Compute the mean over t of ‖video[t] − audio[t + s]‖ for s = −max_shift … max_shift.

    Args:
        video: Embeddings [T, D] of pictures; rows of NaN count nowhere.
        audio: Embeddings [T', D] of sound.
        max_shift: Largest shift in moments.
        padded: Cut off the longer one and take the sound beyond its ends as zero, as the code published with SyncNet
            does. Otherwise the mean is over the moments that both have.

    Returns:
        Distances [2 · max_shift + 1]; NaN at shifts with fewer than five common moments.

    Raises:
        UsageError: The shapes do not fit.
    """
    if video.ndim != 2 or video.shape[1:] != audio.shape[1:]:
        raise UsageError(f"embeddings of pictures {video.shape} and sound {audio.shape} cannot be compared")
    if padded:
        count = min(len(video), len(audio))
        wide = np.pad(audio[:count], ((max_shift, max_shift), (0, 0)))
        pairs = [(video[:count], wide[first : first + count]) for first in range(2 * max_shift + 1)]
    else:
        pairs = [(video[max(0, -s) :], audio[max(0, s) :]) for s in range(-max_shift, max_shift + 1)]
    return np.array([_mean_distance(*pair) for pair in pairs])


def _mean_distance(video: Array, audio: Array) -> float:
    count = min(len(video), len(audio))
    distances = np.linalg.norm(video[:count] - audio[:count], axis=1)
    known = distances[np.isfinite(distances)]
    return float(known.mean()) if len(known) >= _MIN_MOMENTS else np.nan


def score_distances(distances: Array) -> SyncScores:
    """Compute the measures of `measure_shift_distances`; the smallest shift where several are best."""
    if not np.isfinite(distances).all():
        return SyncScores(reason="too short to be shifted against its sound, or the face is hardly seen")
    shifts = np.arange(len(distances)) - len(distances) // 2
    least = float(distances.min())
    best = min(shifts[distances == least], key=abs)
    return SyncScores(least, float(np.median(distances)) - least, float(best))


def evaluate_sync(
    path: Path, evaluator: SyncEvaluator | None, max_shift: int = MAX_SHIFT, points: Array | None = None
) -> SyncScores:
    """Measure how lips and sound of a written file fit: decoded again, face found again, its own sound heard.

    Args:
        path: The file.
        evaluator: Embeds pictures and sound; without one there are no numbers.
        max_shift: Largest shift in moments of 1/25 s.
        points: Landmarks [T, 468, 2] of the face, where it was found already.

    Returns:
        The measures, or why there are none: no evaluator, no sound, silence, no face, or a clip that is too short.

    Raises:
        InputError: The file is no video that can be read.
    """
    if evaluator is None:
        return SyncScores(reason="no lip-sync evaluator is available")
    footage = read_footage(path, points)
    try:
        samples = read_samples(path)
    except InputError as error:
        return SyncScores(reason=" ".join(str(error).split()).removeprefix(f"{path}: "))
    if not len(samples) or float(np.abs(samples).max()) < _SILENCE:
        return SyncScores(reason="its sound is silence")
    if not np.isfinite(footage.points).any():
        return SyncScores(reason="no face is seen")
    video, audio = evaluator.embed_video(footage), evaluator.embed_audio(samples)
    return score_distances(measure_shift_distances(video, audio, max_shift, evaluator.padded))


def read_footage(path: Path, points: Array | None = None) -> FaceFootage:
    """Read a file's frames on the clock of its sound; find the face, unless its `points` [T, 468, 2] are known."""

    def frames() -> Iterator[Image]:
        with read(path) as reader:
            for frame in reader:
                yield frame.rgb()

    with read(path) as reader:
        times = np.array([float(frame.time) for frame in reader])
    points = track_landmarks(frames) if points is None else points
    # Of last frames that could not be looked at there are no landmarks: they are not seen.
    count = min(len(times), len(points))
    return FaceFootage(frames, times[:count], points[:count])


def embedding_times(seconds: float) -> Array:
    """Return the times 0, 0.04, 0.08, … s of the moments up to `seconds`."""
    return np.arange(int(np.floor(max(seconds, 0.0) * EMBEDDING_RATE + 1e-6)) + 1) / EMBEDDING_RATE
