"""`cdrl train sync`: from prepared data to a network; resumes, computes alike on two processes, refuses."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))

from made_prepared import make_prepared  # noqa: E402
from runs import losses, same, stopped_at, two_processes  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.errors import UsageError  # noqa: E402
from cdrl.evaluation import lip_clips  # noqa: E402
from cdrl.representations.lip_sync import load_lip_sync  # noqa: E402
from cdrl.training import sync  # noqa: E402
from cdrl.training.loop import LoopOptions  # noqa: E402
from cdrl.training.sync import Options, run  # noqa: E402

STEPS = 12
torch.set_num_threads(1)


def as_drawn(clip):
    """The landmarks that the drawn faces were drawn from: no detector takes them for faces."""
    if clip.speech is None:
        return None
    points = clip.landmarks[:, :468, :2].astype(float)
    return lip_clips.LipClip.from_prepared(clip, *lip_clips.lip_features(points, clip.times))


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    for module in (sync, lip_clips):
        monkeypatch.setattr(module, "read_lip_clip", as_drawn)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Made people and a real one with sound."""
    made = tmp_path_factory.mktemp("prepared")
    people = [f"p{number:03d}" for number in range(8)]
    return (
        make_prepared(made / "synthetic", people, ("neutral",), 2, 48),
        make_prepared(made / "real", ["anna"], ("neutral",), 1, 48, dataset="film"),
    )


def options(folders, output, **changes) -> Options:
    loop = LoopOptions(output, STEPS, 3e-3, 2, validate_every=4, device="cpu", precision="float32")
    given = {"width": 16, "dimensions": 8, "clips": 4, "moments": 24, "cache": folders[0].parent / "cache"}
    return Options(tuple(folders), loop, **{**given, **changes})


def test_it_learns_goes_on_where_it_was_stopped_and_is_measured(folders, tmp_path, monkeypatch, capsys):
    published = tmp_path / "shipped" / "sync.safetensors"
    published.parent.mkdir()
    assert run(options(folders, tmp_path / "whole", publish=published)) == 0
    whole = losses(tmp_path / "whole")
    assert sum(whole[step] for step in (10, 11, 12)) < sum(whole[step] for step in (1, 2, 3))
    assert load_lip_sync(published).config.speech == "made"
    assert "cdrl train sync" in (published.parent / "manifest.json").read_text()
    with stopped_at(5, sync.SyncTask, monkeypatch):
        run(options(folders, tmp_path / "stopped"))
    run(options(folders, tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == whole
    report = tmp_path / "report.json"
    words = ["--data", *map(str, folders), "--sync", str(published), "--json", str(report)]
    assert cli.main(["evaluate", "sync", *words]) == 0
    rows = {(row["people"], row["measure"], row["condition"]): row for row in json.loads(report.read_text())["rows"]}
    assert 0 <= rows["synthetic", "AUC", "whole clips"]["value"] <= 1
    assert rows["real", "AUC", "whole clips"]["value"] is None  # the one real person was trained on
    assert rows["real", "AUC", "whole clips"]["reason"]
    assert "AUC" in capsys.readouterr().out


def test_two_processes_compute_what_one_does(folders, tmp_path):
    run(options(folders, tmp_path / "one"))
    two_processes(__file__, *folders, tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")


def test_lips_are_looked_at_once(folders, tmp_path, monkeypatch):
    given = options(folders, tmp_path / "first")
    short = replace(given, loop=replace(given.loop, steps=1))
    run(short)
    monkeypatch.setattr(sync, "read_lip_clip", lambda clip: pytest.fail("looked at again"))
    run(replace(short, loop=replace(short.loop, output=tmp_path / "second")))
    assert losses(tmp_path / "first") == pytest.approx(losses(tmp_path / "second"), abs=1e-2)


def test_too_little_sound_is_refused_in_one_line(folders, tmp_path):
    with pytest.raises(UsageError, match="0 clips with sound are long enough") as caught:
        run(options(folders, tmp_path / "run", moments=100))
    assert "\n" not in str(caught.value)


if __name__ == "__main__":
    sync.read_lip_clip = as_drawn
    run(options([Path(word) for word in sys.argv[1:3]], Path(sys.argv[3])))
