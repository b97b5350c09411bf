"""Finds even backgrounds behind heads, and replaces them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.face.mesh import OVAL
from cdrl.training.occluders import draw_surface

UNKNOWN = 2
"""Marks what may be background."""
_EVEN, _LEAST_WALL = 2.2, 0.06  # levels between neighbors in an even background, and its least share of a picture
_SEEDS = 8  # pixels between two places of an edge from which further even parts are looked for
_FRINGE = 0.9  # pixels: deviation of the blur between head and a replaced background


def key_background(picture: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Find an even background, as a studio's wall is.

    Args:
        picture: RGB [h, w, 3], an aligned picture.
        points: [478, 2] landmarks, pixels.

    Returns:
        [h, w], 1 where there is background and `UNKNOWN` where there may be; None where none is even, or it cannot be
        told from the face.
    """
    height, width = picture.shape[:2]
    calm = cv2.bilateralFilter(picture, 7, 12, 5)
    filled = np.zeros((height + 2, width + 2), np.uint8)

    def fill(x: int, y: int, mark: int) -> None:
        if not filled[y + 1, x + 1]:
            flags = 4 | cv2.FLOODFILL_MASK_ONLY | (mark << 8)
            cv2.floodFill(calm, filled, (x, y), 0, (_EVEN,) * 3, (_EVEN,) * 3, flags)

    fill(2, 2, 1)
    fill(width - 3, 2, 1)
    # Another even part that reaches the edge may be a wall, too, or hair, or clothes.
    for place in range(2, width - 2, _SEEDS):
        fill(place, 2, UNKNOWN)
        fill(2, place, UNKNOWN)
        fill(width - 3, place, UNKNOWN)
    inside = filled[1:-1, 1:-1]
    background = cv2.morphologyEx((inside == 1).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    face = cv2.fillConvexPoly(np.zeros((height, width), np.uint8), np.round(points[list(OVAL)]).astype(np.int32), 1)
    if background.mean() < _LEAST_WALL or (background & face).any():
        return None
    return np.where((inside > 0) & (background == 0) & (face == 0), UNKNOWN, background).astype(np.uint8)


def replace_background(
    picture: NDArray[np.uint8], background: NDArray[np.float32], other: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Put another picture behind a head; its edge takes in the rim that the old background colors."""
    wider = int(random.integers(0, 3))
    if wider:
        background = cv2.dilate(background, np.ones((2 * wider + 1,) * 2, np.uint8))
    opacity = cv2.GaussianBlur(background, (0, 0), _FRINGE)[..., None]
    behind = draw_surface(picture, other, random)
    mixed = np.clip(np.round(picture + opacity * (behind - picture)), 0, 255)
    return mixed.astype(np.uint8), background
