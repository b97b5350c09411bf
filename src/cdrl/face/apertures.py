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

_JAW_WIDTH = 4.2  # cm from the middle of the face over which the jaw goes along with the chin less and less
_MIDDLE_LIPS = 1.34  # opening of the middle pair of lips over the mean of all pairs, along the face, in talk


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
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    share: float,
    reaches: tuple[float, float],
    border: tuple[float, float] = (-0.05, 0.05),
    jaw: float = 0.0,
) -> NDArray[np.float64]:
    """Return `Aperture.spread`.

    Args:
        upper: [p] numbers of the upper points.
        lower: [p] numbers of the lower points.
        share: What the lower points take of an opening; the upper ones take the rest.
        reaches: cm over which the skin around the upper and the lower points goes along less and less.
        border: How much nearer skin lies to the lower points than to the upper ones, in cm, from where it begins to go
            along with them to where it does so alone.
        jaw: How far the chin goes along, of how far the middle of the lower lip goes.
    """
    points = canonical_points().astype(np.float64)
    distances = [np.linalg.norm(points[:, None, :2] - points[None, list(side), :2], axis=2) for side in (upper, lower)]
    to_upper, to_lower = (distance.min(1) for distance in distances)
    below = np.interp(to_upper - to_lower, border, (0, 1))
    rigid = jaw * np.exp(-np.square(points[:, 0] / _JAW_WIDTH))
    falls = [
        (share - 1) * (1 - below) * np.exp(-np.square(to_upper / reaches[0])),
        share * below * (1 - rigid) * np.exp(-np.square(to_lower / reaches[1])),
    ]
    spread: NDArray[np.float64] = (share * below * rigid)[:, None] * np.full(len(upper), _MIDDLE_LIPS / len(upper))
    for side, fall in zip((upper, lower), falls, strict=True):
        near = np.exp(-np.square((points[:, None, 0] - points[None, list(side), 0]) / 0.5)) + 1e-9
        spread += fall[:, None] * near / near.sum(1, keepdims=True)
    for pair, (u, low) in enumerate(zip(upper, lower, strict=True)):
        spread[u] = spread[low] = 0
        spread[u, pair], spread[low, pair] = share - 1, share
    spread[MESH_POINTS:] = 0
    return spread


@cache
def lips() -> Aperture:
    """Return the inner lips, 9 pairs; the lower lip takes most of an opening, and the jaw goes along.

    Numbers are those of talk (`benchmarks/jaw.py`), with a root mean square error of .03 of the opening.
    """
    upper, lower = INNER_LIPS
    spread = _spread(upper, lower, 0.8, (1.0, 2.0), (-0.125, 0.375), jaw=0.55)
    return Aperture(np.array(upper), np.array(lower), spread.astype(np.float32))


@cache
def lids() -> Aperture:
    """Return the lids of both eyes, 14 pairs, the right eye's first; the upper lid takes most of an opening."""
    right = _spread(*RIGHT_LIDS, 0.2, (0.55, 0.4))
    left = _spread(*LEFT_LIDS, 0.2, (0.55, 0.4))
    points = canonical_points()
    right[points[:, 0] > 0] = 0
    left[points[:, 0] < 0] = 0
    upper, lower = (np.array(RIGHT_LIDS[k] + LEFT_LIDS[k]) for k in (0, 1))
    return Aperture(upper, lower, np.concatenate([right, left], 1).astype(np.float32))


@cache
def brows() -> Aperture:
    """Return the edges of both brows, 10 pairs, the right brow's first: hair, whose thickness no expression changes."""
    pairs = [(brow[5:], brow[:5]) for brow in (RIGHT_BROW, LEFT_BROW)]
    spread = np.concatenate([_spread(*pair, 0.5, (0.5, 0.3)) for pair in pairs], 1)
    upper, lower = (np.array(pairs[0][k] + pairs[1][k]) for k in (0, 1))
    return Aperture(upper, lower, spread.astype(np.float32))


def remove_apertures(displacement: Array) -> Array:
    """Take the effect on lips and lids out of a displacement [..., 478, 3]: what remains is expression."""
    return lids().remove(lips().remove(displacement))
