"""`cdrl evaluate results` on clips made of the bundled sample; errors before any work, failures as rows."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from cdrl.cli.main import main
from cdrl.datasets.table import read_dataset
from cdrl.errors import InputNotFoundError, UsageError
from cdrl.evaluation import method_benchmark, results_benchmark
from cdrl.evaluation.benchmark_config import ResultsConfig
from cdrl.evaluation.clips import decode_frames, encode_copy
from cdrl.evaluation.results_benchmark import CROSS, INTRA, evaluate_results, read_results

EXAMPLES = Path(__file__).parents[2] / "examples"
NEUTRAL, HAPPY = "1001_DFA_NEU_XX.flv", "1001_DFA_HAP_XX.flv"
HEADER = ("method", "output", "source", "emotion", "reference", "lag")


def table(folder: Path, *rows: tuple[object, ...]) -> Path:
    path = folder / "results.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def test_missing_files_are_named_in_one_line_before_any_work(tmp_path: Path) -> None:
    path = table(tmp_path, ("a", "one.mp4", "two.mp4", "happy"), ("a", "three.mp4", "two.mp4", "sad", "four.mp4"))
    with pytest.raises(InputNotFoundError) as caught:
        read_results(path)
    assert all(name in str(caught.value) for name in ("one.mp4", "two.mp4", "three.mp4", "four.mp4"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("method,output,source\n", "no column emotion"),
        ("method,output,source,emotion\n", "holds no results"),
        ("method,output,source,emotion\na,b.mp4,,happy\n", "line 2: no source"),
        ("method,output,source,emotion\na,b.mp4,c.mp4,bored\n", "line 2: .*bored"),
        ("method,output,source,emotion,lag\na,b.mp4,c.mp4,sad,soon\n", "line 2: lag 'soon'"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(UsageError, match=says):
        read_results(tmp_path / "results.csv")


def test_the_baseline_must_be_a_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLES / NEUTRAL, tmp_path / NEUTRAL)
    path = table(tmp_path, ("a", NEUTRAL, NEUTRAL, "happy"))
    with pytest.raises(UsageError, match=r"'b' is no method .*: a"):
        evaluate_results(ResultsConfig(results=path, data=tmp_path, baseline="b"))
    assert main(["evaluate", "results", str(path), "--data", str(tmp_path), "--real-clips", "-1"]) == 2
    assert capsys.readouterr().err.startswith("cdrl: error: --real-clips")


@pytest.fixture
def made_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluates nothing: a row fails if its output's name says so."""

    def evaluate(config: ResultsConfig) -> dict[str, object]:
        facts = {"emotion": "happy", "source": "s.mp4"}
        failed = [
            result.output.name if "bad" in result.output.name else None for result in read_results(config.results)
        ]
        return {"rows": [{**facts, "method": f"m{k}", "failed": why} for k, why in enumerate(failed)]}

    monkeypatch.setattr(results_benchmark, "evaluate_results", evaluate)


@pytest.mark.parametrize(("names", "code"), [(["bad.mp4"], 10), (["good.mp4", "bad.mp4"], 10), (["good.mp4"], 0)])
def test_the_exit_code_follows_the_rows(
    tmp_path: Path, made_run: None, names: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    path = table(tmp_path, *((f"m{k}", name, name, "happy") for k, name in enumerate(names)))
    assert main(["evaluate", "results", str(path), "--data", str(tmp_path)]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == (1 if code else 0)
    assert not code or (f"1 of {len(names)} results failed" in said and "s.mp4, happy: bad.mp4" in said)


def test_the_exit_code_of_a_table_follows_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"method": "m", "source": "s.mp4", "emotion": "sad", "failed": None}
    for failed, code in ((None, 0), ("no face", 10)):
        monkeypatch.setattr(
            method_benchmark, "evaluate_methods", lambda _, failed=failed: {"rows": [row | {"failed": failed}]}
        )
        assert main(["evaluate", "table", "--data", str(tmp_path)]) == code


def test_a_copy_of_a_clip_is_that_clip_and_neutral_targets_have_real_clips(tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(EXAMPLES, data, ignore=lambda _, names: set(names) - {NEUTRAL, HAPPY})
    for name, origin in (("mine.flv", HAPPY), ("theirs.flv", NEUTRAL)):
        shutil.copy(data / origin, tmp_path / name)
    path = table(tmp_path, ("a", "mine.flv", "mine.flv", "neutral", "theirs.flv"))
    results = read_results(path)
    origins = results_benchmark._Origins(read_dataset(data), results, 8)
    source = origins.find_source(results[0])
    assert (source.person, source.words, source.path.name) == ("1001", "DFA front", "mine.flv")
    assert origins.find_block(results[0]) == INTRA
    assert [(clip.emotion, clip.path.name) for clip in origins.real] == [("neutral", NEUTRAL)]
    assert origins.remarks == [f"mine.flv is a copy of {HAPPY} of the data set, and counts as that clip"]


@pytest.mark.slow
def test_finished_files_are_evaluated_and_what_fails_is_a_row(tmp_path: Path, evaluators: None, write_video) -> None:
    data = tmp_path / "data"
    shutil.copytree(EXAMPLES, data, ignore=lambda _, names: set(names) - {NEUTRAL, HAPPY})
    source = data / NEUTRAL
    frames = [frame[:, :480] for frame in decode_frames(source)]
    encode_copy(source, tmp_path / "copy.mp4")
    write_video(tmp_path / "late.mp4", [*frames[:1] * 3, *frames[:-3]])
    write_video(tmp_path / "short.mp4", frames[:-9])
    path = table(
        tmp_path,
        ("copy", "copy.mp4", source, "happy", data / HAPPY),
        ("late", "late.mp4", source, "happy", data / HAPPY, "auto"),
        ("short", "short.mp4", source, "happy", "", "auto"),
    )
    places = {"json": tmp_path / "r.json", "markdown": tmp_path / "r.md", "cache": tmp_path / "cache"}
    files = ResultsConfig(results=path, data=data, baseline="copy", **places)
    copy, late, short = evaluate_results(files)["rows"]
    assert (copy["block"], late["block"], short["block"]) == (INTRA, INTRA, CROSS)
    assert late["lag"] == 3 and late["measures"]["lip_opening_r"] > 0.95
    assert f"{len(frames) - 9} frames" in short["failed"] and short["measures"]["p_target"] == 0
    measured = copy["measures"]
    assert measured["mouth_distance"] == pytest.approx(measured["mouth_distance_source"], rel=0.2)
    assert measured["fad"] > 0 and measured["fad_frames"] == 6 and 0 < measured["csim"] < 1
    assert 0.8 < measured["lip_dynamics"] < 1.2 and measured["brow_dynamics"] > 0
    assert (copy["brow_reference"], short.get("brow_reference")) == ("real takes", None)
    assert measured["silent_lips"] is None and "no silence" in copy["reasons"]["silent_lips"]  # the room is too loud
    block = json.loads((tmp_path / "r.json").read_text())["summary"]["blocks"][INTRA]
    assert block["pairs"] == {"late − copy": ["late", "copy"]}
    assert f"{len(frames) - 9} frames" in (tmp_path / "r.md").read_text()
