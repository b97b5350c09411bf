"""The survey: who is seen in a clip's first seconds, what they show, and in which shot."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.manipulation.person import between, expression_model, survey
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.media import read


@pytest.fixture(scope="module")
def model():
    return expression_model(EmotionPrior.load())


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


def test_somebody_who_smiles_is_seen_to_be_happy(repository, model):
    (person,) = survey(read(repository / "examples" / "1001_DFA_HAP_XX.flv"), tracker(), model).values()
    assert max(person.shown, key=person.shown.get) == "happy"
    assert set(person.shown) <= set(EXPRESSIVE)


def test_who_somebody_is_and_what_they_show_add_up(frames, model):
    (person,) = survey(frames, tracker(), model).values()
    assert person.mean.shape == person.neutral.shape == (478, 3)
    assert np.abs(person.mean - model.mean).max() < 3  # centimetres, pose-free
    assert np.abs(person.neutral - person.mean).max() < 1
    assert 0 < person.closed < 1


def test_a_photo_is_a_person_too(frames, model):
    assert set(survey(frames[:1], tracker(), model)) == {0}


def test_without_a_face_there_is_nobody(frames, model):
    blank = [replace(frame.copy(), planes=tuple(np.full_like(p, 128) for p in frame.planes)) for frame in frames[:10]]
    assert survey(blank, tracker(), model) == {}


def test_some_frames_a_second_are_enough(frames, model):
    class Counted(BundleDetector):
        looks = 0

        def landmarks(self, picture, region):
            Counted.looks += 1
            return super().landmarks(picture, region)

    survey(frames, FaceTracker(Counted()), model)
    assert Counted.looks <= len(frames) / 2


def test_shots_are_counted_as_in_the_whole_clip(frames, model):
    still = frames[20]
    fade_in = [dimmed(still, min(n / 6, 1), Fraction(n, 30)) for n in range(45)]
    whole = tracker()
    tracks = [whole.step(frame) for frame in fade_in]
    assert set(survey(fade_in, tracker(), model)) == {track.shot for track in tracks if track is not None}


def test_one_description_of_a_person_passes_into_a_better_one(frames, model, repository):
    (neutral,) = survey(frames, tracker(), model).values()
    (happy,) = survey(read(repository / "examples" / "1001_DFA_HAP_XX.flv"), tracker(), model).values()
    halfway = between(neutral, happy, 0.5)
    np.testing.assert_allclose(halfway.mean, (neutral.mean + happy.mean) / 2, atol=1e-5)
    assert halfway.shown["happy"] == pytest.approx((neutral.shown.get("happy", 0) + happy.shown["happy"]) / 2)
    assert between(neutral, happy, 1.0).relief == happy.relief
