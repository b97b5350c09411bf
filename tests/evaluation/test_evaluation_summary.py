"""Summaries with answers known beforehand: people as units, misses as zeros, shares of real clips, pairs."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cdrl.errors import UsageError
from cdrl.evaluation import summary
from cdrl.evaluation.benchmark import write_reports
from cdrl.evaluation.benchmark_config import BenchmarkConfig
from cdrl.evaluation.measure_registry import COLUMNS, FAILURE_SCORES
from cdrl.evaluation.report import render_markdown, write_html
from cdrl.evaluation.summary import compare_methods, estimate_mean, make_table, summarize


def row(method: str, person: str, emotion: str, p: float, source: str = "s", **facts: Any) -> dict[str, Any]:
    """A row of the measures .5 and this p(target), or of a failure."""
    named = {"method": method, "block": "neutral", "person": person, "emotion": emotion, "source": f"{person} {source}"}
    measures = dict(FAILURE_SCORES) if "failed" in facts else dict.fromkeys(COLUMNS, 0.5) | {"p_target": p}
    return {**named, "failed": None, "measures": measures, **facts}


def real(person: str, emotion: str, p: float) -> dict[str, Any]:
    return {"person": person, "emotion": emotion, "p": {emotion: p}, "identity": 0.97, "identity_others": 0.85}


def report(rows: list[dict[str, Any]], real_rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole result."""
    return {"set": "tune", "judges": {}, "rows": rows, "real": real_rows, "summary": summarize(rows, real_rows)}


def summarize_method(rows: list[dict[str, Any]], real_rows: list[dict[str, Any]]) -> dict[str, Any]:
    return summarize(rows, real_rows)["blocks"]["all"]["methods"]["m"]


def compare(xs: dict[str, float], ys: dict[str, float]) -> dict[str, Any]:
    """What p(target) of x and y comes to, of each by person."""
    rows = [row(name, who, "sad", p) for name, values in (("x", xs), ("y", ys)) for who, p in values.items()]
    return compare_methods(make_table(rows), "x", "y")["p_target"]


def test_a_miss_counts_as_zero_where_zero_means_something() -> None:
    people = summary.average_people(make_table([row("m", "a", "sad", 0.8), row("m", "a", "sad", 0, failed="no face")]))
    assert people.loc["a", "p_target"] == pytest.approx(0.4)
    assert people.loc["a", "identity"] == pytest.approx(0.5)


def test_clips_of_an_emotion_are_averaged_before_emotions_and_emotions_before_people() -> None:
    rows = [row("m", "a", "sad", 0.0), row("m", "a", "sad", 0.2), row("m", "a", "happy", 0.9), row("m", "b", "sad", 1)]
    people = summary.average_people(make_table(rows))["p_target"]
    assert people.to_dict() == {"a": pytest.approx(0.5), "b": 1}
    assert estimate_mean(people)["mean"] == pytest.approx(0.75)


def test_a_bootstrap_interval_is_drawn_over_people_and_repeats() -> None:
    people = pd.Series({str(k): k + 0.25 for k in range(8)})
    cell = estimate_mean(people)
    assert cell == estimate_mean(people) and cell["low"] < cell["mean"] < cell["high"]
    random = np.random.default_rng(0)
    means = [people.to_numpy()[random.integers(0, 8, 8)].mean() for _ in range(2000)]
    assert [cell["low"], cell["high"]] == pytest.approx(np.percentile(means, [2.5, 97.5]))
    assert estimate_mean(people[:1])["low"] is None


def test_the_share_uses_own_real_clips_and_falls_back_to_all_people() -> None:
    rows = [row("m", "a", "happy", 0.4), row("m", "b", "happy", 0.2)]
    target = [real("a", "happy", 0.8), real("c", "happy", 0.4), real("c", "happy", 0.2)]
    share = summary.share_of_real(make_table(rows), summary.make_real_table(target), "happy")
    assert share is not None
    assert share["real"] == pytest.approx((0.8 + (0.8 + 0.3) / 2) / 2)  # a: own .8; b: mean of people a and c
    assert share["share"] == pytest.approx(0.3 / share["real"])
    assert share["own"] == ["a"]
    assert summary.share_of_real(make_table(rows), summary.make_real_table(target), "sad") is None


def test_fear_is_in_no_mean() -> None:
    rows = [row("m", "a", "happy", 0.4), row("m", "a", "fear", 1.0)]
    found = summarize_method(rows, [real("a", "happy", 0.8), real("a", "fear", 0.1)])
    assert found["measures"]["p_target"]["mean"] == pytest.approx(0.4)
    assert found["share"] == pytest.approx(0.5) and found["emotions"]["fear"]["share"] == pytest.approx(10)


