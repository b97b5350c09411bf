"""The upper teeth: where they are measured, they are shown as lips draw back from them, and nowhere else."""

import cv2
import numpy as np
import pytest
from face_factory import FLAT, HEIGHT, LAYOUTS, WIDTH, noise, unchanged

from cdrl.face.apertures import lips
from cdrl.face.mesh import INNER_LIPS, canonical_points
from cdrl.face.pose import estimate_pose
from cdrl.rendering.raster import fill_contour
from cdrl.rendering.render import render
from cdrl.rendering.teeth import Teeth, combine_teeth, measure_exposure, measure_teeth, place_teeth

SKIN, BRIGHT, DARK = 120, 190, 30  # luma
SCALE = 16.0  # pixels per centimeter
CONTOUR = [78, *INNER_LIPS[0], 308, *reversed(INNER_LIPS[1])]
MOUTH = [61, 291, *CONTOUR]


def talking(gap, *, roll=0.0):
    """Landmarks [478, 3] in pixels of a face whose lips part by `gap` centimeters, inclined by degrees."""
    shape = canonical_points().copy()
    shape += lips().opening_displacement(np.tile(np.float32([0, gap, 0]), (9, 1)) - lips().vectors(shape))
    angle = np.radians(roll)
    turn = np.float32([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return (SCALE * shape @ turn.T + [WIDTH / 2, HEIGHT / 3, 0]).astype(np.float32)


def painted(points, teeth=0.0, half_width=9.0, below=DARK, layout="4:2:0", chroma=3):
    """A frame whose mouth is dark, but for `teeth` cm below the upper lip, so far to both sides, with that chroma."""
    frame = noise(LAYOUTS[layout])
    luma = np.full(frame.planes[0].shape, SKIN, np.uint8)
    for plane in frame.planes[1:]:
        plane[:] = frame.format.chroma_zero + 10
    inside = fill_contour(points[CONTOUR, :2], luma.shape) > 0
    luma[inside] = below
    rows, columns = np.indices(luma.shape)
    upper = points[13]
    row = (rows <= upper[1] + teeth * SCALE) & (np.abs(columns - upper[0]) <= half_width * SCALE)
    luma[inside & row & (teeth > 0)] = BRIGHT
    for plane in frame.planes[1:]:
        step = luma.shape[0] // plane.shape[0], luma.shape[1] // plane.shape[1]
        plane[(inside & row)[:: step[0], :: step[1]][: plane.shape[0], : plane.shape[1]]] = (
            frame.format.chroma_zero + chroma
        )
    frame.planes[0][:] = luma.astype(frame.planes[0].dtype) << (frame.format.depth - 8)
    return frame


def smile(points, rise=0.3, widening=0.3):
    """Displacement [478, 2] that lifts the upper lip and draws the mouth's corners apart, in centimeters."""
    displacement = np.zeros((478, 2), np.float32)
    displacement[list(INNER_LIPS[0]), 1] = -rise * SCALE
    side = np.sign(points[MOUTH, 0] - points[13, 0])
    displacement[MOUTH, 0] = side * widening * SCALE
    return displacement


def rendered(frame, points, displacement, teeth):
    result = frame.copy()
    row = None if teeth is None else place_teeth(teeth, frame, points, estimate_pose(points))
    render(result, points[:, :2], displacement, FLAT, teeth=row)
    return result


def edge_of(points, teeth):
    return float(estimate_pose(points).normalize(points)[13, 1]) + teeth


@pytest.mark.parametrize("gap", [0.9, 1.4])
@pytest.mark.parametrize("teeth", [0.3, 0.5])
def test_edges_are_measured_where_teeth_end_before_the_dark(gap, teeth):
    points = talking(gap)
    found = measure_teeth(painted(points, teeth), points, estimate_pose(points))
    assert found is not None
    assert found.edge == pytest.approx(edge_of(points, teeth), abs=0.06)
    assert found.luma == pytest.approx((BRIGHT - 16) / (SKIN - 16), abs=0.05)


def test_edges_are_the_same_wherever_the_face_is():
    points = talking(1.2)
    pose = estimate_pose(points)
    moved = points + np.float32([-20, 15, 0])
    near, far = (measure_teeth(painted(p, 0.5), p, estimate_pose(p)) for p in (points, moved))
    assert near.edge == pytest.approx(far.edge, abs=0.02)
    assert pose.scale == pytest.approx(SCALE, rel=0.01)


@pytest.mark.parametrize(
    ("gap", "teeth", "below", "roll"),
    [(1.2, 0.0, DARK, 0), (1.2, 1.2, DARK, 0), (0.2, 0.1, DARK, 0), (1.2, 0.5, 140, 0), (1.2, 0.5, DARK, 60)],
    ids=["dark", "shut", "closed", "before the tongue", "inclined"],
)
def test_no_edges_are_measured_where_none_are_seen(gap, teeth, below, roll):
    points = talking(gap, roll=roll)
    assert measure_teeth(painted(points, teeth, below=below), points, estimate_pose(points)) is None


@pytest.mark.parametrize(("gap", "bright"), [(1.2, 0.5), (2.6, 1.8)], ids=["as red as the skin", "taller than teeth"])
def test_a_tongue_is_no_tooth(gap, bright):
    points = talking(gap)
    chroma = 3 if bright > 1 else 10
    assert measure_teeth(painted(points, bright, chroma=chroma), points, estimate_pose(points)) is None


def test_a_mouth_beyond_the_picture_is_not_measured():
    points = talking(1.2) + np.float32([0, HEIGHT, 0])
    assert measure_teeth(painted(talking(1.2), 0.5), points, estimate_pose(points)) is None


def test_one_frame_says_too_little():
    seen = [Teeth(4.4, 1.0), Teeth(4.5, 1.2), Teeth(4.9, 1.1)]
    assert combine_teeth(seen[:1]) is None
    assert combine_teeth(seen).edge == 4.5
    assert 1.1 <= combine_teeth(seen).luma <= 1.2


@pytest.mark.parametrize("sinking", [0.0, 0.3])
def test_teeth_stay_as_they_are_where_lips_stay_or_sink_with_the_jaw(sinking):
    points = talking(1.2)
    frame, displacement = painted(points, 0.3, 1.0), smile(points, -sinking, 0.0)
    displacement[list(INNER_LIPS[1]), 1] = 2 * sinking * SCALE
    teeth = Teeth(edge_of(points, 0.4), 1.2)
    assert unchanged(*(rendered(frame, points, displacement, t) for t in (teeth, None)))


@pytest.mark.parametrize(("rise", "widening"), [(-0.3, 0.0), (-0.15, -0.6)])
def test_lips_that_come_forward_as_they_close_shade_the_teeth_to_the_sides_most(rise, widening):
    points = talking(1.2)
    frame, displacement = painted(points, 0.5, 1.5), smile(points, rise, widening)
    assert measure_exposure(points[:, :2], points[:, :2] + displacement, SCALE) < -0.25
    shaded, lit = (
        rendered(frame, points, displacement, t).planes[0].astype(int) for t in (Teeth(edge_of(points, 0.5), 1.2), None)
    )
    assert (shaded <= lit).all()
    row = round(float(points[13, 1] + 0.4 * SCALE))
    middle, side = (round(float(points[13, 0] + x * SCALE)) for x in (0.3, 0.9))
    left = (shaded - 16) / np.maximum(lit - 16, 1)
    assert 0.75 < left[row, middle] < 0.9
    assert left[row, side] < left[row, middle]


@pytest.mark.parametrize(("chroma", "is_tooth"), [(2, True), (10, False)])
def test_a_tooth_s_edge_beside_the_landmarks_of_the_lips_is_shaded_and_a_lip_is_not(chroma, is_tooth):
    points = talking(1.2)
    frame, displacement = painted(points, 0.5, 1.5), smile(points, -0.3, 0.0)
    inside, raised = (fill_contour(points[CONTOUR, :2] - [0, up], (HEIGHT, WIDTH)) > 0 for up in (0, 4))
    rim = raised & ~inside
    frame.planes[0][rim] = BRIGHT
    for plane in frame.planes[1:]:
        plane[(rim | inside)[::2, ::2]] = frame.format.chroma_zero + chroma
    shaded, lit = (
        rendered(frame, points, displacement, t).planes[0].astype(int) for t in (Teeth(edge_of(points, 0.5), 1.2), None)
    )
    opening = fill_contour((points[:, :2] + displacement)[CONTOUR], lit.shape)
    edge = (cv2.dilate(opening, np.ones((3, 3), np.uint8)) == 0) & (lit > SKIN + 30)
    assert edge.sum() > 20
    assert ((lit - shaded)[edge].max() > 5) == is_tooth


def test_a_smile_shows_the_row_to_both_sides_and_nothing_outside_the_lips():
    points = talking(1.2)
    frame, displacement = painted(points), smile(points)
    with_teeth, without = (
        rendered(frame, points, displacement, t).planes[0].astype(int) for t in (Teeth(edge_of(points, 0.3), 1.2), None)
    )
    target = points[:, :2] + displacement
    for x in (-1.1, 0.4, 1.1):  # cm
        row, column = round(float(points[13, 1] - 0.05 * SCALE)), round(float(points[13, 0] + x * SCALE))
        assert with_teeth[row, column] > without[row, column] + 40
    below = round(float(points[13, 1] + 0.5 * SCALE))
    assert np.array_equal(with_teeth[below:], without[below:])
    reach = cv2.dilate(fill_contour(target[CONTOUR], with_teeth.shape), np.ones((5, 5), np.uint8))
    assert not (with_teeth != without)[reach == 0].any()


def test_the_row_stays_where_it_is_however_far_lips_draw_back():
    points = talking(1.2)
    column = round(float(points[13, 0] + 0.4 * SCALE))
    ends = []
    for rise in (0.25, 0.5):
        seen = rendered(painted(points), points, smile(points, rise), Teeth(edge_of(points, 0.3), 1.2)).planes[0]
        ends.append(np.flatnonzero(seen[: round(float(points[14, 1])) - 4, column] > 80).max())
    assert abs(ends[1] - ends[0]) <= 1
    assert ends[0] == pytest.approx(points[13, 1] + 0.3 * SCALE, abs=2)


def test_teeth_that_are_seen_are_not_drawn_over():
    points = talking(1.2)
    frame = painted(points, 0.5, 0.8)
    x = round(float(points[13, 0]))
    spot = np.s_[round(float(points[13, 1] + 0.2 * SCALE)), x - 2 : x + 3]
    frame.planes[0][spot] = 160
    shown = rendered(frame, points, smile(points), Teeth(edge_of(points, 0.5), 1.2)).planes[0].astype(int)
    teeth = shown[round(float(points[13, 1] - 0.15 * SCALE)) : round(float(points[13, 1] + 0.25 * SCALE))]
    assert teeth[:, x].min() < min(teeth[:, x - 8].min(), teeth[:, x + 8].min()) - 10  # the spot is where it was


def test_lips_that_hardly_part_show_no_teeth():
    points = talking(0.05)
    frame, teeth = painted(points), Teeth(edge_of(points, 0.5), 1.2)
    assert unchanged(*(rendered(frame, points, smile(points, 0.04), t) for t in (teeth, None)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_shows_teeth(layout):
    points = talking(1.2)
    frame = painted(points, layout=layout)
    shown = rendered(frame, points, smile(points), Teeth(edge_of(points, 0.3), 1.2))
    without = rendered(frame, points, smile(points), None)
    assert not np.array_equal(shown.planes[0], without.planes[0])
    assert max(int(plane.max()) for plane in shown.planes) <= frame.format.maximum
    if not frame.format.gray:  # teeth are paler than the skin
        assert abs(shown.planes[1].astype(int) - frame.format.chroma_zero).min() < 10


def test_a_head_on_its_side_shows_none():
    points = talking(1.2, roll=70)
    assert place_teeth(Teeth(4.5, 1.2), painted(points), points, estimate_pose(points)) is None
