"""Phones → visemes → mouth units over time, with coarticulation.

Every phone pulls the mouth towards its viseme's shape around its own middle; neighbors' pulls overlap (Cohen and
Massaro's dominance functions). Lips that must meet (p b m) and the lip that must be tucked (f v) are laid over the
result, so that no neighbor and no emotion keeps them open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl_synthetic.head import UNITS, Floats

VISEMES = (
    "silence", "bilabial", "labiodental", "dental", "alveolar", "velar", "postalveolar", "sibilant", "r", "l", "aa",
    "ae", "ih", "oh", "ou",
)  # fmt: skip
"""The classes written as `visemes` beside each clip."""

_PHONES = {
    "silence": "SIL", "bilabial": "P B M", "labiodental": "F V", "dental": "TH DH", "alveolar": "T D N",
    "velar": "K G NG HH", "postalveolar": "CH JH SH ZH", "sibilant": "S Z", "r": "R ER", "l": "L", "aa": "AA AH AY AW",
    "ae": "AE EH EY", "ih": "IH IY Y", "oh": "AO OY OW", "ou": "UW UH W",
}  # fmt: skip
VISEME_OF = {phone: VISEMES.index(name) for name, phones in _PHONES.items() for phone in phones.split()}
"""Class of each phone of the pronouncing dictionary."""
VOWELS = frozenset(("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"))
DIPHTHONG_ENDS = {"AY": "IH", "EY": "IH", "OY": "IH", "AW": "UH", "OW": "UW"}
"""Where a diphthong ends."""

# Units of each viseme; a name without a side means both sides.
_SHAPES: dict[str, dict[str, float]] = {
    "silence": {},
    "bilabial": {"mouthPress": 0.25, "mouthRollLower": 0.25, "mouthRollUpper": 0.2, "jawOpen": 0.03},
    "labiodental": {"mouthRollLower": 0.55, "mouthUpperUp": 0.35, "jawOpen": 0.05, "mouthShrugLower": 0.15},
    "dental": {"jawOpen": 0.14, "mouthLowerDown": 0.3, "mouthUpperUp": 0.12},
    "alveolar": {"jawOpen": 0.1, "mouthLowerDown": 0.32, "mouthUpperUp": 0.14, "mouthStretch": 0.1},
    "velar": {"jawOpen": 0.2, "mouthLowerDown": 0.22, "mouthUpperUp": 0.1},
    "postalveolar": {"jawOpen": 0.07, "mouthFunnel": 0.65, "mouthPucker": 0.2, "mouthUpperUp": 0.15},
    "sibilant": {
        "jawOpen": 0.04,
        "mouthStretch": 0.28,
        "mouthLowerDown": 0.38,
        "mouthUpperUp": 0.16,
        "mouthSmile": 0.1,
    },
    "r": {"jawOpen": 0.12, "mouthFunnel": 0.42, "mouthPucker": 0.22, "mouthLowerDown": 0.15},
    "l": {"jawOpen": 0.2, "mouthLowerDown": 0.3, "mouthUpperUp": 0.14},
    "aa": {"jawOpen": 0.48, "mouthLowerDown": 0.25, "mouthUpperUp": 0.12},
    "ae": {"jawOpen": 0.33, "mouthStretch": 0.28, "mouthLowerDown": 0.32, "mouthUpperUp": 0.2, "mouthSmile": 0.1},
    "ih": {"jawOpen": 0.18, "mouthStretch": 0.36, "mouthLowerDown": 0.3, "mouthUpperUp": 0.16, "mouthSmile": 0.18},
    "oh": {"jawOpen": 0.34, "mouthFunnel": 0.55, "mouthPucker": 0.22, "mouthLowerDown": 0.08},
    "ou": {"jawOpen": 0.14, "mouthPucker": 0.75, "mouthFunnel": 0.3},
}
# How far a viseme's pull reaches (seconds beyond half its phone) and how strong it is.
_REACH = {"silence": (0.05, 0.7), "bilabial": (0.03, 1.6), "labiodental": (0.035, 1.5), "ou": (0.085, 1.3),
          "oh": (0.06, 1.2), "postalveolar": (0.07, 1.2), "velar": (0.045, 0.45), "alveolar": (0.04, 0.6)}  # fmt: skip
_OTHER = (0.05, 1.0)


def find_units(*beginnings: str) -> list[int]:
    """Return the indices of the units whose names begin with one of these."""
    return [index for index, unit in enumerate(UNITS) if unit.startswith(beginnings)]


OPENERS = find_units("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel")
"""Units that part the lips."""


def expand_sides(shape: dict[str, float]) -> Floats:
    """Expand a shape whose unit names may leave out the side to unit weights [52]."""
    result = np.zeros(len(UNITS), np.float32)
    for name, value in shape.items():
        for unit in (name,) if name in UNITS else (f"{name}Left", f"{name}Right"):
            result[UNITS.index(unit)] += value
    return result


SHAPES: Floats = np.stack([expand_sides(_SHAPES[name]) for name in VISEMES])
"""Unit weights [15, 52] of each viseme, spoken clearly."""


@dataclass(frozen=True)
class Phones:
    """The n phones of a clip in time; silence stands first and last."""

    symbols: tuple[str, ...]
    """[n] phones as the dictionary has them."""
    bounds: NDArray[np.float64]
    """[n + 1] seconds, rising."""

    def positions_at(self, times: NDArray[np.float64]) -> Floats:
        """The place in the phones at times [T] seconds: k where phone k begins, rising evenly within it."""
        result: Floats = np.interp(times, self.bounds, np.arange(len(self.bounds))).astype(np.float32)
        return result

    def indices_at(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """The index of the phone at times [T] seconds."""
        inside = np.searchsorted(self.bounds, times, "right") - 1
        return np.clip(inside, 0, len(self.symbols) - 1)


def classify_visemes(phones: Phones, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Classify frames by viseme.

    Args:
        phones: The clip's phones.
        times: [T] seconds.

    Returns:
        [T] indices of `VISEMES`.
    """
    index = phones.indices_at(times)
    late = phones.positions_at(times) - index > 0.55
    symbols = [phones.symbols[i] for i in index]
    return np.array(
        [VISEME_OF[DIPHTHONG_ENDS.get(s, s) if end else s] for s, end in zip(symbols, late, strict=True)], np.int64
    )


