"""Aligned pictures of the face (the paper's CCRL input): 224 pixels square, the landmark box and 10 % on each side.

The square stands upright along the eyes. It is smoothed over time, its size and its place in the face more than the
place of the head: what moves inside the picture is then the face, not its frame.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.prepared import SIZE
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import Region
from cdrl.face.mesh import RIGID_POINTS
from cdrl.media import Frame

_MARGIN = 0.1  # on each side, over the side of the landmark box
_HEAD = 0.08  # seconds, standard deviation of the smoothing of where the head is and how it leans
_SHAPE = 0.5  # seconds, of how large it is and where in the face the square's center lies
_OVERSAMPLE = 1.5  # frame pixels for each picture pixel from which more are read: a bilinear crop would flicker


def find_crops(points: Floats, times: NDArray[np.float64], runs: NDArray[np.int64]) -> list[Region]:
    """Find the square that is cut out of each frame.

    Args:
        points: Landmarks [T, 478, 3] in pixels of the frames.
        times: [T] seconds.
        runs: [T] numbers; frames of one number are smoothed together.

    Returns:
        T squares.
    """
    crops: dict[int, Region] = {}
    for run in np.unique(runs):
        frames = np.flatnonzero(runs == run)
        crops |= zip(frames.tolist(), _find_run(points[frames], times[frames]), strict=True)
    return [crops[frame] for frame in range(len(points))]


def _find_run(points: Floats, times: NDArray[np.float64]) -> list[Region]:
    flat = points[:, :, :2].astype(np.float64)
    eyes = flat[:, 263] - flat[:, 33]
    angle = _smooth(np.unwrap(np.arctan2(eyes[:, 1], eyes[:, 0]))[:, None], times, _HEAD)[:, 0]
    anchor = flat[:, list(RIGID_POINTS)].mean(1)
    axes = np.stack([np.stack([np.cos(angle), np.sin(angle)], 1), np.stack([-np.sin(angle), np.cos(angle)], 1)], 1)
    upright = np.einsum("tij,tpj->tpi", axes, flat - anchor[:, None])
    low, high = upright.min(1), upright.max(1)
    side = _smooth((high - low).max(1)[:, None], times, _SHAPE)
    middle = _smooth((low + high) / 2 / side, times, _SHAPE) * side
    center = _smooth(anchor, times, _HEAD) + np.einsum("tji,tj->ti", axes, middle)
    side = side[:, 0] * (1 + 2 * _MARGIN)
    return [Region(*(float(v) for v in (*center[t], side[t], angle[t]))) for t in range(len(points))]


def _smooth(values: NDArray[np.float64], times: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """Gaussian mean over time of [T, d], within three standard deviations; near the ends over what there is."""
    reach = 3 * deviation
    smooth = np.empty_like(values)
    for t, now in enumerate(times):
        first, last = np.searchsorted(times, (now - reach, now + reach), side="left")
        weights = np.exp(-0.5 * np.square((times[first:last] - now) / deviation))
        smooth[t] = weights @ values[first:last] / weights.sum()
    return smooth


def crop_face(frame: Frame, crop: Region) -> NDArray[np.uint8]:
    """Cut a square out of a frame, as RGB [224, 224, 3]."""
    factor = crop.side / SIZE
    matrix = np.vstack([crop.matrix(SIZE), [0, 0, 1]]).astype(np.float64)
    if factor <= _OVERSAMPLE:
        return frame.rgb_crop(matrix[:2], (SIZE, SIZE))
    fine = min(math.ceil(factor), 4)
    # Pixel X of the fine crop lies at (X + 1/2) / fine - 1/2 of the picture.
    shift = (1 / fine - 1) / 2
    closer = np.array([[1 / fine, 0, shift], [0, 1 / fine, shift], [0, 0, 1]])
    picture = frame.rgb_crop((matrix @ closer)[:2], (SIZE * fine, SIZE * fine))
    return np.asarray(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def transform_to_crop(points: Floats, crop: Region) -> Floats:
    """Transform landmarks [478, 3] of a frame into pixels of its aligned picture."""
    return np.column_stack([crop.to_crop(points[:, :2], SIZE), points[:, 2] * (SIZE / crop.side)]).astype(np.float32)
