"""What every recipe of training keeps: it resumes, computes alike on two processes, and publishes its result."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

import recipes  # noqa: E402
from recipes import RECIPES  # noqa: E402
from runs import losses, same, stopped_at, two_processes  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.cli.arguments import RENAMED_OPTIONS  # noqa: E402
from cdrl.representations.checkpoints import read_tensors  # noqa: E402
from cdrl.training import options  # noqa: E402

torch.set_num_threads(1)
ALL = pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))


pytestmark = pytest.mark.usefixtures("slow_models")


@ALL
def test_it_trains_and_publishes(recipe, finished):
    output, published = finished(recipe)
    assert sorted(losses(output)) == list(range(1, recipe.steps + 1))
    assert published.stat().st_size > 0
    assert f"cdrl train {recipe.name} on " in (published.parent / "manifest.json").read_text()


@ALL
def test_it_resumes_with_the_losses_of_a_run_that_was_not_stopped(recipe, finished, data_of, tmp_path, monkeypatch):
    output, _ = finished(recipe)
    given = recipe.make_options(data_of(recipe), tmp_path / "stopped")
    with stopped_at(recipe.steps // 2 + 1, recipe.task, monkeypatch):
        recipe.train(given)
    recipe.train(given)
    assert losses(tmp_path / "stopped") == losses(output)
    assert (tmp_path / "stopped/best.safetensors").read_bytes() == (output / "best.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("content", {"loss": "alignment"}), ("content", {"loss": "paper"}), ("content", {"audio": False}),
        ("emotion", {"prompts": "fixed"}), ("emotion", {"contrast": False}),
    ],
)  # fmt: skip
def test_every_form_of_a_loss_trains(name, changes, data_of, tmp_path):
    recipe = RECIPES[name]
    given = recipe.make_options(data_of(recipe), tmp_path / "run", **changes)
    recipe.train(replace(given, loop=replace(given.loop, steps=2)))
    assert all(map(math.isfinite, losses(tmp_path / "run").values()))


def flatten(preset):
    """Option → value of a preset, those of groups too."""
    plain = {name: value for name, value in preset.items() if not isinstance(value, dict)}
    return plain | {
        name: value for group in preset.values() if isinstance(group, dict) for name, value in group.items()
    }


@pytest.mark.parametrize("name", ["content", "emotion", "translator"])
def test_the_papers_own_setting_trains_and_is_recorded(name, data_of, tmp_path):
    recipe, kind = RECIPES[name], getattr(options, f"{name.capitalize()}Options")
    changed = {key: value for key, value in kind.PAPER.items() if key in recipe.defaults and key != "supervision"}
    given = recipe.make_options(data_of(recipe), tmp_path / "run", **changed)
    usual = kind(given.data).loop if name != "emotion" else kind().loop
    loop = replace(usual, output=tmp_path / "run", steps=2, validate_every=2, device="cpu", precision="float32")
    recipe.train(replace(given, paper=True, loop=loop))
    recorded = read_tensors(tmp_path / "run" / "best.safetensors")[1]["config"]["training"]
    wanted = json.loads(json.dumps(flatten(kind.PAPER)))
    assert {option: recorded[option] for option in wanted} == wanted
    assert recorded["paper"] is True
    assert all(map(math.isfinite, losses(tmp_path / "run").values()))


@pytest.mark.parametrize(
    ("name", "words", "setting"),
    [
        ("content", ["--loss", "both"], "--loss paper"), ("content", ["--learning-rate", "1"], "--learning-rate 1e-05"),
        ("emotion", ["--no-contrast"], "--contrast"), ("emotion", ["--prior-weight", "1"], "--prior-weight 0.0"),
        ("translator", ["--content-weight", "70"], "--content-weight 10.0"),
    ],
)  # fmt: skip
def test_an_option_beside_the_papers_setting_is_refused_by_name(name, words, setting, capsys):
    assert cli.main(["train", name, "--data", "folder", "--paper", *words]) == 2
    assert f"--paper sets {setting}, but {words[0]}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained_by_two(request, data_of, tmp_path_factory):
    """The folder with a run of every recipe that is asked for: two processes train one after the other of them."""
    folder, words = tmp_path_factory.mktemp("two"), []
    for item in request.session.items:
        if "trained_by_two" in getattr(item, "fixturenames", ()):
            recipe = item.callspec.params["recipe"]
            words += [recipe.name, data_of(recipe), folder / recipe.name]
    two_processes(recipes.__file__, *words)
    return folder


@ALL
def test_two_processes_compute_what_one_does(recipe, finished, trained_by_two, data_of, tmp_path):
    one = tmp_path
    if recipe.slow_rate is None:
        one, _ = finished(recipe)
    else:
        recipe.train(recipe.make_options(data_of(recipe), one, rate=recipe.slow_rate))
    assert same(one, trained_by_two / recipe.name)


@ALL
def test_an_existing_file_is_replaced_only_when_asked(recipe, tmp_path, capsys):
    target = tmp_path / "mine.safetensors"
    target.write_text("mine")
    words = ["train", recipe.name, "--data", str(tmp_path), "--publish", str(target)]
    assert cli.main([*words, "--output", str(tmp_path / "run")]) == 5
    error = capsys.readouterr().err
    assert str(target) in error
    assert "--overwrite" in error
    assert target.read_text() == "mine"
    assert not (tmp_path / "run").exists()
    assert cli.main([*words, "--output", str(tmp_path / "run"), "--overwrite"]) == 3  # no prepared folder


def test_a_folder_with_another_manifest_is_refused(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"name": "my app"}')
    words = ["train", "content", "--data", str(tmp_path), "--publish", str(tmp_path / "content.safetensors")]
    assert cli.main([*words, "--output", str(tmp_path / "run")]) == 2
    assert "no list of model files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("prior", "--leave", "--exclude"), ("prior", "--licence", "--license"),
        ("content", "--deaf", "--audio-dropout"), ("content", "--mistaken", "--audio-mismatch"),
        ("emotion", "--still", "--consistency-weight"), ("emotion", "--grey-share", "--gray-fraction"),
        ("translator", "--made", "--synthetic-fraction"), ("translator", "--growth", "--magnitude-weight"),
        ("translator", "--trust", "--prior-weight"), ("sync", "--near", "--ignore-radius"),
        ("sync", "--tremble", "--noise"), ("sync", "--deaf", "--audio-dropout"),
    ],
)  # fmt: skip
def test_an_old_spelling_names_the_new_one(command, old, new, capsys):
    assert RENAMED_OPTIONS[old] == new
    assert cli.main(["train", command, "--data", "folder", old, "1"]) == 2
    assert new in capsys.readouterr().err


def test_the_old_name_of_the_alignment_loss_names_the_new_one(capsys):
    assert cli.main(["train", "content", "--data", "folder", "--loss", "pull"]) == 2
    assert "alignment" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", [*RECIPES, "prior"])
def test_a_wrong_option_is_refused_without_loading_torch(recipe):
    program = (
        "import sys; from cdrl.cli.main import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'cv2', 'av', 'transformers'} & set(sys.modules), sorted(sys.modules); sys.exit(code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, "train", recipe, "--wrong-option"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2, run.stderr
    assert "--wrong-option" in run.stderr
