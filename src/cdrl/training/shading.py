"""Fits the shading of an emotion: the folds that people show in it, where they agree, as deep as their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import LEFT_BROW, RIGHT_BROW
from cdrl.rendering.texture import SIZE, skin_mask, texture_points

FOLDS = {
    "forehead": (151, 69, 299, 108, 337, 104, 333, 105, 334),
    "glabella": (9, 8, 107, 336, 55, 285, 168),
    "lids": (52, 282, 53, 283, 224, 444, 225, 445),
    "eyes": (230, 450, 119, 348, 111, 340, 35, 265),
    "nose": (48, 278, 198, 420, 131, 360, 5, 4),
    "nasolabial": (129, 358, 203, 423, 206, 426, 216, 436, 205, 425),
    "mouth": (57, 287, 186, 410, 212, 432),
    "chin": (18, 83, 313, 200, 199, 175),
}
"""Landmarks where expressions fold skin. Elsewhere, as on the cheeks, two takes differ by their light."""
_OUTER = 3  # of the five pairs along a brow, those that a frown leaves in the light
_RADIUS, _FADE = 6, 3.0  # texels around a landmark, and by which they fade out
_DEVIATION = 1.48  # of a normal distribution, in median absolute deviations
_DEEP = 5  # percentile of log luma in an area that stands for its folds
_MAX_DEEPENING = 2.5  # factor: more would be noise
_MIN_DEPTH = 0.02  # log of luma: what is fainter is no fold
_BLUR = 1.0  # texels: finer detail differs from person to person


@cache
def fold_areas() -> Floats:
    """Return the soft membership [areas, SIZE, SIZE] of texels in `FOLDS`.

    They add up to 1 in folds, and to 0 elsewhere and in the brows, but for their inner ends, on which a frown casts a
    shadow: hair that moves is no shading.
    """
    masks = np.zeros((len(FOLDS), SIZE, SIZE), np.float32)
    for mask, points in zip(masks, FOLDS.values(), strict=True):
        for x, y in texture_points()[list(points)]:
            cv2.circle(mask, (round(float(x)), round(float(y))), _RADIUS, 1.0, -1)
        cv2.GaussianBlur(mask, (0, 0), _FADE, dst=mask)
    hair = np.zeros((SIZE, SIZE), np.float32)
    for brow in (RIGHT_BROW, LEFT_BROW):
        outline = texture_points()[[*brow[:_OUTER], *brow[4 + _OUTER : 4 : -1]]]
        cv2.fillPoly(hair, [np.round(outline).astype(np.int32)], 1.0)
    hair = cv2.GaussianBlur(cv2.dilate(hair, np.ones((3, 3), np.uint8)), (0, 0), _BLUR)
    areas: Floats = masks / np.maximum(masks.sum(0), 1.0) * skin_mask() * (1 - hair)
    return areas


def fit_shading(gains: Sequence[Floats]) -> Floats:
    """Fit the shading of an emotion [SIZE, SIZE], log of luma, to what changes [SIZE, SIZE] in each of some people.

    It is the median over people, less where they disagree: a fold of one person is a smudge on all others. Folds of two
    people lie beside one another, so that their median is shallower than each; area by area it is made as deep as the
    median of the people's own depths.
    """
    stacked = np.array(gains, np.float32)
    median = np.median(stacked, 0)
    spread = _DEVIATION * np.median(np.abs(stacked - median), 0)
    common = median * np.square(median) / (np.square(median) + np.square(spread) + 1e-9)
    common = cv2.GaussianBlur(common, (0, 0), _BLUR)
    shading: Floats = np.zeros_like(common)
    for area in fold_areas():
        own = np.median([_depth(cv2.GaussianBlur(gain, (0, 0), _BLUR), area) for gain in stacked])
        shading += area * common * np.clip(own / max(_depth(common, area), _MIN_DEPTH), 1.0, _MAX_DEEPENING)
    return shading


def _depth(gain: Floats, area: Floats) -> float:
    """Return how deep the folds of an area [SIZE, SIZE] are in a change of log luma [SIZE, SIZE]: 0 or more."""
    return max(-float(np.percentile(gain[area > 0.5], _DEEP)), 0.0)
