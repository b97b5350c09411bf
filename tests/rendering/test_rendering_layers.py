"""What is in front of a face stays bit for bit, what is behind the head stays where it is."""

import cv2
import numpy as np
import pytest
from face_factory import FLAT, HEIGHT, LAYOUTS, NONE, WIDTH, noise, unchanged

from cdrl.face.mesh import OVAL
from cdrl.face.segmentation import SIDE, Segmentation, find_region
from cdrl.rendering.render import render
from cdrl.rendering.texture import SIZE

DARK = np.full((SIZE, SIZE), -0.5, np.float32)


def grown():
    """A displacement [478, 2] that a strong edit may have: down and wider."""
    return np.tile(np.array([[2.0, 5.0]], np.float32), (478, 1))


def segment(points, occluded=None, background=None):
    """A segmentation of picture masks [HEIGHT, WIDTH]."""
    region = find_region(points)
    layers = [
        np.zeros((SIDE, SIDE), np.float32)
        if mask is None
        else cv2.warpAffine(
            mask.astype(np.float32), region.matrix(SIDE), (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        for mask in (occluded, background)
    ]
    return Segmentation(region, *layers)


def box(points):
    """A thing over the mouth, [HEIGHT, WIDTH]."""
    x, y = points[13].astype(int)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y - 12 : y + 12, x - 20 : x + 20] = True
    return mask


def beside(points):
    """All but the head, [HEIGHT, WIDTH]."""
    face = cv2.fillPoly(np.ones((HEIGHT, WIDTH), np.uint8), [np.round(points[list(OVAL)]).astype(np.int32)], 0)
    return face > 0


def test_every_sample_of_a_thing_stays_and_the_face_around_it_changes(frame, points):
    before, thing = frame.copy(), box(points)
    assert render(frame, points, grown(), DARK, segmentation=segment(points, thing))
    for plane, was in zip(frame.planes, before.planes, strict=True):
        sy, sx = round(HEIGHT / plane.shape[0]), round(WIDTH / plane.shape[1])
        inside = thing[::sy, ::sx]
        assert np.array_equal(plane[inside], was[inside])
        assert not np.array_equal(plane, was)


def test_what_is_behind_the_head_stays_where_it_is(points):
    frame = noise(LAYOUTS["4:4:4"])
    before, wall = frame.copy(), beside(points)
    assert render(frame, points, grown(), FLAT, segmentation=segment(points, background=wall))
    far = cv2.erode(wall.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    inside = cv2.erode((~wall).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    assert np.array_equal(frame.planes[0][far], before.planes[0][far])
    assert (frame.planes[0][inside] != before.planes[0][inside]).mean() > 0.5


def test_the_skin_around_a_thing_does_not_fold(points):
    """A smooth slope stays one: no row goes back."""
    frame = noise(LAYOUTS["gray"])
    frame.planes[0][:] = np.arange(HEIGHT, dtype=np.uint8)[:, None]
    assert render(frame, points, grown(), FLAT, segmentation=segment(points, box(points)))
    column = frame.planes[0][:, int(points[13, 0])].astype(int)
    assert np.diff(column).min() >= 0


@pytest.mark.parametrize("displacement", [NONE, grown()], ids=["still", "moved"])
def test_a_clear_view_of_a_face_changes_nothing_of_the_edit(frame, points, displacement):
    other = frame.copy()
    assert render(frame, points, displacement, FLAT)
    assert render(other, points, displacement, FLAT, segmentation=segment(points))
    assert unchanged(frame, other)
