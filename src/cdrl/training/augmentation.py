"""Augmentation of face pictures: framing, light, color, resolution and occlusion; and what a face says.

The faces come from very different pictures (gray 48-pixel ones of very many people, sharp color ones of few), so every
face is shown as the others look, too. All of it is drawn from the given generator: the same seed, the same picture.

Paper: the emotion-augmented contrast asks for faces of the same emotion that differ in content. `change_content` gives
a face another mouth, erases or warps it; another moment and another person are drawn by the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_MOUTH_CENTER, _MOUTH_RADIUS = (0.5, 0.77), (0.24, 0.15)  # in an aligned picture, in shares of its side
_CONTENT_CHANGES = ("swap", "swap", "erase", "warp")  # in these proportions


@dataclass(frozen=True)
class Augmentation:
    """Ranges and probabilities (in [0, 1]) of the changes to a picture."""

    turn: float = 12.0
    """Largest rotation in degrees, either way."""
    zoom: tuple[float, float] = (0.86, 1.3)
    """Range of factors on the size of the face."""
    shift: float = 0.06
    """Largest shift as a share of the picture's side, either way."""
    stretch: float = 0.06
    """Largest change of the height over the width, either way."""
    gray: float = 0.5
    """Probability that color is removed."""
    tint: float = 0.15
    """Largest change of a color channel's gain."""
    contrast: tuple[float, float] = (0.6, 2.0)
    """Range of factors on the contrast."""
    brightness: float = 0.18
    """Largest shift of the brightness as a share of the range, either way."""
    gamma: tuple[float, float] = (0.7, 1.45)
    """Range of exponents."""
    low_resolution: float = 0.4
    """Probability of a lower resolution."""
    min_side: int = 36
    """Side of the lowest resolution in pixels."""
    compression: float = 0.3
    """Probability of JPEG at a quality of 20 to 80."""
    cutout: float = 0.4
    """Probability of a rectangle without content."""


def augment(picture: Picture, side: int, how: Augmentation, random: np.random.Generator) -> Picture:
    """Augment a picture.

    Args:
        picture: [h, h, 3] RGB or [h, h] gray, of any side.
        side: Side of the result.
        how: Ranges and probabilities.
        random: Generator that decides.

    Returns:
        RGB [side, side, 3].
    """
    result = degrade(_to_rgb(_reframe(picture, side, how, random)), how, random)
    if random.random() < how.cutout:
        height, width = (int(side * share) for share in random.uniform(0.1, 0.4, 2))
        top, left = int(random.integers(0, side - height)), int(random.integers(0, side - width))
        result[top : top + height, left : left + width] = random.integers(0, 256)
    return result


def degrade(picture: Picture, how: Augmentation, random: np.random.Generator) -> Picture:
    """Change resolution, compression and light of a picture, RGB [h, h, 3], but nothing's place in it."""
    result, side = picture, len(picture)
    if random.random() < how.low_resolution:
        smaller = int(random.integers(how.min_side, max(side, how.min_side + 1)))
        small = cv2.resize(result, (smaller, smaller), interpolation=cv2.INTER_AREA)
        result = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    if random.random() < how.compression:
        quality = int(random.integers(20, 80))
        result = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8
        )
    return _relight(result, how, random)


def resize(picture: Picture, side: int) -> Picture:
    """Resize a picture [h, h, 3] or [h, h] to RGB [side, side, 3]."""
    method = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_CUBIC
    return _to_rgb(np.asarray(cv2.resize(picture, (side, side), interpolation=method), np.uint8))


def _to_rgb(picture: Picture) -> Picture:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)


def _reframe(picture: Picture, side: int, how: Augmentation, random: np.random.Generator) -> Picture:
    """Turned, zoomed, shifted, stretched and perhaps mirrored."""
    turn = np.deg2rad(random.uniform(-how.turn, how.turn))
    zoom = np.exp(random.uniform(*np.log(how.zoom)))
    tall = 1 + random.uniform(-how.stretch, how.stretch)
    mirror = 1 if random.random() < 0.5 else -1
    scale = picture.shape[0] / side / zoom
    cosine, sine = np.cos(turn) * scale, np.sin(turn) * scale
    matrix = np.array([[cosine * mirror, -sine / tall, 0.0], [sine * mirror, cosine / tall, 0.0]])
    middle = (picture.shape[0] - 1) / 2 + random.uniform(-how.shift, how.shift, 2) * picture.shape[0]
    matrix[:, 2] = middle - matrix[:, :2] @ np.full(2, (side - 1) / 2)
    flags = (cv2.INTER_LINEAR if picture.shape[0] >= side else cv2.INTER_CUBIC) | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _relight(picture: Picture, how: Augmentation, random: np.random.Generator) -> Picture:
    """Another light, perhaps without color."""
    values = picture.astype(np.float32) / 255
    if random.random() < how.gray:
        values = np.repeat(values @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, 2)
    else:
        values *= 1 + random.uniform(-how.tint, how.tint, 3).astype(np.float32)
    mean = values.mean()
    values = (values - mean) * np.float32(random.uniform(*how.contrast)) + mean
    values += np.float32(random.uniform(-how.brightness, how.brightness))
    values = np.clip(values, 0, 1) ** np.float32(np.exp(random.uniform(*np.log(how.gamma))))
    return np.asarray(values * 255 + 0.5, np.uint8)


def mouth_mask(side: int, spread: float = 0.5) -> NDArray[np.float32]:
    """Return a mask [side, side, 1] in [0, 1]: one at the mouth, falling softly to zero around it."""
    across, down = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side)
    away = np.hypot((across - _MOUTH_CENTER[0]) / _MOUTH_RADIUS[0], (down - _MOUTH_CENTER[1]) / _MOUTH_RADIUS[1])
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
    method = _CONTENT_CHANGES[random.integers(len(_CONTENT_CHANGES))]
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
    x, y = _MOUTH_CENTER[0] * side, _MOUTH_CENTER[1] * side
    matrix = np.array([[1 + wide, 0, -wide * x], [0, 1 + tall, -tall * y]])
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.float32)
