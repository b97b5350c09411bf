"""Who is seen in a clip's first seconds, and what they show."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cdrl.face.landmarks import BundleDetector
from cdrl.manipulation.person import interpolate
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.media import read
from cdrl.pipeline.survey import find_person


@pytest.fixture(scope="module")
def frames(sample):
    return list(read(sample))


def test_somebody_who_smiles_is_seen_to_be_happy(repository, prior):
    person = find_person(read(repository / "examples" / "1001_DFA_HAP_XX.flv"), BundleDetector(), prior)
    assert max(person.emotions, key=person.emotions.get) == "happy"
    assert set(person.emotions) <= set(EXPRESSIVE)


def test_who_somebody_is_and_what_they_show_add_up(frames, prior):
    person = find_person(frames, BundleDetector(), prior)
    assert person.mean_shape.shape == person.neutral_shape.shape == (478, 3)
    assert np.abs(person.mean_shape - prior.mean).max() < 3  # centimeters, pose-free
    assert np.abs(person.neutral_shape - person.mean_shape).max() < 1
    assert 0 < person.closed_opening < 1


def test_a_photo_is_a_person_too(frames, prior):
    assert find_person(frames[:1], BundleDetector(), prior) is not None


def test_without_a_face_there_is_nobody(frames, prior):
    blank = [replace(frame.copy(), planes=tuple(np.full_like(p, 128) for p in frame.planes)) for frame in frames[:10]]
    assert find_person(blank, BundleDetector(), prior) is None


def test_some_frames_a_second_are_enough(frames, prior):
    class Counted(BundleDetector):
        looks = 0

        def estimate_landmarks(self, picture, region):
            Counted.looks += 1
            return super().estimate_landmarks(picture, region)

    find_person(frames, Counted(), prior)
    assert Counted.looks <= len(frames) / 2


def test_who_comes_after_a_cut_is_found(frames, prior):
    blank = replace(frames[0], planes=tuple(np.full_like(plane, 16) for plane in frames[0].planes))
    times = (Fraction(n, 30) for n in range(20))
    nobody = [replace(blank, time=next(times)) for _ in range(10)]
    somebody = [replace(frame, time=next(times)) for frame in frames[:10]]
    assert find_person([*nobody, *somebody], BundleDetector(), prior) is not None


def test_one_description_of_a_person_passes_into_a_better_one(frames, prior, repository):
    neutral = find_person(frames, BundleDetector(), prior)
    happy = find_person(read(repository / "examples" / "1001_DFA_HAP_XX.flv"), BundleDetector(), prior)
    halfway = interpolate(neutral, happy, 0.5)
    np.testing.assert_allclose(halfway.mean_shape, (neutral.mean_shape + happy.mean_shape) / 2, atol=1e-5)
    assert halfway.emotions["happy"] == pytest.approx((neutral.emotions.get("happy", 0) + happy.emotions["happy"]) / 2)
    assert interpolate(neutral, happy, 1.0).relief == happy.relief
