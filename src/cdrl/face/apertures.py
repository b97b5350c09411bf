"""Apertures: how far lips and lids stand apart, point pair by point pair, and how to set them.

Apertures are speech (bilabials close the lips) and blinks. An edit scales the source's own apertures and never adds
to them: closed stays closed.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cdrl.arrays import Array, array_namespace, match_array
from cdrl.face.bundle import Floats
from cdrl.face.mesh import (
    INNER_LIPS,
    LEFT_BROW,
    LEFT_LIDS,
    MESH_POINTS,
    RIGHT_BROW,
    RIGHT_LIDS,
    canonical_points,
)


@dataclass(frozen=True)
class Aperture:
    """Pairs of points that move apart and together: of the lips, of the lids, or of the edges of the brows.

    All methods take NumPy arrays and tensors, in any unit, and keep their leading dimensions.
    """

    upper: NDArray[np.intp]
    """[p] numbers of the upper points."""
    lower: NDArray[np.intp]
    """[p] numbers of the lower points."""
    spread: Floats
    """[478, p]: how far every point moves for one unit of opening of each pair. For a pair's own two points it differs
    by exactly one, so that the opening that is asked for is reached."""

    def vectors(self, shape: Array) -> Array:
        """Return the vectors [..., p, 3] from the upper to the lower points of a shape [..., 478, 3]."""
        return shape[..., self.lower, :] - shape[..., self.upper, :]

    def opening(self, shape: Array) -> Array:
        """Return the mean distance [...] between the pairs of a shape [..., 478, 3]."""
        return array_namespace(shape).linalg.vector_norm(self.vectors(shape), axis=-1).mean(-1)

    def opening_displacement(self, vectors: Array) -> Array:
        """Return the displacement [..., 478, 3] that changes the pairs' vectors by `vectors` [..., p, 3]."""
        return match_array(self.spread, vectors) @ vectors

    def remove(self, displacement: Array) -> Array:
        """Take a displacement's [..., 478, 3] own effect on the pairs out of it."""
        return displacement - self.opening_displacement(self.vectors(displacement))


def _spread(
    upper: tuple[int, ...], lower: tuple[int, ...], share: float, reach_up: float, reach_down: float
) -> NDArray[np.float64]:
    """Return `Aperture.spread`: the lower points take `share` of an opening; influence falls off over `reach_*` cm."""
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
    """Return the inner lips, 9 pairs; the lower lip takes most of an opening, and the skin around it goes along."""
    upper, lower = INNER_LIPS
    spread = _spread(upper, lower, 0.65, 1.0, 2.6)
    return Aperture(np.array(upper), np.array(lower), spread.astype(np.float32))


@cache
def lids() -> Aperture:
    """Return the lids of both eyes, 14 pairs, the right eye's first; the upper lid takes most of an opening."""
    right = _spread(*RIGHT_LIDS, 0.2, 0.55, 0.4)
    left = _spread(*LEFT_LIDS, 0.2, 0.55, 0.4)
    points = canonical_points()
    right[points[:, 0] > 0] = 0
    left[points[:, 0] < 0] = 0
    upper, lower = (np.array(RIGHT_LIDS[k] + LEFT_LIDS[k]) for k in (0, 1))
    return Aperture(upper, lower, np.concatenate([right, left], 1).astype(np.float32))


@cache
def brows() -> Aperture:
    """Return the edges of both brows, 10 pairs, the right brow's first: hair, whose thickness no expression changes."""
    pairs = [(brow[5:], brow[:5]) for brow in (RIGHT_BROW, LEFT_BROW)]
    spread = np.concatenate([_spread(*pair, 0.5, 0.5, 0.3) for pair in pairs], 1)
    upper, lower = (np.array(pairs[0][k] + pairs[1][k]) for k in (0, 1))
    return Aperture(upper, lower, spread.astype(np.float32))


def remove_apertures(displacement: Array) -> Array:
    """Take the effect on lips and lids out of a displacement [..., 478, 3]: what remains is expression."""
    return lids().remove(lips().remove(displacement))
