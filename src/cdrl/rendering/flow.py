"""From moved landmarks to a backward flow on a small grid over the head and a falloff margin around it.

The mesh gives the flow inside the face; outside it the flow of the nearest boundary point falls to nothing within the
margin. No seam, and the picture outside the margin is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.arrays import Array, match_array
from cdrl.face.bundle import Floats
from cdrl.face.mesh import MESH_POINTS, triangles
from cdrl.rendering.raster import Coverage, rasterize
from cdrl.rendering.rigid_bands import RigidBand, find_rigid_bands

GRID = 160
"""Nodes along a window's longer side."""
FALLOFF = 0.3
"""Width of the margin around the face, in units of the face's size."""
ALIGN = 4
"""Pixels: a window starts on whole chroma samples of every layout."""


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture in pixels: [x0, x1) x [y0, y1)."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.y1 - self.y0

    def within(self, other: Window) -> Window:
        """Return this window in the pixels of another one."""
        return Window(self.x0 - other.x0, self.y0 - other.y0, self.x1 - other.x0, self.y1 - other.y0)

    def to_grid(self, pixels: Array, width: int, height: int) -> Array:
        """Convert picture positions [..., 2] to units of a grid of `width` x `height` nodes over the window."""
        origin = match_array(np.array([self.x0, self.y0], np.float32), pixels)
        cells = match_array(np.array([width / self.width, height / self.height], np.float32), pixels)
        return (pixels - origin + 0.5) * cells - 0.5


@dataclass(frozen=True)
class Flow:
    """Where the pixels of a window come from, on a grid of nodes [h, w] at the centers of equal cells."""

    window: Window
    """The part of the picture that changes."""
    shift: Array
    """[h, w, 2] source position − output position, in picture pixels; exactly 0 outside the margin."""
    falloff: Floats
    """[h, w]: 1 in the face, falling to 0 at the margin's outer edge."""
    coverage: Coverage
    """The face's nodes."""

    @property
    def matrix(self) -> Floats:
        """[2, 3]: positions on the grid, (x, y, 1) → picture pixels."""
        height, width = self.falloff.shape
        x, y = self.window.width / width, self.window.height / height
        return np.array([[x, 0, self.window.x0 + 0.5 * x - 0.5], [0, y, self.window.y0 + 0.5 * y - 0.5]])


def falloff_window(source: Floats, target: Floats, width: int, height: int) -> tuple[Window, float] | None:
    """Return the part of a picture that an edit may change.

    Args:
        source: [478, 2] landmarks before, pixels.
        target: [478, 2] landmarks after, pixels.
        width: Of the picture.
        height: Of the picture.

    Returns:
        The window around the face with its margin, clipped to the picture, and the margin's width in pixels; None
        where nothing of it lies in the picture.
    """
    low = np.minimum(source[:MESH_POINTS].min(0), target[:MESH_POINTS].min(0))
    high = np.maximum(source[:MESH_POINTS].max(0), target[:MESH_POINTS].max(0))
    margin = FALLOFF * float(np.max(high - low))
    x0, y0 = (int(v) // ALIGN * ALIGN for v in np.maximum(np.floor(low - margin), 0))
    x1, y1 = (int(v) for v in np.ceil(high + margin))
    x1, y1 = min(-(-x1 // ALIGN) * ALIGN, width), min(-(-y1 // ALIGN) * ALIGN, height)
    if x1 - x0 < ALIGN or y1 - y0 < ALIGN:
        return None
    return Window(x0, y0, x1, y1), margin


@dataclass(frozen=True)
class WarpGrid:
    """Which nodes of a grid over a window the moved face covers, and what the other nodes take from it."""

    window: Window
    """The part of the picture that changes."""
    coverage: Coverage
    """The face's nodes."""
    nearest_index: NDArray[np.intp]
    """[h·w]: for every node, the place in `coverage` of the nearest covered one."""
    falloff: Floats
    """[h, w]; see `Flow`."""
    bands: list[RigidBand]
    """Brows and lashes; where they overlap, the last one counts."""

    def flow(self, displacement: Array) -> Flow:
        """Return the flow of landmarks that `displacement` [478, 2] pixels moved to where the grid has them."""
        shift = self.coverage.interpolate(-displacement)
        for band in self.bands:
            band.hold(shift, displacement)
        shift = shift[self.nearest_index]
        shift = shift * match_array(self.falloff.reshape(-1, 1), displacement)
        return Flow(self.window, shift.reshape(*self.falloff.shape, 2), self.falloff, self.coverage)

    def follow_points(self, target: Array) -> WarpGrid:
        """Return the grid with gradients to the moved landmarks `target` [478, 2], pixels, for training.

        Which triangle covers a node, which node is nearest, its share of brows and lashes, and the falloff carry none.
        """
        points = self.window.to_grid(target, self.coverage.width, self.coverage.height)
        return replace(self, coverage=self.coverage.follow_points(points))


def build_warp_grid(source: Floats, target: Floats, width: int, height: int) -> WarpGrid | None:
    """Build the grid for a face that moves in a picture.

    Args:
        source: [478, 2] landmarks before, pixels.
        target: [478, 2] landmarks after, pixels.
        width: Of the picture.
        height: Of the picture.

    Returns:
        The grid; None where the face lies outside the picture.
    """
    placed = falloff_window(source, target, width, height)
    if placed is None:
        return None
    window, margin = placed
    cell = max(window.width, window.height) / GRID
    grid_w, grid_h = max(round(window.width / cell), 2), max(round(window.height / cell), 2)
    points = window.to_grid(target, grid_w, grid_h).astype(np.float32)
    coverage = rasterize(points, triangles(), grid_h, grid_w)
    if coverage.nodes.size == 0:
        return None
    # Nodes beside the face take what the nearest covered one has, the less the farther they lie.
    outside = np.ones(grid_h * grid_w, np.uint8)
    outside[coverage.nodes] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        outside.reshape(grid_h, grid_w), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(labels.max() + 1, np.intp)
    owner[labels.ravel()[coverage.nodes]] = np.arange(coverage.nodes.size)
    falloff: Floats = np.square(np.clip(1 - distance / (margin / cell), 0, 1)).astype(np.float32)
    before = window.to_grid(source, grid_w, grid_h).astype(np.float32)
    return WarpGrid(window, coverage, owner[labels.ravel()], falloff, find_rigid_bands(coverage, before, points))


def compute_backward_flow(source: Floats, displacement: Floats, width: int, height: int) -> Flow | None:
    """Compute the flow that moves landmarks `source` [478, 2] by `displacement` [478, 2], pixels.

    Returns:
        The flow; None where the face lies outside the picture of `width` x `height`.
    """
    grid = build_warp_grid(source, source + displacement, width, height)
    return None if grid is None else grid.flow(displacement)
