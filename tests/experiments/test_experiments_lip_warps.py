"""The warps that close and open lips in a picture do what they say, to the eye of the landmark detector."""

import numpy as np
import pytest

pytest.importorskip("torch")


from cdrl.face.apertures import lips
from cdrl.face.landmarks import BundleDetector, Region, StillImage
from cdrl.face.tracking import FaceTracker
from cdrl.media import read
from experiments.lip_warps import AMOUNTS, close_lips, compute_opening_shifts, detect_opening, raise_brows

SIZE = 224


@pytest.fixture(scope="module")
def spoken(sample):
    """An aligned crop with an open mouth, and its landmarks."""
    tracker = FaceTracker(BundleDetector())
    tracks = [(frame, tracker.step(frame)) for frame in read(sample)]
    frame, track = max(tracks, key=lambda pair: float(lips().opening(pair[1].points)))
    region = Region.of_landmarks(track.points)
    aligned = Region(region.x, region.y, region.side / 1.5 * 1.2, region.angle)
    picture = frame.rgb_crop(aligned.matrix(SIZE), (SIZE, SIZE))
    detector = BundleDetector()
    found = detector.estimate_landmarks(StillImage(picture), Region(SIZE / 2, SIZE / 2, SIZE * 1.25, 0.0))
    return detector, picture, found.points


def test_lips_are_closed_and_the_control_leaves_them(spoken):
    detector, picture, points = spoken
    closed, size = close_lips(picture, points)
    before, after = (detect_opening(detector, seen, points) for seen in (picture, closed))
    assert before > 0.05
    assert after < 0.35 * before
    moved = raise_brows(picture, points, size)
    assert detect_opening(detector, moved, points) == pytest.approx(before, rel=0.1)
    change = np.abs(moved.astype(int) - picture)
    assert change[140:].mean() < 0.05 * change[:100].mean()


def test_amounts_open_and_close(spoken):
    _, picture, points = spoken
    shifts = compute_opening_shifts(picture.shape, points, widest=2.0)
    assert shifts.shape == (len(AMOUNTS), SIZE, SIZE, 2)
    assert not shifts[AMOUNTS.index(0.0)].any()
    x, y = points[17, :2].round().astype(int)  # below the lower lip
    assert shifts[0, y, x, 1] > 0 > shifts[-1, y, x, 1]  # pixels come from below to close, from above to open
