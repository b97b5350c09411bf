"""NED's baseline on drawn faces: training learns, resumes, computes alike on two processes; it edits a clip."""

import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / name) for name in ("datasets", "manipulation", "training"))]

from recipes import make_supervised_data, replace_slow_models  # noqa: E402
from runs import losses, same, stopped_at, two_processes  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.cli.arguments import parse_options  # noqa: E402
from cdrl.datasets.prepared import PreparedDataset  # noqa: E402
from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import ModelFileError, UsageError  # noqa: E402
from cdrl.face.apertures import lips  # noqa: E402
from cdrl.manipulation.prior import EmotionPrior  # noqa: E402
from cdrl.media import read  # noqa: E402
from cdrl.representations.checkpoints import save_model  # noqa: E402
from cdrl.training.differentiable_rendering import prior_to_tensors  # noqa: E402
from cdrl.training.distributed import World  # noqa: E402
from cdrl.training.options import LoopOptions, SupervisionOptions  # noqa: E402
from cdrl.training.presets import use_paper_setting  # noqa: E402
from experiments import evaluate_ned, train_ned  # noqa: E402
from experiments.commands import run_command  # noqa: E402
from experiments.evaluate_ned import NedEdit, translate_clip  # noqa: E402
from experiments.ned_networks import (  # noqa: E402
    OPENING_UNIT,
    WINDOW,
    Ned,
    NedConfig,
    decode_change,
    encode_shapes,
    load_ned,
)
from experiments.train_ned import PROGRAM, NedTask, Options, run  # noqa: E402

STEPS = 4
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def supervisors(monkeypatch):
    replace_slow_models(monkeypatch)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    return make_supervised_data(tmp_path_factory.mktemp("played"), WINDOW + 1)


