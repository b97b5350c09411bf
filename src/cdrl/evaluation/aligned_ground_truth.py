"""How the person really says the sentence in the emotion: a real clip, warped to the source's time.

By what is heard where both have sound, else by the motion of the mouth (`cdrl.datasets.pairs`). The path is found
between the *source* and the real clip, never with the output, so that every method is compared with the same truth.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.pairs import align_mouth_motion, align_speech, measure_mouth_motion
from cdrl.errors import InputError, LimitError, ModelFileError
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.clips import read_frame_rate
from cdrl.speech.audio import SAMPLE_RATE, read_samples
from cdrl.speech.dtw import map_frames
from cdrl.speech.features import SpeechEncoder
from cdrl.speech.loading import load_speech_encoder

Array = NDArray[np.float64]

_SILENCE = 1e-3  # of full scale: a track that is never louder holds no speech
_FEWEST = 8  # frames with a face: fewer are no sentence


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


def align_ground_truth(source: ClipRecord, ours: Array, real: ClipRecord, theirs: Array) -> Array | None:
    """Warp a real take to the source's time, by sound or, where one has none, by the motion of the mouth.

    Args:
        source: The clip that was edited.
        ours: Its landmarks [T,468,2] in pixels, NaN without a face.
        real: The real take of the same sentence.
        theirs: Its landmarks [T',468,2].

    Returns:
        The real take's landmarks at the source's frames [T,468,2], NaN where the moment has no face. None where either
        shows a face too rarely to be aligned.
    """
    takes = ((source, ours), (real, theirs))
    visible = [np.flatnonzero(np.isfinite(points[:, 0, 0])) for _, points in takes]
    if min(map(len, visible)) < _FEWEST:
        return None
    times = [np.arange(len(points)) / float(read_frame_rate(clip.path)) for clip, points in takes]
    speech, other = (_read_speech(clip.sound or clip.path) for clip, _ in takes)
    if speech is not None and other is not None:
        encode = load_encoder()
        path = align_speech(encode(speech).resample(times[0]), encode(other).resample(times[1]))
        return theirs[map_frames(path, len(ours))]
    motions = [
        measure_mouth_motion(points[index].astype(np.float32), time[index])
        for (_, points), index, time in zip(takes, visible, times, strict=True)
    ]
    aligned = np.full_like(ours, np.nan)
    aligned[visible[0]] = theirs[visible[1]][map_frames(align_mouth_motion(*motions), len(visible[0]))]
    return aligned