def _list_targets(phones: Phones) -> list[tuple[str, float, float]]:
    """(viseme, middle, half length) of everything the mouth aims at; a diphthong is two aims."""
    result = []
    for symbol, start, end in zip(phones.symbols, phones.bounds[:-1], phones.bounds[1:], strict=True):
        parts = (symbol, DIPHTHONG_ENDS[symbol]) if symbol in DIPHTHONG_ENDS else (symbol,)
        length = (end - start) / len(parts)
        for place, part in enumerate(parts):
            result.append((VISEMES[VISEME_OF[part]], start + (place + 0.5) * length, length / 2))
    return result


def compute_mouth_weights(phones: Phones, times: NDArray[np.float64], loudness: Floats, clarity: float) -> Floats:
    """Compute the speaking mouth by dominance functions (Cohen and Massaro, 1993).

    Args:
        phones: The clip's phones.
        times: [T] seconds.
        loudness: [T] in [0, 1]; opens the mouth a little more where the take is loud.
        clarity: The person's, about 1.

    Returns:
        Unit weights [T, 52].
    """
    total = np.zeros((len(times), 1))
    pulled = np.zeros((len(times), len(UNITS)))
    for viseme, middle, half in _list_targets(phones):
        reach, strength = _REACH.get(viseme, _OTHER)
        away = np.maximum(np.abs(times - middle) - 0.6 * half, 0)
        pull = strength * np.exp(-((away / (0.5 * half + reach)) ** 2) * 1.6)
        total += pull[:, None]
        pulled += pull[:, None] * SHAPES[VISEMES.index(viseme)]
    weights = pulled / np.maximum(total, 0.05) * clarity
    weights[:, OPENERS] *= (0.7 + 0.45 * loudness)[:, None]
    return np.clip(weights, 0, 1).astype(np.float32)


def compute_closure(phones: Phones, times: NDArray[np.float64], viseme: str = "bilabial") -> Floats:
    """Compute how far lips must meet, or the lower lip be tucked.

    Args:
        phones: The clip's phones.
        times: [T] seconds.
        viseme: "bilabial" or "labiodental".

    Returns:
        [T] in [0, 1]; 1 through a phone's middle.
    """
    result = np.zeros(len(times))
    for name, middle, half in _list_targets(phones):
        if name == viseme:
            flat = max(0.5 * half, 0.021)  # a frame of 40 ms falls into it wherever frames lie
            near = np.clip(1 - np.maximum(np.abs(times - middle) - flat, 0) / 0.045, 0, 1)
            result = np.maximum(result, near**2 * (3 - 2 * near))
    return result.astype(np.float32)


def close_lips(weights: Floats, closed: Floats, tucked: Floats) -> Floats:
    """Close lips whatever emotion or neighboring phone would part them.

    Args:
        weights: Unit weights [T, 52].
        closed: [T] in [0, 1], how far the lips must meet.
        tucked: [T] in [0, 1], how far the lower lip must be tucked.

    Returns:
        Unit weights [T, 52].
    """
    result = weights.copy()
    for amount, shape in ((tucked, SHAPES[VISEMES.index("labiodental")]), (closed, SHAPES[VISEMES.index("bilabial")])):
        part = amount[:, None]
        result[:, OPENERS] = result[:, OPENERS] * (1 - part) + np.minimum(shape[OPENERS], 1) * part
        others = [i for i in np.flatnonzero(shape) if i not in OPENERS]
        result[:, others] = np.maximum(result[:, others], shape[others] * part)
    jaw, close = UNITS.index("jawOpen"), UNITS.index("mouthClose")
    result[:, close] = np.maximum(result[:, close], closed * result[:, jaw])
    result[:, close] = np.minimum(result[:, close], result[:, jaw])  # it undoes the jaw's parting and no more
    corners = find_units("mouthFrown", "mouthStretch", "mouthSmile", "mouthShrugUpper", "mouthPucker")
    result[:, corners] *= 1 - 0.35 * closed[:, None]  # strong corners pull lips apart in the middle
    return result
