"""Emotions as ARKit units: several ways to show each, a person's own manner, and how it comes and goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl_synthetic.head import UNITS, Floats
from cdrl_synthetic.visemes import OPENERS, close_lips, expand_sides, find_units

STRENGTH = {1: 0.5, 2: 0.75, 3: 1.0}
"""Of an emotion at MEAD's three levels."""

# Each emotion's upper face, then ways of its mouth; a name without a side means both sides.
_UPPER: dict[str, tuple[dict[str, float], ...]] = {
    "neutral": ({},),
    "angry": (
        {"browDown": 0.95, "eyeSquint": 0.55, "noseSneer": 0.3, "cheekSquint": 0.2},
        {"browDown": 0.9, "eyeWide": 0.45, "noseSneer": 0.15},
        {"browDown": 1.0, "eyeSquint": 0.3, "noseSneer": 0.5},
    ),
    "disgusted": (
        {"noseSneer": 0.95, "browDown": 0.5, "cheekSquint": 0.55, "eyeSquint": 0.6},
        {"noseSneer": 0.8, "browDown": 0.35, "eyeSquint": 0.75, "eyeBlink": 0.15},
    ),
    "fear": (
        {"browInnerUp": 0.95, "browOuterUp": 0.25, "browDown": 0.3, "eyeWide": 0.9},
        {"browInnerUp": 0.8, "browDown": 0.35, "eyeWide": 0.7},
        {"browInnerUp": 0.9, "browOuterUp": 0.45, "browDown": 0.15, "eyeWide": 1.0},
    ),
    "happy": (
        {"cheekSquint": 0.75, "eyeSquint": 0.35},
        {"cheekSquint": 0.5, "eyeSquint": 0.2, "browOuterUp": 0.15, "browInnerUp": 0.1},
    ),
    "sad": (
        {"browInnerUp": 0.9, "browDown": 0.15, "eyeBlink": 0.22, "eyeLookDown": 0.2},
        {"browInnerUp": 0.75, "eyeSquint": 0.35, "cheekSquint": 0.2, "eyeBlink": 0.12},
        {"browInnerUp": 1.0, "browDown": 0.3, "eyeBlink": 0.25, "eyeLookDown": 0.35},
    ),
    "surprised": (
        {"browInnerUp": 0.85, "browOuterUp": 0.95, "eyeWide": 0.9},
        {"browInnerUp": 0.7, "browOuterUp": 0.8, "eyeWide": 0.55},
    ),
}
_MOUTH: dict[str, tuple[dict[str, float], ...]] = {
    "neutral": ({},),
    "angry": (
        {"mouthPress": 0.5, "mouthRollLower": 0.25, "mouthFrown": 0.35, "mouthShrugLower": 0.3},
        {"mouthUpperUp": 0.4, "mouthLowerDown": 0.5, "mouthStretch": 0.3, "jawOpen": 0.08, "jawForward": 0.2},
        {"mouthFrown": 0.45, "mouthUpperUp": 0.25, "mouthFunnel": 0.25, "jawForward": 0.3},
    ),
    "disgusted": (
        {"mouthUpperUp": 0.65, "mouthFrown": 0.35, "mouthShrugLower": 0.25},
        {"mouthUpperUp": 0.55, "mouthLowerDown": 0.35, "mouthStretch": 0.25, "jawOpen": 0.08},
        {"mouthUpperUp": 0.45, "mouthShrugUpper": 0.5, "mouthShrugLower": 0.45, "mouthFrown": 0.4},
    ),
    "fear": (
        {"mouthStretch": 0.75, "mouthLowerDown": 0.3, "jawOpen": 0.1},
        {"mouthStretch": 0.55, "mouthFrown": 0.3, "jawOpen": 0.05},
        {"mouthStretch": 0.4, "mouthLowerDown": 0.25, "mouthUpperUp": 0.2, "jawOpen": 0.16},
    ),
    "happy": (
        {"mouthSmile": 0.75, "mouthUpperUp": 0.25, "mouthLowerDown": 0.15},
        {"mouthSmile": 0.65, "mouthDimple": 0.3},
        {"mouthSmile": 0.95, "mouthUpperUp": 0.35, "mouthLowerDown": 0.3, "jawOpen": 0.06},
    ),
    "sad": (
        {"mouthFrown": 0.85, "mouthShrugLower": 0.4},
        {"mouthFrown": 0.6, "mouthPucker": 0.15, "mouthRollLower": 0.2, "mouthShrugLower": 0.5},
        {"mouthFrown": 0.55, "mouthStretch": 0.35, "mouthLowerDown": 0.1},
    ),
    "surprised": (
        {"jawOpen": 0.26, "mouthFunnel": 0.15},
        {"jawOpen": 0.18, "mouthFunnel": 0.35, "mouthUpperUp": 0.1},
        {"jawOpen": 0.14, "mouthSmile": 0.15, "mouthStretch": 0.15},
    ),
}
_LEFT = np.array([UNITS.index(name) for name in UNITS if name.endswith("Left") and name[:-4] + "Right" in UNITS])
_RIGHT = np.array([UNITS.index(UNITS[index][:-4] + "Right") for index in _LEFT])
_RESTING = find_units("brow", "eyeSquint", "mouthFrown", "mouthSmile", "mouthPress", "cheekSquint", "noseSneer")


@dataclass(frozen=True)
class ExpressionStyle:
    """How one person shows emotions."""

    shapes: dict[str, Floats]
    """Emotion to unit weights [52] at full strength."""
    strength: float
    """How strongly the person shows any emotion; about 1."""
    clarity: float
    """How far the mouth opens in speech; about 1."""
    blink_rate: float
    """Blinks a second."""


