"""Noise in every layout, a face in its middle, and a real frame with its landmarks."""

import itertools

import cv2
import pytest
from face_factory import HEIGHT, LAYOUTS, WIDTH, face_at, locate_landmarks, noise

from cdrl.face.landmarks import BundleDetector
from cdrl.media import Frame, read


@pytest.fixture(params=LAYOUTS)
def frame(request) -> Frame:
    """Noise in each layout."""
    return noise(LAYOUTS[request.param])


@pytest.fixture
def points():
    """A face in the middle of the noise."""
    return face_at(WIDTH / 2, HEIGHT / 2)


@pytest.fixture(scope="session")
def detector():
    return BundleDetector()


@pytest.fixture(scope="session")
def seen(sample, detector):
    """(frame, landmarks [478, 3]): a frame of the bundled clip at twice its size; never changed."""
    with read(sample) as frames:
        small = next(itertools.islice(frames, 20, None))
    frame = Frame.from_rgb(cv2.resize(small.rgb(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    return frame, locate_landmarks(detector, frame)
