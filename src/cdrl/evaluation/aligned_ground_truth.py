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
from cdrl.errors import InputError, LimitError, ModelFileError
from cdrl.evaluation.clips import read_frame_rate
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
    """A recording of a sentence, as it is warped."""

    points: Array
    """[T,468,2] the evaluation's landmarks in pixels, NaN without a face."""
    path: Path
    sound: Path | None = None
    """Where its sound lies, when not in `path`."""

    @property
    def times(self) -> Array:
        """[T] seconds."""
        return np.arange(len(self.points)) / float(read_frame_rate(self.path))


@cache
def load_encoder() -> SpeechEncoder:
    """Return Whisper's encoder, the more exact; the spectrum's where Whisper or what runs it is not installed."""
    try:
        return load_speech_encoder("whisper")
    except (ModelFileError, ModuleNotFoundError):
        return load_speech_encoder("mel")


def _read_speech(sound: Path) -> NDArray[np.float32] | None:
    """Samples of a file's sound; None where there is nothing to hear."""
    try:
        samples = read_samples(sound)
    except (InputError, LimitError):
        return None
    return samples if len(samples) >= SAMPLE_RATE // 10 and float(np.abs(samples).max()) >= _SILENCE else None


def align_ground_truth(source: Take, real: Take) -> tuple[Array, str] | None:
    """Warp a real take to the source's time.

    Returns:
        The real take's landmarks at the source's frames [T,468,2], NaN where the moment has no face, and by what they
        were aligned (`SOUND` or `MOTION`). None where either shows a face too rarely to be aligned.
    """
    visible = [np.flatnonzero(np.isfinite(take.points[:, 0, 0])) for take in (source, real)]
    if min(map(len, visible)) < _FEWEST:
        return None
    samples = [_read_speech(take.sound or take.path) for take in (source, real)]
    if samples[0] is not None and samples[1] is not None:
        encode = load_encoder()
        path = align_speech(encode(samples[0]).resample(source.times), encode(samples[1]).resample(real.times))
        return real.points[map_frames(path, len(source.points))], SOUND
    motions = [
        measure_mouth_motion(take.points[index].astype(np.float32), take.times[index])
        for take, index in zip((source, real), visible, strict=True)
    ]
    aligned = np.full_like(source.points, np.nan)
    aligned[visible[0]] = real.points[visible[1]][map_frames(align_mouth_motion(*motions), len(visible[0]))]
    return aligned, MOTION
