"""A real frame and the detector, made once."""

import itertools

import pytest

from cdrl.face.landmarks import BundleDetector
from cdrl.media import read


@pytest.fixture(scope="session")
def detector():
    return BundleDetector()


@pytest.fixture(scope="session")
def head(sample):
    """A frame of the bundled clip; never changed."""
    with read(sample) as frames:
        return next(itertools.islice(frames, 20, None))
