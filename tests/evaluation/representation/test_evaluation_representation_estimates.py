"""What a number is: people as units, intervals that say what they were drawn over, bars."""

import json

import numpy as np
import pytest

from cdrl.evaluation.representation.estimates import (
    Bar,
    Estimate,
    Row,
    accuracy_estimate,
    balanced_accuracy,
    mean_estimate,
    missing,
)


def test_a_person_with_many_clips_counts_as_one():
    found = mean_estimate({"a": {str(k): [1.0] * 50 for k in range(9)}, "b": {"x": [0.0]}})
    assert found.value == 0.5
    assert found.people == {"a": 1.0, "b": 0.0}
    assert found.count == 451


@pytest.mark.parametrize(
    ("people", "clips", "unit"), [(5, 1, "people"), (4, 2, "clips"), (2, 3, "clips"), (2, 2, "moments")]
)
def test_what_is_drawn_depends_on_how_many_there_are(people, clips, unit):
    random = np.random.default_rng(0)
    values = {f"p{p}": {f"c{c}": random.normal(size=8) for c in range(clips)} for p in range(people)}
    found = mean_estimate(values)
    assert found.unit == unit
    assert found.low < found.value < found.high
    assert found == mean_estimate(values)  # the seed is fixed


def test_one_person_has_a_value_and_no_interval():
    found = mean_estimate({"a": {f"c{c}": [float(c)] for c in range(9)}})
    recognised = accuracy_estimate({"a": {str(c): np.eye(3, dtype=int) for c in range(9)}})
    row = Row("content", "m", "people", "own", found, Bar("interval above", 0.1)).to_json()
    assert (found.value, found.low, found.high) == (4.0, None, None)
    assert (recognised.value, recognised.low) == (1.0, None)
    assert row["interval"] == [None, None] and row["met"] is None and row["reason"] == "one person: no interval"


def test_the_interval_over_people_is_that_of_explicit_draws():
    means = np.array([0.1, 0.4, 0.5, 0.7, 0.9, 0.2])
    found = mean_estimate({f"p{k}": {"c": [mean]} for k, mean in enumerate(means)})
    random = np.random.default_rng(1)
    drawn = [means[random.integers(0, 6, 6)].mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.03)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_shown():
    counts = np.array([[3, 1, 0], [0, 0, 0], [5, 0, 5]])
    assert balanced_accuracy(counts) == pytest.approx((3 / 4 + 5 / 10) / 2)
    found = accuracy_estimate({"a": {"x": counts}, "b": {"y": counts, "empty": 0 * counts}})
    assert found.value == pytest.approx(0.625)
    assert (found.count, found.unit) == (28, "clips")
    assert np.isnan(balanced_accuracy(np.zeros((3, 3))))


def test_bars_and_numbers_that_are_not_there():
    assert Bar("at least", 0.5).met(Estimate(0.5)) is True
    assert Bar("at most", 0.1).met(Estimate(0.2)) is False
    assert Bar("interval above", 1 / 32).met(Estimate(0.2, 0.03, 0.4)) is False
    assert Bar("interval above", 1 / 32).met(Estimate(0.2, 0.04, 0.4)) is True
    assert Bar("at least", 0.5).met(missing("no clips")) is None
    assert mean_estimate({"a": {"x": []}}).value is None
    row = Row("content", "m", "people", "own", missing("no clips"), Bar("at least", 0.5)).to_json()
    assert json.loads(json.dumps(row, allow_nan=False))["reason"] == "no clips"
