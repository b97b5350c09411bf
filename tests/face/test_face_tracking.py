"""The tracker follows one face without searching for it again, and searches after a loss or a cut."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from cdrl.errors import UsageError
from cdrl.face.landmarks import BundleDetector, Landmarks, Region
from cdrl.face.mesh import canonical_points
from cdrl.face.selection import parse_face
from cdrl.face.tracking import FaceTracker
from cdrl.media import PixelFormat, read

DARK, BRIGHT = 30, 200


@dataclass
class Scene:
    """A picture of one gray with faces at `faces` (x, y, pixels per centimeter)."""

    faces: tuple = ((320, 240, 10),)
    luma: int = DARK
    depth: int = 8
    width: int = 640
    height: int = 480
    time: Fraction = Fraction(0)

    @property
    def planes(self):
        return (np.full((self.height, self.width), self.luma, self.format.dtype),)

    @property
    def format(self):
        return PixelFormat(depth=self.depth)


class FakeDetector:
    """Sees the face of the scene that is nearest to the region's middle, if it lies within."""

    def __init__(self):
        self.searches = 0
        self.looks = 0

    def detect_faces(self, picture):
        self.searches += 1
        return [Region.of_landmarks(points(face)) for face in picture.faces]

    def estimate_landmarks(self, picture, region):
        self.looks += 1
        for face in picture.faces:
            found = points(face)
            middle = Region.of_landmarks(found)
            if np.hypot(middle.x - region.x, middle.y - region.y) < region.side / 3:
                return Landmarks(found, 0.99)
        return Landmarks(points((region.x, region.y, 10)), 0.01)


def points(face):
    return (canonical_points() * face[2] + [face[0], face[1], 0]).astype(np.float32)


def at(track):
    """Which x the tracked face has."""
    return None if track is None else round(float(track.points[:, 0].mean()))


@pytest.fixture
def detector():
    return FakeDetector()


def test_a_face_that_stays_is_searched_for_once(detector):
    tracker = FaceTracker(detector)
    tracks = [tracker.step(Scene(((320 + 3 * n, 240, 10),))) for n in range(30)]
    assert [at(track) for track in tracks] == [320 + 3 * n for n in range(30)]
    assert [track.redetected for track in tracks] == [True] + [False] * 29
    assert {track.shot for track in tracks} == {0}
    assert detector.searches == 1
    assert detector.looks == 2 + 29  # twice when found, then once a frame


def test_the_tracked_face_is_kept_when_a_larger_one_enters(detector):
    tracker = FaceTracker(detector)
    tracker.step(Scene(((160, 240, 8),)))
    assert at(tracker.step(Scene(((480, 240, 14), (160, 240, 8))))) == 160


def test_a_lost_face_is_found_again(detector):
    tracker = FaceTracker(detector)
    tracker.step(Scene())
    assert [tracker.step(Scene(())) for _ in range(12)] == [None] * 12
    back = [tracker.step(Scene(((200, 240, 10),))) for _ in range(8)]
    found = [track for track in back if track is not None]
    assert found
    assert [track.redetected for track in found] == [True] + [False] * (len(found) - 1)
    assert at(found[0]) == 200
    assert found[0].shot == 0


def test_a_face_that_jumps_is_found_in_the_same_frame(detector):
    tracker = FaceTracker(detector)
    tracker.step(Scene(((120, 240, 8),)))
    track = tracker.step(Scene(((520, 240, 8),)))
    assert (at(track), track.redetected, track.shot) == (520, True, 0)


def test_without_a_face_the_search_takes_breaks(detector):
    tracker = FaceTracker(detector)
    for _ in range(30):
        tracker.step(Scene(()))
    assert 2 <= detector.searches <= 15


def test_a_cut_begins_a_shot_and_searches_at_once(detector):
    tracker = FaceTracker(detector)
    tracker.step(Scene())
    tracker.step(Scene())
    track = tracker.step(Scene(luma=BRIGHT))
    assert (track.shot, track.redetected) == (1, True)
    assert detector.searches == 2
    assert not tracker.step(Scene(luma=BRIGHT)).redetected


def test_a_cut_searches_at_once_even_while_waiting(detector):
    tracker = FaceTracker(detector)
    tracker.step(Scene(()))
    assert tracker.step(Scene(luma=BRIGHT)) is not None


def test_a_slow_fade_is_no_cut(detector):
    tracker = FaceTracker(detector)
    shots = {tracker.step(Scene(luma=luma)).shot for luma in range(DARK, BRIGHT, 8)}
    assert shots == {0}


def test_a_cut_between_pictures_that_look_alike_shows_in_a_calm_clip(detector):
    """Two people before the same wall: the picture changes little, but far more than it did before."""
    alike, calm, moving = DARK + 12, [DARK + n % 2 for n in range(12)], [DARK + 4 * (n % 2) for n in range(12)]
    for light, shot in (([*calm, alike], 1), ([*moving, alike], 0), ([*calm[:4], alike], 0)):
        tracker = FaceTracker(detector)
        assert [tracker.step(Scene(luma=luma)) for luma in light][-1].shot == shot


def test_who_moved_during_a_stall_is_no_cut(detector):
    tracker = FaceTracker(detector)
    for n in range(12):
        tracker.step(Scene(time=Fraction(n, 25)))
    assert tracker.step(Scene(luma=DARK + 12, time=Fraction(2))).shot == 0


@pytest.mark.parametrize("depth", [10, 12, 16])
def test_the_same_change_of_light_means_the_same_at_any_depth(detector, depth):
    for light, shot in (((100, 108), 0), ((DARK, BRIGHT), 1)):
        tracker = FaceTracker(detector)
        tracks = [tracker.step(Scene(luma=value << (depth - 8), depth=depth)) for value in light]
        assert tracks[-1].shot == shot


TWO = ((160, 240, 8), (480, 240, 12))


@pytest.mark.parametrize(("face", "x"), [("largest", 480), ("left", 160), ("right", 480), ("1", 160), ("2", 480)])
def test_the_face_asked_for_is_taken(detector, face, x):
    assert at(FaceTracker(detector, face).step(Scene(TWO))) == x


def test_a_number_beyond_the_faces_takes_none(detector):
    assert FaceTracker(detector, "3").step(Scene(TWO)) is None


def test_a_face_mostly_outside_the_picture_is_not_tracked(detector):
    assert FaceTracker(detector).step(Scene(((10, 0, 10),))) is None


@pytest.mark.parametrize(("text", "parsed"), [("largest", "largest"), (" Left ", "left"), ("RIGHT", "right"), ("2", 2)])
def test_faces_are_named(text, parsed):
    assert parse_face(text) == parsed


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "middle", "²"])
def test_an_unknown_face_is_refused_with_the_choice(text):
    with pytest.raises(UsageError, match=r"largest, left, right, or a number from 1"):
        parse_face(text)


def test_a_real_clip_is_tracked_in_every_frame(sample):
    tracker = FaceTracker(BundleDetector())
    with read(sample) as frames:
        tracks = [tracker.step(frame) for _, frame in zip(range(12), frames, strict=False)]
    assert [track.redetected for track in tracks] == [True] + [False] * 11
    assert np.abs(np.diff([at(track) for track in tracks])).max() <= 5


def test_a_real_face_that_is_covered_is_lost(head):
    covered = head.copy()
    for plane, scale in zip(covered.planes, (1, 2, 2), strict=True):
        plane[60 // scale : 260 // scale, 140 // scale : 300 // scale] = np.median(plane)
    tracker = FaceTracker(BundleDetector())
    assert tracker.step(head) is not None
    assert tracker.step(covered) is None
    assert tracker.shot == 0