def test_neutral_is_in_no_mean_and_neutral_clips_say_nothing_of_emotional_identity() -> None:
    rows = [row("m", "a", "happy", 0.4), row("m", "a", "neutral", 1.0)]
    calm = real("a", "neutral", 0.5) | {"identity": 0.2, "identity_others": 0.1}
    found = summarize(rows, [real("a", "happy", 0.8), calm])
    method = found["blocks"]["all"]["methods"]["m"]
    assert method["measures"]["p_target"]["mean"] == pytest.approx(0.4) and method["clips"] == 1
    assert method["share"] == pytest.approx(0.5) and method["emotions"]["neutral"]["share"] == pytest.approx(2)
    assert method["identity_margin"] == pytest.approx(0.5 - 0.97) and found["real_identity"] == {"a": 0.97}
    assert found["others_identity"] == 0.85 and "neutral" not in found["averaged"] and "fear" not in found["averaged"]


def test_the_papers_mean_is_over_emotions_of_a_value_each_with_fear_and_neutral() -> None:
    values = {("a", "happy"): 0.2, ("b", "happy"): 0.6, ("a", "fear"): 0.1, ("b", "neutral"): 0.9}
    rows = [row("m", who, emotion, p) for (who, emotion), p in values.items()] + [row("m", "a", "happy", 0.4, "t")]
    result = summarize(rows, [real("a", "happy", 0.5)], paper=True)
    cell = result["blocks"]["all"]["methods"]["m"]["measures"]["p_target"]
    by_emotion = {"happy": (0.3 + 0.6) / 2, "fear": 0.1, "neutral": 0.9}  # a's two happy clips count as one person
    assert cell["emotions"] == pytest.approx(by_emotion)
    assert cell["mean"] == pytest.approx(sum(by_emotion.values()) / 3)
    assert cell["people"] == pytest.approx({"a": 0.2, "b": 0.75})
    only_a, only_b = (0.3 + 0.1) / 2, (0.6 + 0.9) / 2
    assert cell["low"] == pytest.approx(only_a) and cell["high"] == pytest.approx(only_b)
    assert cell["mean"] != pytest.approx(
        summarize(rows, [])["blocks"]["all"]["methods"]["m"]["measures"]["p_target"]["mean"]
    )
    assert "fear" in result["averaged"] and "neutral" in result["averaged"]


def test_in_the_papers_setting_pairs_are_of_all_emotions_and_the_report_has_each_emotions_value() -> None:
    rows = [row(name, "a", emotion, 0.5) for name in ("cdrl", "NED") for emotion in ("fear", "neutral")]
    rows[0]["measures"] |= {"fad": 0.125}
    summary_ = summarize(rows, [], paper=True)
    assert summary_["blocks"]["all"]["paired"]["NED"]["fad"]["clips"] == 2
    text = render_markdown({"set": "s", "judges": {}, "rows": rows, "real": [], "summary": summary_, "paper": True})
    assert "in the paper's setting" in text and "no mean" not in text
    assert "| cdrl | FAD | – | – | – | – | – | .125 | .500 | .312 |" in text


def test_shares_are_a_ratio_of_means_and_a_mean_capped_at_one() -> None:
    rows = [row("m", "a", "happy", 0.4), row("m", "a", "sad", 0.3)]
    target = [real("a", "happy", 0.8), real("a", "sad", 0.1)]  # a network that hardly sees this person's sadness
    found = summarize_method(rows, target)
    assert found["share"] == pytest.approx(0.7 / 0.9)
    assert found["share_capped"] == pytest.approx((0.5 + 1) / 2)
    assert found["identity_margin"] == pytest.approx(0.5 - 0.97)


def test_paired_differences_use_common_clips_only() -> None:
    difference = compare({"a": 0.9, "b": 0.3, "c": 0.0}, {"a": 0.5, "b": 0.4})
    assert difference["people"] == {"a": pytest.approx(0.4), "b": pytest.approx(-0.1)}
    assert difference["mean"] == pytest.approx(0.15) and difference["better"] == 1 and difference["clips"] == 2


def test_a_difference_has_an_interval_over_people_and_a_median_over_pairs() -> None:
    cell = compare({"a": 0.9, "b": 0.3, "c": 0.2}, {"a": 0.5, "b": 0.4, "c": 0.1})
    assert cell["median"] == pytest.approx(0.1)
    assert cell["low"] == pytest.approx(-0.1) and cell["high"] == pytest.approx(0.4)


