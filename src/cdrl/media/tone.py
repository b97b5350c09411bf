"""HDR for usual displays: pictures for people, in the colors that the clip means. Edits never pass through here."""

from __future__ import annotations

import functools
from dataclasses import replace

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.media.frames import Frame, Matrix, PixelFormat
from cdrl.media.layout import Orientation, extract_planes
from cdrl.media.probing import ColorTags
from cdrl.media.side_data import HLG, PQ

WHITE = 203.0  # cd/m²: white of a usual picture in HDR, ITU-R BT.2408
_HLG_PEAK = 1000.0  # cd/m²: the display that HLG's system gamma of 1.2 stands for, ITU-R BT.2100
_GAMMA = 2.4  # of usual displays, ITU-R BT.1886
_KNEE = 0.8  # of white: what is brighter is rolled off below white
_STEPS = 16  # of the table of light, for each of 8 bits: a quarter of the step that 10 bits have
_DARKEST = -50.0
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
    numbers = np.clip(picture * _STEPS + 0.5, 0, 255 * _STEPS).astype(np.uint16)
    light = np.take(_light_table(color.transfer), numbers, mode="clip")
    if color.transfer == HLG:  # light of the scene, until here
        light *= cv2.pow(np.maximum(cv2.transform(light, _LUMA[None]), 1e-6), 0.2)[..., None]
        light *= _HLG_PEAK / WHITE
    light = np.maximum(cv2.transform(light, _TO_BT709), 0)
    brightest = np.maximum(np.maximum(light[..., 0], light[..., 1]), np.maximum(light[..., 2], 1e-6))
    room = 1 - _KNEE
    above = np.maximum((_KNEE - brightest) / room, _DARKEST)  # numbers that are too small take long
    rolled = np.where(brightest <= _KNEE, brightest, 1 - room * cv2.exp(above))
    roots = np.sqrt(light * (rolled / brightest)[..., None])
    table = _shown_table()
    return np.asarray(np.take(table, (roots * (len(table) - 1) + 0.5).astype(np.uint16), mode="clip"))


def show_frame(frame: Frame, color: ColorTags) -> NDArray[np.uint8]:
    """The whole frame as RGB [H, W, 3] for people; `color` are its clip's tags."""
    if not color.hdr:
        return frame.rgb()
    return map_tones(frame.rgb_crop_exact(np.eye(2, 3), (frame.width, frame.height)), color)


def to_standard(frame: Frame, color: ColorTags, matrix: Matrix = "bt709") -> Frame:
    """An HDR clip's frame for usual displays, with `matrix`: 8-bit 4:2:0 of limited range; others are given back."""
    if not color.hdr:
        return frame
    form = PixelFormat(matrix=matrix)
    picture = av.VideoFrame.from_ndarray(show_frame(frame, color), "rgb24")
    return replace(frame, planes=extract_planes(picture, form, Orientation()), format=form)


@functools.lru_cache(maxsize=2)
def _light_table(transfer: int) -> NDArray[np.float32]:
    """Light that numbers stand for, in `_STEPS` of 8 bits: PQ's over white's, HLG's of the scene, 0..1."""
    numbers = np.arange(255 * _STEPS + 1) / (255 * _STEPS)
    return np.asarray(decode_pq(numbers) / WHITE if transfer == PQ else decode_hlg(numbers), np.float32)


@functools.lru_cache(maxsize=1)
def _shown_table() -> NDArray[np.uint8]:
    """Numbers of a usual display by the square root of light, 0..1."""
    return np.asarray(np.rint(255 * np.linspace(0, 1, 4096) ** (2 / _GAMMA)), np.uint8)


def decode_pq(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light in cd/m² of SMPTE ST 2084's numbers 0..1."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = numbers ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def decode_hlg(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of the scene, 0..1, of ARIB STD-B67's numbers 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(numbers <= 0.5, numbers**2 / 3, (np.exp((numbers - c) / a) + b) / 12)
