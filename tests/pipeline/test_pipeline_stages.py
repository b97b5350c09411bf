"""What hides a part of a face: that part is not edited, its pixels stay, and a user is told."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

import cdrl
from cdrl.face.mesh import canonical_points, region_weights
from cdrl.face.segmentation import SIDE, Segmentation, find_region
from cdrl.face.tracking import Track
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EmotionPrior
from cdrl.media import EncoderOptions, Frame, Writer, probe, read
from cdrl.pipeline.stages import FaceEdit, FrameEditor, TrackedFrame, anticipate_occluders, fade_occluded_regions
from cdrl.plan import EditPlan
from cdrl.rendering.texture import SIZE, texture_points

POINTS = np.pad((canonical_points()[:, :2] * 10 + 200).astype(np.float32), ((0, 0), (0, 1)))
WHOLE = FaceEdit(np.ones((478, 3), np.float32), np.ones((SIZE, SIZE), np.float32))


def cover_below(row):
    """A segmentation in which all below a picture row is occluded."""
    region = find_region(POINTS)
    matrix = region.matrix(SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    rows = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    return Segmentation(region, (rows > row).astype(np.float32), np.zeros((SIDE, SIDE), np.float32))


def test_a_covered_mouth_is_not_edited_and_open_brows_are():
    faded = fade_occluded_regions(WHOLE, cover_below(POINTS[2, 1]), POINTS)
    mouth, brows = (region_weights()[name] > 0.95 for name in ("mouth", "brows"))
    assert np.abs(faded.displacement[mouth]).max() < 0.05
    assert faded.displacement[brows].min() > 0.95
    assert faded.gain.min() < 0.05
    assert faded.gain.max() == 1


def test_a_clear_face_is_edited_as_it_is():
    assert fade_occluded_regions(WHOLE, cover_below(9999), POINTS) is WHOLE


def test_a_frown_is_taken_out_as_it_is_in_the_frame_and_of_neutral_faces_nothing_is():
    """As deep as it is there: where the frame shows none, none is lit."""
    prior = EmotionPrior.load()
    manipulator = Manipulator(prior, EditPlan.parse("neutral"))
    shown = prior.blend_emotions({"angry": 1.0}).offset
    angry = Person(prior.mean + shown, prior.mean, {"angry": 1.0}, 0.3, 0.6, 1.0, None, 0.1)
    x, y = (int(value) for value in POINTS[9, :2])  # between the brows
    gains = {}
    for person in (angry, replace(angry, mean_shape=prior.mean, emotions={})):
        for depth in (0, 40):
            picture = np.full((400, 400, 3), 150, np.uint8)
            picture[y - 8 : y + 9, x - 1 : x + 2] -= np.uint8(depth)
            tracked = TrackedFrame(Frame.from_rgb(picture), Track(POINTS, 1.0, 0, True), {"neutral": 1.0}, person)
            gains[bool(person.emotions), depth] = FrameEditor(manipulator).manipulate(tracked).gain
    row, column = np.round(texture_points()[9]).astype(int)[::-1]
    assert (gains[True, 40] - gains[True, 0])[row, column] > 0.1
    assert np.array_equal(gains[False, 40], gains[False, 0])


def test_a_user_is_told_of_a_covered_mouth_and_not_of_rims_over_the_brows():
    assert fade_occluded_regions(WHOLE, cover_below(POINTS[2, 1]), POINTS).is_occluded
    assert not fade_occluded_regions(WHOLE, cover_below(9999), POINTS).is_occluded
    region = find_region(POINTS)
    occluded = np.zeros((SIDE, SIDE), np.float32)
    matrix = region.matrix(SIDE)
    for x, y in POINTS[region_weights()["brows"] > 0.95, :2]:
        column, row = np.linalg.inv(matrix[:, :2]) @ ([x, y] - matrix[:, 2])
        occluded[round(row) - 1 : round(row) + 1, round(column) - 1 : round(column) + 1] = 1
    assert not fade_occluded_regions(WHOLE, Segmentation(region, occluded, np.zeros_like(occluded)), POINTS).is_occluded


def followed(segmentations, shots=(0, 0, 0)):
    """Frames of a face with these segmentations, and shots."""
    picture = Frame.from_rgb(np.full((400, 400, 3), 150, np.uint8))
    return [
        TrackedFrame(picture, Track(POINTS, 1.0, shot, False), {"happy": 1.0}, None, segmentation=segmentation)
        for segmentation, shot in zip(segmentations, shots, strict=False)
    ]


def test_what_comes_in_stays_in_the_frame_before_it_is_recognized_too():
    clear, covered = cover_below(9999), cover_below(POINTS[2, 1])
    frames = list(anticipate_occluders(followed([clear, clear, covered])))
    assert [tracked.segmentation for tracked in frames] == [clear, clear, covered], "who is told of it is told as it is"
    assert [tracked.later_segmentation is None for tracked in frames] == [True, False, True]
    np.testing.assert_allclose(frames[1].later_segmentation.occluded, covered.occluded, atol=1e-3)
    across_a_cut = anticipate_occluders(followed([clear, clear, covered], (0, 0, 1)))
    assert all(tracked.later_segmentation is None for tracked in across_a_cut)


def test_the_frame_before_an_error_is_not_lost():
    def damaged():
        yield from followed([cover_below(9999)] * 2)
        raise ValueError("no more")

    frames = anticipate_occluders(damaged())
    assert next(frames)
    assert next(frames)
    with pytest.raises(ValueError, match="no more"):
        next(frames)


def test_frames_that_no_segment_asks_for_are_copied(sample, tmp_path):
    master, output = tmp_path / "master.mkv", tmp_path / "sad.mkv"
    options = EncoderOptions("ffv1")
    with read(sample, stop=Fraction(1)) as frames, Writer(master, frames.info, options) as writer:
        for frame in frames:
            writer.write(frame)
    report = cdrl.load().edit(master, segments="0.5-0.8:sad").save(output, encoder=options)
    assert report.n_copied == report.total - report.edited > 15
    before, after = (packets(path) for path in (master, output))
    assert [one == two for one, two in zip(before, after, strict=True)].count(True) == report.n_copied


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.fixture
def occluded_clip(sample, tmp_path):
    """The sample clip with a dark ball in front of the mouth from its tenth frame on, and where the ball lies."""
    info, path = probe(sample), tmp_path / "ball.mkv"
    with read(sample) as frames, Writer(path, info, EncoderOptions(quality=0)) as writer:
        for number, frame in enumerate(frames):
            y, x = np.mgrid[: frame.height, : frame.width]
            ball = (x - 0.46 * frame.width) ** 2 + (y - 0.47 * frame.height) ** 2 < (0.06 * frame.width) ** 2
            if number >= 10:
                frame.planes[0][ball] = 40 + (x + y)[ball] % 7
                for plane in frame.planes[1:]:
                    plane[ball[::2, ::2]] = 128
            writer.write(frame)
            if number == 25:
                break
    return path, ball


def test_a_ball_in_front_of_the_mouth_stays_as_it_is_and_is_told_once(occluded_clip, tmp_path):
    path, ball = occluded_clip
    output = tmp_path / "happy.mkv"
    report = cdrl.load().edit(path, emotion="happy").save(output, encoder=EncoderOptions(quality=0))
    told = [text for text in report.warnings if "in front of the face" in text]
    assert len(told) == 1
    assert report.edited == report.total
    assert 14 <= report.n_occluded <= 16
    assert report.to_json()["frames"]["occluded"] == report.n_occluded
    with read(path) as before, read(output) as after:
        for number, (source, edited) in enumerate(zip(before, after, strict=True)):
            if number >= 12:
                error = source.planes[0][ball].astype(float) - edited.planes[0][ball]
                assert 10 * np.log10(255**2 / max(np.square(error).mean(), 1e-9)) >= 40
