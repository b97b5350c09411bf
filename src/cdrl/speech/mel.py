"""Log-mel spectrograms as Whisper takes them, in NumPy; and a speech encoder that stops there."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cdrl.speech.audio import SAMPLE_RATE, Samples
from cdrl.speech.features import SpeechFeatures

BANDS = 80
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
RATE = Fraction(SAMPLE_RATE, HOP)  # 100 frames a second
_BLOCK = 6000  # frames transformed at once (one minute), so that long sound needs little memory
_FLOOR, _RANGE = 1e-10, 8.0  # the quietest power, and how many decades below the loudest still count


def compute_log_mel(samples: Samples) -> NDArray[np.float32]:
    """Compute the log-mel spectrogram that Whisper takes.

    Source: Radford et al. 2022, section 2.2. The sound is not padded to 30 s, so the dynamic range is relative to the
    loudest moment of the clip.

    Args:
        samples: Mono sound at 16 kHz, float32 [n] in [-1, 1].

    Returns:
        float32 [n // 160, 80], about -1 to 1; row i is centered at i * 10 ms.
    """
    count = len(samples) // HOP
    if count == 0:
        return np.zeros((0, BANDS), np.float32)
    # The very short cannot be mirrored at its ends by half a window; silence stands there instead.
    padded = np.pad(samples, WINDOW // 2, mode="reflect" if len(samples) > WINDOW // 2 else "constant")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    bank = build_mel_filters()
    spectrum = np.empty((count, BANDS), np.float32)
    for first in range(0, count, _BLOCK):
        power = np.abs(np.fft.rfft(frames[first : first + _BLOCK] * window, axis=1)) ** 2
        spectrum[first : first + _BLOCK] = np.log10(np.maximum(power @ bank, _FLOOR))
    bounded: NDArray[np.float32] = np.maximum(spectrum, spectrum.max() - _RANGE)
    return (bounded + np.float32(4)) / np.float32(4)


@functools.cache
def build_mel_filters() -> NDArray[np.float64]:
    """Build Slaney's triangular filters of equal area from 0 to 8 kHz, float64 [201, 80]."""
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    highest = float(_LINEAR_MELS + np.log(SAMPLE_RATE / 2 / 1000) / _STEP)
    edges = _mel_to_hertz(np.linspace(0, highest, BANDS + 2))
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return filters


# Slaney's scale: linear below 1 kHz (15 mel), then 27 steps for each factor of 6.4.
_LINEAR_MELS, _STEP = 15.0, np.log(6.4) / 27


def _mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < _LINEAR_MELS, mel * 200 / 3, 1000 * np.exp(_STEP * (mel - _LINEAR_MELS)))


class MelEncoder:
    """Speech features without a network: log-mel averaged over 40 ms, the length of a video frame at 25 frames/s."""

    name = "log-mel"
    width = BANDS

    def __call__(self, samples: Samples) -> SpeechFeatures:
        """Compute the features of sound; see `SpeechEncoder`."""
        spectrum = compute_log_mel(samples)
        count = len(spectrum)
        sums = np.concatenate([np.zeros((1, BANDS)), np.cumsum(spectrum, axis=0, dtype=np.float64)])
        low = np.maximum(np.arange(count) - 1, 0)
        high = np.minimum(np.arange(count) + 2, count)
        means = (sums[high] - sums[low]) / (high - low)[:, None]
        return SpeechFeatures(means.astype(np.float32), RATE, Fraction(0))
