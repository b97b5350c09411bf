"""Applies a flow and a gain to the planes of a frame, each at its own resolution and bit depth."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.arrays import Array, at_most
from cdrl.face.bundle import Floats
from cdrl.media.frames import chroma_site
from cdrl.rendering.eyes import damp_flow_in_eyes
from cdrl.rendering.flow import Flow, Window

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
CHROMA_EXPONENT = 0.75
"""Power of a gain of luma that chroma takes: between takes of W009 and W011 .46 to .81 in folds, .68 to .94 in lights
(`benchmarks/fold_colors.py`)."""

MAX_CHROMA_GAIN = 1.06
"""Most that chroma gains where skin is lit: many a fold is as colorful as the skin beside it, and would turn orange."""


@dataclass(frozen=True)
class Plane:
    """One plane of a picture."""

    data: Pixels
    """[h, w] or [h, w, channels]."""
    step: tuple[int, int]
    """(x, y) picture pixels a sample: (2, 2) for the chroma of 4:2:0."""
    zero: float
    """The value of no light (luma) or of no color (chroma); a gain scales the distance from it."""
    maximum: float
    """The largest value."""

    def window_slices(self, window: Window) -> tuple[slice, slice]:
        """Return the rows and columns of a window, whose edges lie on whole samples or on the picture's."""
        sx, sy = self.step
        return slice(window.y0 // sy, -(-window.y1 // sy)), slice(window.x0 // sx, -(-window.x1 // sx))


def resample_to_plane(values: Floats, area: tuple[int, int], step: tuple[int, int]) -> Floats:
    """Interpolate values of a grid to a plane's samples, bilinear.

    Args:
        values: [h, w] or [h, w, c] at the centers of equal cells over an area.
        area: (width, height) of it in picture pixels; it begins with a whole sample and may end within one, as a
            picture of odd size does.
        step: (x, y) picture pixels a sample.

    Returns:
        [rows, columns] or [rows, columns, c].
    """
    (width, height), (sx, sy) = area, step
    size = -(-width // sx), -(-height // sy)
    resampled: Floats
    if step == (1, 1):
        resampled = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        return resampled
    x, y = values.shape[1] / width, values.shape[0] / height  # cells a pixel
    first_x, first_y = chroma_site(step)
    cells = np.array([[x * sx, 0, x * (first_x + 0.5) - 0.5], [0, y * sy, y * (first_y + 0.5) - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    resampled = cv2.warpAffine(values, cells, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return resampled


def sample_nearest(data: Pixels, points: Floats, step: tuple[int, int]) -> Floats:
    """Return the samples of a plane that are nearest to points; beyond its edge, those at the edge.

    Args:
        data: [h, w] or [h, w, channels].
        points: [k, 2] picture pixels.
        step: (x, y) picture pixels a sample.

    Returns:
        [k] or [k, channels].
    """
    x, y = np.clip(np.round(points / step).astype(int), 0, np.array(data.shape[1::-1]) - 1).T
    samples: Floats = data[y, x].astype(np.float32)
    return samples


def warp_plane(plane: Plane, flow: Flow, source: Floats, target: Floats) -> Pixels:
    """Return a window's samples of a plane after a flow that is damped in the eyes; the plane is not changed.

    Args:
        plane: What is warped: luma bicubic, chroma bilinear.
        flow: Where the samples come from.
        source: [478, 2] landmarks before, picture pixels.
        target: [478, 2] landmarks after, picture pixels.
    """
    rows, columns = plane.window_slices(flow.window)
    pixels = plane.data[rows, columns]
    height, width = pixels.shape[:2]
    sx, sy = plane.step
    positions = resample_to_plane(flow.shift, (flow.window.width, flow.window.height), plane.step)
    damp_flow_in_eyes(positions, flow.window, plane.step, source, target)
    if sx != 1 or sy != 1:
        positions *= np.array([1 / sx, 1 / sy], np.float32)
    positions[..., 0] += np.arange(width, dtype=np.float32)
    positions[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    kind = cv2.INTER_CUBIC if (sx, sy) == (1, 1) else cv2.INTER_LINEAR
    moved: Pixels = cv2.remap(pixels, positions, None, kind, borderMode=cv2.BORDER_REPLICATE)
    return moved


def split_gain(shading: Array) -> tuple[Array, Array]:
    """Return the factors on luma and on chroma for a factor of shading.

    Light would scale both alike. In real folds chroma changes a little less, as their sides light each other.
    """
    return shading, at_most(shading**CHROMA_EXPONENT, MAX_CHROMA_GAIN)


def apply_gain(plane: Plane, pixels: Pixels, gain: Floats, window: Window) -> Pixels:
    """Multiply the distance of a window's samples from a plane's zero by a gain.

    Args:
        plane: Whose samples they are.
        pixels: [h, w] or [h, w, c], the window's samples.
        gain: Factors on a grid over the window.
        window: The part of the picture.
    """
    full = resample_to_plane(gain, (window.width, window.height), plane.step)
    offset = plane.zero * (1 - full)
    if pixels.ndim == 3:
        full, offset = full[..., None], offset[..., None]
    scaled: Floats = pixels * full + offset + 0.5
    np.clip(scaled, 0, plane.maximum, out=scaled)
    return scaled.astype(np.uint8) if pixels.dtype == np.uint8 else scaled.astype(np.uint16)
