"""A rendered frame: only the margin changes, in every layout; nothing asked for changes nothing."""

import cv2
import numpy as np
import pytest
from face_factory import FLAT, HEIGHT, LAYOUTS, NONE, WIDTH, face_at, locate_landmarks, noise, unchanged

from cdrl.face.apertures import lids
from cdrl.face.mesh import LEFT_BROW, LEFT_IRIS, OVAL, RIGHT_BROW, RIGHT_IRIS
from cdrl.face.pose import estimate_pose
from cdrl.media import PixelFormat
from cdrl.rendering.eyes import damp_flow_in_eyes
from cdrl.rendering.flow import GRID, Window, falloff_window
from cdrl.rendering.render import render
from cdrl.rendering.texture import SIZE
from cdrl.rendering.warp import CHROMA_EXPONENT, MAX_CHROMA_GAIN

both_ways = pytest.mark.parametrize("amount", [-0.4, 0.3], ids=["narrowed", "widened"])


def wild():
    """A displacement [478, 2] far stronger than any edit's."""
    return np.random.default_rng(1).normal(0, 4, (478, 2)).astype(np.float32)


def shading():
    return np.random.default_rng(2).normal(0, 0.5, (SIZE, SIZE)).astype(np.float32)


def test_nothing_asked_for_is_bit_for_bit_nothing(frame, points):
    before = frame.copy()
    assert render(frame, points, NONE, FLAT)
    assert unchanged(frame, before)


