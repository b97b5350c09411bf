"""One command a table: what it needs, which commands it plans, how its small version is marked."""

import json
import sys
from pathlib import Path

import pytest

from cdrl.cli.arguments import parse_options
from cdrl.cli.main import _find_command
from cdrl.cli.names import import_command
from cdrl.errors import InputNotFoundError, UsageError
from cdrl.evaluation.clip_tables import read_clips, select_real_clips

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments import make_results  # noqa: E402
from experiments.commands import run_command  # noqa: E402
from experiments.make_results import TABLES, Command, Copy, Options, plan_table, run  # noqa: E402

ALL = sorted(TABLES)
SMALL = ["edit", "representation", "sync"]


@pytest.fixture
def data(tmp_path: Path) -> dict[str, object]:
    """Everything that a table may need, as far as planning looks at it."""
    for name in ("data/clips.csv", "real/manifest.json", "made/manifest.json", "fer.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = [f"x.mp4,{name},sad,1" for name in ("mead,M003", "crema_d,1001", "mead,M009", "mead,M030", "mead,M001")]
    (tmp_path / "data" / "clips.csv").write_text("\n".join(["path,dataset,actor,emotion,content_id", *rows]))
    prepared = (tmp_path / "made", tmp_path / "real")
    return {"data": tmp_path / "data", "prepared": prepared, "fer": tmp_path / "fer.npz", "output": tmp_path / "out"}


def check_words(words: tuple[str, ...]) -> None:
    """The command's own options take the words; benchmarks are only looked for."""
    program, *rest = words
    if program == "cdrl":
        name, options = _find_command(list(rest))
        parse_options(import_command(name).Options, options, f"cdrl {name}")
    elif rest[0] == "-m":
        pytest.importorskip("torch")
        module = __import__(rest[1], fromlist=["Options"])
        parse_options(module.Options, rest[2:], rest[1])
    else:
        assert (ROOT / rest[0]).is_file()


@pytest.mark.parametrize("table", ALL)
def test_every_command_of_a_table_takes_its_options(data, table: str) -> None:
    steps, small = plan_table(Options(table, **data))
    assert steps and not small
    for step in steps:
        if isinstance(step, Command):
            check_words(step.words)


@pytest.mark.parametrize("table", SMALL)
def test_without_data_a_small_version_is_planned_on_the_sample_clips(tmp_path: Path, table: str) -> None:
    steps, small = plan_table(Options(table, output=tmp_path))
    assert small and all("-small" in str(step) or str(ROOT / "examples") in str(step) for step in steps)
    for step in steps:
        check_words(step.words)


@pytest.mark.parametrize("table", ["supervision", "prior"])
def test_what_one_person_cannot_make_says_what_it_needs(tmp_path: Path, table: str) -> None:
    with pytest.raises(UsageError, match=rf"{table} needs --data DIR.*one person"):
        plan_table(Options(table, output=tmp_path))


def test_named_data_that_are_not_there_are_refused_in_one_line(tmp_path: Path, capsys) -> None:
    for words, says in (
        (["edit", "--data", str(tmp_path)], "holds no clips.csv"),
        (["sync", "--prepared", str(tmp_path)], "holds no manifest.json"),
        (["representation", "--fer", str(tmp_path / "f.npz")], "no such file"),
    ):
        assert run_command(Options, run, make_results.PROGRAM, words) == InputNotFoundError.exit_code
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1
    with pytest.raises(InputNotFoundError):
        plan_table(Options("edit", data=tmp_path))


def test_whatever_is_trained_without_people_is_judged_on_them(data) -> None:
    steps, _ = plan_table(Options("supervision", **data))
    copies = {
        step.makes.relative_to(data["output"]).as_posix(): step.source for step in steps if isinstance(step, Copy)
    }
    for person, fold in {"M003": "M003+1001", "1001": "M003+1001", "M009": "M009", "M030": "M030"}.items():
        for kind in ("none", "content", "emotion", "both"):
            assert copies[f"ned/{kind}/ned_without_{person}.safetensors"].parent.parent.name == fold
            assert copies[f"translators/{kind}/translator_without_{person}.onnx"].parent.name == fold
        assert copies[f"fold-priors/prior_without_{person}.npz"].parent.name == fold
    trained = [step.words for step in steps if isinstance(step, Command) and "--content-weight" in step.words]
    assert len(trained) == 3 * (1 + 2 * 2)  # of each fold: the base, and NED and ours without content
    excluded = {
        step.words[step.words.index("--exclude") + 1 :][:2] for step in steps if "experiments.train_ned" in str(step)
    }
    assert ("mead/M003", "crema_d/1001") in excluded


def test_people_who_are_not_in_the_data_are_no_fold(data) -> None:
    table = data["data"] / "clips.csv"
    table.write_text("path,dataset,actor,emotion,content_id\nx.mp4,mead,M003,sad,1\n")
    steps, _ = plan_table(Options("supervision", **data))
    assert "crema_d" not in " ".join(map(str, steps)) and str(steps).count("'prior', '--data'") == 1
    table.write_text("path,dataset,actor,emotion,content_id\nx.mp4,mead,M001,sad,1\n")
    with pytest.raises(UsageError, match="none of M003, 1001"):
        plan_table(Options("supervision", **data))


def test_steps_run_in_order_once_and_stop_at_the_first_failure(tmp_path: Path, monkeypatch, capsys) -> None:
    made, ran = tmp_path / "made", list[str]()

    def fake(command: Command) -> int:
        ran.append(command.words[0])
        if command.makes:
            command.makes.touch()
        return 3 if command.words[0] == "bad" else 0

    monkeypatch.setattr(Command, "run", fake)
    steps = [Command(("one",), made), Copy(made, tmp_path / "x" / "copy"), Command(("bad",)), Command(("never",))]
    monkeypatch.setitem(TABLES, "speed", make_results.Table("", lambda _: True, lambda _: steps))
    assert run(Options("speed", output=tmp_path)) == 3 and ran == ["one", "bad"]
    assert (tmp_path / "x" / "copy").is_file()
    assert run(Options("speed", output=tmp_path)) == 3 and ran == ["one", "bad", "bad"]
    assert f"there already: {made}" in capsys.readouterr().err


def test_a_small_table_says_so_in_its_first_line_once(tmp_path: Path, monkeypatch, capsys) -> None:
    def write(_: Command) -> int:
        (tmp_path / "edit-small.md").write_text("# Table\n")
        (tmp_path / "edit-small.json").write_text('{"rows": []}')
        return 0

    monkeypatch.setattr(Command, "run", write)
    for _ in range(2):
        assert run(Options("edit", output=tmp_path)) == 0
    text = (tmp_path / "edit-small.md").read_text()
    assert text.startswith("> Small version") and text.count("Small version") == 1 and text.endswith("# Table\n")
    assert json.loads((tmp_path / "edit-small.json").read_text())["note"].startswith("Small version")
    assert "The table itself needs --data DIR" in capsys.readouterr().err
    clips = read_clips(tmp_path / "examples")
    assert len(clips) == 6 and len(select_real_clips(clips)) == 5 and all(clip.path.is_file() for clip in clips)
    assert len({clip.words for clip in clips}) == 1


def test_the_page_of_results_names_the_command_of_every_table() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert [name for name in ALL if f"experiments.make_results {name}" not in page] == []
