"""The neural renderer adds what the network answers, in every layout, where an edit is and nowhere else."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from face_factory import FLAT, HEIGHT, LAYOUTS, NONE, WIDTH, face_at, noise, unchanged

from cdrl.errors import ModelFileError
from cdrl.face.landmarks import Region
from cdrl.face.mesh import INNER_LIPS
from cdrl.face.segmentation import find_region
from cdrl.media import Frame
from cdrl.rendering.neural import CHANNELS, SIDE, NeuralRenderer, describe_rendering
from cdrl.rendering.render import render
from cdrl.rendering.texture import SIZE

DARK = np.full((SIZE, SIZE), -0.5, np.float32)
LIGHTER = 0.1


def answer(change=LIGHTER):
    """A renderer whose network answers the same change of all colors everywhere."""
    seen = []

    def run(_, inputs):
        seen.append(inputs)
        return [np.full((1, 3, SIDE, SIDE), change, np.float32)]

    renderer = NeuralRenderer()
    renderer.__dict__["_session"] = SimpleNamespace(run=run)
    return renderer, seen


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_adds_the_residual_within_the_edited_face(layout, points):
    form = LAYOUTS[layout]
    frame = noise(form)
    for plane in frame.planes:
        plane[:] = (form.black + form.white) // 2
    before = frame.copy()
    face = render(frame, points, NONE, DARK)
    warped = frame.copy()
    answer()[0].refine(frame, face)
    x, y = np.round(points[5]).astype(int)
    added = int(frame.planes[0][y, x]) - int(warped.planes[0][y, x])
    assert added == pytest.approx(LIGHTER * (form.white - form.black), abs=1)
    assert all(map(np.array_equal, frame.planes[1:], warped.planes[1:]))  # gray stays gray
    outside = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH][::-1] - points.mean(0)[:, None, None])) > 110
    assert np.array_equal(frame.planes[0][outside], before.planes[0][outside])


def test_it_does_nothing_where_the_edit_does_nothing(frame, points):
    before = frame.copy()
    renderer, seen = answer()
    renderer.refine(frame, render(frame, points, NONE, FLAT))
    assert unchanged(frame, before)
    assert not seen
    half = np.where(np.arange(SIZE)[:, None] > SIZE // 2, -0.5, 0.0).astype(np.float32) * np.ones((1, SIZE), np.float32)
    face = render(frame, points, NONE, half)
    conditions = describe_rendering(face, find_region(points))
    brow, chin = (np.round(find_region(points).to_crop(points[[i]], SIDE)[0]).astype(int) for i in (9, 18))
    assert conditions.activity[brow[1], brow[0]] == 0
    assert conditions.activity[chin[1], chin[0]] == pytest.approx(1, abs=0.01)


def test_it_leaves_the_mouths_opening_and_skin_that_is_lit_to_white_alone(points):
    opened = points.copy()
    opened[list(INNER_LIPS[1]), 1] += 10
    inside = np.round(opened[[13, 14]].mean(0)).astype(int)
    forehead = np.round(points[151]).astype(int)
    for level, changes in ((128, True), (250, False)):
        frame = noise(LAYOUTS["gray"])
        frame.planes[0][:] = level
        face = render(frame, opened, NONE, DARK * 0.2)
        frame.planes[0][:] = level
        answer()[0].refine(frame, face)
        assert frame.planes[0][inside[1], inside[0]] == level
        assert (frame.planes[0][forehead[1], forehead[0]] != level) == changes


def test_a_tilted_head_is_described_as_an_upright_one():
    """The network is told shifts along the face's own axes."""
    points, shift = face_at(160, 120), np.tile(np.array([[3.0, -2.0]], np.float32), (478, 1))
    turn = np.array(cv2.getRotationMatrix2D((160, 120), 30, 1.0), np.float32)
    turned, turned_shift = points @ turn[:, :2].T + turn[:, 2], shift @ turn[:, :2].T
    maps = []
    for place, moved in ((points, shift), (turned, turned_shift)):
        face = render(noise(LAYOUTS["gray"]), place, moved, FLAT)
        maps.append(describe_rendering(face, find_region(face.target)).maps)
    nose = (slice(None), slice(100, 124), slice(100, 124))
    assert maps[0].shape == (CHANNELS, SIDE, SIDE)
    assert np.abs(maps[0][nose] - maps[1][nose])[:2].max() < 0.02
    assert maps[0][nose][0].mean() < -0.1 < maps[0][nose][1].mean()  # where pixels come from


def test_it_sees_the_face_as_training_pictures_show_it(frame, points):
    renderer, seen = answer(0.0)
    warped = frame.copy()
    renderer.refine(frame, render(frame, points, NONE, DARK))
    assert seen[0]["picture"].shape == (1, SIDE, SIDE, 3)
    assert seen[0]["picture"].dtype == np.uint8
    assert seen[0]["maps"].shape == (1, CHANNELS, SIDE, SIDE)
    assert not unchanged(frame, warped)  # by the warp alone


def test_a_frame_as_a_prepared_picture_needs_no_crop():
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 3)
    region = Region(SIDE / 2, SIDE / 2, SIDE, 0.0)
    seen = Frame.from_rgb(picture).rgb_crop(region.matrix(SIDE), (SIDE, SIDE))
    assert np.abs(seen.astype(int) - picture).max() <= 3


def test_a_file_that_is_no_renderer_is_refused_in_one_line(frame, points, tmp_path):
    path = tmp_path / "own.onnx"
    path.write_bytes(b"no network")
    face = render(frame, points, NONE, DARK)
    with pytest.raises(ModelFileError, match=r"own\.onnx: no ONNX network"):
        NeuralRenderer(path).refine(frame, face)
