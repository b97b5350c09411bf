"""What a lid covered: an iris is a disc with white above it, and where no lid opens farther nothing is drawn."""

import numpy as np
import pytest
from face_factory import face_at

from cdrl.face.mesh import EYE_CONTOURS, LEFT_IRIS, LEFT_LIDS, RIGHT_IRIS, RIGHT_LIDS
from cdrl.rendering.eyeball import expose_eyeballs
from cdrl.rendering.flow import Window
from cdrl.rendering.raster import fill_contour
from cdrl.rendering.warp import Plane

SIDE, SCALE = 640, 36.0
SKIN, WHITE, IRIS = 150, 220, 40
WHOLE = Window(0, 0, SIDE, SIDE)
BOTH = [(RIGHT_IRIS, RIGHT_LIDS), (LEFT_IRIS, LEFT_LIDS)]


def face_with_lids(opening):
    """Landmarks [478, 2] whose upper lids stand so far above the lower ones, 1 in the canonical face."""
    points = face_at(SIDE / 2, SIDE / 2, SCALE)
    for upper, lower in (RIGHT_LIDS, LEFT_LIDS):
        points[list(upper)] = points[list(lower)] + opening * (points[list(upper)] - points[list(lower)])
    return points


def measure_iris(points, iris):
    """Center and radius."""
    center = points[iris[0]]
    return center, float(np.linalg.norm(points[list(iris[1:])] - center, axis=1).mean())


def draw_eyes(points):
    """Luma of skin with white eyes, each with a dark iris."""
    y, x = np.mgrid[:SIDE, :SIDE]
    luma = np.full((SIDE, SIDE), SKIN, np.uint8)
    for contour, (iris, _) in zip(EYE_CONTOURS, BOTH, strict=True):
        inside = fill_contour(points[list(contour)], luma.shape) > 0
        center, radius = measure_iris(points, iris)
        luma[inside] = np.where(np.hypot(x - center[0], y - center[1]) < radius, IRIS, WHITE)[inside]
    return luma


def open_lids(before, after):
    """Landmarks before and after, and luma before and after lids opened from one opening to another."""
    source, target = face_with_lids(before), face_with_lids(after)
    luma = draw_eyes(source)
    drawn = luma.copy()
    expose_eyeballs([Plane(luma, (1, 1), 0.0, 255.0)], [drawn], WHOLE, source, target)
    return source, target, luma, drawn


@pytest.mark.parametrize(("iris", "lids"), BOTH)
def test_an_iris_that_a_lid_covered_becomes_a_disc_with_white_beside_it(iris, lids):
    source, _, before, drawn = open_lids(1.2, 2.2)
    center, radius = measure_iris(source, iris)
    x, y = round(float(center[0])), round(float(center[1] - 0.9 * radius))
    assert before[y, x] == SKIN
    assert drawn[y, x] < SKIN - 50
    for side in (-1, 1):
        assert drawn[y, x + side * round(1.1 * radius)] > SKIN + 20
    assert drawn[round(float(center[1] - 1.2 * radius)), x] > SKIN + 20
    below = slice(round(float(center[1])), None), slice(x - round(radius), x + round(radius))
    assert np.array_equal(drawn[below], before[below])


def test_the_white_is_darker_below_the_lid():
    _, target, _, drawn = open_lids(1.2, 2.2)
    x, lid = (round(float(value)) for value in target[RIGHT_LIDS[0][3]])
    assert drawn[lid + 10, x] > SKIN  # below the rim that moves with the lid
    assert drawn[lid + 18, x] > drawn[lid + 10, x] + 15


@pytest.mark.parametrize("openings", [(1.0, 1.0), (1.0, 0.6), (0.1, 0.5)], ids=["as before", "narrowed", "a blink"])
def test_nothing_is_drawn_where_no_lid_opens_farther_nor_in_a_blink(openings):
    *_, before, drawn = open_lids(*openings)
    assert np.array_equal(drawn, before)


def test_nothing_is_drawn_in_an_eye_that_shows_no_white():
    source, target = face_with_lids(1.2), face_with_lids(2.2)
    luma = np.full((SIDE, SIDE), SKIN, np.uint8)
    drawn = luma.copy()
    tiny = [points / 40 for points in (source, target)]
    expose_eyeballs([Plane(luma, (1, 1), 0.0, 255.0)], [drawn], WHOLE, *tiny)
    assert np.array_equal(drawn, luma)
