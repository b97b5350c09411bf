"""Texture space: what is unwrapped from a picture and projected back is what was there."""

import cv2
import numpy as np
import pytest
from face_factory import HEIGHT, NONE, WIDTH, face_at

from cdrl.rendering.flow import compute_backward_flow
from cdrl.rendering.texture import SIZE, measure_relief, project_texture, texture_coverage, texture_points, unwrap_luma


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


def fold_texture(light, depth):
    """Log texture of skin of that luma, with a fold of that depth beside the mouth."""
    x, y = (texture_points()[[205, 425]] + 0.5).astype(int).T
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[y, x] = 1
    fold = cv2.GaussianBlur(mask, (0, 0), 4)
    return np.log(light + 8.0) - depth * fold / fold.max()


def test_a_face_bears_as_much_shading_as_its_cheeks_show():
    smooth, folded, deep = (measure_relief(fold_texture(140.0, depth)) for depth in (0.0, 0.2, 0.4))
    assert smooth == pytest.approx(0, abs=1e-6)
    assert deep == pytest.approx(2 * folded, rel=0.05)


def test_skin_lit_almost_to_white_bears_none():
    normal, bright, white = (measure_relief(fold_texture(light, 0.2)) for light in (140.0, 205.0, 240.0))
    assert normal > bright > white == 0


def test_what_is_no_cheek_does_not_count():
    texture = fold_texture(140.0, 0.2)
    x, y = (texture_points()[10] + 0.5).astype(int)
    texture[y : y + 12, x - 20 : x + 20] -= 1  # hair over the forehead
    assert measure_relief(texture) == pytest.approx(measure_relief(fold_texture(140.0, 0.2)), rel=0.1)
