"""The expression model tells what somebody shows from who they are, on shapes whose answer is known."""

import numpy as np
import pytest

from cdrl.manipulation.person import expression_model
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior


@pytest.fixture(scope="module")
def model():
    return expression_model(EmotionPrior.load())


@pytest.fixture(scope="module")
def person(model):
    """Somebody: each mode of identity at a moderate amount."""
    amounts = np.random.default_rng(3).normal(0, 0.5, len(model.identity)).astype(np.float32)
    return model.mean + np.tensordot(amounts, model.identity, 1)


def read_as(model, **amounts):
    """Blendshapes [52] that the model's reading takes for these amounts of emotion, and for none of the others."""
    wanted = np.array([amounts.get(name, 0.0) for name in EXPRESSIVE])
    return np.linalg.pinv(model.blendshape_to_emotion[:-1].T) @ (wanted - model.blendshape_to_emotion[-1])


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_a_shown_emotion_is_the_largest_found(model, person, emotion):
    index = EXPRESSIVE.index(emotion)
    for neutral in (model.mean, person):
        amounts, _ = model.estimate(neutral + model.emotion[index], read_as(model, **{emotion: 0.7}))
        assert amounts.argmax() == index
        assert 0.3 <= amounts[index] <= 1
        assert amounts.sum() - amounts[index] < 0.5


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_the_neutral_shape_behind_an_emotion_is_nearer_than_the_emotion(model, person, emotion):
    shown = person + model.emotion[EXPRESSIVE.index(emotion)]
    _, neutral = model.estimate(shown, read_as(model, **{emotion: 0.7}))
    assert np.linalg.norm(neutral - person) < 0.6 * np.linalg.norm(shown - person)


def test_a_neutral_face_shows_nothing(model, person):
    for neutral in (model.mean, person):
        amounts, found = model.estimate(neutral, read_as(model))
        assert not amounts.any()
        assert np.abs(found - neutral).max() < 0.1  # centimetres


def test_amounts_are_never_negative_nor_beyond_one(model):
    generator = np.random.default_rng(0)
    for _ in range(10):
        mixed = model.mean + np.tensordot(generator.normal(0, 1.5, len(EXPRESSIVE)), model.emotion, 1)
        amounts, neutral = model.estimate(mixed, generator.uniform(0, 1, 52))
        assert 0 <= amounts.min() <= amounts.max() <= 1
        assert np.isfinite(neutral).all()


def test_more_of_an_emotion_is_found_as_more(model):
    happy = model.emotion[EXPRESSIVE.index("happy")]
    found = [
        model.estimate(model.mean + amount * happy, read_as(model, happy=amount))[0][EXPRESSIVE.index("happy")]
        for amount in (0, 0.4, 0.8)
    ]
    assert found == sorted(found)
    assert found[0] == 0 < found[2]
