"""Who is seen in a clip's first seconds, and what they show."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cdrl.face.apertures import lips
from cdrl.face.landmarks import BundleDetector
from cdrl.manipulation.expression_change import mouth_freedom
from cdrl.manipulation.person import (
    MAX_CLOSED_OPENING,
    MIN_CLOSED_OPENING,
    PauseTracker,
    discount_expression,
    estimate_person,
    interpolate,
    is_speaking,
    with_neutral,
)
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.media import read
from cdrl.pipeline.survey import find_person


@pytest.fixture(scope="module")
def frames(sample):
    return list(read(sample))


@pytest.fixture(scope="module")
def happy(repository, prior):
    """Who is seen in the happy take."""
    return find_person(read(repository / "examples" / "1001_DFA_HAP_XX.flv"), BundleDetector(), prior)


def talk(prior, openings):
    """Shapes [n, 478, 3] of the mean face whose inner lips part by `openings` [n] cm."""
    vectors = np.float32([0, 1, 0]) * np.float32(openings)[:, None, None] - lips().vectors(prior.mean)
    return prior.mean + lips().opening_displacement(vectors)


def test_somebody_who_smiles_is_seen_to_be_happy(happy):
    assert max(happy.emotions, key=happy.emotions.get) == "happy"
    assert set(happy.emotions) <= set(EXPRESSIVE)
    assert all(0 < amount <= 1 for amount in happy.emotions.values())


def test_who_somebody_is_and_what_they_show_add_up(frames, prior):
    person = find_person(frames, BundleDetector(), prior)
    assert person.mean_shape.shape == person.neutral_shape.shape == (478, 3)
    assert np.abs(person.mean_shape - prior.mean).max() < 3  # centimeters, pose-free
    assert np.abs(person.neutral_shape - person.mean_shape).max() < 1
    assert MIN_CLOSED_OPENING <= person.closed_opening <= MAX_CLOSED_OPENING
    assert person.closed_opening < person.mean_opening < 2
    assert 0 < person.mouth_freedom < 1
    assert not person.neutral_is_given


def test_how_far_the_lips_part_is_measured_over_the_talk(prior):
    """The mouth's freedom is the mean over openings, not that of the mean opening."""
    openings = [0.8, 0.1, 0.1, 0.2, 1.4]
    person = estimate_person(talk(prior, openings), np.zeros(52, np.float32), prior, 0.2)
    assert person.mean_opening == pytest.approx(np.mean(openings), abs=0.01)
    assert person.closed_opening == MIN_CLOSED_OPENING
    wanted = np.mean([mouth_freedom(opening, MIN_CLOSED_OPENING) for opening in openings])
    assert person.mouth_freedom == pytest.approx(wanted, abs=0.01)


def test_what_is_read_is_what_lies_between_the_mean_and_the_neutral_shape(prior):
    shapes, blendshapes = talk(prior, [0.2, 0.9]), np.full(52, 0.1, np.float32)
    amounts, shown = prior.read_expression(shapes.mean(0), blendshapes)
    person = estimate_person(shapes, blendshapes, prior, 0.2)
    assert person.mean_shape - person.neutral_shape == pytest.approx(shown, abs=1e-5)
    assert person.emotions == pytest.approx({n: a for n, a in zip(EXPRESSIVE, amounts, strict=True) if a > 0.02})


def test_pauses_leave_the_mouth_free_and_closures_within_talk_do_not(prior):
    openings = [0.8, 0.1, 0.8, 0.8, *[0.1] * 12]
    talking, pausing = (
        estimate_person(talk(prior, openings), np.zeros(52, np.float32), prior, 0.2, interval=interval)
        for interval in (None, 0.125)
    )
    free = mouth_freedom(0.8, MIN_CLOSED_OPENING)
    assert talking.mouth_freedom == pytest.approx(3 * free / 16, abs=0.01)
    assert pausing.mouth_freedom == pytest.approx((3 * free + 12 - 3.5) / 16, abs=0.04)


@pytest.mark.parametrize("seconds", [0.08, 0.2, 0.28])
def test_a_bilabial_is_no_pause(seconds):
    tracker = PauseTracker()
    shares = [tracker.update(0.0 if 1 <= n / 50 < 1 + seconds else 1.0, 0.3, n / 50) for n in range(100)]
    assert max(shares) == 0


def test_a_pause_comes_and_goes_smoothly():
    tracker = PauseTracker()
    shares = np.array([tracker.update(0.0 if 50 <= n < 150 else 1.0, 0.3, n / 50) for n in range(200)])
    assert shares[:65].max() < 1e-9
    assert (shares[86:150] == 1).all()
    assert (shares[158:] == 0).all()
    assert np.abs(np.diff(shares)).max() < 0.15


def test_who_is_silent_from_the_first_frame_on_pauses():
    assert PauseTracker().update(0.0, 0.3, 5.0) == 1
    assert PauseTracker().update(1.0, 0.3, 5.0) == 0


def test_lips_that_never_close_or_part_are_told(prior):
    still, open_wide = (
        estimate_person(talk(prior, [opening]), np.zeros(52, np.float32), prior, 0.2) for opening in (0.0, 1.2)
    )
    assert (still.closed_opening, still.mouth_freedom) == (MIN_CLOSED_OPENING, 0)
    assert open_wide.closed_opening == MAX_CLOSED_OPENING
    assert is_speaking(open_wide)
    assert not is_speaking(still)


def test_a_neutral_that_was_seen_replaces_the_estimate_alone(happy, prior):
    given = with_neutral(happy, prior.mean)
    assert given.neutral_is_given
    assert given.neutral_shape is prior.mean
    assert replace(given, neutral_shape=happy.neutral_shape, neutral_is_given=False).__dict__ == happy.__dict__


def test_what_is_hardly_any_emotion_is_left_to_the_neutral_face(happy):
    sure, faint, none = (
        discount_expression(replace(happy, emotions=emotions)) for emotions in ({"happy": 0.5}, {"happy": 0.1}, {})
    )
    shown, kept, nothing = (np.linalg.norm(person.mean_shape - person.neutral_shape) for person in (sure, faint, none))
    assert np.array_equal(sure.neutral_shape, happy.neutral_shape)
    assert nothing == 0 < kept < 0.5 * shown
    assert 0 < faint.emotions["happy"] < 0.05


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


def test_one_description_of_a_person_passes_into_a_better_one(frames, prior, happy):
    neutral = find_person(frames, BundleDetector(), prior)
    halfway = interpolate(neutral, happy, 0.5)
    for name in ("mean_shape", "neutral_shape", "closed_opening", "mean_opening", "mouth_freedom"):
        mean = (getattr(neutral, name) + getattr(happy, name)) / 2
        np.testing.assert_allclose(getattr(halfway, name), mean, atol=1e-5, err_msg=name)
    assert halfway.emotions["happy"] == pytest.approx((neutral.emotions.get("happy", 0) + happy.emotions["happy"]) / 2)
    assert interpolate(neutral, happy, 1.0).relief == happy.relief
