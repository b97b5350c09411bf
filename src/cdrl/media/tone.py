"""HDR for usual displays: pictures for people, in the colors that the clip means. Edits never pass through here."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.media.frames import Frame
from cdrl.media.probing import ColorTags
from cdrl.media.side_data import PQ

_WHITE = 203.0  # cd/m²: white of a usual picture in HDR, ITU-R BT.2408
_HLG_PEAK = 1000.0  # cd/m²: the display that HLG's system gamma of 1.2 stands for, ITU-R BT.2100
_GAMMA = 2.4  # of usual displays, ITU-R BT.1886
_KNEE = 0.8  # of white: what is brighter is rolled off below white
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020


def map_tones(picture: NDArray[np.floating], color: ColorTags) -> NDArray[np.uint8]:
    """Turn RGB of an HDR clip into RGB that shows the same colors on a usual display.

    Args:
        picture: RGB [H, W, 3], 0..255, as the clip's numbers say.
        color: The clip's color tags.

    Returns:
        RGB [H, W, 3], 0..255; the picture's own numbers where the clip is not HDR.
    """
    if not color.hdr:
        return np.asarray(np.clip(picture + 0.5, 0, 255), np.uint8)
    numbers = np.asarray(np.clip(picture / 255, 0, 1), np.float32)
    light = _decode_pq(numbers) if color.transfer == PQ else _decode_hlg(numbers)
    light = np.maximum(cv2.transform(light / _WHITE, _TO_BT709), 0)
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-6)
    room = 1 - _KNEE
    rolled = np.where(brightest <= _KNEE, brightest, 1 - room * np.exp(-(brightest - _KNEE) / room))
    shown = (light * (rolled / brightest)) ** (1 / _GAMMA)
    return np.asarray(np.clip(255 * shown + 0.5, 0, 255), np.uint8)


def show_frame(frame: Frame, color: ColorTags) -> NDArray[np.uint8]:
    """The whole frame as RGB [H, W, 3] for people; `color` are its clip's tags."""
    if not color.hdr:
        return frame.rgb()
    return map_tones(frame.rgb_crop_exact(np.eye(2, 3), (frame.width, frame.height)), color)


def _decode_pq(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light in cd/m² of SMPTE ST 2084's numbers 0..1."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = numbers ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1), np.float32)


def _decode_hlg(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light in cd/m² of ARIB STD-B67's numbers 0..1: that of the scene, then that of the display."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(numbers <= 0.5, numbers**2 / 3, (np.exp((numbers - c) / a) + b) / 12)
    return np.asarray(_HLG_PEAK * scene * np.maximum(scene @ _LUMA, 1e-6)[..., None] ** 0.2, np.float32)
