"""How the person really says the sentence in the emotion: a real clip, warped to the source's time.

By what is heard where both have sound, else by the motion of the mouth (`cdrl.datasets.pairs`). The path is found
between the *source* and the real clip, never with the output, so that every method is compared with the same truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.pairs import align_mouth_motion, align_speech, measure_mouth_motion
from cdrl.errors import AssetError, InputError, LimitError
from cdrl.evaluation.clips import frame_rate
from cdrl.speech.audio import SAMPLE_RATE, read_samples
from cdrl.speech.dtw import map_frames
from cdrl.speech.features import SpeechEncoder
from cdrl.speech.loading import load_speech_encoder

Array = NDArray[np.float64]

_SILENCE = 1e-3  # of full scale: a track that is never louder holds no speech
_FEWEST = 8  # frames with a face: fewer are no sentence
SOUND, MOTION = "sound", "mouth motion"


@dataclass(frozen=True)
class Take:
    """A clip as it is warped: judge's landmarks [T,468,2] (NaN without a face), where it lies, where its sound lies."""

    points: Array
    path: Path
    sound: Path | None = None

    @property
    def times(self) -> Array:
        """[T] seconds."""
        return np.arange(len(self.points)) / float(frame_rate(self.path))


@cache
def encoder() -> SpeechEncoder:
    """Whisper's, the more exact; the spectrum's where Whisper or what runs it is not installed."""
    try:
        return load_speech_encoder("whisper")
    except (AssetError, ModuleNotFoundError):
        return load_speech_encoder("mel")


def _samples(sound: Path) -> NDArray[np.float32] | None:
    """Samples of a file's sound; None where there is nothing to hear."""
    try:
        samples = read_samples(sound)
    except (InputError, LimitError):
        return None
    return samples if len(samples) >= SAMPLE_RATE // 10 and float(np.abs(samples).max()) >= _SILENCE else None


def warped_truth(source: Take, real: Take) -> tuple[Array, str] | None:
    """The real take's landmarks at the source's frames [T,468,2], and by what they were aligned.

    None where either shows a face too rarely to be aligned. Frames whose moment has no face are NaN.
    """
    seen = [np.flatnonzero(np.isfinite(take.points[:, 0, 0])) for take in (source, real)]
    if min(map(len, seen)) < _FEWEST:
        return None
    ours, theirs = (_samples(take.sound or take.path) for take in (source, real))
    if ours is not None and theirs is not None:
        said = encoder()(ours).resample(source.times), encoder()(theirs).resample(real.times)
        return real.points[map_frames(align_speech(*said), len(source.points))], SOUND
    moved = [
        measure_mouth_motion(take.points[index].astype(np.float32), take.times[index])
        for take, index in zip((source, real), seen, strict=True)
    ]
    path = align_mouth_motion(*moved)
    truth = np.full_like(source.points, np.nan)
    truth[seen[0]] = real.points[seen[1]][map_frames(path, len(seen[0]))]
    return truth, MOTION
