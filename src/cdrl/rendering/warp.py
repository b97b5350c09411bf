"""Applies a flow and a gain to the planes of a frame, each at its own resolution and bit depth."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.media.frames import chroma_site
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


def at_samples(values: Floats, area: tuple[int, int], step: tuple[int, int]) -> Floats:
    """`values` [h, w(, c)], given at the centers of equal cells over an area, at a plane's samples in it: [rows,
    columns(, c)], bilinear.

    `area`: its (width, height) in picture pixels; it begins with a whole sample and may end within one, as a picture
    of odd size does. `step`: picture pixels a sample, (x, y).
    """
    (width, height), (sx, sy) = area, step
    size = -(-width // sx), -(-height // sy)
    found: Floats
    if step == (1, 1):
        found = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        return found
    x, y = values.shape[1] / width, values.shape[0] / height  # cells a pixel
    first_x, first_y = chroma_site(step)
    cells = np.array([[x * sx, 0, x * (first_x + 0.5) - 0.5], [0, y * sy, y * (first_y + 0.5) - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(values, cells, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return found


def warp(plane: Plane, flow: Flow, source: Floats, target: Floats) -> Pixels:
    """The window's samples of the plane after the flow, eyeballs held. The plane is not changed.

    `source`, `target`: landmarks [478, 2] before and after, picture pixels.
    """
    rows, columns = plane.cut(flow.window)
    pixels = plane.data[rows, columns]
    height, width = pixels.shape[:2]
    sx, sy = plane.step
    positions = at_samples(flow.shift, (flow.window.width, flow.window.height), plane.step)
    hold_eyeballs(positions, flow.window, plane.step, source, target)
    if sx != 1 or sy != 1:
        positions *= np.array([1 / sx, 1 / sy], np.float32)
    positions[..., 0] += np.arange(width, dtype=np.float32)
    positions[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    kind = cv2.INTER_CUBIC if (sx, sy) == (1, 1) else cv2.INTER_LINEAR
    moved: Pixels = cv2.remap(pixels, positions, None, kind, borderMode=cv2.BORDER_REPLICATE)
    return moved


def apply_gain(plane: Plane, pixels: Pixels, gain: Floats, window: Window) -> Pixels:
    """The window's samples [h, w(, c)] of a plane with their distance from `zero` multiplied by `gain`, which is given
    on a grid over the window."""
    full = at_samples(gain, (window.width, window.height), plane.step)
    offset = plane.zero * (1 - full)
    if pixels.ndim == 3:
        full, offset = full[..., None], offset[..., None]
    lit: Any = pixels * full + offset + 0.5
    np.clip(lit, 0, plane.maximum, out=lit)
    result: Pixels = lit.astype(pixels.dtype)
    return result
