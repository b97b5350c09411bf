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
from cdrl.face.mesh import RIGID
from cdrl.media import Frame

_MARGIN = 0.1  # on each side, over the side of the landmark box
_HEAD = 0.08  # seconds, standard deviation of the smoothing of where the head is and how it leans
_SHAPE = 0.5  # seconds, of how large it is and where in the face the square's centre lies
_OVERSAMPLE = 1.5  # frame pixels a picture pixel from which more are looked at: a bilinear crop would flicker


def squares(points: Floats, times: NDArray[np.float64], runs: NDArray[np.int64]) -> list[Region]:
    """The square of each frame, from landmarks [T, 478, 3] at `times` [T] seconds; frames of one run (equal number in
    `runs` [T]) are smoothed together."""
    found: list[Region | None] = [None] * len(points)
    for run in np.unique(runs):
        frames = np.flatnonzero(runs == run)
        for frame, square in zip(frames, _run_squares(points[frames], times[frames]), strict=True):
            found[frame] = square
    return [square for square in found if square is not None]


def _run_squares(points: Floats, times: NDArray[np.float64]) -> list[Region]:
    flat = points[:, :, :2].astype(np.float64)
    eyes = flat[:, 263] - flat[:, 33]
    angle = _smoothed(np.unwrap(np.arctan2(eyes[:, 1], eyes[:, 0]))[:, None], times, _HEAD)[:, 0]
    anchor = flat[:, list(RIGID)].mean(1)
    axes = np.stack([np.stack([np.cos(angle), np.sin(angle)], 1), np.stack([-np.sin(angle), np.cos(angle)], 1)], 1)
    upright = np.einsum("tij,tpj->tpi", axes, flat - anchor[:, None])
    low, high = upright.min(1), upright.max(1)
    side = _smoothed((high - low).max(1)[:, None], times, _SHAPE)
    middle = _smoothed((low + high) / 2 / side, times, _SHAPE) * side
    centre = _smoothed(anchor, times, _HEAD) + np.einsum("tji,tj->ti", axes, middle)
    side = side[:, 0] * (1 + 2 * _MARGIN)
    return [Region(*(float(v) for v in (*centre[t], side[t], angle[t]))) for t in range(len(points))]


def _smoothed(values: NDArray[np.float64], times: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """Gaussian mean over time of [T, d]; near the ends over what there is."""
    reach = 3 * spread
    smooth = np.empty_like(values)
    for t, now in enumerate(times):
        first, last = np.searchsorted(times, (now - reach, now + reach), side="left")
        weights = np.exp(-0.5 * np.square((times[first:last] - now) / spread))
        smooth[t] = weights @ values[first:last] / weights.sum()
    return smooth


def picture(frame: Frame, square: Region) -> NDArray[np.uint8]:
    """The square of the frame as RGB [224, 224, 3]."""
    factor = square.side / SIZE
    matrix = np.vstack([square.matrix(SIZE), [0, 0, 1]]).astype(np.float64)
    if factor <= _OVERSAMPLE:
        return frame.rgb_crop(matrix[:2], (SIZE, SIZE))
    fine = min(math.ceil(factor), 4)
    # Pixel X of the fine crop lies at (X + 1/2) / fine - 1/2 of the picture.
    shift = (1 / fine - 1) / 2
    closer = np.array([[1 / fine, 0, shift], [0, 1 / fine, shift], [0, 0, 1]])
    crop = frame.rgb_crop((matrix @ closer)[:2], (SIZE * fine, SIZE * fine))
    return np.asarray(cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def in_square(points: Floats, square: Region) -> Floats:
    """Landmarks [478, 3] of the frame, in pixels of its aligned picture."""
    matrix = square.matrix(SIZE).astype(np.float64)
    moved = points.astype(np.float64)
    moved[:, :2] = (moved[:, :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    moved[:, 2] *= SIZE / square.side
    return moved.astype(np.float32)
