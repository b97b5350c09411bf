"""The lines of folds: found in every person, and laid on one another.

People who frown show a line beside the inner end of each brow, and people who smile one from the nose past the corner
of the mouth, a little higher or lower and nearer or farther in each. A median over people texel by texel has no line
left there, only a smudge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from cdrl.face.bundle import Floats
from cdrl.rendering.texture import MIDDLE, SIZE, low_pass, texels_per_cm, texture_points

LINE_WIDTH = 5.0
"""Texels (a deviation of Gauss's curve): what is wider is shade, not line."""
_STEP = 0.04  # cm between samples
_FINE = 0.5  # texels: what is finer is noise
_SMOOTH = 4.0  # samples by which paths are smoothed
_SHIFTED = 0.4  # cm that lines are shifted along to meet those of others
_FAINT = 0.1  # log of luma: emotions whose lines are fainter have none
_LENGTHENED = 0.2  # cm by which lines are blurred along themselves: they are of different lengths
_FADE = 0.5  # cm over which the ends of what is drawn fade out


@dataclass(frozen=True)
class _Guide:
    """Where lines run, on the right half of the face."""

    points: tuple[tuple[int, tuple[float, float]], ...]
    """Landmarks and how far from them, (x, y) cm, x to the middle."""
    reach: float
    """cm on both sides in which lines are looked for."""
    beside: float
    """cm on both sides of a line that belong to it."""


_GUIDES = {
    "glabella": _Guide(((55, (0.4, 0.3)), (107, (0.55, 0.0)), (107, (0.75, -1.3))), 0.5, 0.5),
    "nasolabial": _Guide(
        ((129, (-0.1, -0.3)), (203, (0.0, 0.0)), (206, (0.0, 0.0)), (216, (0.0, 0.0)), (212, (-0.3, 0.3))), 0.6, 0.7
    ),
}
"""By the area of `cdrl.rendering.folds.FOLDS` that the lines belong to."""
LINED_AREAS = tuple(_GUIDES)
"""Areas of `cdrl.rendering.folds.FOLDS` whose folds are lines."""


def fit_fold_lines(gains: Sequence[Floats], area: str) -> Floats:
    """Fit the shading of a pair of lines to what changes in some people.

    In each of them, on both sides, the darkest path along a guide is followed. What lies on and beside the paths is
    averaged over people, as far as most of them show it, and drawn along their median path.

    Args:
        gains: [SIZE, SIZE] each, log of luma with an expression less that without, brows where their landmarks are
            (`cdrl.training.brow_movement.move_back`).
        area: One of `LINED_AREAS`.

    Returns:
        [SIZE, SIZE] log of luma, symmetric, 0 elsewhere.
    """
    guide, (points, normals) = _GUIDES[area], _sample_guide(area)
    paths, profiles = [], []
    for gain in gains:
        narrow = cv2.GaussianBlur(np.asarray(gain, np.float32) - low_pass(gain, LINE_WIDTH), (0, 0), _FINE)
        followed = [_follow(half, points, normals, guide) for half in (narrow, narrow[:, ::-1])]
        paths += [path for path, _ in followed]
        profiles.append(np.mean([profile for _, profile in followed], 0))
    profile = gaussian_filter1d(_average(_align(profiles)), _LENGTHENED / _STEP, axis=0, mode="mirror")
    if -profile.min() < _FAINT:
        return np.zeros((SIZE, SIZE), np.float32)
    half = _draw(np.median(paths, 0), profile, points, normals, guide)
    both: Floats = half + half[:, ::-1]
    return both


@cache
def _sample_guide(area: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample a guide: points [n, 2] in texels, `_STEP` apart, and normals of a length of 1 cm that point outward."""
    corners = np.array(
        [texture_points()[landmark] + np.array(shift) * texels_per_cm() for landmark, shift in _GUIDES[area].points]
    )
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    places = np.arange(0, along[-1], _STEP * texels_per_cm())
    points = np.stack([np.interp(places, along, corners[:, axis]) for axis in (0, 1)], 1)
    points = gaussian_filter1d(points, 3 * _SMOOTH, axis=0, mode="nearest")
    tangent = np.gradient(points, axis=0)
    normals = np.stack([tangent[:, 1], -tangent[:, 0]], 1) / np.linalg.norm(tangent, axis=1, keepdims=True)
    if (normals[:, 0] * (points[:, 0] - MIDDLE)).sum() < 0:
        normals = -normals
    return points, normals * texels_per_cm()


def _follow(
    gain: Floats, points: NDArray[np.float64], normals: NDArray[np.float64], guide: _Guide
) -> tuple[NDArray[np.float64], Floats]:
    """Follow the line on the right: its distance [n] from the guide in cm, and what lies beside it [n, across]."""
    columns = np.arange(-guide.reach, guide.reach + _STEP / 2, _STEP)
    cost = _sample(gain, points, normals, columns[None]).astype(np.float64)
    best = np.zeros(cost.shape, int)
    for row in range(1, len(cost)):
        padded = np.pad(cost[row - 1], 1, constant_values=np.inf)
        steps = np.stack([padded[:-2], padded[1:-1], padded[2:]])
        best[row] = np.arange(len(columns)) + steps.argmin(0) - 1
        cost[row] += steps.min(0)
    column = [int(cost[-1].argmin())]
    for row in range(len(cost) - 1, 0, -1):
        column.append(int(best[row, column[-1]]))
    path = gaussian_filter1d(columns[column[::-1]], _SMOOTH, mode="nearest")
    across = np.arange(-guide.beside, guide.beside + _STEP / 2, _STEP)
    return path, _sample(gain, points, normals, path[:, None] + across)


def _sample(
    gain: Floats, points: NDArray[np.float64], normals: NDArray[np.float64], distance: NDArray[np.float64]
) -> Floats:
    """Sample a change [SIZE, SIZE] at distances [n or 1, m] in cm from a guide's points."""
    places = points[:, None] + distance[..., None] * normals[:, None]
    sampled: Floats = cv2.remap(gain, places.astype(np.float32), None, cv2.INTER_CUBIC)
    return sampled


def _average(profiles: Sequence[Floats]) -> Floats:
    """Average profiles, less what few people show: the mean, as far as the median agrees with it."""
    mean, median = np.mean(profiles, 0), np.median(profiles, 0)
    share = np.clip(float(median.min()) / min(float(mean.min()), -1e-3), 0, 1)
    averaged: Floats = (share * mean).astype(np.float32)
    return averaged


def _align(profiles: Sequence[Floats]) -> list[Floats]:
    """Shift profiles [n, across] along their lines until the darkest parts meet."""
    middles = []
    for profile in profiles:
        darkness = np.square(np.maximum(-profile[:, profile.shape[1] // 2], 0))
        middles.append(float((darkness * np.arange(len(darkness))).sum() / max(float(darkness.sum()), 1e-9)))
    shifts = np.clip(np.mean(middles) - np.array(middles), -_SHIFTED / _STEP, _SHIFTED / _STEP)
    return [
        cv2.warpAffine(
            profile, np.array([[1, 0, 0], [0, 1, shift]]), profile.shape[::-1], borderMode=cv2.BORDER_REPLICATE
        )
        for profile, shift in zip(profiles, shifts, strict=True)
    ]


def _draw(
    path: NDArray[np.float64],
    profile: Floats,
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    guide: _Guide,
) -> Floats:
    """Draw what lies on and beside a line along its path, on the right."""
    y, x = np.mgrid[:SIZE, :SIZE]
    places = np.stack([x, y], -1).reshape(-1, 1, 2)
    line = points + path[:, None] * normals
    nearest = np.linalg.norm(places - line, axis=2).argmin(1)
    away = ((places[:, 0] - line[nearest]) * normals[nearest]).sum(1) / texels_per_cm() ** 2
    along = ((places[:, 0] - line[nearest]) * _turn(normals[nearest])).sum(1) / texels_per_cm() ** 2
    drawn = cv2.remap(
        profile.astype(np.float32),
        ((away + guide.beside) / _STEP).astype(np.float32)[:, None],
        nearest.astype(np.float32)[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[:, 0]
    ends = np.minimum(nearest, len(line) - 1 - nearest) * _STEP - np.where(np.abs(along) > _STEP, np.abs(along), 0)
    weight = np.clip(ends / _FADE, 0, 1) * np.clip((guide.beside - np.abs(away)) * 2 / guide.beside, 0, 1)
    faded: Floats = (drawn * weight).reshape(SIZE, SIZE).astype(np.float32)
    return faded


def _turn(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([vectors[:, 1], -vectors[:, 0]], 1)
