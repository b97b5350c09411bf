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


def turn(roll):
    """The rotation [2, 2] by so many degrees."""
    angle = np.radians(roll)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def face_with_lids(opening, roll=0.0):
    """Landmarks [478, 2] whose upper lids stand so far above the lower ones, 1 in the canonical face."""
    points = face_at(0, 0, SCALE)
    for upper, lower in (RIGHT_LIDS, LEFT_LIDS):
        points[list(upper)] = points[list(lower)] + opening * (points[list(upper)] - points[list(lower)])
    return (points @ turn(roll).T + SIDE / 2).astype(np.float32)


def measure_iris(points, iris):
    """Center and radius."""
    center = points[iris[0]]
    return center, float(np.linalg.norm(points[list(iris[1:])] - center, axis=1).mean())


def draw_eyes(points):
    """Luma of skin with white eyes, each with a dark iris."""
    y, x = np.mgrid[:SIDE, :SIDE]
    luma = np.full((SIDE, SIDE), SKIN, np.uint8)
    for contour, iris in zip(EYE_CONTOURS, (RIGHT_IRIS, LEFT_IRIS), strict=True):
        inside = fill_contour(points[list(contour)], luma.shape) > 0
        center, radius = measure_iris(points, iris)
        luma[inside] = np.where(np.hypot(x - center[0], y - center[1]) < radius, IRIS, WHITE)[inside]
    return luma


def open_lids(before, after, roll=0.0):
    """Landmarks before and after, and luma before and after lids opened from one opening to another."""
    source, target = face_with_lids(before, roll), face_with_lids(after, roll)
    luma = draw_eyes(source)
    drawn = luma.copy()
    expose_eyeballs([Plane(luma, (1, 1), 0.0, 255.0)], [drawn], WHOLE, source, target)
    return source, target, luma, drawn


@pytest.mark.parametrize("roll", [0.0, 30.0])
@pytest.mark.parametrize("iris", [RIGHT_IRIS, LEFT_IRIS])
def test_an_iris_that_a_lid_covered_becomes_a_disc_with_white_beside_it(iris, roll):
    source, _, before, drawn = open_lids(1.2, 2.2, roll)
    center, radius = measure_iris(source, iris)

    def look(luma, across, down):
        """Luma at a place in radii of the iris from its center, along the face's own axes."""
        x, y = np.round(center + radius * turn(roll) @ [across, down]).astype(int)
        return int(luma[y, x])

    assert look(before, 0, -0.9) == SKIN
    assert look(drawn, 0, -0.9) < SKIN - 50
    for across, down in ((-1.15, -0.7), (1.15, -0.7), (0, -1.25)):
        assert look(drawn, across, down) > SKIN + 20
    for across, down in ((0, 0), (0, 0.5), (-0.8, 0.1), (0.8, 0.1)):
        assert look(drawn, across, down) == look(before, across, down)


def test_the_white_is_darker_below_the_lid():
    _, target, _, drawn = open_lids(1.2, 2.2)
    x, lid = (round(float(value)) for value in target[RIGHT_LIDS[0][3]])
    assert drawn[lid + 10, x] > SKIN  # below the rim that moves with the lid
    assert drawn[lid + 18, x] > drawn[lid + 10, x] + 15


@pytest.mark.parametrize("openings", [(1.0, 1.0), (1.0, 0.6), (0.1, 0.5)], ids=["as before", "narrowed", "a blink"])
def test_nothing_is_drawn_where_no_lid_opens_farther_nor_in_a_blink(openings):
    *_, before, drawn = open_lids(*openings)
    assert np.array_equal(drawn, before)


def test_nothing_is_drawn_in_an_eye_of_a_few_pixels():
    tiny = [points / 40 for points in (face_with_lids(1.2), face_with_lids(2.2))]
    luma = np.full((SIDE, SIDE), SKIN, np.uint8)
    drawn = luma.copy()
    expose_eyeballs([Plane(luma, (1, 1), 0.0, 255.0)], [drawn], WHOLE, *tiny)
    assert np.array_equal(drawn, luma)


def test_the_white_has_the_color_of_the_white():
    source, target = face_with_lids(1.2), face_with_lids(2.2)
    luma = draw_eyes(source)
    color = np.where(luma == SKIN, 150, 128).astype(np.uint8)[::2, ::2]
    chroma = np.stack([color, color], 2)
    planes = [Plane(luma, (1, 1), 0.0, 255.0), Plane(chroma, (2, 2), 128.0, 255.0)]
    drawn = [plane.data.copy() for plane in planes]
    expose_eyeballs(planes, drawn, WHOLE, source, target)
    center, radius = measure_iris(source, RIGHT_IRIS)
    x, y = np.round(center + [1.15 * radius, -0.7 * radius]).astype(int)
    assert luma[y, x] == SKIN
    assert drawn[0][y, x] > SKIN + 20
    assert drawn[1][y // 2, x // 2].max() < (128 + 150) / 2 + 1  # halfway, within the fading rim
