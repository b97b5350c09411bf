"""Tells whether two clips show the same footage, however their files were made: copied, re-muxed or encoded again.

What is compared is how the aligned face changes over time, at every shift of one clip against the other. Quality, size,
frame rate, brightness and contrast of a copy do not matter, nor does a beginning or an end that was cut off.
"""

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.clip_features import ClipFeatures

Signature = NDArray[np.float32]
"""[n,256] gray levels of the aligned face at 25 moments a second, less their mean over the clip."""

SAME = 0.75
"""Correlation from which two clips are one recording. Six clips of four people, each in six other encodings (harder
compression, half the size, another frame rate, darker, cropped, beginning cut off), reach .78 among themselves and .87
with what they were made of; no two takes among the whole clips of MEAD, RAVDESS and CREMA-D at hand reach .65."""
_RATE = 25  # moments a second
_MOST = 500  # moments that are looked at: 20 s are plenty, and comparing grows with their square
_SIDE = 16  # pixels of the face
_FEWEST = 12  # moments in common; half of the shorter clip's in any case


def describe_footage(features: ClipFeatures, rate: float) -> Signature:
    """Return how the aligned face of a clip of `rate` frames a second changes over its first 20 s."""
    count = min(_MOST, round(len(features.thumbs) * _RATE / rate))
    frames = np.minimum(np.round(np.arange(count) * rate / _RATE).astype(int), len(features.thumbs) - 1)
    visible = features.has_face[frames]
    side = features.thumbs.shape[1] // _SIDE
    faces = features.thumbs[frames].reshape(count, _SIDE, side, _SIDE, side).mean((2, 4)).reshape(count, -1)
    if not visible.any():
        return np.zeros((count, _SIDE**2), np.float32)
    changes = np.where(visible[:, None], faces - faces[visible].mean(0), 0)
    return np.asarray(changes, np.float32)


def correlate_footage(first: Signature, second: Signature) -> float:
    """Correlate two clips at the shift at which they are most alike.

    Args:
        first: [n,256] of one clip.
        second: [m,256] of the other.

    Returns:
        Σ a·b / √(Σ|a|² Σ|b|²) over the moments that both have at that shift, in [−1, 1]. 0 for clips that are too short
        to be told apart, or in which nothing moves.
    """
    fewest = max(_FEWEST, (min(len(first), len(second)) + 1) // 2)
    if fewest > min(len(first), len(second)):
        return 0.0
    products = first @ second.T
    powers = [np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64).sum(1))]) for clip in (first, second)]
    best = 0.0
    for shift in range(fewest - len(first), len(second) - fewest + 1):
        begin, end = max(0, -shift), min(len(first), len(second) - shift)
        power = np.prod([total[end + k] - total[begin + k] for total, k in zip(powers, (0, shift), strict=True)])
        if power > 0:
            best = max(best, float(np.trace(products, shift)) / float(np.sqrt(power)))
    return best


def is_same_footage(first: Signature, second: Signature) -> bool:
    """Return whether two clips are one recording: equal where anything moves, or correlated by `SAME` or more."""
    return bool(first.any() and np.array_equal(first, second)) or correlate_footage(first, second) >= SAME
