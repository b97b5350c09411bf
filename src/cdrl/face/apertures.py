"""Apertures: how far lips and lids stand apart, point pair by point pair, and how to set them.

Apertures are speech (bilabials close the lips) and blinks. An edit scales the source's own apertures and never adds
to them: closed stays closed.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.mesh import INNER_LIPS, LEFT_LIDS, MESH_POINTS, RIGHT_LIDS, canonical_points


@dataclass(frozen=True)
class Aperture:
    """Pairs `upper` [p], `lower` [p] of points, and `spread` [478, p]: how every point moves for one unit of opening
    of each pair. For a pair's own two points the spread differs by exactly one, so an opening asked for is reached.
    """

    upper: NDArray[np.intp]
    lower: NDArray[np.intp]
    spread: Floats

    def vectors(self, shape: Floats) -> Floats:
        """Upper → lower vectors [..., p, 3] of a shape [..., 478, 3]."""
        found: Floats = shape[..., self.lower, :] - shape[..., self.upper, :]
        return found

    def opening(self, shape: Floats) -> Floats:
        """Mean distance [...] between the pairs of a shape [..., 478, 3], in its unit."""
        found: Floats = np.linalg.norm(self.vectors(shape), axis=-1).mean(-1)
        return found

    def opened_by(self, vectors: Floats) -> Floats:
        """Displacement [478, 3] that changes the pairs' vectors by `vectors` [p, 3]."""
        moved: Floats = self.spread @ vectors
        return moved

    def without(self, displacement: Floats) -> Floats:
        """The displacement [478, 3] with its own effect on the apertures taken out."""
        kept: Floats = displacement - self.opened_by(self.vectors(displacement))
        return kept


def _spread(
    upper: tuple[int, ...], lower: tuple[int, ...], share: float, reach_up: float, reach_down: float
) -> NDArray[np.float64]:
    """`share` of an opening is the lower point's; influence falls off over `reach_*` centimetres of the face."""
    points = canonical_points().astype(np.float64)
    spread = np.zeros((len(points), len(upper)))
    for contour, amount, reach in ((upper, share - 1, reach_up), (lower, share, reach_down)):
        distance = np.linalg.norm(points[:, None, :2] - points[None, list(contour), :2], axis=2)
        across = np.abs(points[:, None, 0] - points[None, list(contour), 0])
        near = np.exp(-np.square(across / 0.5)) + 1e-9
        weights = near / near.sum(1, keepdims=True)
        fall = np.exp(-np.square(distance.min(1) / reach))
        middle = (points[list(upper), 1].mean() + points[list(lower), 1].mean()) / 2
        side = points[:, 1] < middle if contour is upper else points[:, 1] >= middle
        spread += amount * (fall * side)[:, None] * weights
    for pair, (u, low) in enumerate(zip(upper, lower, strict=True)):
        spread[u] = spread[low] = 0
        spread[u, pair], spread[low, pair] = share - 1, share
    spread[MESH_POINTS:] = 0
    return spread


@cache
def lips() -> Aperture:
    """The inner lips: 9 pairs. The lower lip takes most of an opening; the skin around goes along, less and less."""
    upper, lower = INNER_LIPS
    spread = _spread(upper, lower, 0.65, 1.0, 2.6)
    return Aperture(np.array(upper), np.array(lower), spread.astype(np.float32))


@cache
def lids() -> Aperture:
    """The lids of both eyes: 14 pairs. The upper lid takes most of an opening."""
    right = _spread(*RIGHT_LIDS, 0.2, 0.55, 0.4)
    left = _spread(*LEFT_LIDS, 0.2, 0.55, 0.4)
    points = canonical_points()
    right[points[:, 0] > 0] = 0
    left[points[:, 0] < 0] = 0
    upper, lower = (np.array(RIGHT_LIDS[k] + LEFT_LIDS[k]) for k in (0, 1))
    return Aperture(upper, lower, np.concatenate([right, left], 1).astype(np.float32))


def without_apertures(displacement: Floats) -> Floats:
    """The displacement [478, 3] with its effect on lips and lids taken out: what remains is expression."""
    found: Floats = lids().without(lips().without(displacement)).astype(np.float32)
    return found
