"""What somebody shows is told from who they are, on shapes whose answer is known."""

import numpy as np
import pytest

from cdrl.manipulation.person import estimate_emotions
from cdrl.manipulation.prior import EXPRESSIVE


@pytest.fixture(scope="module")
def person(prior):
    """Somebody: each mode of identity at a moderate amount."""
    amounts = np.random.default_rng(3).normal(0, 0.5, len(prior.identity)).astype(np.float32)
    return prior.mean + np.tensordot(amounts, prior.identity, 1)


def read_as(prior, **amounts):
    """Blendshapes [52] that the prior reads as these amounts of emotion, and for none of the others."""
    wanted = np.array([amounts.get(name, 0.0) for name in EXPRESSIVE])
    return np.linalg.pinv(prior.blendshape_to_emotion[:-1].T) @ (wanted - prior.blendshape_to_emotion[-1])


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_a_shown_emotion_is_the_largest_found(prior, person, emotion):
    index = EXPRESSIVE.index(emotion)
    for neutral in (prior.mean, person):
        amounts, _ = estimate_emotions(neutral + prior.offset[index], read_as(prior, **{emotion: 0.7}), prior)
        assert amounts.argmax() == index
        assert 0.3 <= amounts[index] <= 1
        assert amounts.sum() - amounts[index] < 0.5


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_the_neutral_shape_behind_an_emotion_is_nearer_than_the_emotion(prior, person, emotion):
    shown = person + prior.offset[EXPRESSIVE.index(emotion)]
    _, neutral = estimate_emotions(shown, read_as(prior, **{emotion: 0.7}), prior)
    assert np.linalg.norm(neutral - person) < 0.6 * np.linalg.norm(shown - person)


def test_a_neutral_face_shows_nothing(prior, person):
    for neutral in (prior.mean, person):
        amounts, found = estimate_emotions(neutral, read_as(prior), prior)
        assert not amounts.any()
        assert np.abs(found - neutral).max() < 0.1  # centimeters


def test_amounts_are_never_negative_nor_beyond_one(prior):
    generator = np.random.default_rng(0)
    for _ in range(10):
        mixed = prior.mean + np.tensordot(generator.normal(0, 1.5, len(EXPRESSIVE)), prior.offset, 1)
        amounts, neutral = estimate_emotions(mixed, generator.uniform(0, 1, 52), prior)
        assert 0 <= amounts.min() <= amounts.max() <= 1
        assert np.isfinite(neutral).all()


def test_more_of_an_emotion_is_found_as_more(prior):
    happy, found = EXPRESSIVE.index("happy"), []
    for amount in (0, 0.4, 0.8):
        shape = prior.mean + amount * prior.offset[happy]
        found.append(estimate_emotions(shape, read_as(prior, happy=amount), prior)[0][happy])
    assert found == sorted(found)
    assert found[0] == 0 < found[2]
