"""From moved landmarks to a backward flow on a small grid over the head's ring.

The mesh gives the flow inside the face; outside it the flow of the nearest boundary point fades to nothing within
the ring. No seam, and the picture outside the ring is not touched.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.mesh import MESH_POINTS, triangles
from cdrl.rendering.raster import Coverage, rasterise

GRID = 160  # nodes along the ring's longer side
RING = 0.3  # width of the ring around the face, in units of the face's size
ALIGN = 4  # pixels: a window starts on whole chroma samples of every layout


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture in pixels: [x0, x1) x [y0, y1)."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


@dataclass(frozen=True)
class Flow:
    """Where the pixels of `window` come from. On a grid of nodes [h, w] at the centres of equal cells:

    `shift` [h, w, 2]: source position − output position, in picture pixels; exactly 0 outside the ring.
    `fade` [h, w]: 1 in the face, falling to 0 at the ring's outer edge.
    `coverage`: the face's nodes; `points` [478, 2]: the moved landmarks in grid units.
    """

    window: Window
    shift: Floats
    fade: Floats
    coverage: Coverage
    points: Floats

    @property
    def size(self) -> tuple[int, int]:
        """Grid size (w, h)."""
        return self.coverage.width, self.coverage.height

    def to_grid(self, pixels: Floats) -> Floats:
        """Picture positions [..., 2] in grid units."""
        return _to_grid(pixels, self.window, *self.size)


def _to_grid(pixels: Floats, window: Window, width: int, height: int) -> Floats:
    origin = np.array([window.x0, window.y0], np.float32)
    cells = np.array([width / window.width, height / window.height], np.float32)
    return ((pixels - origin + 0.5) * cells - 0.5).astype(np.float32)


def ring_window(source: Floats, target: Floats, width: int, height: int) -> tuple[Window, float] | None:
    """The window around the face with its ring, clipped to the picture, and the ring's width in pixels.

    `source`, `target`: landmarks [478, 2] before and after, pixels. None when nothing of it lies in the picture.
    """
    low = np.minimum(source[:MESH_POINTS].min(0), target[:MESH_POINTS].min(0))
    high = np.maximum(source[:MESH_POINTS].max(0), target[:MESH_POINTS].max(0))
    ring = RING * float(np.max(high - low))
    x0, y0 = (int(v) // ALIGN * ALIGN for v in np.maximum(np.floor(low - ring), 0))
    x1, y1 = (int(v) for v in np.ceil(high + ring))
    x1, y1 = min(-(-x1 // ALIGN) * ALIGN, width), min(-(-y1 // ALIGN) * ALIGN, height)
    if x1 - x0 < ALIGN or y1 - y0 < ALIGN:
        return None
    return Window(x0, y0, x1, y1), ring


@dataclass(frozen=True)
class Layout:
    """Which nodes of a grid over `window` the moved face covers, and what the others take from it: `nearest` [h·w], the
    place in `coverage` of the nearest covered node, and `fade` [h, w]; see `Flow`."""

    window: Window
    coverage: Coverage
    nearest: NDArray[np.intp]
    fade: Floats
    points: Floats

    def flow(self, displacement: Floats) -> Flow:
        """The flow of landmarks that were moved by `displacement` [478, 2] pixels to where the layout has them."""
        shift = self.coverage.interpolate(-displacement)[self.nearest] * self.fade.reshape(-1, 1)
        return Flow(self.window, shift.reshape(*self.fade.shape, 2), self.fade, self.coverage, self.points)


def layout(source: Floats, target: Floats, width: int, height: int) -> Layout | None:
    """How a face that moves from `source` [478, 2] to `target` [478, 2] lies in a picture of width x height.

    Pixels throughout. None when it lies outside.
    """
    found = ring_window(source, target, width, height)
    if found is None:
        return None
    window, ring = found
    cell = max(window.width, window.height) / GRID
    grid_w, grid_h = max(round(window.width / cell), 2), max(round(window.height / cell), 2)
    points = _to_grid(target, window, grid_w, grid_h)
    coverage = rasterise(points, triangles(), grid_h, grid_w)
    if coverage.nodes.size == 0:
        return None
    return Layout(window, coverage, *_spread(coverage, ring / cell), points)


def backward_flow(source: Floats, displacement: Floats, width: int, height: int) -> Flow | None:
    """The flow that moves landmarks `source` [478, 2] by `displacement` [478, 2] in a picture of width x height.

    Pixels throughout. None when the face lies outside the picture.
    """
    found = layout(source, source + displacement, width, height)
    return None if found is None else found.flow(displacement)


def _spread(coverage: Coverage, ring: float) -> tuple[NDArray[np.intp], Floats]:
    """For every node the place of the nearest covered one, and the fade [h, w]; `ring` in cells."""
    height, width = coverage.height, coverage.width
    outside = np.ones(height * width, np.uint8)
    outside[coverage.nodes] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        outside.reshape(height, width), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(labels.max() + 1, np.intp)
    owner[labels.ravel()[coverage.nodes]] = np.arange(coverage.nodes.size)
    fade: Floats = np.square(np.clip(1 - distance / ring, 0, 1)).astype(np.float32)
    return owner[labels.ravel()], fade
