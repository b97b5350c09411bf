"""Folds of the skin: where expressions fold a face, and the folds that a face shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import LEFT_BROW, MOUTH_CORNERS, OUTER_LIPS, RIGHT_BROW
from cdrl.rendering.texture import SIZE, low_pass, skin_mask, texture_points

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
UNSHADED = ("lids", "eyes", "chin")
"""Of these, areas that are not shaded: without any one of them p(target) of W009 and W011 stays within .01."""
_NOSTRILS = (
    (98, 97, 99, 240, 75, 60, 20, 238, 79, 166, 59, 235, 64),
    (327, 326, 328, 460, 305, 290, 250, 458, 309, 392, 289, 455, 294),
)  # in no order
_OUTER = 3  # of the five pairs along a brow, those that a frown leaves in the light
_RADIUS, _FADE = 6, 3.0  # texels around a landmark, and by which they fade out
_BLUR = 1.0  # texels by which the edges of hair fade out
_FINE, _WIDE = 0.7, 4.0  # texels: widths of what is finer than a fold, and of what is light
_ROUNDS = 3  # in which the skin beside folds is told from them
_LINED = ("forehead", "glabella", "eyes", "nasolabial")  # areas whose dark lines are folds, not edges of lips and nose
_HAIR = 0.5  # log of luma by which a line is darker than skin that is no fold, but hair


@cache
def fold_areas() -> Floats:
    """Return the soft membership [areas, SIZE, SIZE] of texels in `FOLDS`.

    They add up to 1 in folds, and to 0 elsewhere and in the brows, but for their inner ends, on which a frown casts a
    shadow: hair that moves is no shading.
    """
    masks = np.array([_surround(points, _FADE) for points in FOLDS.values()])
    hair = _fill([[*brow[:_OUTER], *brow[4 + _OUTER : 4 : -1]] for brow in (RIGHT_BROW, LEFT_BROW)])
    areas: Floats = masks / np.maximum(masks.sum(0), 1.0) * skin_mask() * (1 - hair)
    return areas


@cache
def shaded_skin() -> Floats:
    """Return the share [SIZE, SIZE] of an emotion's shading that is shown: none in `UNSHADED`, nor in nostrils."""
    left_out = fold_areas()[[list(FOLDS).index(name) for name in UNSHADED]].sum(0)
    nostrils = _fill([_find_outline(points) for points in _NOSTRILS])
    share: Floats = (1 - left_out) * np.clip(1 - nostrils, 0, 1)
    return share


def measure_folds(texture: Floats) -> Floats:
    """Measure the folds of a face: how much darker than the skin beside them its lines are, where expressions fold it.

    Args:
        texture: [SIZE, SIZE] log of luma, as `log_texture` gives it.

    Returns:
        [SIZE, SIZE] log of luma, 0 or less.
    """
    fine = low_pass(texture, _FINE)
    beside = fine
    for _ in range(_ROUNDS):
        beside = low_pass(np.maximum(fine, low_pass(beside, _WIDE)), _WIDE)
    depth = np.maximum(beside - fine, 0)
    folds: Floats = (-depth * np.clip((_HAIR - depth) / _HAIR, 0, 1) * _lined_skin()).astype(np.float32)
    return folds


def widen_folds(shading: Floats) -> Floats:
    """Return how dark a shading [SIZE, SIZE], log of luma, is nearby: folds of others lie a little elsewhere."""
    size = 2 * _RADIUS + 1
    nearby = cv2.dilate(np.maximum(-shading, 0), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    widened: Floats = cv2.GaussianBlur(nearby, (0, 0), _FADE)
    return widened


@cache
def _lined_skin() -> Floats:
    """Where dark lines are folds [SIZE, SIZE], in 0..1: from the nose they run close by the corners of a smile."""
    places = [point for name in _LINED for point in FOLDS[name]]
    lips = _fill([[MOUTH_CORNERS[0], *OUTER_LIPS[0], MOUTH_CORNERS[1], *reversed(OUTER_LIPS[1])]])
    lined: Floats = _surround(places, _FADE / 2) * (1 - lips) * np.clip(fold_areas().sum(0), 0, 1)
    return lined


def _fill(outlines: Sequence[Sequence[int]]) -> Floats:
    """What lies within outlines of landmarks [SIZE, SIZE], and a texel beyond, with soft edges."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    for outline in outlines:
        cv2.fillPoly(mask, [np.round(texture_points()[list(outline)]).astype(np.int32)], 1.0)
    blurred: Floats = cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3), np.uint8)), (0, 0), _BLUR)
    return blurred


def _find_outline(points: Sequence[int]) -> list[int]:
    """The landmarks on the convex hull of some, in order."""
    hull = cv2.convexHull(texture_points()[list(points)].astype(np.float32), returnPoints=False)
    return [points[index] for index in hull.ravel()]


def _surround(points: Sequence[int], fade: float) -> Floats:
    """The surroundings of landmarks [SIZE, SIZE], 1 within `_RADIUS` and fading out over `fade` texels."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    for x, y in texture_points()[list(points)]:
        cv2.circle(mask, (round(float(x)), round(float(y))), _RADIUS, 1.0, -1)
    blurred: Floats = cv2.GaussianBlur(mask, (0, 0), fade)
    return blurred
