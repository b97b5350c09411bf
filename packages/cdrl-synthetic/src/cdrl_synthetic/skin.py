"""Procedural skin, brows, stubble and hair colors: what a person's surface looks like.

The skin is a picture in the coordinates of a cylinder around the mean head (`place_of`), so that it serves any head
model whose eyes are in the same place, and everything drawn on it moves with the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIZE = 768  # texels, side of the skin picture
_TONES = np.array(  # sRGB, very light to very dark
    [[243, 212, 194], [229, 187, 161], [205, 156, 122], [171, 118, 86], [127, 82, 57], [88, 56, 41], [60, 39, 31]],
    np.float32,
)
_HAIR = ((24, 18, 16), (46, 31, 23), (84, 56, 36), (122, 86, 50), (186, 148, 92), (140, 66, 32), (150, 148, 146))
_IRIS = ((0.25, 0.14, 0.07), (0.38, 0.22, 0.10), (0.42, 0.36, 0.18), (0.30, 0.42, 0.26), (0.30, 0.45, 0.62),
         (0.42, 0.50, 0.55))  # fmt: skip


@dataclass(frozen=True)
class Appearance:
    """The surface of a person."""

    tone: float
    """From 0 (very light) to 1 (very dark)."""
    age: float
    """From 0 (young) to 1 (old)."""
    skin: NDArray[np.uint8]
    """RGBA [768, 768, 4]; alpha is shine."""
    hair: tuple[float, ...]
    """sRGB in [0, 1]."""
    iris: tuple[float, ...]
    """sRGB in [0, 1]."""
    lips: tuple[float, ...]
    """sRGB in [0, 1]."""
    lash: tuple[float, ...]
    """sRGB in [0, 1]."""


def sample_appearance(male: bool, age: float, rng: np.random.Generator) -> Appearance:
    """Sample a person's surface.

    Args:
        male: Whether the person is male.
        age: From 0 (young) to 1 (old).
        rng: Source of randomness.
    """
    tone = float(rng.uniform(0, 1))
    base = np.array([np.interp(tone * 6, range(7), _TONES[:, channel]) for channel in range(3)], np.float32)
    base = np.clip(base * rng.normal(1, 0.03, 3), 20, 250).astype(np.float32)
    fair = max(0.0, 0.45 - tone)
    pick = rng.uniform()
    hair = np.array(_HAIR[6 if pick < 1.4 * (age - 0.45) else int(rng.integers(0, 2 + round(9 * fair)))], np.float32)
    hair *= rng.uniform(0.8, 1.2)
    iris = _IRIS[int(rng.integers(0, 2 + round(9 * fair)))]
    red = rng.uniform(0.25, 0.5) + (0.35 if not male and rng.uniform() < 0.35 else 0)
    rouge = np.array([150, 58, 66], np.float32) * rng.uniform(0.75, 1.1) * (0.45 + 0.55 * base[0] / 243)
    lips = base * (1 - red) + red * rouge.astype(np.float32)
    texture = _paint_skin(base, tone, male, hair, rng)
    lash = tuple((np.minimum(hair, 60) * 0.5 / 255).tolist())
    return Appearance(tone, age, texture, _normalize_color(hair), iris, _normalize_color(lips), lash)


def _normalize_color(color: Array) -> tuple[float, ...]:
    return tuple(np.clip(color / 255, 0.01, 0.98).tolist())


def to_texels(x: Array | float, y: Array | float, z: Array | float) -> tuple[Array, Array]:
    """Map canonical points (cm) to texels, as the shader does.

    Args:
        x: To the person's left.
        y: Up.
        z: Towards the viewer.

    Returns:
        Column and row.
    """
    column = (np.arctan2(x, np.asarray(z) + 7.0) / 4.4 + 0.5) * SIZE
    row = (1 - (np.asarray(y) + 16.0) / 30.0) * SIZE
    return np.asarray(column, np.float32), np.asarray(row, np.float32)


def sample_noise(rng: np.random.Generator, size: int, scale: int) -> Array:
    """Sample smooth noise of mean 0 and standard deviation 1.

    Args:
        rng: Source of randomness.
        size: Side of the picture.
        scale: Cells across.

    Returns:
        [size, size].
    """
    small = rng.normal(0, 1, (scale, scale)).astype(np.float32)
    big = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    result: Array = (big - big.mean()) / max(float(big.std()), 1e-6)
    return result


def _paint_skin(base: Array, tone: float, male: bool, hair: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    texels = np.arange(SIZE, dtype=np.float32)
    across = 9.5 * np.sin((texels / SIZE - 0.5) * 4.4)  # cm about, in front
    x, y = (grid.astype(np.float32) for grid in np.meshgrid(across, (1 - texels / SIZE) * 30 - 16))
    picture = np.tile(base, (SIZE, SIZE, 1))
    blotches = 0.6 * sample_noise(rng, SIZE, 18) + 0.4 * sample_noise(rng, SIZE, 60)
    picture *= 1 + (0.02 + 0.02 * rng.uniform()) * blotches[..., None]
    picture *= 1 + 0.02 * sample_noise(rng, SIZE, 200)[..., None]
    flush = 0.10 * rng.uniform() * (1 - 0.6 * tone)
    cheeks = np.exp(-(((np.abs(x) - 4.6) / 1.8) ** 2) - (((y + 3.4) / 1.7) ** 2))
    nose = np.exp(-((x / 1.1) ** 2) - (((y + 3.6) / 1.1) ** 2))
    picture[..., 1:] *= 1 - (flush * (cheeks + 0.8 * nose))[..., None]
    sockets = np.exp(-(((np.abs(x) - 3.1) / 1.9) ** 2) - (((y + 0.1) / 1.2) ** 2))
    picture *= 1 - (rng.uniform(0.08, 0.2) * sockets)[..., None] * np.array([0.8, 1.0, 0.95], np.float32)
    _paint_freckles(picture, tone, rng)
    if male:
        _paint_stubble(picture, x, y, hair, rng)
    _paint_brows(picture, male, hair, rng)
    gloss = 0.5 + 0.25 * np.exp(-((x / 2.0) ** 2) - (((y + 1) / 5.0) ** 2)) + 0.06 * sample_noise(rng, SIZE, 150)
    out = np.concatenate([picture, 255 * gloss[..., None]], 2)
    result: NDArray[np.uint8] = np.clip(out, 0, 255).astype(np.uint8)
    return result


def _paint_freckles(picture: Array, tone: float, rng: np.random.Generator) -> None:
    """Freckles on light skin, a few moles on any."""
    count = int(rng.integers(80, 300)) if tone < 0.35 and rng.uniform() < 0.4 else 0
    spots = [(0.10, 0.75, rng.normal(0, 4.5), rng.normal(-2.5, 1.8)) for _ in range(count)]
    spots += [(0.13, 0.45, rng.uniform(-8, 8), rng.uniform(-9, 6)) for _ in range(int(rng.integers(0, 5)))]
    mask = np.ones((SIZE, SIZE), np.float32)
    for radius, shade, x, height in spots:
        column, row = to_texels(x, height, 2.0)
        size = (SIZE / 38 * radius * rng.uniform(0.6, 1.3), SIZE / 30 * radius)
        cv2.ellipse(mask, (int(column), int(row)), (max(int(size[0]), 1), max(int(size[1]), 1)), 0, 0, 360, shade, -1)
    picture *= cv2.GaussianBlur(mask, (0, 0), 0.9)[..., None]


def _paint_stubble(picture: Array, x: Array, y: Array, hair: Array, rng: np.random.Generator) -> None:
    """A shadow where a beard grows, and in some people the beard."""
    jaw = 1 / (1 + np.exp((y + 5.6) / 0.45)) / (1 + np.exp(-(y + 13.5) / 0.5))
    side = 1 / (1 + np.exp(-(np.abs(x) - 5.6) / 0.4)) / (1 + np.exp((y + 1.0) / 0.6))
    cheek = np.exp(-(((np.abs(x) - 4.2) / 1.2) ** 2) - (((y + 5.6) / 1.3) ** 2))
    lip = np.exp(-((x / 3.0) ** 4) - (((y + 5.35) / 0.55) ** 2))
    kind = rng.uniform()
    area = np.clip(np.maximum(jaw, side) - 0.8 * cheek + 0.8 * lip, 0, 1)
    if kind > 0.93:
        area = np.clip(lip * 1.3, 0, 1)  # a mustache alone
    amount = rng.uniform(0.05, 0.25) if kind < 0.7 else rng.uniform(0.45, 0.8)
    speckles = np.clip(0.75 + 0.5 * rng.normal(0, 1, (SIZE, SIZE)), 0, 1.4).astype(np.float32)
    grain = cv2.GaussianBlur(speckles, (0, 0), 0.8)
    alpha = np.clip(amount * area * grain, 0, 0.92)[..., None]
    picture[:] = picture * (1 - alpha) + alpha * np.maximum(hair * 0.8, 12)


def _paint_brows(picture: Array, male: bool, hair: Array, rng: np.random.Generator) -> None:
    """Brows as strokes of hair along a curve above each eye."""
    thick = rng.uniform(0.35, 0.75) * (1.15 if male else 0.85)
    lift, arch = rng.normal(0, 0.18), rng.uniform(0.25, 0.8)
    reach = rng.uniform(4.6, 5.3)
    density = int(rng.integers(150, 330))
    color = np.clip(hair * 0.75, 10, 190)
    layer = np.zeros((SIZE, SIZE), np.float32)
    for side in (-1, 1):
        for _ in range(density):
            along = rng.beta(1.1, 1.2)
            x = 1.1 + along * (reach - 1.1)
            curve = 1.75 + lift + arch * np.sin(np.pi * min(along * 0.85 + 0.05, 1)) - 0.35 * along**3
            width = thick * (1 - 0.75 * along**1.6) * (0.6 + 0.4 * min(along * 6, 1))
            y = curve + width * rng.uniform(-0.5, 0.5)
            lean = np.deg2rad(75 - 70 * along + rng.normal(0, 9))
            length = rng.uniform(0.35, 0.65)
            ends = [to_texels(side * (x + d * np.cos(lean)), y + d * np.sin(lean) * 0.6, 2.4) for d in (0.0, length)]
            start, end = ((int(c * 4), int(r * 4)) for c, r in ends)  # in quarters of a texel: two fractional bits
            cv2.line(layer, start, end, float(rng.uniform(0.5, 1)), 1, cv2.LINE_AA, 2)
    alpha = np.clip(cv2.GaussianBlur(layer, (0, 0), 0.7) * rng.uniform(0.75, 1.1), 0, 0.93)[..., None]
    picture[:] = picture * (1 - alpha) + alpha * color
