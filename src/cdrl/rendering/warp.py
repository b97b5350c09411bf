"""Applies a flow and a gain to the planes of a frame, each at its own resolution and bit depth."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.rendering.eyes import hold_eyeballs
from cdrl.rendering.flow import Flow, Window

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Plane:
    """One plane of a picture: `data` [h, w] or [h, w, channels], uint8 or uint16.

    `step`: (x, y) picture pixels a sample, (2, 2) for the chroma of 4:2:0. `zero`: the value of no light (luma) or of
    no colour (chroma); a gain scales the distance from it. `maximum`: the largest value.
    """

    data: Pixels
    step: tuple[int, int]
    zero: float
    maximum: float

    def cut(self, window: Window) -> tuple[slice, slice]:
        """The plane's part of a window (whose edges lie on whole samples, or on the picture's)."""
        sx, sy = self.step
        return slice(window.y0 // sy, -(-window.y1 // sy)), slice(window.x0 // sx, -(-window.x1 // sx))


def warp(plane: Plane, flow: Flow, source: Floats, target: Floats) -> Pixels:
    """The window's samples of the plane after the flow, eyeballs held. The plane is not changed.

    `source`, `target`: landmarks [478, 2] before and after, picture pixels.
    """
    rows, columns = plane.cut(flow.window)
    pixels = plane.data[rows, columns]
    height, width = pixels.shape[:2]
    sx, sy = plane.step
    positions: Floats = cv2.resize(flow.shift, (width, height), interpolation=cv2.INTER_LINEAR)
    hold_eyeballs(positions, flow.window, plane.step, source, target)
    if sx != 1 or sy != 1:
        positions *= np.array([1 / sx, 1 / sy], np.float32)
    positions[..., 0] += np.arange(width, dtype=np.float32)
    positions[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    kind = cv2.INTER_CUBIC if (sx, sy) == (1, 1) else cv2.INTER_LINEAR
    moved: Pixels = cv2.remap(pixels, positions, None, kind, borderMode=cv2.BORDER_REPLICATE)
    return moved


def apply_gain(plane: Plane, pixels: Pixels, gain: Floats) -> Pixels:
    """Pixels [h, w(, c)] of a plane with their distance from `zero` multiplied by `gain` [h, w] (resized to fit)."""
    height, width = pixels.shape[:2]
    full = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    offset = plane.zero * (1 - full)
    if pixels.ndim == 3:
        full, offset = full[..., None], offset[..., None]
    lit = pixels * full + offset + 0.5
    if plane.maximum not in (255, 65535):
        np.minimum(lit, plane.maximum, out=lit)
    result: Pixels = np.clip(lit, 0, plane.maximum).astype(pixels.dtype)
    return result
