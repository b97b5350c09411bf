"""Brows and lashes in a flow: they move rigidly, as thick and as long after an edit as before; skin between stretches.

Brows reach beyond their landmarks, and lashes stand above theirs. The mesh would stretch both with the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.arrays import Array, match_array
from cdrl.face.bundle import Floats
from cdrl.face.mesh import LEFT_BROW, LEFT_CORNERS, LEFT_LIDS, RIGHT_BROW, RIGHT_CORNERS, RIGHT_LIDS
from cdrl.rendering.raster import Coverage

_BROW_REACH = (1.3, 2.4)  # half thicknesses from its middle up to which a brow is held, and from which on it is not
_LASH_REACH = (0.12, 0.22)  # widths of an eye above its upper lid, the same
_BROW_ROOM, _LASH_ROOM = 0.2, 0.2  # of the way between both: held at most, for the rest has to stretch, or to fold
_PAIRS = 5  # of points on the edges of a brow
_LEAST = 1e-6  # grid units: what is shorter has no direction
_LIDS = np.array(
    [(RIGHT_CORNERS[0], *RIGHT_LIDS[0], RIGHT_CORNERS[1]), (LEFT_CORNERS[0], *LEFT_LIDS[0], LEFT_CORNERS[1])]
)
_UPPER, _LOWER = (np.array([RIGHT_BROW[half], LEFT_BROW[half]]) for half in (slice(_PAIRS, None), slice(_PAIRS)))


@dataclass(frozen=True)
class RigidBand:
    """Which nodes of a grid move along with which landmarks of a brow or a lid."""

    nodes: NDArray[np.intp]
    """[m] their places among the covered ones."""
    share: Floats
    """[m, 1] in 0..1: how far a node moves as the band does."""
    vertices: NDArray[np.intp]
    """[m, k] landmarks."""
    weights: Floats
    """[m, k] of these; rows add up to 1."""

    def hold(self, shift: Array, displacement: Array) -> None:
        """Let nodes move with their band.

        Args:
            shift: [n, 2] of the covered nodes, as the mesh moves them: from where they are to where they came from.
                Changed in place.
            displacement: [478, 2] of the landmarks, in the same unit.
        """
        share, weights = (match_array(part, shift) for part in (self.share, self.weights))
        moved = (displacement[self.vertices] * weights[..., None]).sum(1)
        own = shift[self.nodes]
        shift[self.nodes] = own - share * (moved + own)


def find_rigid_bands(coverage: Coverage, before: Floats, after: Floats) -> list[RigidBand]:
    """Find the nodes in and beside the lashes and brows.

    Args:
        coverage: The nodes that the face covers.
        before: [478, 2] landmarks before, in grid units.
        after: [478, 2] landmarks after, in grid units.

    Returns:
        The bands; where they overlap, the last one counts.
    """
    way = _measure_way(after)
    least = np.minimum(way, _measure_way(before))
    lids, upper, lower = after[_LIDS], after[_UPPER], after[_LOWER]
    width = np.linalg.norm(lids[:, -1] - lids[:, 0], axis=1)[:, None]
    half = np.linalg.norm(lower - upper, axis=2) / 2
    held = np.minimum(_LASH_REACH[0] * width, _LASH_ROOM * least.min(2))
    ends = np.minimum(_LASH_REACH[1] * width, way.min(2) / 2)
    lashes = _find_band(coverage, lids, held, ends, _LIDS[..., None])
    held = np.minimum(_BROW_REACH[0] * half, half + _BROW_ROOM * least.min(1))
    ends = np.minimum(_BROW_REACH[1] * half, half + way.min(1) / 2)
    brows = _find_band(coverage, (upper + lower) / 2, held, ends, np.stack([_UPPER, _LOWER], 2))
    return [lashes, brows]


def _measure_way(points: Floats) -> Floats:
    """Return the distances [side, lid, brow] from the upper lids to the lower edges of the brows."""
    distances: Floats = np.linalg.norm(points[_LIDS][:, :, None] - points[_LOWER][:, None], axis=3)
    return distances


def _find_band(coverage: Coverage, lines: Floats, held: Floats, ends: Floats, landmarks: NDArray[np.intp]) -> RigidBand:
    """Find the nodes beside the lines of both sides.

    Args:
        coverage: The nodes that the face covers.
        lines: [2, p, 2] their corners.
        held: [2, p] how far from each corner nodes move with the line.
        ends: [2, p] how far from each corner they do not any more; larger.
        landmarks: [2, p, k] whose mean each corner is.
    """
    corners, held, ends = lines.reshape(-1, 2), held.ravel(), ends.ravel()
    landmarks = landmarks.reshape(len(corners), -1)
    (x0, y0), (x1, y1) = corners.min(0) - ends.max(), corners.max(0) + ends.max()
    # Nodes go row by row.
    first, last = np.searchsorted(coverage.nodes, np.array([np.ceil(y0), np.floor(y1) + 1]) * coverage.width)
    y, x = np.divmod(coverage.nodes[first:last], coverage.width)
    nodes = np.flatnonzero((x > x0) & (x < x1))
    places = np.stack([x[nodes], y[nodes]]).astype(np.float32)
    begins = np.delete(np.arange(len(corners) - 1), lines.shape[1] - 1)  # corners with which a piece of a line begins
    steps = (corners[begins + 1] - corners[begins]).T[..., None]  # [2, pieces, 1]
    offsets = places[:, None] - corners[begins].T[..., None]  # [2, pieces, nodes]
    along = np.clip((offsets * steps).sum(0) / np.maximum(np.square(steps).sum(0), _LEAST), 0, 1)
    squares = np.square(offsets - along * steps).sum(0)
    piece, order = squares.argmin(0), np.arange(nodes.size)
    part, distance, corner = along[piece, order], np.sqrt(squares[piece, order]), begins[piece]
    begin, end = (reach[corner] + part * (reach[corner + 1] - reach[corner]) for reach in (held, ends))
    share = np.clip((end - distance) / np.maximum(end - begin, _LEAST), 0, 1)
    near = np.flatnonzero(share)
    share, part, corner = share[near, None], part[near, None], corner[near]
    vertices = np.concatenate([landmarks[corner], landmarks[corner + 1]], 1)
    weights = np.repeat(np.concatenate([1 - part, part], 1) / landmarks.shape[1], landmarks.shape[1], 1)
    smooth = share * share * (3 - 2 * share)
    return RigidBand(nodes[near] + first, smooth.astype(np.float32), vertices, weights.astype(np.float32))
