"""Brows and lashes move as bands: what reaches beyond their landmarks is as thick after an edit as before."""

import numpy as np
import pytest
from face_factory import HEIGHT, NONE, WIDTH, face_at

from cdrl.face.mesh import LEFT_BROW, LEFT_LIDS, RIGHT_BROW, RIGHT_LIDS, region_weights
from cdrl.rendering.flow import compute_backward_flow


def move_brows(rise):
    """Landmarks of a face, and the flow that moves its brows up by so many pixels."""
    points, displacement = face_at(160, 120, 10.0), NONE.copy()
    displacement[:, 1] = -rise * region_weights()["brows"]
    return points, displacement, compute_backward_flow(points, displacement, WIDTH, HEIGHT)


def rows_moved(flow, places):
    """How many rows up what is seen at places [n, 2] came from."""
    grid = flow.window.to_grid(places.astype(np.float32), flow.coverage.width, flow.coverage.height)
    x, y = np.round(grid).astype(int).T
    return flow.shift[y, x, 1]


@pytest.mark.parametrize("rise", [5.0, -3.0])
@pytest.mark.parametrize("brow", [RIGHT_BROW, LEFT_BROW])
def test_hair_beyond_the_landmarks_of_a_brow_moves_with_it(brow, rise):
    points, displacement, flow = move_brows(rise)
    upper, lower = (points[list(edge)] + displacement[list(edge)] for edge in (brow[5:], brow[:5]))
    own = -displacement[list(brow[:5]), 1]
    beyond = lower + 0.1 * (lower - upper)
    assert rows_moved(flow, beyond)[1:4] == pytest.approx(own[1:4], abs=0.12 * abs(rise))


@pytest.mark.parametrize("rise", [5.0, -3.0])
@pytest.mark.parametrize(("brow", "lid"), [(RIGHT_BROW, RIGHT_LIDS[0]), (LEFT_BROW, LEFT_LIDS[0])])
def test_lashes_stay_with_their_lid(brow, lid, rise):
    points, displacement, flow = move_brows(rise)
    middle = points[lid[3]] + displacement[lid[3]]
    way = points[brow[2], 1] + displacement[brow[2], 1] - middle[1]
    lash = middle + [0, 0.15 * way]
    assert rows_moved(flow, lash[None]) == pytest.approx(-displacement[lid[3], 1], abs=0.12 * abs(rise))


@pytest.mark.parametrize("rise", [9.0, -6.0])
def test_skin_between_brow_and_lid_never_folds_over(rise):
    points, _, flow = move_brows(rise)
    matrix = flow.matrix
    columns = matrix[0, 0] * np.arange(flow.coverage.width) + matrix[0, 2]
    between = (columns > points[RIGHT_BROW[0], 0]) & (columns < points[LEFT_BROW[0], 0])
    assert np.diff(flow.shift[:, between, 1], axis=0).min() > -matrix[1, 1]
