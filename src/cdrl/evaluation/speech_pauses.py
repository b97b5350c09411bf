"""The sound of clips that are evaluated: their speech, and which frames lie in its silences."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import InputError, LimitError
from cdrl.evaluation.clips import read_frame_rate
from cdrl.evaluation.measures import find_silences
from cdrl.speech.audio import SAMPLE_RATE, Samples, read_samples

_SILENCE = 1e-3  # of full scale: a track that is never louder holds no speech


def read_speech(sound: Path) -> Samples | None:
    """Return the samples of a file's sound at 16 kHz; None where there is nothing to hear."""
    try:
        samples = read_samples(sound)
    except (InputError, LimitError):
        return None
    return samples if len(samples) >= SAMPLE_RATE // 10 and float(np.abs(samples).max()) >= _SILENCE else None


def label_silences(clip: Path, sound: Path, count: int) -> NDArray[np.intp]:
    """Say which frames lie in silences of a clip's sound.

    Args:
        clip: The video, whose frame rate gives the frames' times.
        sound: The file that holds its sound: itself, or another one beside it.
        count: T, how many frames the video has.

    Returns:
        [T] which silence a frame lies in, from 1; 0 in none, and everywhere without sound.
    """
    labels = np.zeros(count, np.intp)
    samples = read_speech(sound)
    if samples is None:
        return labels
    times = np.arange(count) / float(read_frame_rate(clip))
    for number, (begin, end) in enumerate(find_silences(samples, SAMPLE_RATE), 1):
        labels[(times >= begin) & (times < end)] = number
    return labels
