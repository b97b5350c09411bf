"""Pictures in which the lips are closed, the brows raised as much, or the mouth opened by any amount, by warping.

Warps are those of the editor (`cdrl.rendering`): landmarks are moved, the mesh between them carries the pixels along.
They need no model of a face, so that nothing that was trained here decides what they look like.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.pairs import measure_mouth_opening
from cdrl.errors import FaceError
from cdrl.face.apertures import lips
from cdrl.face.landmarks import BundleDetector, Region, StillImage
from cdrl.face.mesh import region_weights
from cdrl.rendering.flow import Flow, compute_backward_flow
from cdrl.rendering.warp import Plane, warp_plane

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

AMOUNTS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
"""Amounts of opening at which the warp is computed exactly; between them it is interpolated. −1 closes the lips."""


def close_lips(picture: Picture, points: Floats) -> tuple[Picture, float]:
    """Close the inner lips (of landmarks [478, 3]) of a picture [h, w, 3].

    Returns:
        The picture, and the size of the warp: the root mean square of the pixels' way over the whole picture.
    """
    return _warp_picture(picture, points, -_own_opening(points))


def raise_brows(picture: Picture, points: Floats, size: float) -> Picture:
    """Move brows and forehead up the face by a warp of a given `size`, as the control: the mouth stays."""
    up = points[10, :2] - points[152, :2]
    step = region_weights()["brows"][:, None] * up[None] / np.linalg.norm(up)
    _, unit = _warp_picture(picture, points, step)
    return _warp_picture(picture, points, step * (size / max(unit, 1e-9)))[0]


def _own_opening(points: Floats) -> Floats:
    """Displacement [478, 2] that would open the mouth by as much as it is open: its negative closes it."""
    moved: Floats = lips().opening_displacement(lips().vectors(points))[:, :2]
    return moved


def _warp_picture(picture: Picture, points: Floats, displacement: Floats) -> tuple[Picture, float]:
    flow = _compute_flow(picture.shape, points, displacement)
    before = np.ascontiguousarray(points[:, :2])
    plane = Plane(picture, (1, 1), 0.0, 255.0)
    result = picture.copy()
    result[plane.window_slices(flow.window)] = warp_plane(plane, flow, before, before + displacement)
    area = flow.window.width * flow.window.height / (picture.shape[0] * picture.shape[1])
    return result, float(np.sqrt(np.square(flow.shift).sum(2).mean() * area))


def _compute_flow(shape: tuple[int, ...], points: Floats, displacement: Floats) -> Flow:
    before = np.ascontiguousarray(points[:, :2], np.float32)
    flow = compute_backward_flow(before, np.ascontiguousarray(displacement, np.float32), shape[1], shape[0])
    if flow is None:
        raise FaceError("the landmarks of a prepared frame lie outside its picture: prepare the data again")
    return flow


def compute_opening_shifts(shape: tuple[int, ...], points: Floats, widest: float) -> Floats:
    """Compute where pixels come from, less where they are, for every amount of `AMOUNTS`.

    −1 closes the lips, 0 leaves them, and 1 opens them to `widest` times as wide as they are.

    Returns:
        Shifts [amounts, h, w, 2] in pixels.
    """
    own = _own_opening(points)
    shifts = np.zeros((len(AMOUNTS), *shape[:2], 2), np.float32)
    for place, amount in enumerate(AMOUNTS):
        if amount:
            flow = _compute_flow(shape, points, own * (amount if amount < 0 else amount * (widest - 1)))
            box = flow.window
            grown: Any = cv2.resize(flow.shift, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
            shifts[place, box.y0 : box.y1, box.x0 : box.x1] = grown
    return shifts


def detect_opening(detector: BundleDetector, picture: Picture, points: Floats) -> float:
    """Detect how far a mouth is open: the inner lips' distance over the eyes', looking where landmarks [478, 3] are."""
    landmarks = detector.estimate_landmarks(StillImage(picture), Region.of_landmarks(points))
    return float(measure_mouth_opening(landmarks.points))