def sample_style(rng: np.random.Generator) -> ExpressionStyle:
    """Sample how a person shows emotions: ways of brow and mouth, gains of single units, asymmetry."""
    shapes = {emotion: _sample_shape(emotion, rng) for emotion in EMOTIONS}
    strength = float(np.clip(rng.normal(1, 0.15), 0.7, 1.3))
    return ExpressionStyle(shapes, strength, float(rng.uniform(0.8, 1.25)), float(rng.uniform(0.1, 0.5)))


def _sample_shape(emotion: str, rng: np.random.Generator) -> Floats:
    uppers, mouths = _UPPER[emotion], _MOUTH[emotion]
    upper = rng.dirichlet([0.4] * len(uppers)) @ np.stack([expand_sides(shape) for shape in uppers])
    mouth = rng.dirichlet([0.4] * len(mouths)) @ np.stack([expand_sides(shape) for shape in mouths])
    gains = np.exp(rng.normal(0, 0.25, len(UNITS)))
    gains[_RIGHT] = gains[_LEFT]
    tilt = np.exp(rng.normal(0, 0.12, len(_LEFT)) + rng.normal(0, 0.06))
    gains[_LEFT] *= tilt
    gains[_RIGHT] /= tilt
    result = np.clip((upper + mouth) * gains, 0, 1.05)
    result[_RESTING] += np.abs(rng.normal(0, 0.03, len(UNITS)))[_RESTING]  # nobody is quite at rest
    return result.astype(np.float32)


def sample_time_course(times: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Sample how much of an emotion is there: onset, apex, decay, and a slow waver.

    Args:
        times: [T] seconds.
        rng: Source of randomness.

    Returns:
        [T] in [0, 1.1]; mostly above .6.
    """
    end = float(times[-1])
    begin, rise = rng.uniform(0.25, 1.0), rng.uniform(0.15, 0.5)
    up = _smoothstep((times - rng.uniform(-0.3, 0.25)) / rise)
    fall_from = end * rng.uniform(0.6, 1.3)
    down = rng.uniform(0.0, 0.45) * _smoothstep((times - fall_from) / rng.uniform(0.3, 0.8))
    waver = 0.06 * np.sin(2 * np.pi * (times * rng.uniform(0.4, 1.3) + rng.uniform()))
    result: Floats = np.clip((begin + (1 - begin) * up - down) * (1 + waver), 0, 1.1).astype(np.float32)
    return result


def _smoothstep(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def combine_weights(speech: Floats, emotion: Floats, closed: Floats, tucked: Floats) -> Floats:
    """Combine speech and emotion, which add; openings by the emotion give way to speech, and lips that must meet do.

    Args:
        speech: Unit weights [T, 52] of the speaking mouth.
        emotion: Unit weights [T, 52] of the emotion.
        closed: [T] in [0, 1], how far the lips must meet.
        tucked: [T] in [0, 1], how far the lower lip must be tucked.

    Returns:
        Unit weights [T, 52] in [0, 1].
    """
    result = speech + emotion
    # Two openings do not add up: the wider one, and a part of the other.
    one, other = speech[:, OPENERS], emotion[:, OPENERS]
    result[:, OPENERS] = np.maximum(one, other) + 0.35 * np.minimum(one, other)
    rounding = speech[:, [UNITS.index("mouthPucker"), UNITS.index("mouthFunnel")]].max(1, keepdims=True)
    result[:, find_units("mouthSmile", "mouthStretch")] *= 1 - 0.5 * rounding  # rounded lips cannot be wide
    parted = np.clip(speech[:, [UNITS.index("jawOpen")]] * 2.5, 0, 1)
    result[:, find_units("mouthRoll", "mouthPress", "mouthShrug")] *= 1 - 0.7 * parted
    return np.clip(close_lips(result, closed, tucked), 0, 1.0)


def sample_blinks(times: NDArray[np.float64], rate: float, rng: np.random.Generator) -> Floats:
    """Sample blinks.

    Args:
        times: [T] seconds.
        rate: Blinks a second.
        rng: Source of randomness.

    Returns:
        [T] how far the lids are closed, in [0, 1].
    """
    result = np.zeros(len(times))
    for _ in range(rng.poisson(rate * float(times[-1] - times[0]))):
        away = times - rng.uniform(times[0], times[-1])
        result = np.maximum(result, np.exp(-((away / np.where(away < 0, 0.05, 0.09)) ** 2)))
    return result.astype(np.float32)


def sample_gaze(times: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Sample where the eyes look: near the camera, a few jumps.

    Args:
        times: [T] seconds.
        rng: Source of randomness.

    Returns:
        Unit weights [T, 52].
    """
    jumps = np.sort(rng.uniform(times[0], times[-1], rng.poisson(1.2)))
    stage = np.searchsorted(jumps, times)
    across, along = rng.normal(0, 0.14, len(jumps) + 1)[stage], rng.normal(0, 0.1, len(jumps) + 1)[stage]
    result = np.zeros((len(times), len(UNITS)), np.float32)
    looks = {"OutLeft": across, "InRight": across, "InLeft": -across, "OutRight": -across}
    looks |= {"UpLeft": along, "UpRight": along, "DownLeft": -along, "DownRight": -along}
    for name, value in looks.items():
        result[:, UNITS.index(f"eyeLook{name}")] = np.clip(value, 0, 0.8)
    return result
