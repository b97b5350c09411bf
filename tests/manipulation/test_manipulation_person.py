"""The survey: who is seen in a clip's first seconds, what they show, and in which shot."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.manipulation.person import estimate_people, interpolate
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.media import read


def tracker():
    return FaceTracker(BundleDetector())


@pytest.fixture(scope="module")
def frames(sample):
    return list(read(sample))


def dimmed(frame, light, time):
    """The frame at that time, its picture faded towards black."""
    faded = replace(frame.copy(), time=time)
    black = frame.format.black
    faded.planes[0][:] = np.round((frame.planes[0].astype(float) - black) * light + black)
    return faded


def test_somebody_who_smiles_is_seen_to_be_happy(repository, prior):
    (person,) = estimate_people(read(repository / "examples" / "1001_DFA_HAP_XX.flv"), tracker(), prior).values()
    assert max(person.emotions, key=person.emotions.get) == "happy"
    assert set(person.emotions) <= set(EXPRESSIVE)


def test_who_somebody_is_and_what_they_show_add_up(frames, prior):
    (person,) = estimate_people(frames, tracker(), prior).values()
    assert person.mean_shape.shape == person.neutral_shape.shape == (478, 3)
    assert np.abs(person.mean_shape - prior.mean).max() < 3  # centimeters, pose-free
    assert np.abs(person.neutral_shape - person.mean_shape).max() < 1
    assert 0 < person.closed_opening < 1


def test_a_photo_is_a_person_too(frames, prior):
    assert set(estimate_people(frames[:1], tracker(), prior)) == {0}


def test_without_a_face_there_is_nobody(frames, prior):
    blank = [replace(frame.copy(), planes=tuple(np.full_like(p, 128) for p in frame.planes)) for frame in frames[:10]]
    assert estimate_people(blank, tracker(), prior) == {}


def test_some_frames_a_second_are_enough(frames, prior):
    class Counted(BundleDetector):
        looks = 0

        def estimate_landmarks(self, picture, region):
            Counted.looks += 1
            return super().estimate_landmarks(picture, region)

    estimate_people(frames, FaceTracker(Counted()), prior)
    assert Counted.looks <= len(frames) / 2


def test_shots_are_counted_as_in_the_whole_clip(frames, prior):
    still = frames[20]
    fade_in = [dimmed(still, min(n / 6, 1), Fraction(n, 30)) for n in range(45)]
    whole = tracker()
    tracks = [whole.step(frame) for frame in fade_in]
    assert set(estimate_people(fade_in, tracker(), prior)) == {track.shot for track in tracks if track is not None}


def test_one_description_of_a_person_passes_into_a_better_one(frames, prior, repository):
    (neutral,) = estimate_people(frames, tracker(), prior).values()
    (happy,) = estimate_people(read(repository / "examples" / "1001_DFA_HAP_XX.flv"), tracker(), prior).values()
    halfway = interpolate(neutral, happy, 0.5)
    np.testing.assert_allclose(halfway.mean_shape, (neutral.mean_shape + happy.mean_shape) / 2, atol=1e-5)
    assert halfway.emotions["happy"] == pytest.approx((neutral.emotions.get("happy", 0) + happy.emotions["happy"]) / 2)
    assert interpolate(neutral, happy, 1.0).relief == happy.relief
