"""`cdrl train content`: from prepared data to a checkpoint; resumes, computes alike on two processes, refuses."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))

from made_prepared import make_prepared  # noqa: E402
from runs import losses, same, started_together, stopped_at, two_processes  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.datasets.prepared import Prepared  # noqa: E402
from cdrl.errors import OutputError, UsageError  # noqa: E402
from cdrl.representations.content import load_content  # noqa: E402
from cdrl.representations.encoders import as_images  # noqa: E402
from cdrl.training import content  # noqa: E402
from cdrl.training.content import Options, run  # noqa: E402
from cdrl.training.distributed import World  # noqa: E402
from cdrl.training.loop import LoopOptions  # noqa: E402
from cdrl.training.maps import PLAIN  # noqa: E402
from cdrl.training.moments import draw_moments, twins_of  # noqa: E402

STEPS = 12
SLOW = 3e-4  # a learning rate at which rounding is not blown up: these networks begin with all features alike
torch.set_num_threads(1)  # two cost small networks more than they give


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Made people with twins, and real ones without."""
    made = tmp_path_factory.mktemp("prepared")
    people = [f"p{number:03d}" for number in range(8)]
    return (
        make_prepared(made / "synthetic", people, ("neutral", "happy"), 2, 12),
        make_prepared(made / "real", ["anna"], ("neutral",), 1, 12, dataset="film"),
    )


def options(folders, output, rate=3e-3, **changes) -> Options:
    loop = LoopOptions(output, STEPS, rate, 2, validate_every=4, device="cpu", precision="float32")
    given = {"width": 16, "dimensions": 8, "people": 2, "real": 2, "moments": 4, "cache": folders[0].parent / "cache"}
    return Options(tuple(folders), loop, **{**given, **changes})


def test_it_learns_and_goes_on_where_it_was_stopped(folders, tmp_path, monkeypatch):
    published = tmp_path / "shipped" / "content.safetensors"
    published.parent.mkdir()
    assert run(options(folders, tmp_path / "whole", publish=published)) == 0
    whole = losses(tmp_path / "whole")
    assert sum(whole[step] for step in (10, 11, 12)) < sum(whole[step] for step in (1, 2, 3))
    assert load_content(published).config.speech == "made"
    assert "cdrl train content" in (published.parent / "manifest.json").read_text()
    with stopped_at(5, content.ContentTask, monkeypatch):
        run(options(folders, tmp_path / "stopped"))
    run(options(folders, tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == whole


def test_two_processes_compute_what_one_does(folders, tmp_path):
    run(options(folders, tmp_path / "one", SLOW))
    two_processes(__file__, *folders, tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")


def test_a_second_run_into_the_same_folder_is_told_so_and_changes_nothing(folders, tmp_path, monkeypatch):
    output, told = tmp_path / "run", []

    def loss(self, step, world, whole=content.ContentTask.loss):
        if step == 6 and not told:
            before = {path: path.read_bytes() for path in output.glob("*.*")}
            told.append("")
            try:
                told.append(f"ended with {run(options(folders, output))}")
            except OutputError as error:
                told.append(str(error))
            words = ["-m", "cdrl", "train", "content", "--output", output, "--device", "cpu", "--data", *folders]
            told.extend((worker.wait(120), worker.stderr.read()) for worker in started_together(*words, stderr=-1))
            told.append(before == {path: path.read_bytes() for path in output.glob("*.*")})
        return whole(self, step, world)

    with monkeypatch.context() as patch:
        patch.setattr(content.ContentTask, "loss", loss)
        run(options(folders, output))
    _, alone, *together, unchanged = told
    assert "another `cdrl train content` is at work there" in alone and unchanged
    assert [code for code, _ in together] == [5, 5]
    assert sorted(said.count(b"\n") for _, said in together) == [0, 1]  # two processes of one run say it once
    run(options(folders, tmp_path / "whole"))
    assert losses(output) == losses(tmp_path / "whole")


@pytest.mark.parametrize("changes", [{"loss": "pull"}, {"loss": "paper"}, {"audio": False}])
def test_every_form_of_the_loss_trains(folders, tmp_path, changes):
    given = options(folders, tmp_path / "run", **changes)
    run(replace(given, loop=replace(given.loop, steps=2)))
    assert len(losses(tmp_path / "run")) == 2


def test_twins_are_the_same_moments_in_two_emotions(folders):
    clips = Prepared.open(folders).clips
    twins = twins_of(clips, 4)
    assert len(twins) == 8 * 2
    for pair in twins:
        assert pair.first.facts.emotion != pair.second.facts.emotion
        frames = draw_moments(pair, 4, np.random.default_rng(0))
        places = pair.first.truth.position[frames[:, 0]], pair.second.truth.position[frames[:, 1]]
        assert np.abs(places[0] - places[1]).max() < 0.08
        assert (np.diff(frames[:, 0]) > 0).all()


def test_people_trained_on_are_shown_in_several_ways_and_others_as_they_are(folders, tmp_path):
    given = options(folders, tmp_path / "run", variants=2)
    task = content.ContentTask(given, Prepared.open(folders), World(0, 1, torch.device("cpu")))
    for pair, plain in ((task.pairs[0], False), (task.alone[0], True), (task.held_out[0], True)):
        ways = task._variants(pair, 0)
        assert list(ways) == ([PLAIN] if plain else [1, 2])
        maps = [task.maps.at(task.maps.places(pair.first, np.arange(3), way)) for way in ways]
        image = as_images(pair.first.images(range(3)))
        assert torch.allclose(maps[0].float(), task.model.maps(image), rtol=0.01, atol=0.01) == plain
        assert len(maps) == 1 or not torch.equal(*maps)
    assert task.loss(0, task.world)["loss"].isfinite()


def test_too_few_people_are_refused_in_one_line(folders, tmp_path, capsys):
    with pytest.raises(UsageError, match="40 people and one pair at least"):
        run(options(folders, tmp_path / "run", people=40))
    with pytest.raises(UsageError, match="the frame in question"):
        run(options(folders, tmp_path / "run", offsets=(-2, 2)))
    with pytest.raises(UsageError, match="--variants 0"):
        run(options(folders, tmp_path / "run", variants=0))
    assert cli.main(["train", "content", "--data", str(tmp_path / "nothing")]) == 3
    assert capsys.readouterr().err.count("\n") == 1


if __name__ == "__main__":
    run(options([Path(word) for word in sys.argv[1:3]], Path(sys.argv[3]), SLOW))
