"""Texture space: the canonical face seen from the front, as a square of `SIZE` texels. Shading maps live in it."""

from functools import cache

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import MESH_POINTS, canonical_points, triangles
from cdrl.rendering.flow import Flow
from cdrl.rendering.raster import Coverage, rasterise

SIZE = 128  # texels a side
_MARGIN = 2.0  # texels


@cache
def texture_points() -> Floats:
    """[478, 2]: where each landmark lies, in texels."""
    flat = canonical_points()[:, :2]
    low, high = flat[:MESH_POINTS].min(0), flat[:MESH_POINTS].max(0)
    scale = (SIZE - 1 - 2 * _MARGIN) / float((high - low).max())
    points: Floats = ((flat - (low + high) / 2) * scale + (SIZE - 1) / 2).astype(np.float32)
    return points


@cache
def texture_coverage() -> Coverage:
    """The texels that the face covers."""
    return rasterise(texture_points(), triangles(), SIZE, SIZE)


def unwrap(luma: Floats, points: Floats) -> Floats:
    """Samples `luma` [h, w] at the landmarks `points` [478, 2] (its pixels) into texture space: [SIZE, SIZE], 0 where
    there is no face."""
    coverage = texture_coverage()
    positions = np.full((SIZE * SIZE, 2), -1e4, np.float32)
    positions[coverage.nodes] = coverage.interpolate(points)
    grid = positions.reshape(SIZE, SIZE, 2)
    sampled: Floats = cv2.remap(luma, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return sampled


def project(texture: Floats, flow: Flow) -> Floats:
    """A map of texture space [SIZE, SIZE] on the flow's grid [h, w]; 0 outside the face."""
    width, height = flow.size
    texels = flow.coverage.interpolate(texture_points())
    values = cv2.remap(texture, texels[:, None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grid = np.zeros(height * width, np.float32)
    grid[flow.coverage.nodes] = values[:, 0]
    return grid.reshape(height, width)
