"""What may happen to a picture of a face without changing what it shows: framing, light, colour, resolution, occlusion.

The faces come from very different pictures (grey 48-pixel ones of very many people, clear colour ones of few), so every
face is shown in ways in which the others look too. All of it is drawn from the generator given: the same seed, the same
picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """How much of what; probabilities in [0, 1]."""

    turn: float = 12.0
    """Degrees, either way."""
    zoom: tuple[float, float] = (0.86, 1.3)
    """Factors on the size of the face."""
    shift: float = 0.06
    """Of the picture's side, either way."""
    stretch: float = 0.06
    """Of the height over the width, either way."""
    grey: float = 0.5
    """Probability that colour goes."""
    tint: float = 0.15
    """Largest change of a colour channel's gain."""
    contrast: tuple[float, float] = (0.6, 2.0)
    brightness: float = 0.18
    """Of the range, either way."""
    gamma: tuple[float, float] = (0.7, 1.45)
    coarse: float = 0.4
    """Probability of a lower resolution."""
    coarsest: int = 36
    """Pixels a side of the lowest one."""
    compressed: float = 0.3
    """Probability of JPEG at a quality of 20 to 80."""
    cutout: float = 0.4
    """Probability of a rectangle without content."""


def augment(picture: Picture, side: int, how: Augmentation, random: np.random.Generator) -> Picture:
    """`picture` [h, h, 3] or [h, h] (any side) → [side, side, 3], RGB."""
    seen = _coloured(_framed(picture, side, how, random))
    if random.random() < how.coarse:
        smaller = int(random.integers(how.coarsest, max(side, how.coarsest + 1)))
        small = cv2.resize(seen, (smaller, smaller), interpolation=cv2.INTER_AREA)
        seen = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    if random.random() < how.compressed:
        quality = int(random.integers(20, 80))
        seen = np.asarray(cv2.imdecode(cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)
    seen = _lit(seen, how, random)
    if random.random() < how.cutout:
        height, width = (int(side * share) for share in random.uniform(0.1, 0.4, 2))
        top, left = int(random.integers(0, side - height)), int(random.integers(0, side - width))
        seen[top : top + height, left : left + width] = random.integers(0, 256)
    return seen


def resized(picture: Picture, side: int) -> Picture:
    """The picture [h, h, 3] or [h, h] as it is, at that side: [side, side, 3]."""
    method = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_CUBIC
    return _coloured(np.asarray(cv2.resize(picture, (side, side), interpolation=method), np.uint8))


def _coloured(picture: Picture) -> Picture:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)


def _framed(picture: Picture, side: int, how: Augmentation, random: np.random.Generator) -> Picture:
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


def _lit(picture: Picture, how: Augmentation, random: np.random.Generator) -> Picture:
    """Another light, perhaps without colour."""
    values = picture.astype(np.float32) / 255
    if random.random() < how.grey:
        values = np.repeat(values @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, 2)
    else:
        values *= 1 + random.uniform(-how.tint, how.tint, 3).astype(np.float32)
    mean = values.mean()
    values = (values - mean) * np.float32(random.uniform(*how.contrast)) + mean
    values += np.float32(random.uniform(-how.brightness, how.brightness))
    values = np.clip(values, 0, 1) ** np.float32(np.exp(random.uniform(*np.log(how.gamma))))
    return np.asarray(values * 255 + 0.5, np.uint8)
