"""How far an offset follows an example, and what makes up the expression of a reference, fitted on other people."""

import numpy as np
import pytest

from cdrl.manipulation.manipulator import reference_expression, reference_parts
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EmotionPrior, region_matrix
from cdrl.training.example_fitting import (
    DEFAULT_WEIGHTS,
    EnrollmentSample,
    ReferenceSample,
    collect_enrollment_samples,
    fit_gain,
    fit_reference_weights,
    predict_offset,
    tabulate_references,
)
from cdrl.training.observations import ClipObservation

RANDOM = np.random.default_rng(0)


def offset(size=1.0):
    return RANDOM.normal(0, size, (478, 3)).astype(np.float32)


def seen(person, emotion, shapes):
    return ClipObservation(
        f"{person} {emotion}", person, emotion, shapes, np.zeros((128, 128), np.float32), np.zeros(52)
    )


def test_examples_are_followed_region_by_region_as_far_as_they_are_right():
    """An example that overshoots by two is worth half; one that says nothing of the truth is worth nothing."""
    wide = region_matrix().T @ np.float32([2, 1, 1, 0])
    examples = []
    for number in range(60):
        others, way = offset(), offset()
        stray = (region_matrix()[3] > 0.5)[:, None] * offset()
        examples.append(
            EnrollmentSample(str(number), "sad", others, others + wide[:, None] * way + stray, others + way)
        )
    brows, eyes, cheeks, mouth = fit_gain(examples)
    assert brows == pytest.approx(0.5, abs=0.05)
    assert eyes == pytest.approx(1, abs=0.1)
    assert cheeks == pytest.approx(1, abs=0.1)
    assert mouth < 0.1
    item = examples[0]
    nearer = np.square(predict_offset(examples, item) - item.own).sum()
    assert nearer < np.square(item.others - item.own).sum()


def test_without_samples_everything_counts_one_half():
    assert fit_gain([]) == pytest.approx(0.5)
    assert np.array_equal(fit_reference_weights([]), DEFAULT_WEIGHTS)


def test_a_person_is_described_by_the_others_and_an_only_clip_is_no_example_of_itself():
    people = ("anna", "bert")
    table = [seen(who, "neutral", np.tile(offset(0.1), (8, 1, 1))) for who in people]
    table += [seen(who, "happy", item.shapes + offset(0.3)) for who, item in zip(people, list(table), strict=True)]
    photos = collect_enrollment_samples(table, photo=True)
    assert {(item.person, item.emotion) for item in photos} == {("anna", "happy"), ("bert", "happy")}
    assert collect_enrollment_samples(table, photo=False) == []
    table.append(seen("anna", "happy", table[2].shapes + 0.01 * offset()))
    clips = collect_enrollment_samples(table, photo=False)
    assert [item.person for item in clips] == ["anna", "anna"]
    first, second = clips
    assert np.allclose(first.own, second.example)
    assert collect_enrollment_samples(table, photo=True, exclude={"bert"}) == []


def references(weights):
    found = []
    for person in ("anna", "bert", "carl"):
        for emotion in ("happy", "sad", "angry", "fear") * 4:
            parts = np.array([offset() for _ in range(3)])
            own = ((weights @ region_matrix())[:, :, None] * parts).sum(0)
            found.append(ReferenceSample(person, emotion, parts, np.zeros_like(own), own))
    return found


def test_the_weights_that_made_the_expressions_are_found():
    weights = RANDOM.uniform(0, 1, (3, 4)).astype(np.float32)
    found = references(weights)
    assert fit_reference_weights(found) == pytest.approx(weights, abs=0.02)
    table = tabulate_references(found)
    assert table.columns[0]._cells == ["anna", "bert", "carl", "all"]
    assert table.columns[-1]._cells == ["16", "16", "16", "48"]


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
