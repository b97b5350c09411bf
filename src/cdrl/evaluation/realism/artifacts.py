"""Shapes of a face that an edit must leave alone, measured on pixels: how high teeth are, how thick brows are.

Both are measured in a crop that is level with the eyes and has the same scale, a hundredth of the distance between the
eyes' centers a pixel, whatever the size of the picture. A ratio of 1 says that an edit moved what it should have moved
and stretched nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.geometry import INNER_LIPS, crop_affine, eye_centers, sample_crop

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

SMALLEST_TEETH = 0.03
"""Eye distances: where less is seen of the teeth, in either of two frames, their heights are not compared."""
_SCALE = 100  # pixels an eye distance
_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)  # mesh indices: inner contour, corner to corner
_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_CHEEKS = (50, 101, 280, 330)  # mesh indices of bare skin
_MOUTH = (120, 100)  # pixels of its crop
_TOOTH_LUMA = 0.5  # of the skin's: the inside of a mouth is darker
_TOOTH_REDNESS = 0.95  # of the skin's red over green: lips, gums and tongue have more
_BROWS = (
    ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
    ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285)),
)  # mesh indices of the upper and the lower edge
_BROW = (90, 60)  # pixels of a brow's crop
_REACH = 6  # pixels beyond the landmarks' edges in which a brow's own edge is looked for
_CONTRAST = 0.15  # a brow that is darker than the skin by less than this share does not stand out
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def measure_tooth_height(rgb: Image, points: Array) -> float:
    """Measure how many rows of teeth are seen between the lips, in the middle third of the mouth.

    A pixel between the inner lips is a tooth's where its luma is half of the cheeks' or more and it is less red than
    they are (red over green); the height is the mean over the columns of the number of such pixels.

    Args:
        rgb: [H,W,3] picture.
        points: [468,2] landmarks in pixels.

    Returns:
        In eye distances, ≥ 0: 0 of closed lips.
    """
    crop, local = _cut_level(rgb, points, points[list(INNER_LIPS)].mean(0), _MOUTH)
    skin = _average_color(rgb, points)
    upper, lower = local[list(_UPPER_LIP)], local[list(_LOWER_LIP)]
    left, right = upper[0, 0], upper[-1, 0]
    columns = np.arange(round(left + (right - left) / 3), round(right - (right - left) / 3) + 1)
    columns = columns[(columns >= 0) & (columns < _MOUTH[0])]
    if not len(columns):
        return 0.0
    rows = np.arange(_MOUTH[1])[:, None]
    edges = [np.interp(columns, *line[np.argsort(line[:, 0])].T) for line in (upper, lower)]
    inside = crop[:, columns]
    bright = inside @ _LUMA >= _TOOTH_LUMA * (skin @ _LUMA)
    pale = inside[..., 0] * skin[1] <= _TOOTH_REDNESS * skin[0] * inside[..., 1]
    teeth = bright & pale & (rows >= edges[0]) & (rows <= edges[1])
    return float(teeth.sum(0).mean() / _SCALE)


def measure_brow_thickness(rgb: Image, points: Array) -> float:
    """Measure the vertical extent of dark brow pixels, mean of both brows.

    In each column of the middle half of a brow: the rows, in one piece around the darkest one, whose luma is below the
    middle between the darkest one's and that of the skin above; the mean over columns.

    Args:
        rgb: [H,W,3] picture.
        points: [468,2] landmarks in pixels.

    Returns:
        In eye distances; NaN where neither brow stands out from the skin.
    """
    values = [_measure_brow(rgb, points, upper, lower) for upper, lower in _BROWS]
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _measure_brow(rgb: Image, points: Array, upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    crop, local = _cut_level(rgb, points, points[[*upper, *lower]].mean(0), _BROW)
    luma = crop @ _LUMA
    left, right = local[[*upper, *lower], 0].min(), local[[*upper, *lower], 0].max()
    extents = []
    for column in range(round(left + (right - left) / 4), round(right - (right - left) / 4) + 1):
        if not 0 <= column < _BROW[0]:
            continue
        edges = [np.interp(column, *local[list(line)][np.argsort(local[list(line), 0])].T) for line in (upper, lower)]
        top, bottom = max(0, round(edges[0]) - _REACH), min(_BROW[1], round(edges[1]) + _REACH)
        line = luma[top:bottom, column]
        if len(line) < _REACH:
            continue
        skin, darkest = float(line[:_REACH].max()), int(line.argmin())
        if skin - line[darkest] < _CONTRAST * skin:
            continue
        light = np.flatnonzero(line >= (skin + line[darkest]) / 2)
        above, below = light[light < darkest], light[light > darkest]
        extents.append((below[0] if len(below) else len(line)) - (above[-1] if len(above) else -1) - 1)
    return float(np.mean(extents) / _SCALE) if extents else float("nan")


def _cut_level(rgb: Image, points: Array, center: Array, size: tuple[int, int]) -> tuple[Image, Array]:
    """A crop about a place [2] of the picture, and the landmarks [468,2] in its pixels."""
    right, left = eye_centers(points)
    pose = np.array([*(left - right), *center])
    affine = crop_affine(pose, (0.0, 0.0), size[0] / _SCALE / 2, size)
    local = (points - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T
    return sample_crop(rgb, affine, size), local


def _average_color(rgb: Image, points: Array) -> Array:
    """Median color [3] of the cheeks."""
    side = 12
    crops = [_cut_level(rgb, points, points[index], (side, side))[0] for index in _CHEEKS]
    return np.asarray(np.median(np.stack(crops).reshape(-1, 3), axis=0))
