"""The rasteriser, beside the obvious way to do the same."""

import cv2
import numpy as np
import pytest

from cdrl.face.mesh import triangles
from cdrl.rendering.raster import measure_depth, rasterize
from cdrl.rendering.texture import texture_points

SQUARE = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], np.float32)
HALVES = np.array([[0, 1, 2], [1, 3, 2]], np.int32)


def by_hand(points, faces, height, width, slack):
    """Nodes inside any triangle that is turned like most, each asked by its three edges."""
    a, b, c = (points[faces[:, k]][:, None].astype(float) for k in range(3))
    node = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(1, -1, 2)

    def cross(p, q, r):
        return (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])

    area = cross(a, b, c)
    sign = np.sign(area.sum())
    inside = sign * np.array([cross(a, b, node), cross(b, c, node), cross(c, a, node)]) >= -slack * abs(area)
    return np.flatnonzero((inside.all(0) & (area * sign > 1e-9)).any(0))


FACES = {
    "whole": texture_points() * np.float32(0.4),
    "turned and cut": texture_points() @ np.float32([[0.3, 0.1], [-0.1, 0.3]]) + np.float32([-8, 11]),
}


@pytest.mark.parametrize("name", FACES)
def test_every_node_inside_is_covered_and_no_other(name):
    covered = set(rasterize(FACES[name], triangles(), 40, 52).nodes)
    assert covered >= set(by_hand(FACES[name], triangles(), 40, 52, -1e-6))
    assert covered <= set(by_hand(FACES[name], triangles(), 40, 52, 2e-4))
    assert len(covered) > 300


def test_weights_are_barycentric():
    points = texture_points() * 0.4
    covered = rasterize(points, triangles(), 52, 52)
    assert covered.weights.sum(1) == pytest.approx(np.ones(covered.nodes.size), abs=1e-4)
    assert covered.weights.min() >= -1e-3
    where = np.stack([covered.nodes % 52, covered.nodes // 52], 1)
    assert covered.interpolate(points) == pytest.approx(where.astype(np.float32), abs=1e-3)


def test_the_edge_between_two_triangles_has_no_gap():
    assert rasterize(SQUARE, HALVES, 5, 5).nodes.size == 25


def test_triangles_turned_away_are_left_out():
    tent = np.array([[0, 1, 2], [1, 3, 2], [2, 1, 0]], np.int32)
    assert np.array_equal(rasterize(SQUARE, tent, 5, 5).vertices, rasterize(SQUARE, HALVES, 5, 5).vertices)


def test_where_triangles_overlap_the_later_one_wins():
    both = np.array([[0, 1, 2], [1, 2, 0]], np.int32)
    covered = rasterize(SQUARE, both, 5, 5)
    assert {tuple(vertices) for vertices in covered.vertices} == {(1, 2, 0)}


def test_a_mesh_outside_the_grid_covers_nothing():
    covered = rasterize(SQUARE + 100, HALVES, 5, 5)
    assert covered.nodes.size == 0
    assert covered.interpolate(np.ones((4, 2), np.float32)).shape == (0, 2)


def test_depth_in_a_small_contour_is_its_distance_below_pixels():
    """Along a slanted edge depths of whole pixels come and go in steps of .95."""
    size = 36
    corners = np.float32([[2, 2], [size - 3, 5.3], [size - 6.3, size - 2], [4, size - 5.3]])
    depth = measure_depth(corners, (size, size))
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    places = np.dstack([x, y]).reshape(-1, 2).astype(float)
    exact = np.array([cv2.pointPolygonTest(corners, tuple(place), True) for place in places]).reshape(size, size)
    assert np.abs(depth - np.maximum(exact, 0))[exact < 1.5].max() < 0.4
    assert not depth[exact < -1].any()