def test_outside_the_ring_every_sample_stays_and_planes_keep_their_type_and_range(frame, points):
    before = frame.copy()
    assert render(frame, points, wild(), shading())
    window, margin = falloff_window(points, points + wild(), WIDTH, HEIGHT)
    face = np.ones((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(face, [np.round((points + wild())[list(OVAL)]).astype(np.int32)], 0)
    far = cv2.distanceTransform(face, cv2.DIST_L2, 5) > margin + 12 + 2 * max(window.width, window.height) / GRID
    for plane, was in zip(frame.planes, before.planes, strict=True):
        sx, sy = round(WIDTH / plane.shape[1]), round(HEIGHT / plane.shape[0])
        assert np.array_equal(plane[far[::sy, ::sx]], was[far[::sy, ::sx]])
        outside = np.ones_like(plane, bool)
        outside[window.y0 // sy : window.y1 // sy, window.x0 // sx : window.x1 // sx] = False
        assert np.array_equal(plane[outside], was[outside])
        assert not np.array_equal(plane, was)
        assert (plane.dtype, plane.shape) == (was.dtype, was.shape)
        assert plane.max() <= frame.format.maximum


@pytest.mark.parametrize("place", [(0, 120), (320, 120), (160, 0), (160, 240), (-30, -30), (330, 250)])
def test_a_face_cut_by_the_border_is_rendered(frame, place):
    before = frame.copy()
    assert render(frame, face_at(*place), wild(), shading())
    assert not np.array_equal(frame.planes[0], before.planes[0])


def test_a_face_outside_the_picture_is_left_alone(frame):
    before = frame.copy()
    assert not render(frame, face_at(-500, 100), wild(), shading())
    assert unchanged(frame, before)


@pytest.mark.parametrize("size", [(319, 239), (321, 237)])
def test_odd_sizes_are_rendered(size):
    frame = noise(LAYOUTS["4:2:0"], *size)
    points = face_at(size[0] - 60, size[1] - 60)
    before = frame.copy()
    assert render(frame, points, NONE, FLAT)
    assert unchanged(frame, before)
    assert render(frame, points, wild(), shading())


def test_a_shift_moves_luma_and_chroma_together(points):
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    frame = noise(LAYOUTS["4:2:0"])
    frame.planes[0][:] = np.round(0.5 * x)
    for plane in frame.planes[1:]:
        plane[:] = np.round(y[::2, ::2])
    before = frame.copy()
    render(frame, points, np.tile(np.float32([6, -8]), (478, 1)), FLAT)
    nose = np.round(points[4]).astype(int)
    patch = slice(nose[1] - 6, nose[1] + 6), slice(nose[0] - 6, nose[0] + 6)
    half = tuple(slice(part.start // 2, part.stop // 2) for part in patch)
    assert np.mean(frame.planes[0][patch].astype(float) - before.planes[0][patch]) == pytest.approx(-3, abs=0.3)
    assert np.mean(frame.planes[1][half].astype(float) - before.planes[1][half]) == pytest.approx(8, abs=0.5)


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (233, 187)], ids=str)
@pytest.mark.parametrize("step", [(1, 1), (2, 2), (2, 1), (1, 2), (4, 1), (4, 4)], ids=str)
def test_color_goes_where_light_goes(step, size):
    """Chroma stands on the first of its columns and between its rows, and takes the flow and the gain from there."""
    frame = noise(PixelFormat("yuv", 16, *step, full_range=True), *size)
    x, y = np.meshgrid(*map(np.arange, size))
    luma = 30_000 + 60.0 * x + 40.0 * y
    sites = [np.arange(0, size[0], step[0]), np.minimum(np.arange(0, size[1], step[1]) + (step[1] - 1) / 2, size[1])]
    for plane in frame.planes[1:]:
        plane[:] = 30_000 + 60.0 * sites[0] + 40.0 * sites[1][:, None]
    frame.planes[0][:] = luma
    points = face_at(160, 120)
    away = points - points[4]
    displacement = (0.25 * away + 8 * np.sin(away / 12)).astype(np.float32)
    render(frame, points, displacement, FLAT)
    moved = cv2.remap(
        frame.planes[0].astype(np.float32), *map(np.float32, np.meshgrid(*sites)), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    inside = tuple(slice(2, -2) for _ in step)
    for plane in frame.planes[1:]:
        apart = np.abs(plane - moved)[inside]
        assert np.percentile(apart, 99) < 4 + 2 * max(step)  # 60 are one pixel; OpenCV counts in 32nds of a sample


def test_a_gain_multiplies_light_above_black_and_leaves_grey_grey(points):
    frame = noise(LAYOUTS["10 bit"])
    form = frame.format
    frame.planes[0][:] = form.black + 200
    for plane in frame.planes[1:]:
        plane[:] = form.chroma_zero
    render(frame, points, NONE, np.full((SIZE, SIZE), np.log(1.5), np.float32))
    x, y = np.round(points[50]).astype(int)
    assert frame.planes[0][y, x] == pytest.approx(form.black + 300, abs=1)
    assert (frame.planes[1] == form.chroma_zero).all()


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_a_fold_takes_less_of_the_color_than_of_the_light_and_leaves_no_smear_of_pure_color(points, factor):
    frame = noise(LAYOUTS["10 bit"])
    form = frame.format
    frame.planes[0][:] = form.black + 400
    for plane in frame.planes[1:]:
        plane[:] = form.chroma_zero + 100
    render(frame, points, NONE, np.full((SIZE, SIZE), np.log(factor), np.float32))
    x, y = np.round(points[50] / np.array([form.sx, form.sy])).astype(int)
    chroma = min(factor**CHROMA_EXPONENT, MAX_CHROMA_GAIN)
    assert frame.planes[1][y, x] == pytest.approx(form.chroma_zero + 100 * chroma, abs=1)


def test_landmarks_go_where_they_are_sent(seen, detector):
    frame, points = seen
    pose = estimate_pose(points)
    brows, corners = [*RIGHT_BROW, *LEFT_BROW], [61, 291]
    wish = np.zeros((478, 3), np.float32)
    shape = pose.normalize(points)
    near = np.exp(-np.square(np.linalg.norm(shape[:, None] - shape[None, brows], axis=2).min(1) / 1.2))
    wish[:, 1] -= 0.3 * near
    for corner in corners:
        near = np.exp(-np.square(np.linalg.norm(shape - shape[corner], axis=1) / 1.2))
        wish += near[:, None] * np.float32([0.25 * np.sign(shape[corner, 0]), -0.25, 0])
    displacement = pose.to_image(wish)[:, :2].astype(np.float32)
    edited = frame.copy()
    render(edited, points[:, :2], displacement, FLAT)
    went = locate_landmarks(detector, edited)[:, :2] - points[:, :2]
    moved = [*brows, *corners]
    assert np.median(np.linalg.norm(went[moved] - displacement[moved], axis=1)) <= 1.5
    for group in (brows, corners):
        assert (went[group] * displacement[group]).sum() >= 0.5 * np.square(displacement[group]).sum()
    still = [1, 4, 33, 263, 152]
    assert np.linalg.norm(went[still], axis=1).max() <= 2


@both_ways
def test_an_iris_stays_where_it_is_when_lids_move(seen, detector, amount):
    frame, points = seen
    pose = estimate_pose(points)
    shape = pose.normalize(points)
    displacement = pose.to_image(lids().opening_displacement(amount * lids().vectors(shape)))[:, :2].astype(np.float32)
    edited = frame.copy()
    render(edited, points[:, :2], displacement, FLAT)
    for iris in (RIGHT_IRIS, LEFT_IRIS):
        x, y = np.round(points[iris[0], :2]).astype(int)
        assert edited.planes[0][y, x] == frame.planes[0][y, x]
    again = locate_landmarks(detector, edited)
    centers = [RIGHT_IRIS[0], LEFT_IRIS[0]]
    assert np.linalg.norm(again[centers, :2] - points[centers, :2], axis=1).max() <= 1.5
    opened = lids().opening(pose.normalize(again)) / lids().opening(shape)
    assert (opened < 0.9) if amount < 0 else (opened > 1.05)


@both_ways
def test_the_eyeball_holds_while_skin_and_lids_move(amount):
    before = face_at(400, 400, 40)
    flat = before[:, [0, 1, 1]] * [1, 1, 0]
    after = before + amount * lids().opening_displacement(lids().vectors(flat))[:, :2]
    shift = np.ones((800, 800, 2), np.float32)
    damp_flow_in_eyes(shift, Window(0, 0, 800, 800), (1, 1), before, after.astype(np.float32))
    for iris in (RIGHT_IRIS, LEFT_IRIS):
        x, y = np.round(before[iris[0]]).astype(int)
        assert not shift[y, x].any()
    for skin in (4, 50, 280, 9, 152):
        x, y = np.round(before[skin]).astype(int)
        assert (shift[y, x] == 1).all()
    assert ((shift >= 0) & (shift <= 1)).all()
