"""What makes up the expression of a reference: the weights that people who were left out ask for."""

import numpy as np
import pytest

from cdrl.manipulation.manipulator import reference_expression, reference_parts
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EmotionPrior, region_matrix
from cdrl.training.reference_fitting import DEFAULT_WEIGHTS, ReferenceSample, fit_reference_weights, tabulate_references

RANDOM = np.random.default_rng(0)


def clips(weights, people=("anna", "bert", "carl")):
    found = []
    for person in people:
        for emotion in ("happy", "sad", "angry", "fear") * 4:
            parts = RANDOM.normal(0, 1, (3, 478, 3)).astype(np.float32)
            own = ((weights @ region_matrix())[:, :, None] * parts).sum(0)
            found.append(ReferenceSample(person, emotion, parts, np.zeros_like(own), own))
    return found


def test_the_weights_that_made_the_expressions_are_found():
    weights = RANDOM.uniform(0, 1, (3, 4)).astype(np.float32)
    found = clips(weights)
    assert fit_reference_weights(found) == pytest.approx(weights, abs=0.02)
    table = tabulate_references(found)
    assert table.columns[0]._cells == ["anna", "bert", "carl", "all"]
    assert table.columns[-1]._cells == ["16", "16", "16", "48"]


def test_without_anybody_it_is_half_the_person_and_half_the_emotion():
    assert np.array_equal(fit_reference_weights([]), DEFAULT_WEIGHTS)


def test_a_reference_that_shows_nothing_changes_nothing():
    prior = EmotionPrior.load()
    neutral = prior.mean + prior.identity[0]
    nobody = Person(neutral, neutral, {}, 0.4, None, 0.15)
    assert not reference_parts(nobody, prior).any()
    assert not reference_expression(nobody, prior).offset.any()
    happy = Person(neutral + prior.offset[3], neutral, {"happy": 0.5}, 0.4, None, 0.15)
    pattern = reference_expression(happy, prior)
    assert np.abs(pattern.offset).max() > 0.05
    assert pattern.lip_opening == pytest.approx(prior.lip_opening[3], abs=1e-6)
