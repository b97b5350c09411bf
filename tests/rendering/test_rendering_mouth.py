"""The mouth interior: teeth come from a mouth that shows them, into lips that part farther, and nowhere else."""

import warnings
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from face_factory import FLAT, HEIGHT, LAYOUTS, WIDTH, face_at, noise, unchanged

from cdrl.face.apertures import lips
from cdrl.face.mesh import INNER_LIPS
from cdrl.rendering.flow import compute_backward_flow
from cdrl.rendering.mouth import fill_mouth
from cdrl.rendering.mouth_patch import ShutTeethTracker, extract_mouth_patch, measure_shut_teeth, skin_luma
from cdrl.rendering.render import render, split_planes

SKIN, TEETH, DARK = 120, 180, 40  # luma
SCALE = 16.0  # pixels per centimeter
UPPER, LOWER = (list(points) for points in INNER_LIPS)


def mouth(gap):
    """Landmarks [478, 2] of a face whose lips part by `gap` centimeters."""
    shape = face_at(0, 0, 1)[:, [0, 1, 1]] * np.float32([1, 1, 0])
    vectors = np.tile(np.float32([0, gap, 0]), (9, 1)) - lips().vectors(shape)
    points = (shape + lips().opening_displacement(vectors))[:, :2] * SCALE + [WIDTH / 2, HEIGHT / 3]
    return points.astype(np.float32)


def painted(points, interior, layout="4:2:0"):
    """A face of one skin whose mouth is `interior` between the lips."""
    frame = noise(LAYOUTS[layout])
    frame.planes[0][:] = SKIN
    for plane in frame.planes[1:]:
        plane[:] = frame.format.chroma_zero
    outline = np.round(points[[78, *UPPER, 308, *reversed(LOWER)]]).astype(np.int32)
    cv2.fillPoly(frame.planes[0], [outline], interior)
    return frame


@pytest.fixture
def given():
    return extract_mouth_patch(painted(mouth(1.0), TEETH), mouth(1.0))


def opened(points, centimeters):
    """Displacement [478, 2] that parts lips by so much more."""
    wish = np.tile(np.float32([0, centimeters * SCALE, 0]), (9, 1))
    return lips().opening_displacement(wish)[:, :2]


def test_teeth_between_parted_lips_are_a_donor(given):
    assert given is not None
    assert 0 < given.score <= 1
    assert given.skin == pytest.approx(SKIN - 16)


@pytest.mark.parametrize(
    ("gap", "interior", "away"), [(0.0, TEETH, 0), (1.0, DARK, 0), (1.0, TEETH, 5000)], ids=["closed", "dark", "away"]
)
def test_a_mouth_that_shows_no_teeth_is_no_donor(gap, interior, away):
    assert extract_mouth_patch(painted(mouth(gap), interior), mouth(gap) + [away, 0]) is None


def test_a_clearer_mouth_scores_higher(given):
    frame = painted(mouth(1.0), TEETH)
    middle = round(float(mouth(1.0)[[13, 14], 1].mean()))
    frame.planes[0][middle:] = np.minimum(frame.planes[0][middle:], DARK)
    half = extract_mouth_patch(frame, mouth(1.0))
    assert half is None or half.score < given.score


def rendered(points, displacement, teeth):
    frame = painted(points, DARK)
    render(frame, points, displacement, FLAT, teeth)
    return frame


@pytest.mark.parametrize(("gap", "change"), [(0.3, 0.0), (0.3, -0.2), (1.2, 0.2), (0.0, 0.0)])
def test_teeth_come_only_where_lips_part_farther(given, gap, change):
    points = mouth(gap)
    assert unchanged(*(rendered(points, opened(points, change), teeth) for teeth in (given, None)))


def test_a_slit_that_opens_shows_teeth_between_the_lips_only(given):
    points = mouth(0.15)
    displacement = opened(points, 0.6)
    with_teeth, without = (rendered(points, displacement, teeth) for teeth in (given, None))
    target = points + displacement
    x, y = np.round(target[[13, 14]].mean(0)).astype(int)
    assert with_teeth.planes[0][y, x] > without.planes[0][y, x] + 30
    rows, columns = np.nonzero(with_teeth.planes[0] != without.planes[0])
    assert target[UPPER, 1].min() - 1 <= rows.min() <= rows.max() <= target[LOWER, 1].max() + 1
    assert target[78, 0] - 1 <= columns.min() <= columns.max() <= target[308, 0] + 1


