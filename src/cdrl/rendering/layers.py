"""What is no part of a face stays where it is: things in front of it, also as they are, and what is behind the head.

The skin around them takes the movement up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.arrays import match_array
from cdrl.face.bundle import Floats
from cdrl.face.segmentation import Segmentation
from cdrl.rendering.flow import Flow, Window
from cdrl.rendering.warp import Pixels, Plane, resample_to_plane

_SEEN = 0.5  # how surely something is there for it to be left alone
_RIM = 1.5  # nodes around it that don't move either, for its edge lies between nodes
_MIN_REACH, _MAX_REACH = 4.0, 14.0  # nodes beyond, over which movement and shading come in
_SLOPE = 1.6  # nodes of that reach for a node of movement, so that nothing folds


@dataclass(frozen=True)
class RigidLayers:
    """What of a flow's grid [h, w] doesn't belong to the face."""

    still: Floats | None
    """1 where something is in front of the face, 0 elsewhere, with soft edges; None where nothing is."""
    moved: Floats
    """0 there and behind the head, and close by, rising to 1: factor on movement."""
    lit: Floats
    """The same in front of the face for shading, which comes in sooner."""

    def hold(self, flow: Flow) -> Flow:
        """Return the flow that moves nothing of it."""
        return replace(flow, shift=flow.shift * match_array(self.moved[..., None], flow.shift))

    def restore(self, planes: list[Plane], pixels: list[Pixels], window: Window) -> None:
        """Put a frame's own samples back into a window's, in place, where something is in front."""
        if self.still is None:
            return
        for plane, samples in zip(planes, pixels, strict=True):
            share = resample_to_plane(self.still, (window.width, window.height), plane.step)
            x, y, width, height = cv2.boundingRect((share > 0).astype(np.uint8))
            part = slice(y, y + height), slice(x, x + width)
            own, under = plane.data[plane.window_slices(window)][part], samples[part]
            amount = share[part][..., None] if samples.ndim == 3 else share[part]
            mixed = under + amount * (own.astype(np.float32) - under)
            under[:] = np.where(amount > 0, np.round(mixed), under).astype(samples.dtype)


def find_layers(segmentation: Segmentation, flow: Flow) -> RigidLayers | None:
    """Return what of a flow's grid doesn't belong to the face; None where all that moves does."""
    height, width = flow.falloff.shape
    covered, background = segmentation.sample(flow.matrix, (width, height))
    speed = np.linalg.norm(flow.shift, axis=2) * (covered.shape[1] / flow.window.width)  # in nodes
    in_front, behind = (_distance(layer < _SEEN) for layer in (covered, background))
    if in_front is None and behind is None:
        return None
    everywhere = np.ones_like(covered)
    moved, lit, still = everywhere, everywhere, None
    if in_front is not None:
        beyond = np.maximum(in_front - _RIM, 0)
        moved = _rise(beyond / _find_reach(speed, in_front))
        lit = _rise(beyond / _MIN_REACH)
        still = np.clip(1 + _RIM - in_front, 0, 1).astype(np.float32)
    if behind is not None:
        moved = moved * _rise(behind / _find_reach(speed, behind))
    return RigidLayers(still, moved, lit)


def _distance(free: NDArray[np.bool_]) -> Floats | None:
    """Return how far nodes are from those that are not `free`, in nodes; None where all are free."""
    if free.all():
        return None
    return np.asarray(cv2.distanceTransform(free.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def _find_reach(speed: Floats, distance: Floats) -> float:
    """Return the reach for what moves by `speed` close to a layer at a `distance`, all in nodes."""
    close = speed[distance < _MAX_REACH]
    return float(np.clip(_SLOPE * close.max(initial=0.0), _MIN_REACH, _MAX_REACH))


def _rise(x: Floats) -> Floats:
    """From 0 to 1 over 0..1, level at both ends."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)
