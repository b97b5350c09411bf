"""Occluders and background stay where they are; occluders also keep their samples. The skin beside them moves."""

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

_SEEN = 0.5  # probability from which a node is an occluder's or the background's
_RIM = 1.5  # nodes around it that don't move either, for its edge lies between nodes
_MIN_REACH, _MAX_REACH = 4.0, 14.0  # nodes beyond, over which movement and shading come in
_SLOPE = 1.6  # nodes of that reach for a node of movement, so that nothing folds


@dataclass(frozen=True)
class RigidLayers:
    """Occluders and background on a flow's grid [h, w]."""

    occluders: Floats | None
    """1 in occluders, 0 elsewhere, with soft edges; None where there are none."""
    flow_weight: Floats
    """Factor on the flow: 0 in occluders, in the background and close to both, rising to 1."""
    gain_weight: Floats
    """Factor on the shading: 0 in occluders and close to them, rising to 1 sooner."""

    def hold(self, flow: Flow) -> Flow:
        """Return the flow that moves neither."""
        return replace(flow, shift=flow.shift * match_array(self.flow_weight[..., None], flow.shift))

    def restore(self, planes: list[Plane], pixels: list[Pixels], window: Window) -> None:
        """Put a frame's own samples back into a window's, in place, where occluders are."""
        if self.occluders is None:
            return
        for plane, samples in zip(planes, pixels, strict=True):
            share = resample_to_plane(self.occluders, (window.width, window.height), plane.step)
            x, y, width, height = cv2.boundingRect((share > 0).astype(np.uint8))
            part = slice(y, y + height), slice(x, x + width)
            own, under = plane.data[plane.window_slices(window)][part], samples[part]
            amount = share[part][..., None] if samples.ndim == 3 else share[part]
            mixed = under + amount * (own.astype(np.float32) - under)
            under[:] = np.where(amount > 0, np.round(mixed), under).astype(samples.dtype)


def find_layers(segmentation: Segmentation, flow: Flow) -> RigidLayers | None:
    """Return occluders and background on a flow's grid; None where there is neither."""
    height, width = flow.falloff.shape
    occluded, background = segmentation.sample(flow.matrix, (width, height))
    speed = np.linalg.norm(flow.shift, axis=2) * (occluded.shape[1] / flow.window.width)  # in nodes
    in_front, behind = (_distance(layer < _SEEN) for layer in (occluded, background))
    if in_front is None and behind is None:
        return None
    flow_weight = gain_weight = np.ones_like(occluded)
    occluders = None
    if in_front is not None:
        beyond = np.maximum(in_front - _RIM, 0)
        flow_weight = _smoothstep(beyond / _find_reach(speed, in_front))
        gain_weight = _smoothstep(beyond / _MIN_REACH)
        occluders = np.clip(1 + _RIM - in_front, 0, 1).astype(np.float32)
    if behind is not None:
        flow_weight = flow_weight * _smoothstep(behind / _find_reach(speed, behind))
    return RigidLayers(occluders, flow_weight, gain_weight)


def _distance(free: NDArray[np.bool_]) -> Floats | None:
    """Return how far nodes are from those that are not `free`, in nodes; None where all are free."""
    if free.all():
        return None
    return np.asarray(cv2.distanceTransform(free.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def _find_reach(speed: Floats, distance: Floats) -> float:
    """Return the reach for what moves by `speed` close to a layer at a `distance`, all in nodes."""
    close = speed[distance < _MAX_REACH]
    return float(np.clip(_SLOPE * close.max(initial=0.0), _MIN_REACH, _MAX_REACH))


def _smoothstep(x: Floats) -> Floats:
    """3x² − 2x³ of `x` in 0..1, 0 below and 1 above."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)