def test_teeth_are_lit_as_the_frame_s_skin_is(given):
    points = mouth(0.15)
    darker = replace(given, skin=given.skin * 1.3)  # as if the donor's frame had been brighter
    one, two = (rendered(points, opened(points, 0.6), teeth) for teeth in (given, darker))
    x, y = np.round((points + opened(points, 0.6))[[13, 14]].mean(0)).astype(int)
    assert two.planes[0][y, x] < one.planes[0][y, x]


def test_the_donor_keeps_its_own_pixels(given):
    before = [plane.copy() for plane in given.planes]
    points = mouth(0.15)
    rendered(points, opened(points, 0.6), given)
    assert all(map(np.array_equal, given.planes, before))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_takes_teeth(layout):
    form = LAYOUTS[layout]
    points = mouth(0.15)
    frames = []
    for teeth in (True, False):
        source, frame = painted(mouth(1.0), TEETH, layout), painted(points, DARK, layout)
        for painting in (source, frame):
            painting.planes[0][:] <<= form.depth - 8
        given = extract_mouth_patch(source, mouth(1.0))
        assert given is not None
        render(frame, points, opened(points, 0.6), FLAT, given if teeth else None)
        frames.append(frame)
    assert not np.array_equal(frames[0].planes[0], frames[1].planes[0])
    assert frames[0].planes[0].max() <= form.maximum


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("size", "right"), [((WIDTH, HEIGHT), 0), ((WIDTH - 1, HEIGHT - 1), 3), ((301, 207), 118)], ids=str
)
def test_a_donor_in_its_own_place_is_its_own_frame(layout, size, right):
    """Teeth, their colors too, lie where they lay, in every layout, and where the picture cuts the mouth."""
    shift = np.float32([right, 0])
    frame, points, slit = noise(LAYOUTS[layout], *size), mouth(1.0) + shift, mouth(0.1) + shift
    frame.planes[0][:] = np.maximum(frame.planes[0], frame.format.maximum * 3 // 4)  # teeth, and skin of their luma
    teeth = extract_mouth_patch(frame, points)
    flow = compute_backward_flow(slit, points - slit, *size)
    planes = split_planes(frame)
    own = [plane.data[plane.window_slices(flow.window)] for plane in planes]
    empty, again = ([np.zeros_like(part) for part in own], [part.copy() for part in own])
    for pixels in (empty, again):
        fill_mouth(frame, planes, pixels, flow, teeth, slit, points)
    for there, filled, here in zip(own, empty, again, strict=True):
        assert np.abs(here.astype(int) - there).max() <= 1
        assert ((filled == there) & (there > 0)).mean() > 0.001  # the donor was laid in, not left out


def teeth_in(frame, points):
    """How many rows of upper teeth the middle of a mouth shows, where they end, and how many of lower ones."""
    x = round(float(points[13, 0]))
    top, bottom = round(float(points[13, 1])), round(float(points[14, 1]))
    bright = frame.planes[0][top + 1 : bottom, x] > (SKIN + TEETH) / 2
    upper = int(np.argmin(bright))
    return upper, top + upper, int(bright[upper:].sum())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", [0.3, 0.6])
def test_lips_slide_over_rigid_teeth(layout, change):
    """Upper teeth stay with the skull, and show more where the lip leaves them; lower ones follow the jaw."""
    points = mouth(1.0)
    frame, form = painted(points, TEETH, layout), LAYOUTS[layout]
    top, bottom = round(float(points[13, 1])), round(float(points[14, 1]))
    gap = slice(top + (bottom - top) // 2, top + (bottom - top) // 2 + 2)
    frame.planes[0][gap, round(float(points[78, 0])) : round(float(points[308, 0]))] = DARK
    upper, edge, lower = teeth_in(frame, points)
    frame.planes[0][:] <<= form.depth - 8
    displacement = opened(points, change)
    render(frame, points, displacement, FLAT)
    frame.planes[0][:] >>= form.depth - 8
    now = teeth_in(frame, points + displacement)
    assert now == pytest.approx((upper - displacement[13, 1], edge, lower), abs=1.5)


def with_gap(points):
    """A mouth full of teeth but for a dark line between them."""
    frame = painted(points, TEETH)
    middle = round(float(points[[13, 14], 1].mean()))
    frame.planes[0][middle - 1 : middle + 2, round(float(points[78, 0])) : round(float(points[308, 0]))] = DARK
    return frame


def test_teeth_are_shut_where_they_fill_the_mouth_without_a_gap():
    points = mouth(0.8)
    assert measure_shut_teeth(painted(points, TEETH), points) == 1
    assert measure_shut_teeth(with_gap(points), points) == 0
    assert measure_shut_teeth(painted(points, DARK), points) == 0
    assert measure_shut_teeth(painted(mouth(0.0), TEETH), mouth(0.0)) == 0


def test_teeth_that_flicker_in_one_frame_do_not_move_the_jaw_at_once():
    points, watch = mouth(0.8), ShutTeethTracker()
    frames = [painted(points, TEETH), with_gap(points), painted(points, TEETH)]
    found = [watch.update(replace(frame, time=Fraction(n, 50)), points) for n, frame in enumerate(frames)]
    assert found[0] == 1
    assert 0.3 < found[1] < found[2] < 1


@pytest.mark.parametrize(("change", "dark"), [(0.1, False), (0.6, True)])
def test_lips_slide_over_teeth_without_a_gap_until_the_dark_opens_below_them(change, dark):
    points = mouth(0.6)
    frame = painted(points, TEETH)
    render(frame, points, opened(points, change), FLAT)
    target = points + opened(points, change)
    x = round(float(target[13, 0]))
    top, bottom = (round(float(target[index, 1])) for index in (13, 14))
    column = frame.planes[0][top + 3 : bottom - 3, x].astype(int)
    bright = column > (TEETH + DARK) / 2
    assert bright[0]
    assert bright[-1] != dark
    assert np.count_nonzero(np.diff(bright)) == int(dark)


def test_a_new_gap_is_as_dark_as_the_pupils_are():
    """In a pale picture nothing is black, and a black gap would be a hole."""
    points, found = mouth(0.6), []
    for pupils in (20, 45):
        frame = painted(points, TEETH)
        for x, y in np.round(points[[468, 473]]).astype(int):
            frame.planes[0][y - 2 : y + 3, x - 2 : x + 3] = pupils
        render(frame, points, opened(points, 0.6), FLAT)
        x, y = np.round((points + opened(points, 0.6))[14]).astype(int)
        found.append(int(frame.planes[0][y - 8 : y, x].min()))
    assert found == pytest.approx([16 + 0.15 * (SKIN - 16), 45], abs=10)  # the lips' edges are soft
    assert found[1] >= found[0] + 10


@pytest.mark.parametrize("right", range(-200, 201, 10))
def test_a_mouth_that_the_picture_cuts_opens_without_a_word(right):
    points = mouth(1.0) + np.float32([right, 0])
    frame = painted(points, TEETH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        render(frame, points, opened(points, 0.5), FLAT)


def test_skin_is_the_cheeks_light_above_black():
    assert skin_luma(painted(mouth(0.1), DARK), mouth(0.1)) == SKIN - 16
    assert skin_luma(painted(mouth(0.1), DARK), mouth(0.1) + 5000) == 1


def test_lower_teeth_seen_alone_go_down_whole_though_their_edge_is_a_bow():
    """Those at the sides reach higher than the middle ones; none is left behind under the upper lip."""
    points = mouth(1.6)
    frame = painted(points, DARK)
    left, right, top, bottom = points[78, 0], points[308, 0], points[UPPER, 1].max(), points[LOWER, 1].min()
    inside = painted(points, TEETH).planes[0] == TEETH
    y, x = np.mgrid[: frame.height, : frame.width]
    across = (x - (left + right) / 2) / (right - left)
    edge = top + (0.65 - 2.6 * np.square(across)) * (bottom - top)
    frame.planes[0][inside & (y > edge)] = TEETH
    columns = slice(round(left + 0.2 * (right - left)), round(right - 0.2 * (right - left)))

    def find_top():
        return min(np.flatnonzero(column > SKIN + 20).min() for column in frame.planes[0][:, columns].T)

    before = find_top()
    render(frame, points, opened(points, 0.5), FLAT)
    assert find_top() == pytest.approx(before + 0.4 * SCALE, abs=1.5)  # the lower lip's way
