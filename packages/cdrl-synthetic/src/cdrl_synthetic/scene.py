"""Light, camera, background, head motion and the sensor: everything around the face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl_synthetic.head import Floats
from cdrl_synthetic.identity import build_rotation
from cdrl_synthetic.rendering import Camera

PIVOT = np.array([0.0, -9.0, -7.0], np.float32)
"""Where the head turns on the neck, cm."""


@dataclass(frozen=True)
class SceneSetup:
    """A place to film in."""

    uniforms: dict[str, Any]
    """Uniforms of the shader that describe the light."""
    camera: Camera
    """Where the head is seen from."""
    background: NDArray[np.uint8]
    """RGB [size, size, 3]."""
    noise: float
    """Standard deviation of the sensor's noise, of 255."""
    blur: float
    """Standard deviation of the lens's blur, pixels."""
    gain: Floats
    """[3] gain of red, green and blue."""


def sample_scene(size: int, rng: np.random.Generator) -> SceneSetup:
    """Sample a place to film in.

    Args:
        size: Side of the picture in pixels.
        rng: Source of randomness.
    """
    side = rng.uniform(-1.0, 1.0)
    key = np.array([side, rng.uniform(0.0, 0.8), rng.uniform(0.6, 1.2)])
    fill = np.array([-side * rng.uniform(0.3, 1.0), rng.uniform(-0.2, 0.5), 0.8])
    warm = rng.normal(0, 0.06)
    tint = np.array([1 + warm, 1, 1 - warm])
    bright = rng.uniform(0.85, 1.35)
    contrast = rng.uniform(0.35, 0.8)  # share of the key light
    sky = np.array([0.42, 0.42, 0.44]) * bright * (1 - contrast) * 1.6 * tint[::-1]
    uniforms = {
        "key_direction": key / np.linalg.norm(key),
        "key_color": 1.25 * bright * contrast * 1.3 * tint,
        "fill_direction": fill / np.linalg.norm(fill),
        "fill_color": 0.55 * bright * (1 - contrast) * tint[::-1],
        "sky": sky,
        "ground": sky * rng.uniform(0.4, 0.8) * np.array([1.05, 1, 0.92]),
    }
    camera = Camera(rng.uniform(45, 110), rng.uniform(20.0, 26.5), (rng.normal(0, 0.8), rng.normal(2.6, 0.7)))
    gain = np.clip(rng.normal(1, 0.03, 3), 0.9, 1.1).astype(np.float32) * np.float32(rng.uniform(0.92, 1.06))
    background = _sample_background(size, rng)
    return SceneSetup(uniforms, camera, background, rng.uniform(0.5, 4.0), rng.uniform(0.0, 0.7), gain)


def _sample_background(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Soft colors, sometimes with out-of-focus boxes as of a room."""
    gray = rng.uniform(25, 225)
    base = gray + (rng.uniform(20, 235, 3) - gray) * rng.uniform(0.05, 0.6)
    small = base + rng.normal(0, rng.uniform(2, 18), (4, 4, 3)) + rng.normal(0, rng.uniform(2, 25), (4, 4, 1))
    picture = cv2.resize(small.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 7))):
        low = rng.uniform(-0.2, 1, 2) * size
        high = low + rng.uniform(0.08, 0.5, 2) * size
        color = tuple(float(v) for v in np.clip(base + rng.normal(0, 40) + rng.normal(0, 25, 3), 0, 255))
        cv2.rectangle(picture, tuple(int(v) for v in low), tuple(int(v) for v in high), color, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), size / 256 * rng.uniform(3, 12))
    result: NDArray[np.uint8] = np.clip(picture, 0, 255).astype(np.uint8)
    return result


def sample_head_motion(
    times: NDArray[np.float64], loudness: Floats, emotion: str, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Sample a slow sway, nods with the voice, a resting turn within 20 degrees, and a lean that some emotions bring.

    Args:
        times: [T] seconds.
        loudness: [T] in [0, 1].
        emotion: One of `cdrl.emotions.EMOTIONS`.
        rng: Source of randomness.

    Returns:
        Rotations [T, 3, 3] and translations [T, 3] cm.
    """
    turn = np.clip(rng.normal(0, 8.0), -20, 20)
    lean = {"sad": 5.0, "surprised": -4.0, "fear": -3.0, "angry": 2.0}.get(emotion, 0.0) * rng.uniform(-0.3, 1.3)
    yaw = turn + _sample_sway(times, rng.uniform(0.5, 5.0), rng)
    pitch = rng.normal(0, 3.5) + lean + _sample_sway(times, rng.uniform(0.3, 2.5), rng)
    roll = rng.normal(0, 2.5) + _sample_sway(times, rng.uniform(0.2, 2.5), rng)
    beat = cv2.GaussianBlur(loudness.astype(np.float32)[None], (0, 0), 3)[0]
    pitch = pitch + rng.uniform(-1, 4) * (beat - beat.mean())
    angles = np.deg2rad(np.stack([np.clip(yaw, -24, 24), pitch, roll], 1))
    turns = np.stack([build_rotation(*row) for row in angles])
    drift = np.stack([_sample_sway(times, size, rng) for size in (0.35, 0.25, 0.5)], 1)
    return turns, (PIVOT - turns @ PIVOT + drift).astype(np.float32)


def _sample_sway(times: NDArray[np.float64], size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    waves = [np.sin(2 * np.pi * (times * rng.uniform(0.15, 0.9) + rng.uniform())) for _ in range(3)]
    result: NDArray[np.float64] = size * np.sum(waves, 0) / 2
    return result


def compose_frame(rgba: NDArray[np.uint8], scene: SceneSetup, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lay the drawn head over the background, as a sensor sees it.

    Args:
        rgba: The head [s, s, 4], premultiplied by coverage.
        scene: The place.
        rng: Source of the sensor's noise.

    Returns:
        RGB [size, size, 3].
    """
    cover = rgba[..., 3:].astype(np.float32) / 255
    picture = rgba[..., :3] * scene.gain + scene.background * (1 - cover)
    if scene.blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), scene.blur)
    grain = rng.standard_normal(cover.shape, np.float32) * scene.noise
    return np.clip(picture + grain, 0, 255).astype(np.uint8)
