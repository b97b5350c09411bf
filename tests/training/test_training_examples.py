"""How far an offset follows an example of the person, fitted on other people."""

import numpy as np
import pytest

from cdrl.manipulation.prior import region_matrix
from cdrl.training.example_fitting import EnrollmentSample, collect_enrollment_samples, fit_gain, predict_offset
from cdrl.training.observations import ClipObservation

RANDOM = np.random.default_rng(0)


def offset(size=1.0):
    return RANDOM.normal(0, size, (478, 3)).astype(np.float32)


def seen(person, emotion, shapes):
    texture, blendshapes = np.zeros((128, 128), np.float32), np.zeros((len(shapes), 52), np.float32)
    return ClipObservation(f"{person} {emotion}", person, emotion, shapes, texture, blendshapes)


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
