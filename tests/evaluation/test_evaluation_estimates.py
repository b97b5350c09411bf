"""What a number is: people as units, intervals that say what they were drawn over, thresholds."""

import json

import numpy as np
import pandas as pd
import pytest

from cdrl.evaluation.estimates import (
    Estimate,
    Measurement,
    Threshold,
    accuracy_estimate,
    balanced_accuracy,
    mean_estimate,
    missing,
)


def values_of(people) -> pd.DataFrame:
    """Person → clip → values, as a table."""
    rows = [(who, clip, value) for who, clips in people.items() for clip, values in clips.items() for value in values]
    return pd.DataFrame(rows, columns=["person", "clip", "value"])


def cases_of(people) -> pd.DataFrame:
    """Person → clip → confusion counts, as a case a line."""
    rows = [
        (who, clip, *labels)
        for who, clips in people.items()
        for clip, counts in clips.items()
        for labels, count in np.ndenumerate(counts)
        for _ in range(count)
    ]
    return pd.DataFrame(rows, columns=["person", "clip", "label", "predicted"])


def test_a_person_with_many_clips_counts_as_one():
    estimate = mean_estimate(values_of({"a": {str(k): [1.0] * 50 for k in range(9)}, "b": {"x": [0.0, np.nan]}}))
    assert estimate.value == 0.5
    assert estimate.people == {"a": 1.0, "b": 0.0}
    assert estimate.count == 451


@pytest.mark.parametrize(
    ("people", "clips", "unit"), [(5, 1, "people"), (4, 2, "clips"), (2, 3, "clips"), (2, 2, "moments")]
)
def test_what_is_drawn_depends_on_how_many_there_are(people, clips, unit):
    random = np.random.default_rng(0)
    values = values_of({f"p{p}": {f"c{c}": random.normal(size=8) for c in range(clips)} for p in range(people)})
    estimate = mean_estimate(values)
    assert estimate.unit == unit
    assert estimate.low < estimate.value < estimate.high
    assert estimate == mean_estimate(values)  # the seed is fixed


def test_one_person_has_a_value_and_no_interval():
    estimate = mean_estimate(values_of({"a": {f"c{c}": [float(c)] for c in range(9)}}))
    recognized = accuracy_estimate(cases_of({"a": {str(c): np.eye(3, dtype=int) for c in range(9)}}), 3)
    row = Measurement("content", "m", "people", "own", estimate, Threshold("interval above", 0.1)).to_json()
    assert (estimate.value, estimate.low, estimate.high) == (4.0, None, None)
    assert (recognized.value, recognized.low) == (1.0, None)
    assert row["interval"] == [None, None] and row["passes"] is None and row["reason"] == "one person: no interval"


def test_the_interval_over_people_is_that_of_explicit_draws():
    means = np.array([0.1, 0.4, 0.5, 0.7, 0.9, 0.2])
    estimate = mean_estimate(values_of({f"p{k}": {"c": [mean]} for k, mean in enumerate(means)}))
    random = np.random.default_rng(1)
    drawn = [means[random.integers(0, 6, 6)].mean() for _ in range(4000)]
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.03)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_shown():
    counts = np.array([[3, 1, 0], [0, 0, 0], [5, 0, 5]])
    assert balanced_accuracy(counts) == pytest.approx((3 / 4 + 5 / 10) / 2)
    estimate = accuracy_estimate(cases_of({"a": {"x": counts}, "b": {"y": counts, "empty": 0 * counts}}), 3)
    assert estimate.value == pytest.approx(0.625)
    assert (estimate.count, estimate.unit) == (28, "clips")
    assert np.isnan(balanced_accuracy(np.zeros((3, 3))))


def test_thresholds_and_numbers_that_are_not_there():
    assert Threshold("at least", 0.5).passes(Estimate(0.5)) is True
    assert Threshold("at most", 0.1).passes(Estimate(0.2)) is False
    assert Threshold("interval above", 1 / 32).passes(Estimate(0.2, 0.03, 0.4)) is False
    assert Threshold("interval above", 1 / 32).passes(Estimate(0.2, 0.04, 0.4)) is True
    assert Threshold("at least", 0.5).passes(missing("no clips")) is None
    assert mean_estimate(values_of({"a": {"x": []}})).value is None
    row = Measurement("content", "m", "people", "own", missing("no clips"), Threshold("at least", 0.5)).to_json()
    assert json.loads(json.dumps(row, allow_nan=False))["reason"] == "no clips"
