"""Texture space: what is unwrapped from a picture and projected back is what was there."""

import numpy as np
import pytest
from face_factory import HEIGHT, NONE, WIDTH, face_at

from cdrl.rendering.flow import compute_backward_flow
from cdrl.rendering.texture import SIZE, project_texture, texture_coverage, texture_points, unwrap_luma


def picture():
    """A smooth map [HEIGHT, WIDTH]."""
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    return np.sin(x / 25) + np.cos(y / 30)


def test_the_face_fits_into_texture_space():
    points = texture_points()[:468]
    assert 0 < points.min() < points.max() < SIZE - 1
    assert texture_coverage().nodes.size > 0.5 * SIZE * SIZE


def test_unwrapping_and_projecting_gives_the_map_back(points):
    flow = compute_backward_flow(points, NONE, WIDTH, HEIGHT)
    back = project_texture(unwrap_luma(picture(), points), flow)
    expected = flow.coverage.interpolate(points)
    values = np.sin(expected[:, 0] / 25) + np.cos(expected[:, 1] / 30)
    apart = np.abs(back.ravel()[flow.coverage.nodes] - values)
    assert np.median(apart) <= 0.01
    assert np.percentile(apart, 95) <= 0.02  # the rest is the outline, where the texture ends


def test_outside_the_face_nothing_is_projected(points):
    flow = compute_backward_flow(points, NONE, WIDTH, HEIGHT)
    outside = np.ones(flow.coverage.width * flow.coverage.height, bool)
    outside[flow.coverage.nodes] = False
    assert not project_texture(np.ones((SIZE, SIZE), np.float32), flow).ravel()[outside].any()


def test_outside_the_face_nothing_is_unwrapped(points):
    outside = np.ones(SIZE * SIZE, bool)
    outside[texture_coverage().nodes] = False
    assert not unwrap_luma(np.ones((HEIGHT, WIDTH), np.float32), points).ravel()[outside].any()


def test_the_texture_does_not_mind_where_the_face_is():
    large = unwrap_luma(_landmark_map(face_at(160, 120, 10)), face_at(160, 120, 10))
    small = unwrap_luma(_landmark_map(face_at(200, 90, 7)), face_at(200, 90, 7))
    assert np.median(np.abs(large - small)) <= 0.05


def _landmark_map(points):
    """A smooth map tied to the face: distance from the nose, in centimeters."""
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    scale = np.linalg.norm(points[152] - points[10]) / np.linalg.norm(face_at(0, 0, 1)[152] - face_at(0, 0, 1)[10])
    return np.hypot(x - points[4, 0], y - points[4, 1]) / scale


def test_a_shading_lands_on_its_place_in_the_face(points):
    flow = compute_backward_flow(points, NONE, WIDTH, HEIGHT)
    texture = np.zeros((SIZE, SIZE), np.float32)
    x, y = np.round(texture_points()[50]).astype(int)  # the right cheek
    texture[y - 3 : y + 4, x - 3 : x + 4] = 1
    lit = project_texture(texture, flow)
    row, column = np.unravel_index(lit.argmax(), lit.shape)
    center = (np.argwhere(lit > 0.5).mean(0)[::-1] - flow.window.to_grid(points[50], *lit.shape[::-1])).tolist()
    assert lit[row, column] == pytest.approx(1, abs=0.01)
    assert center == pytest.approx([0, 0], abs=2)
