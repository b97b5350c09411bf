"""Scene-linear light as a signal that people and networks can look at, and back again.

Pictures of renders and of film hold light in proportion, without a brightest value. An edit works on a signal as
cameras give it: the curve of sRGB up to a knee, above which a logarithm has room for six stops more than white. It is
turned back by its inverse, so that only differences matter: what an edit leaves alone never passes through here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.media.side_data import HLG, PQ
from cdrl.media.tone import WHITE, decode_hlg, decode_pq

REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""CIE x, y of red, green, blue and white: ITU-R BT.709."""
PRIMARIES: dict[int, tuple[float, ...]] = {
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}
"""The same of primaries by their number in ITU-T H.273, where they are not taken for those of BT.709."""
_LARGEST = 65535  # of a signal's numbers
_KNEE = 0.8  # of the signal: from here on it is a logarithm
_ROLL = 0.0277  # of the signal: by so much it rises where light above the knee grows by e; the brightest light is 65
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def light_to_signal(light: NDArray[np.floating]) -> NDArray[np.uint16]:
    """The signal, 0..65535, of light, 1 for white; what is below 0, no number, or above 65 goes to an end."""
    with np.errstate(over="ignore"):
        halves = np.asarray(light, np.float16)
    return np.asarray(np.take(_signal_of_halves(), halves.view(np.uint16)))


def signal_to_light(signal: NDArray[Any]) -> NDArray[np.float32]:
    """The light of a signal, uint16; the inverse of `light_to_signal`."""
    return np.asarray(np.take(_light_of_signal(), signal))


def display_to_light(signal: NDArray[Any], transfer: int) -> NDArray[np.float32]:
    """The light that a video's RGB stands for.

    Args:
        signal: uint8 or uint16, all of their range.
        transfer: Transfer characteristics of ITU-T H.273.

    Returns:
        1 for white: of PQ 203 cd/m², of HLG the brightest light of the scene, of all others by the curve of sRGB.
    """
    return np.asarray(np.take(_light_of_display(np.iinfo(signal.dtype).max, transfer), signal))


def primaries_to_rec709(chromaticities: Sequence[float]) -> NDArray[np.float32] | None:
    """[3,3] from RGB of some primaries (CIE x, y of red, green, blue, white) to BT.709's, white to white; None: equal.

    Raises ValueError for what are no primaries.
    """
    if len(chromaticities) != 8 or np.allclose(chromaticities, REC709, atol=1e-4):
        return None
    try:
        source, target = _rgb_to_xyz(chromaticities), _rgb_to_xyz(REC709)
        own, wanted = (_BRADFORD @ matrix.sum(axis=1) for matrix in (source, target))
        adapted = np.linalg.inv(_BRADFORD) @ np.diag(wanted / own) @ _BRADFORD
        matrix = np.linalg.inv(target) @ adapted @ source
    except (np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise ValueError(str(error)) from None
    if not np.isfinite(matrix).all():
        raise ValueError("not finite")
    return np.asarray(matrix, np.float32)


def _rgb_to_xyz(chromaticities: Sequence[float]) -> NDArray[np.float64]:
    """[3,3] from RGB to CIE XYZ; white has a Y of 1."""
    points = [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)]
    colors = np.array(points[:3], np.float64).T
    return np.asarray(colors * np.linalg.solve(colors, np.array(points[3])))


def _decode_srgb(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4))


def _knee() -> tuple[float, float]:
    """Light at the knee, and how fast light grows there with the signal."""
    base = (_KNEE + 0.055) / 1.055
    return float(base**2.4), float(2.4 / 1.055 * base**1.4)


@functools.lru_cache(maxsize=1)
def _light_of_signal() -> NDArray[np.float32]:
    """Light by the number of the signal."""
    light, slope = _knee()
    signal = np.arange(_LARGEST + 1) / _LARGEST
    above = light + slope * _ROLL * np.expm1(np.maximum(signal - _KNEE, 0) / _ROLL)
    return np.asarray(np.where(signal <= _KNEE, _decode_srgb(signal), above), np.float32)


@functools.lru_cache(maxsize=1)
def _signal_of_halves() -> NDArray[np.uint16]:
    """The number of the signal that is nearest to a light, by the bits of a half."""
    table = _light_of_signal().astype(np.float64)
    light = np.arange(_LARGEST + 1).astype(np.uint16).view(np.float16).astype(np.float64)
    light = np.clip(np.nan_to_num(light, nan=0.0, posinf=table[-1], neginf=0.0), 0, table[-1])
    return np.asarray(np.rint(np.interp(light, table, np.arange(_LARGEST + 1))), np.uint16)


@functools.lru_cache(maxsize=4)
def _light_of_display(largest: int, transfer: int) -> NDArray[np.float32]:
    """The table of `display_to_light`."""
    signal = np.arange(largest + 1) / largest
    decoders = {PQ: lambda numbers: decode_pq(numbers) / WHITE, HLG: decode_hlg}
    return np.asarray(decoders.get(transfer, _decode_srgb)(signal), np.float32)
