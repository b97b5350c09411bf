"""Rasterises the face mesh on a small grid: which triangle covers a node, and where in it the node lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats

_INSIDE = -1e-4  # barycentric slack, so that nodes on an edge shared by two triangles are covered


@dataclass(frozen=True)
class Coverage:
    """The covered nodes of a `height` x `width` grid: flat index [n], the triangle's vertices [n, 3] and the
    barycentric weights [n, 3] of each."""

    height: int
    width: int
    nodes: NDArray[np.intp]
    vertices: NDArray[np.int32]
    weights: Floats

    def interpolate(self, values: Floats) -> Floats:
        """Values [points, k] at the vertices → [n, k] at the covered nodes."""
        result = values[self.vertices[:, 0]] * self.weights[:, :1]
        result += values[self.vertices[:, 1]] * self.weights[:, 1:2]
        result += values[self.vertices[:, 2]] * self.weights[:, 2:]
        return result


def rasterise(points: Floats, triangles: NDArray[np.int32], height: int, width: int) -> Coverage:
    """Coverage of the grid by the triangles [m, 3] over `points` [p, 2] in grid units (node (x, y) at (x, y)).

    Triangles turned away from the viewer are left out. Where triangles overlap the later one wins.
    """
    a, b, c = (points[triangles[:, k]] for k in range(3))
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    low = np.ceil(np.minimum(np.minimum(a, b), c)).astype(np.int32)
    high = np.floor(np.maximum(np.maximum(a, b), c)).astype(np.int32)
    low = np.maximum(low, 0)
    high = np.minimum(high, np.array([width - 1, height - 1], np.int32))
    span = np.maximum(high - low + 1, 0)
    counts = span[:, 0] * span[:, 1] * _facing(area)
    which = np.repeat(np.arange(len(triangles), dtype=np.int32), counts)
    within = np.arange(which.size, dtype=np.int32) - np.repeat(np.cumsum(counts) - counts, counts).astype(np.int32)
    row, column = np.divmod(within, span[which, 0])
    x, y = column + low[which, 0], row + low[which, 1]
    # Barycentric coordinates are affine in (x, y): one multiply-add each.
    inverse = 1 / np.where(area == 0, 1, area)
    u = np.stack([ac[:, 1] * inverse, -ac[:, 0] * inverse], 1)
    v = np.stack([-ab[:, 1] * inverse, ab[:, 0] * inverse], 1)
    u0, v0 = -(u * a).sum(1), -(v * a).sum(1)
    beta = x * u[which, 0] + y * u[which, 1] + u0[which]
    gamma = x * v[which, 0] + y * v[which, 1] + v0[which]
    alpha = 1 - beta - gamma
    inside = np.flatnonzero((alpha >= _INSIDE) & (beta >= _INSIDE) & (gamma >= _INSIDE))
    owner = np.full(height * width, -1, np.intp)
    owner[y[inside].astype(np.intp) * width + x[inside]] = inside
    nodes = np.flatnonzero(owner >= 0)
    chosen = owner[nodes]
    weights = np.stack([alpha[chosen], beta[chosen], gamma[chosen]], 1).astype(np.float32)
    return Coverage(height, width, nodes, triangles[which[chosen]], weights)


def _facing(area: Floats) -> NDArray[np.int64]:
    """1 for triangles turned like most of the mesh, else 0."""
    sign = 1.0 if area.sum() > 0 else -1.0
    return (area * sign > 1e-9).astype(np.int64)
