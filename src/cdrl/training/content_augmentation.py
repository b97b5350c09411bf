"""Changing what a face says without changing its emotion: the mouth region of another face, erased, or warped.

Paper: the emotion-augmented contrast asks for faces of the same emotion that differ in content. Another mouth comes
from a face with the same emotion; another moment and another person are drawn by the recipe.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_CENTER, _RADIUS = (0.5, 0.77), (0.24, 0.15)  # of the mouth in an aligned picture, in shares of its side
_METHODS = ("swap", "swap", "erase", "warp")  # in these proportions


def mouth_mask(side: int, spread: float = 0.5) -> NDArray[np.float32]:
    """Return a mask [side, side, 1] in [0, 1]: one at the mouth, falling softly to zero around it."""
    across, down = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side)
    away = np.hypot((across - _CENTER[0]) / _RADIUS[0], (down - _CENTER[1]) / _RADIUS[1])
    return np.asarray(np.clip((1 + spread - away) / spread, 0, 1)[..., None], np.float32)


def change_content(picture: Picture, donor: Picture, random: np.random.Generator) -> Picture:
    """Change the mouth of a picture: another face's, erased, or warped.

    Args:
        picture: [h, h, 3].
        donor: A face [h, h, 3] that shows the same emotion.
        random: Generator that decides how.

    Returns:
        The changed picture [h, h, 3].
    """
    method = _METHODS[random.integers(len(_METHODS))]
    mask = mouth_mask(len(picture), float(random.uniform(0.3, 0.7)))
    if method == "swap":
        other = _match_colors(donor, picture, mask)
    elif method == "erase":
        other = cv2.GaussianBlur(picture, (0, 0), len(picture) * float(random.uniform(0.06, 0.15))).astype(np.float32)
    else:
        other = _warp_mouth(picture, float(random.uniform(-0.35, 0.35)), float(random.uniform(-0.2, 0.2)))
    return np.asarray(np.clip(picture * (1 - mask) + other * mask + 0.5, 0, 255), np.uint8)


def _match_colors(donor: Picture, picture: Picture, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """The donor in the picture's colors, as they are around the mouth."""
    around = (mask > 0) & (mask < 1)
    places = np.broadcast_to(around, picture.shape)
    mean, want = (view[places].reshape(-1, 3).mean(0) for view in (donor, picture))
    spread, wanted = (view[places].reshape(-1, 3).std(0) + 4 for view in (donor, picture))
    gain = np.clip(wanted / spread, 0.5, 2)
    return np.asarray((donor - mean) * gain + want, np.float32)


def _warp_mouth(picture: Picture, tall: float, wide: float) -> NDArray[np.float32]:
    """The mouth stretched about its center."""
    side = len(picture)
    x, y = _CENTER[0] * side, _CENTER[1] * side
    matrix = np.array([[1 + wide, 0, -wide * x], [0, 1 + tall, -tall * y]])
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.float32)
