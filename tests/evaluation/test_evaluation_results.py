"""`cdrl evaluate results` on clips made of the bundled sample; errors before any work, failures as rows."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from cdrl.cli.main import main
from cdrl.errors import InputNotFoundError, UsageError
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
    block = json.loads((tmp_path / "r.json").read_text())["summary"]["blocks"][INTRA]
    assert block["pairs"] == {"late − copy": ["late", "copy"]}
    assert f"{len(frames) - 9} frames" in (tmp_path / "r.md").read_text()
