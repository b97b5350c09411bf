"""Rasterizes the face mesh on a small grid (which triangle covers a node, and where in it), and contours on pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.arrays import Array, array_namespace, match_array
from cdrl.face.bundle import Floats

_FIXED_POINT = 4  # fractional bits of contours given to OpenCV
_SUBPIXELS = (4, 2)  # a side of each pixel, to measure depths in small areas and in larger ones
_SMALL_AREA = 1500  # pixels
_INSIDE = -1e-4  # barycentric slack, so that nodes on an edge shared by two triangles are covered


@dataclass(frozen=True)
class Coverage:
    """The nodes of a grid that a mesh covers; node (x, y) lies at (x, y) in grid units."""

    height: int
    """Rows of the grid."""
    width: int
    """Columns of the grid."""
    nodes: NDArray[np.intp]
    """[n] flat indices of the covered nodes."""
    vertices: NDArray[np.int32]
    """[n, 3] points of the triangle over each."""
    weights: Array
    """[n, 3] barycentric weights of each."""

    def interpolate(self, values: Array) -> Array:
        """Interpolate values [points, k] at the vertices to the covered nodes, [n, k]."""
        result = values[self.vertices[:, 0]] * self.weights[:, :1]
        result += values[self.vertices[:, 1]] * self.weights[:, 1:2]
        result += values[self.vertices[:, 2]] * self.weights[:, 2:]
        return result

    def scatter(self, values: Floats, background: float = 0.0) -> Floats:
        """Place values [n, k] of the covered nodes on the grid, [height, width, k]."""
        grid = np.full((self.height * self.width, values.shape[1]), background, np.float32)
        grid[self.nodes] = values
        return grid.reshape(self.height, self.width, -1)

    def follow_points(self, points: Array) -> Coverage:
        """Return the coverage with weights of the kind of `points` [p, 2], in grid units, and with gradients to them.

        Which triangle covers a node stays as it is.
        """
        beta, gamma = _barycentric_coefficients(*(points[self.vertices[:, k]] for k in range(3)))
        y, x = (match_array(part.astype(np.float32), points) for part in np.divmod(self.nodes, self.width))
        weights = [x * part[:, 0] + y * part[:, 1] + part[:, 2] for part in (beta, gamma)]
        return replace(self, weights=array_namespace(points).stack([1 - weights[0] - weights[1], *weights], axis=1))


def fill_contour(corners: Floats, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask of `shape` (h, w): 1 within a closed contour with corners [m, 2] in the mask's pixels, else 0."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(corners * (1 << _FIXED_POINT)).astype(np.int32)], 1, shift=_FIXED_POINT)
    return mask


def measure_depth(corners: Floats, shape: tuple[int, int]) -> Floats:
    """Return how deep each pixel lies within a closed contour, [h, w] in pixels; 0 outside.

    It is that of parts of pixels: along a slanted contour that of whole ones would come and go in steps.

    Args:
        corners: [m, 2] in pixels.
        shape: (h, w).
    """
    parts = _SUBPIXELS[int(shape[0] * shape[1] > _SMALL_AREA)]
    fine = fill_contour(corners * parts + (parts - 1) / 2, (parts * shape[0], parts * shape[1]))
    depth = cv2.distanceTransform(fine, cv2.DIST_L2, 3)
    coarse: Floats = cv2.resize(depth, shape[::-1], interpolation=cv2.INTER_AREA) / parts
    return coarse


def _barycentric_coefficients(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Return [m, 3] twice: the weights of `b` and `c` at (x, y) are linear in x, y, and 1; corners are [m, 2]."""
    xp = array_namespace(a)
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    inverse = 1 / xp.where(area == 0, 1, area)

    def through_a(x: Array, y: Array) -> Array:
        return xp.stack([x, y, -(x * a[:, 0] + y * a[:, 1])], axis=1)

    return through_a(ac[:, 1] * inverse, -ac[:, 0] * inverse), through_a(-ab[:, 1] * inverse, ab[:, 0] * inverse)


def rasterize(points: Floats, triangles: NDArray[np.int32], height: int, width: int) -> Coverage:
    """Return which nodes of a grid a mesh covers.

    Triangles that face away from the viewer are left out. Where triangles overlap the later one wins.

    Args:
        points: [p, 2] vertices in grid units.
        triangles: [m, 3] numbers of points.
        height: Rows of the grid.
        width: Columns of the grid.
    """
    a, b, c = (points[triangles[:, k]] for k in range(3))
    ab, ac = b - a, c - a
    low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)).astype(np.int32), 0)
    high = np.floor(np.maximum(np.maximum(a, b), c)).astype(np.int32)
    span = np.maximum(np.minimum(high, np.array([width - 1, height - 1], np.int32)) - low + 1, 0)
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    viewer = 1.0 if area.sum() > 0 else -1.0  # most of the mesh faces the viewer
    counts = span[:, 0] * span[:, 1] * (area * viewer > 1e-9).astype(np.int64)
    which = np.repeat(np.arange(len(triangles), dtype=np.int32), counts)
    within = np.arange(which.size, dtype=np.int32) - np.repeat(np.cumsum(counts) - counts, counts).astype(np.int32)
    row, column = np.divmod(within, span[which, 0])
    x, y = column + low[which, 0], row + low[which, 1]
    beta, gamma = (
        x * part[which, 0] + y * part[which, 1] + part[which, 2] for part in _barycentric_coefficients(a, b, c)
    )
    alpha = 1 - beta - gamma
    inside = np.flatnonzero((alpha >= _INSIDE) & (beta >= _INSIDE) & (gamma >= _INSIDE))
    owner = np.full(height * width, -1, np.intp)
    owner[y[inside].astype(np.intp) * width + x[inside]] = inside
    nodes = np.flatnonzero(owner >= 0)
    chosen = owner[nodes]
    weights = np.stack([alpha[chosen], beta[chosen], gamma[chosen]], 1).astype(np.float32)
    return Coverage(height, width, nodes, triangles[which[chosen]], weights)