def options(folders, output, **changes) -> Options:
    loop = LoopOptions(output, STEPS, 1e-3, 1, 0.0, 0.5, STEPS // 2, device="cpu", precision="float32")
    scene = SupervisionOptions(**{"clips": 2, "length": WINDOW, "references": 2, **changes})
    place = {"split": "shipped", "check_people": False, "cache": folders[0].parent / "cache"}
    return Options(tuple(folders), loop=loop, supervision=scene, batch=4, hidden=8, **place)


@pytest.fixture(scope="session")
def finished(folders, tmp_path_factory) -> Path:
    """The folder of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        replace_slow_models(patch)
        assert run(options(folders, folder)) == 0
    return folder


def test_it_learns_and_goes_on_where_it_was_stopped(folders, finished, tmp_path, monkeypatch):
    whole = losses(finished)
    assert whole.keys() == set(range(1, STEPS + 1))
    assert load_ned(finished / "best.safetensors").config.hidden == 8
    with stopped_at(STEPS // 2 + 1, NedTask, monkeypatch):
        run(options(folders, tmp_path / "stopped"))
    run(options(folders, tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == whole


def test_two_processes_compute_what_one_does(folders, finished, tmp_path):
    two_processes(__file__, *folders, tmp_path / "two")
    assert same(finished, tmp_path / "two")


def test_without_supervision_no_representation_is_loaded(folders, tmp_path, monkeypatch):
    monkeypatch.undo()
    run(options(folders, tmp_path / "run", content_weight=0.0, emotion_weight=0.0))
    assert len(losses(tmp_path / "run")) == STEPS
    with pytest.raises(UsageError, match="10 frames"):
        run(options(folders, tmp_path / "other", length=9))


def parse(*words) -> Options:
    return parse_options(Options, ["--data", "x", *words], PROGRAM)


def test_paper_sets_the_published_weights_widths_and_optimizer():
    given = parse("--paper", "--steps", "7")
    loop, scene = given.loop, given.supervision
    assert (given.hidden, given.batch, loop.steps) == (512, 64, 7)
    assert (loop.learning_rate, loop.betas, loop.weight_decay, loop.average) == (1e-4, (0.0, 0.99), 0.0, 0.0)
    assert (scene.content_weight, scene.emotion_weight, scene.contrast_weight, scene.length) == (10, 50, 0, 10)
    assert use_paper_setting(given) == given
    assert parse() == Options((Path("x"),))


@pytest.mark.parametrize(("content", "emotion"), [(0, 0), (10, 0), (0, 50)])
def test_paper_goes_with_a_representation_that_is_left_out(content, emotion):
    scene = parse("--paper", "--content-weight", str(content), "--emotion-weight", str(emotion)).supervision
    assert (scene.content_weight, scene.emotion_weight, scene.contrast_weight) == (content, emotion, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--contrast-weight", "5"], "--contrast-weight 0.0, but --contrast-weight 5.0"),  # the default, but asked for
        (["--content-weight", "70"], "--content-weight 10.0, but --content-weight 70.0"),
        (["--betas", "0.9", "0.99"], "--betas 0.0 0.99, but --betas 0.9 0.99"),
        (["--hidden", "256"], "--hidden 512, but --hidden 256"),
    ],
)
def test_paper_is_refused_with_an_option_that_says_otherwise(words, said):
    with pytest.raises(UsageError, match=f"^--paper sets {said} is given"):
        parse("--paper", *words)


def test_a_run_in_python_takes_the_papers_setting_too(monkeypatch):
    monkeypatch.setattr(train_ned, "open_run", opened := Mock(side_effect=InterruptedError))
    monkeypatch.setattr(train_ned, "open_data", Mock())
    with pytest.raises(InterruptedError):
        run(Options((Path("x"),), paper=True))
    assert opened.call_args.args[0].learning_rate == 1e-4


def still(prior) -> Ned:
    """Networks that change nothing."""
    networks = Ned(NedConfig(len(prior.expression_deviation) + 1, hidden=8, prior_sha256=prior.sha256))
    torch.nn.init.zeros_(networks.answer[-1].weight)
    torch.nn.init.zeros_(networks.answer[-1].bias)
    return networks


@pytest.fixture
def task(folders, tmp_path) -> NedTask:
    given = options(folders, tmp_path)
    return NedTask(given, PreparedDataset.open(folders, given.split), World(0, 1, torch.device("cpu")))


def draw_batch(task, by_label) -> tuple:
    """Windows of somebody happy and of somebody neutral, each both the source and the reference."""
    draw, target = np.random.default_rng(0), torch.tensor([4, 0])
    windows = torch.from_numpy(np.array([task._draw_window(task._showing[number], draw) for number in target]))
    return windows, windows, target, torch.from_numpy(task._noise(2, draw)), torch.tensor(by_label)


def test_the_cycle_goes_back_to_the_style_of_the_source(task, monkeypatch):
    styles, translate = [], task.model.translate
    monkeypatch.setattr(
        task.model, "translate", lambda windows, style: (styles.append(style), translate(windows, style))[1]
    )
    task._ned_terms(*draw_batch(task, [False, False]))
    there, back = styles  # there: in the style of the reference, which is the source itself
    assert torch.equal(there, back)
    assert not torch.allclose(back[0], back[1])


def test_the_style_encoder_learns_the_cycle_from_sources_of_every_emotion(task):
    source, _, target, noise, by_label = draw_batch(task, [True, True])
    task._ned_terms(source, source, target.flip(0), noise, by_label)["cycle"].backward()
    assert task.model.encoded.weight.grad.abs().sum(1).all()


def test_discriminators_learn_nothing_from_what_the_generator_wants(task):
    batch = draw_batch(task, [True, False])
    task._ned_terms(*batch)["adversarial"].backward()
    named = dict(task.model.named_parameters())
    assert named["answer.0.weight"].grad.abs().sum() > 0
    assert all(value.grad is None for name, value in named.items() if name.startswith("judge"))
    task.model.zero_grad()
    task._ned_terms(*batch)["discriminators"].backward()
    assert named["judged.weight"].grad.abs().sum() > 0
    assert named["answer.0.weight"].grad is None


def test_decoded_changes_are_the_same_for_arrays_and_tensors_and_close_lips_no_farther_than_shut():
    prior = EmotionPrior.load()
    shapes = prior.mean + np.random.default_rng(0).normal(0, 0.05, (3, 478, 3)).astype(np.float32)
    change = np.diff(encode_shapes(shapes, prior.mean, prior), axis=0)
    change[0, -1] = -100
    moved = decode_change(change, shapes[:-1], prior)
    tensors = [torch.from_numpy(array) for array in (change, shapes[:-1])]
    again = decode_change(*tensors, prior_to_tensors(prior, torch.device("cpu"))).numpy()
    assert np.abs(again - moved).max() <= 0.01 * np.abs(moved).max()
    openings = lips().opening(shapes[:-1] + moved) - lips().opening(shapes[:-1])
    assert openings[0] == pytest.approx(-lips().opening(shapes[0]), abs=0.05)
    assert openings[1] == pytest.approx(OPENING_UNIT * change[1, -1], abs=0.05)


def test_windows_are_joined():
    prior = EmotionPrior.load()
    shapes = prior.mean + np.random.default_rng(0).normal(0, 0.03, (13, 478, 3)).astype(np.float32)
    before = torch.from_numpy(encode_shapes(shapes, prior.mean, prior))
    for count in (4, 13):
        found = translate_clip(still(prior), before[:count], EMOTIONS.index("happy"))
        assert torch.allclose(found, before[:count], atol=1e-5)


def test_it_edits_a_clip_with_models_without_the_person(sample, tmp_path):
    prior = EmotionPrior.load()
    prior.save(tmp_path / "prior_without_1001.npz")
    networks = still(EmotionPrior.load(tmp_path / "prior_without_1001.npz"))

    def save(**changes):
        facts = {**asdict(networks.config), **changes}
        save_model(tmp_path / "ned_without_1001.safetensors", networks.state_dict(), "ned", facts)

    save()
    method = NedEdit("NED", tmp_path, tmp_path)
    method(sample, "angry", tmp_path / "angry.mp4", "1001")
    with read(sample) as source, read(tmp_path / "angry.mp4") as edited:
        assert sum(1 for _ in edited) == sum(1 for _ in source)
    save(prior_sha256="0")
    with pytest.raises(ModelFileError, match="another prior"):
        method(sample, "angry", tmp_path / "other.mp4", "1001")
    with pytest.raises(ModelFileError, match="without 1002"):
        method(sample, "angry", tmp_path / "other.mp4", "1002")


def test_the_table_judges_it_right_behind_the_prior_with_models_for_every_person(tmp_path):
    names = ("p/prior_without_1001.npz", "p/prior_without_M003.npz", "n/ned_without_1001.safetensors")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "clips.csv").write_text("path,dataset,actor,emotion,content_id,sentence\n")
    given = evaluate_ned.Options(data=tmp_path, priors=tmp_path / "p", neds=(f"NED here={tmp_path / 'n'}",))
    tasks = [SimpleNamespace(person="1001")]
    methods = evaluate_ned.choose_methods(given, tasks)
    assert [method.name for method in methods] == ["no edit", "plain copy", "prior", "NED here"]
    with pytest.raises(ModelFileError, match="without M003"):
        evaluate_ned.choose_methods(replace(given, neds=(f"NED={tmp_path}",)), [SimpleNamespace(person="M003")])
    with pytest.raises(UsageError, match="--neds and --priors"):
        evaluate_ned.run(replace(given, priors=None))


def test_the_commands_say_where_they_are_and_what_is_wrong_in_one_line(capsys):
    assert cli.main(["train", "ned", "--data", "x"]) == UsageError.exit_code
    assert "run `python -m experiments.train_ned`" in capsys.readouterr().err
    assert run_command(Options, run, "train_ned", ["--data", "nowhere", "--loop"]) != 0
    error = capsys.readouterr().err
    assert error.startswith("train_ned: error: ") and error.count("\n") == 1
    assert run_command(Options, run, PROGRAM, ["--steps", "3"]) == UsageError.exit_code
    assert re.search(r"missing: --data [^;]*; see python -m experiments\.train_ned --help\n$", capsys.readouterr().err)
    words = [sys.executable, "-m", "experiments.evaluate_ned", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "--neds" in done.stdout


if __name__ == "__main__":
    patch = pytest.MonkeyPatch()
    replace_slow_models(patch)
    run(options([Path(word) for word in sys.argv[1:3]], Path(sys.argv[3])))
