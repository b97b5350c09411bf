"""What somebody shows is told from who they are, on shapes whose answer is known and on one actor's real takes."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from cdrl.face.apertures import lids, lips, remove_apertures
from cdrl.face.landmarks import BLENDSHAPES, BundleDetector
from cdrl.face.mesh import MOUTH_CORNERS, mirror_shape, region_weights
from cdrl.face.tracking import Track
from cdrl.manipulation.person import RECENT_SECONDS, RecentShape
from cdrl.manipulation.prior import EXPRESSIVE, region_matrix
from cdrl.media import read
from cdrl.pipeline.survey import find_person
from cdrl.training.emotion_offsets import STRENGTH

TAKES = ("NEU", "HAP", "ANG", "DIS", "FEA", "SAD")
PIXELS = np.float32([480, 360, 0]) / 2, 15  # center, and pixels in a cm, of faces that blendshapes are estimated of


@pytest.fixture(scope="module")
def person(prior):
    """The neutral shape of somebody: each mode of identity at a moderate amount."""
    amounts = np.random.default_rng(3).normal(0, 0.5, len(prior.identity)).astype(np.float32)
    return prior.mean + np.tensordot(amounts, prior.identity, 1)


@pytest.fixture(scope="module")
def read_shape(prior):
    """`read_shape(shape)`: what the prior reads of a shape, with the blendshapes that are estimated of it."""
    detector = BundleDetector()

    def read_it(shape):
        center, scale = PIXELS
        return prior.read_expression(shape, detector.estimate_blendshapes((center + scale * shape).astype(np.float32)))

    return read_it


@pytest.fixture(scope="module")
def takes(repository, prior):
    """The same words by one actor, neutral and in five emotions: who is seen in each take."""
    people = {}
    for code in TAKES:
        clip = read(repository / "examples" / f"1001_DFA_{code}_XX.flv")
        people[code] = find_person(clip, BundleDetector(), prior)
    return people


def show(prior, neutral, emotion, amount=1.0):
    """Displacement [478, 3] of the landmarks of somebody who shows an emotion in talk, apertures and all."""
    blend = prior.blend_emotions({emotion: amount})
    as_in_talk = lips().vectors(neutral) * (blend.lip_opening / lips().opening(neutral))
    opened = lips().opening_displacement(as_in_talk)
    followed = blend.offset - prior.shown_brow_movement({emotion: amount})
    return followed + opened + lids().opening_displacement((blend.lid_ratio - 1) * lids().vectors(neutral))


def people_show(prior, neutral, emotion):
    """The same as people show it: brows that an edit lifts beyond that are none of it, what it holds back is."""
    lifted = np.zeros_like(prior.mean)
    lifted[:, 1] = STRENGTH[emotion].brow_lift * region_weights()["brows"]
    held = 1 / (np.minimum(np.array(STRENGTH[emotion].regions), 1) @ region_matrix()) - 1
    offset = prior.blend_emotions({emotion: 1.0}).offset
    return show(prior, neutral, emotion) + remove_apertures(lifted) + held[:, None] * offset


def rms(offset):
    """Root mean square length, mm."""
    return 10 * float(np.sqrt(np.square(offset).sum(1).mean()))


def mouth_width(shape):
    left, right = MOUTH_CORNERS
    return float(np.linalg.norm(shape[left] - shape[right]))


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_what_is_shown_is_most_of_what_is_read(prior, read_shape, person, emotion):
    for neutral, share in ((prior.mean, 0.5), (person, 0.75)):
        shown = people_show(prior, neutral, emotion)
        _, displacement = read_shape(neutral + shown)
        assert rms(displacement - shown) < share * rms(shown)


@pytest.mark.parametrize(("emotion", "least"), [("disgusted", 0.3), ("happy", 0.3), ("sad", 0.3), ("surprised", 0.1)])
def test_a_clearly_shown_emotion_is_the_largest_found(prior, read_shape, person, emotion, least):
    others = [name for name in EXPRESSIVE if name != emotion and (emotion, name) != ("surprised", "fear")]  # look alike
    for neutral in (prior.mean, person):
        amounts, _ = read_shape(neutral + people_show(prior, neutral, emotion))
        found = dict(zip(EXPRESSIVE, amounts, strict=True))
        assert max(found, key=found.get) == emotion
        assert least < found[emotion] <= 1
        assert sum(found[name] for name in others) < 0.2


def test_a_neutral_face_shows_nothing(prior, read_shape, person):
    for neutral in (prior.mean, person):
        for part in read_shape(neutral):
            assert not part.any()


def test_clear_expressions_are_read_linearly_and_amounts_are_never_negative_nor_beyond_one(prior):
    random = np.random.default_rng(0)
    shapes = prior.mean + np.tensordot(random.normal(0, 1.5, (10, len(EXPRESSIVE))), prior.offset, 1)
    blendshapes = random.uniform(0, 1, (10, 52))
    found = [prior.read_expression(*given) for given in zip(shapes, blendshapes, strict=True)]
    amounts, displacements = (np.array(part) for part in zip(*found, strict=True))
    assert 0 <= amounts.min() < amounts.max() <= 1
    _, of_the_mean = prior.read_expression(shapes.mean(0), blendshapes.mean(0))
    assert of_the_mean == pytest.approx(displacements.mean(0), abs=1e-4)


def test_more_of_an_emotion_is_found_as_more(prior, read_shape, person):
    happy = EXPRESSIVE.index("happy")
    found = [read_shape(person + show(prior, person, "happy", amount))[0][happy] for amount in (0.1, 0.5, 1)]
    assert found[0] == 0 < found[1] < found[2]  # a trace is nothing


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_what_is_shown_beyond_before_is_read_whoever_it_is(prior, person, emotion):
    shown = people_show(prior, person, emotion)
    assert rms(prior.read_change(shown) - shown) < 0.35 * rms(shown)
    assert not prior.read_change(0.2 * shown).any()  # as words do


# One actor's takes


def test_a_neutral_take_is_read_as_nothing(takes):
    assert not takes["NEU"].emotions
    np.testing.assert_array_equal(takes["NEU"].mean_shape, takes["NEU"].neutral_shape)


def test_clear_takes_are_read_as_what_they_are(takes):
    for code, emotion, least in (("HAP", "happy", 0.5), ("DIS", "disgusted", 0.3)):
        emotions = takes[code].emotions
        assert max(emotions, key=emotions.get) == emotion
        assert emotions[emotion] > least
        assert sum(emotions.values()) - emotions[emotion] < 0.2


@pytest.mark.parametrize(("code", "share"), [("HAP", 0.4), ("DIS", 0.4), ("FEA", 0.6), ("ANG", 1.02), ("SAD", 1.02)])
def test_behind_every_take_is_the_same_neutral_face(takes, code, share):
    """This actor hardly shows anger and sadness: their takes, near the neutral one, stay as they are."""
    neutral, take = takes["NEU"].mean_shape, takes[code]
    differs = rms(remove_apertures(take.neutral_shape - neutral))
    assert differs < min(1, share * rms(remove_apertures(take.mean_shape - neutral)))


def test_mirrored_faces_are_read_mirrored(takes, prior):
    """Whose halves differ, in their face and in what they show of an emotion."""
    shape = takes["HAP"].mean_shape
    even_smile = np.float32([0.6 * name.startswith("mouthSmile") for name in BLENDSHAPES])
    (amounts, shown), (mirrored_amounts, mirrored) = (
        prior.read_expression(face, even_smile) for face in (shape, mirror_shape(shape))
    )
    assert mirrored_amounts == pytest.approx(amounts, abs=0.01)
    assert rms(mirrored - mirror_shape(shown)) < 0.05 < rms(shown - mirror_shape(shown))


def test_behind_a_smile_the_mouth_is_as_wide_as_when_neutral(takes):
    neutral, smiling = mouth_width(takes["NEU"].mean_shape), takes["HAP"]
    assert mouth_width(smiling.mean_shape) > neutral + 0.5  # cm
    assert mouth_width(smiling.neutral_shape) == pytest.approx(neutral, abs=0.15)


# What a face shows by now


def track(prior, value=0.0, shot=0, yaw=0.0):
    """A face of the mean shape in a frame, whose inner lips are moved `value` cm downwards."""
    turn = np.deg2rad(yaw)
    shape = prior.mean.astype(np.float64)
    shape[[13, 14], 1] += value
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    return Track((20 * shape @ rotation.T + [240, 180, 0]).astype(np.float32), 1.0, shot, False)


@pytest.fixture
def somebody(prior):
    return SimpleNamespace(mean_shape=prior.mean, closed_opening=0.3)


@pytest.fixture
def recent(prior, somebody):
    """`recent(time, value, ...)`: feeds one memory, and returns how far the lips of its mean are moved, cm."""
    memory = RecentShape()

    def update(time, value=0.0, person=somebody, **face):
        mean = memory.update(track(prior, value, **face), Fraction(time), person)
        return None if mean is None else float((mean - prior.mean)[[13, 14], 1].mean())

    return update


def test_a_face_shows_by_now_what_it_has_shown_for_a_while(recent):
    values = [recent(Fraction(n, 25), 0.6 * (n >= 50)) for n in range(125)]
    assert max(np.abs(values[:50])) < 0.02
    after = values[50 + int(25 * RECENT_SECONDS)]
    assert 0.5 * 0.6 < after < 0.8 * 0.6
    assert values[-1] == pytest.approx(0.6, abs=0.03)


GAPS = [{"time": Fraction(11, 10), "shot": 1}, {"time": 2}, {"time": Fraction(1, 2)}]


@pytest.mark.parametrize("gap", GAPS, ids=str)
def test_at_first_in_another_shot_after_a_loss_and_a_leap_back_nothing_has_changed(recent, gap):
    assert recent(0, 0.6) == 0
    assert [recent(Fraction(n, 10), 0.6) for n in range(1, 11)][-1] > 0.4
    assert recent(gap["time"], 0.6, shot=gap.get("shot", 0)) == 0


def test_of_whom_nothing_is_known_nothing_is_remembered(recent):
    assert recent(0, 0.6, person=None) is None
    assert recent(Fraction(1, 10), 0.6) == 0
    assert recent(Fraction(2, 10), 0.6) == pytest.approx(0.6 * 0.1 / (0.1 + RECENT_SECONDS), abs=0.02)


def test_faces_turned_away_are_passed_over(recent):
    assert recent(0, 0.0) == 0
    assert recent(Fraction(1, 10), 0.6, yaw=60) == 0
    before = recent(Fraction(2, 10), 0.6)
    assert recent(Fraction(3, 10), 0.0, yaw=60) == before > 0