def test_the_same_source_with_two_references_is_two_pairs() -> None:
    rows = [row(name, "a", "sad", 0.2, reference=f"reference {k}") for k in range(2) for name in "xy"]
    assert compare_methods(make_table(rows), "x", "y")["p_target"]["clips"] == 2


def test_less_is_better_for_distances() -> None:
    rows = [row("x", "a", "sad", 0.5), row("y", "a", "sad", 0.5)]
    rows[0]["measures"] |= {"fad": 0.1, "csim": 0.8}
    rows[1]["measures"] |= {"fad": 0.3, "csim": 0.9}
    found = compare_methods(make_table(rows), "x", "y")
    assert found["fad"]["better"] == 1 and found["csim"]["better"] == 0


def test_asked_pairs_take_the_place_of_the_default_ones() -> None:
    rows = [row(name, "a", "sad", 0.5) for name in ("cdrl", "NED", "plain copy")]
    default = summarize(rows, [])["blocks"]["all"]
    assert default["pairs"] == {"NED": ["cdrl", "NED"], "plain copy": ["cdrl", "plain copy"]}
    asked = summarize(rows, [], summary.parse_pairs(["NED:plain copy", "NED:absent"]))["blocks"]["all"]
    assert list(asked["paired"]) == ["NED − plain copy"]
    with pytest.raises(UsageError, match="NAME:NAME"):
        summary.parse_pairs(["NED"])


def test_fad_says_its_frames_and_who_was_left_out() -> None:
    rows = [row("m", "a", "sad", 0.5), row("m", "b", "sad", 0.5)]
    rows[0]["measures"] |= {"fad_frames": 6}
    for measure in ("fad", "csim"):
        del rows[1]["measures"][measure]
    result = report(rows, [real("a", "sad", 0.8)])
    method = result["summary"]["blocks"]["all"]["methods"]["m"]
    assert method["fad_frames"] == [6, 6] and method["without_real"] == 1
    assert list(method["measures"]["fad"]["people"]) == ["a"]
    assert "m 6–6, 1 people's emotions without a real clip left out" in render_markdown(result)


def test_the_markdown_names_every_method_person_and_failure() -> None:
    rows = [row("cdrl", "a", "happy", 0.9), row("NED", "a", "happy", 0.5), row("cdrl", "b", "sad", 0, failed="no face")]
    text = render_markdown(report(rows, [real("a", "happy", 0.8), real("b", "sad", 0.8)]))
    for word in ("cdrl − NED", "no face", "| b | sad |", "fear and neutral are printed"):
        assert word in text


@pytest.mark.parametrize("real_rows", [[], [real("a", "happy", 0.0)], [real("b", "sad", 0.4)]])
def test_a_report_holds_null_and_why_where_there_is_no_number(tmp_path: Path, real_rows: list[dict[str, Any]]) -> None:
    rows = [row("m", "a", "happy", 0.4), row("m", "a", "happy", 0.2, "t")]
    rows[0]["measures"] |= {"flicker": math.nan}
    config = BenchmarkConfig(data=tmp_path, json=tmp_path / "n.json", markdown=tmp_path / "n.md")
    write_reports(config, report(rows, real_rows))
    found = json.loads((tmp_path / "n.json").read_text(), parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    method = found["summary"]["blocks"]["all"]["methods"]["m"]
    assert method["share"] is None and "real clip" in method["reasons"]["share"]
    assert method["emotions"]["happy"]["share"] is None and method["emotions"]["happy"]["reason"]
    assert found["rows"][0]["measures"]["flicker"] is None
    assert "nan" not in (tmp_path / "n.md").read_text()


def test_one_person_has_no_interval_in_any_table(tmp_path: Path) -> None:
    result = report([row("cdrl", "a", "happy", 0.4), row("NED", "a", "happy", 0.2)], [real("a", "happy", 0.8)])
    block = result["summary"]["blocks"]["all"]
    assert block["methods"]["cdrl"]["measures"]["p_target"]["low"] is None
    assert block["paired"]["NED"]["p_target"]["high"] is None
    text = render_markdown(result)
    assert ".40 [–]" in text and "+.20 [–], +.20 (1/1)" in text
    write_html(result, None, tmp_path / "n.html")
    assert "<td>.40<small>[–]</small></td>" in (tmp_path / "n.html").read_text()
