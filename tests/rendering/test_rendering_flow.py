"""The backward flow: what is asked for inside the face, nothing outside the margin, and smooth between."""

import numpy as np
import pytest
from face_factory import HEIGHT, NONE, WIDTH, face_at

from cdrl.rendering.flow import FALLOFF, compute_backward_flow, falloff_window


def smile():
    """A displacement [478, 2] that differs from point to point, smoothly."""
    x, y = face_at(0, 0, 1).T
    return np.stack([2 * np.sin(x / 3), 3 * np.cos(y / 4)], 1).astype(np.float32)


def test_no_displacement_is_no_flow(points):
    assert not compute_backward_flow(points, NONE, WIDTH, HEIGHT).shift.any()


def test_outside_the_ring_there_is_no_flow(points):
    flow = compute_backward_flow(points, smile(), WIDTH, HEIGHT)
    outside = flow.falloff == 0
    assert outside.any()
    assert not flow.shift[outside].any()
    border = np.concatenate([flow.falloff[0], flow.falloff[-1], flow.falloff[:, 0], flow.falloff[:, -1]])
    assert border.max() < 1e-3


def test_a_face_that_moves_as_a_whole_moves_every_node_of_it(points):
    flow = compute_backward_flow(points, np.tile(np.float32([3, -2]), (478, 1)), WIDTH, HEIGHT)
    inside = flow.shift.reshape(-1, 2)[flow.coverage.nodes]
    assert inside == pytest.approx(np.tile([-3, 2], (len(inside), 1)), abs=1e-3)
    assert (flow.falloff.ravel()[flow.coverage.nodes] == 1).all()
    assert np.linalg.norm(flow.shift, axis=2).max() <= np.hypot(3, 2) + 1e-3


def test_the_flow_at_a_landmark_leads_back_to_where_it_was(points):
    flow = compute_backward_flow(points, smile(), WIDTH, HEIGHT)
    some = [1, 4, 50, 280, 9, 152]
    places = flow.window.to_grid((points + smile())[some], flow.coverage.width, flow.coverage.height)
    x, y = np.round(places).astype(int).T
    assert -flow.shift[y, x] == pytest.approx(smile()[some], abs=0.25)


def test_the_flow_never_jumps(points):
    flow = compute_backward_flow(points, smile(), WIDTH, HEIGHT)
    cell = flow.window.width / flow.coverage.width
    for axis in (0, 1):
        assert np.abs(np.diff(flow.shift, axis=axis)).max() < cell  # a fold would draw the same pixel twice


def test_the_window_holds_face_and_ring_on_whole_chroma_samples(points):
    window, margin = falloff_window(points, points + smile(), WIDTH, HEIGHT)
    assert margin == pytest.approx(FALLOFF * np.ptp(points, axis=0).max(), rel=0.1)
    assert window.x0 % 4 == window.y0 % 4 == window.x1 % 4 == window.y1 % 4 == 0
    low, high = points[:468].min(0) - margin, points[:468].max(0) + margin
    assert ((window.x0, window.y0) <= np.maximum(low, 0)).all()
    assert ((window.x1, window.y1) >= np.minimum(high, (WIDTH, HEIGHT))).all()


@pytest.mark.parametrize("place", [(-400, 100), (900, 100), (100, -400), (100, 900)])
def test_a_face_outside_the_picture_has_no_flow(place):
    assert compute_backward_flow(face_at(*place), smile(), WIDTH, HEIGHT) is None


@pytest.mark.parametrize("place", [(0, 120), (320, 120), (160, 0), (160, 240), (0, 0)])
def test_a_face_cut_by_the_border_flows_in_what_is_left(place):
    flow = compute_backward_flow(face_at(*place), smile(), WIDTH, HEIGHT)
    assert 0 <= flow.window.x0 < flow.window.x1 <= WIDTH
    assert 0 <= flow.window.y0 < flow.window.y1 <= HEIGHT
    assert np.isfinite(flow.shift).all()
    assert np.abs(flow.shift).max() > 1
