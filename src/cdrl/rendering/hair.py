"""Hair in a flow: brows and lashes move as bands, as thick and as long after an edit as before; skin between stretches.

Brows reach beyond their landmarks, and lashes stand above theirs. The mesh would stretch both with the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.arrays import Array, match_array
from cdrl.face.bundle import Floats
from cdrl.face.mesh import LEFT_BROW, LEFT_CORNERS, LEFT_LIDS, RIGHT_BROW, RIGHT_CORNERS, RIGHT_LIDS

_BROW_REACH = (1.3, 2.4)  # half thicknesses from its middle up to which a brow is held, and from which on it is not
_LASH_REACH = (0.12, 0.22)  # widths of an eye above its upper lid, the same
_BROW_ROOM, _LASH_ROOM = 0.2, 0.2  # of the way between both: held at most, for the rest has to stretch, or to fold
_PAIRS = 5  # of points on the edges of a brow
_LEAST = 1e-6  # grid units: what is shorter has no direction
_SIDES = (
    (RIGHT_BROW[_PAIRS:], RIGHT_BROW[:_PAIRS], (RIGHT_CORNERS[0], *RIGHT_LIDS[0], RIGHT_CORNERS[1])),
    (LEFT_BROW[_PAIRS:], LEFT_BROW[:_PAIRS], (LEFT_CORNERS[0], *LEFT_LIDS[0], LEFT_CORNERS[1])),
)  # upper and lower edge of a brow, and the upper lid below


@dataclass(frozen=True)
class HairBand:
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


def find_hair_bands(places: Floats, before: Floats, after: Floats) -> list[HairBand]:
    """Find the nodes in and beside the lashes and brows.

    Args:
        places: [2, n] columns and rows of the covered nodes, in grid units.
        before: [478, 2] landmarks before, in grid units.
        after: [478, 2] landmarks after, in grid units.

    Returns:
        The bands; where they overlap, the last one counts.
    """
    bands = []
    for upper, lower, lid in _SIDES:
        way = _measure_way(after, lid, lower)
        least = np.minimum(way, _measure_way(before, lid, lower))
        line, edges = after[list(lid)], (after[list(upper)], after[list(lower)])
        width, half = np.linalg.norm(line[-1] - line[0]), np.linalg.norm(edges[1] - edges[0], axis=1) / 2
        held = np.minimum(_LASH_REACH[0] * width, _LASH_ROOM * least.min(1))
        ends = np.minimum(_LASH_REACH[1] * width, way.min(1) / 2)
        bands.append(_find_band(places, line, held, ends, np.array(lid)[:, None]))
        held = np.minimum(_BROW_REACH[0] * half, half + _BROW_ROOM * least.min(0))
        ends = np.minimum(_BROW_REACH[1] * half, half + way.min(0) / 2)
        bands.append(_find_band(places, (edges[0] + edges[1]) / 2, held, ends, np.array([upper, lower]).T))
    return bands


def _measure_way(points: Floats, lid: tuple[int, ...], brow: tuple[int, ...]) -> Floats:
    """Return the distances [lid, brow] from an upper lid to the lower edge of the brow."""
    distances: Floats = np.linalg.norm(points[list(lid)][:, None] - points[list(brow)], axis=2)
    return distances


def _find_band(places: Floats, line: Floats, held: Floats, ends: Floats, landmarks: NDArray[np.intp]) -> HairBand:
    """Find the nodes beside a line.

    Args:
        places: [2, n], see `find_hair_bands`.
        line: [p, 2] its corners.
        held: [p] how far from each corner nodes move with the line.
        ends: [p] how far from each corner they do not any more; larger.
        landmarks: [p, k] whose mean each corner is.
    """
    (x0, y0), (x1, y1) = line.min(0) - ends.max(), line.max(0) + ends.max()
    x, y = places
    nodes = np.flatnonzero((y > y0) & (y < y1) & (x > x0) & (x < x1))
    steps = np.diff(line, axis=0).T[..., None]  # [2, p - 1, 1]
    from_start = places[:, nodes][:, None] - line[:-1].T[..., None]  # [2, p - 1, m]
    along = np.clip((from_start * steps).sum(0) / np.maximum(np.square(steps).sum(0), _LEAST), 0, 1)
    distances = np.hypot(*(from_start - along * steps))
    segment, row = distances.argmin(0), np.arange(nodes.size)
    place = segment + along[segment, row]
    begin, end = (np.interp(place, np.arange(len(line)), reach) for reach in (held, ends))
    share = np.clip((end - distances[segment, row]) / np.maximum(end - begin, _LEAST), 0, 1)
    near = np.flatnonzero(share)
    segment, part = segment[near], (place - segment)[near, None]
    vertices = np.concatenate([landmarks[segment], landmarks[segment + 1]], 1)
    weights = np.concatenate([1 - part, part], 1).repeat(landmarks.shape[1], 1) / landmarks.shape[1]
    share = share[near, None]
    return HairBand(
        nodes[near], (share * share * (3 - 2 * share)).astype(np.float32), vertices, weights.astype(np.float32)
    )
