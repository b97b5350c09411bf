"""Nobody is trained on under another name in another split, and who was trained on is recorded and not reported on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_prepared import make_prepared  # noqa: E402
from recipes import ALONE, RECIPES  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.errors import ModelFileError, UsageError  # noqa: E402
from cdrl.representations.checkpoints import load_model, read_trained_people, save_model  # noqa: E402
from cdrl.training import people, progress  # noqa: E402
from cdrl.training.emotion import EmotionTask  # noqa: E402
from cdrl.training.people import open_data  # noqa: E402

DIRECTIONS = {"anna": 0, "bea": 3, "W009": 0}  # W009, who is tuned on, is anna
pytestmark = pytest.mark.usefixtures("slow_models")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("people")
    return (
        make_prepared(made / "film", ["anna", "bea"], ("neutral", "happy"), 5, 3, dataset="film"),
        make_prepared(made / "mead", ["W009"], ("neutral",), 1, 3, dataset="mead"),
        make_prepared(made / "synthetic", ["p000"], ("neutral",), 1, 3),
    )


@pytest.fixture
def recognized(monkeypatch):
    """Replace the recognition network by one that knows everybody; the clips that it saw."""
    seen = []

    def recognize(clip):
        seen.append(clip.metadata)
        return np.eye(128)[DIRECTIONS[clip.metadata.actor]]

    monkeypatch.setattr(people, "recognize_prepared", recognize)
    return seen


def choose(folders, cache, split="shipped", check_people=True):
    return SimpleNamespace(data=folders, split=split, check_people=check_people, cache=cache)


def test_one_person_under_two_names_in_two_splits_is_refused(folders, recognized, tmp_path, capsys, monkeypatch):
    words = ["train", "content", "--data", *map(str, folders), "--split", "shipped", "--cache", str(tmp_path)]
    assert cli.main([*words, "--output", str(tmp_path / "run")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    for part in (
        "film/anna (film_anna_",
        "mead/W009 (mead_W009_neutral_0)",
        "train and validation",
        "clips.csv",
        "--split",
    ):
        assert part in said
    assert len(recognized) == 4 + 4 + 1  # four clips of a person, no synthetic one
    with pytest.raises(UsageError, match="--no-check-people"):
        open_data(choose(folders, tmp_path))
    assert len(recognized) == 9  # cached
    assert len(open_data(choose(folders, tmp_path, check_people=False)).clips) == 22
    (tmp_path / "split.json").write_text(json.dumps({"test": ["bea"], "validation": ["anna", "W009"]}))
    assert len(open_data(choose(folders, tmp_path, str(tmp_path / "split.json"))).clips) == 22


def test_without_the_network_a_line_says_that_people_were_not_compared(folders, tmp_path, monkeypatch, capsys):
    def missing(clip):
        raise ModelFileError("judging identity needs dlib: run `pip install dlib-bin`")

    monkeypatch.setattr(people, "recognize_prepared", missing)
    assert open_data(choose(folders, tmp_path)).clips
    said = capsys.readouterr().out
    assert said == (
        "the people of different splits were not compared: judging identity needs dlib: run `pip install dlib-bin`\n"
    )
    assert open_data(choose(folders[:1], tmp_path)).clips  # one split alone: nobody to compare
    assert not capsys.readouterr().out


def test_checking_shards_says_how_far_it_is(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_INTERVAL", -1.0)
    open_data(choose(folders, tmp_path, check_people=False))
    assert capsys.readouterr().out == "checking shards: 1 of 1\n" * 3


@pytest.mark.parametrize(
    ("name", "words"),
    [("sync", ["sync", "--sync"]), ("content", ["representation", "--only", "content", "--content"])],
)
def test_nobody_whom_a_checkpoint_was_trained_on_is_reported_on(name, words, data_of, finished, tmp_path, capsys):
    _, published = finished(RECIPES[name])
    assert read_trained_people(published) == {"anna"}
    (tmp_path / "split.json").write_text('{"test": ["anna"]}')
    folders = [str(data_of(RECIPES[name]) / part) for part in ("real", "synthetic")]
    command = ["evaluate", *words, str(published), "--json", str(tmp_path / "numbers.json"), "--data", *folders]
    assert cli.main([*command, "--split", str(tmp_path / "split.json")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "was trained on anna, on whom numbers would be reported" in said
    assert "--split" in said


def test_an_emotion_model_was_trained_on_the_people_of_its_language_model_too(data_of, tmp_path):
    recipe = RECIPES["emotion"]
    data = data_of(recipe)
    tensors, config = load_model(data / "vlm.safetensors", "vlm")
    save_model(
        tmp_path / "vlm.safetensors", tensors, "vlm", {**config, "training": {"split_people": {"train": ["zoe"]}}}
    )
    given = recipe.make_options(data, tmp_path / "run")
    plain = EmotionTask(given, ALONE).settings["split_people"]
    assert plain["train"] == ["anna"]
    assert "W009" in plain["validation"]
    further = recipe.make_options(data, tmp_path / "run")
    further = type(further)(**{**vars(further), "vlm": str(tmp_path / "vlm.safetensors")})
    assert EmotionTask(further, ALONE).settings["split_people"]["train"] == ["anna", "zoe"]
