"""`cdrl train emotion` on a small vision-language model: learns, changes content alone, and refuses."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recipes import ALONE, RECIPES, make_prepared  # noqa: E402
from runs import losses  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.errors import InputError, UsageError  # noqa: E402
from cdrl.representations.emotion import load_emotion  # noqa: E402
from cdrl.representations.vlm import load_vlm  # noqa: E402
from cdrl.training.augmentation import change_content, mouth_mask  # noqa: E402
from cdrl.training.emotion import EmotionTask  # noqa: E402
from cdrl.training.linear_probe import linear_probe_accuracy  # noqa: E402

RECIPE = RECIPES["emotion"]
torch.set_num_threads(1)


def test_it_learns(finished):
    output, published = finished(RECIPE)
    assert losses(output)[RECIPE.steps] < losses(output)[1]
    model = load_emotion(published)
    assert model.features(torch.rand(2, 3, 224, 224)).shape == (2, 7 * 384)
    assert torch.allclose(model.prompts.norm(dim=1), torch.ones(7), atol=1e-3)
    assert published.stat().st_size < 2 * sum(tensor.numel() for tensor in model.head.state_dict().values()) + 4096


def test_partners_share_the_emotion(prepared, tmp_path):
    given = RECIPE.make_options(prepared, tmp_path / "run")
    task = EmotionTask(given, ALONE)
    rows = np.arange(len(task.train)).repeat(10)
    partners, same_person = task.draw_partners(rows, np.random.default_rng(0))
    assert (task.train.emotion[rows] == task.train.emotion[partners]).all()
    assert (task.train.clip[rows] == task.train.clip[partners])[same_person > 0].all()
    assert (task.train.person[rows] != task.train.person[partners]).any()
    plain = load_vlm(prepared / "vlm.safetensors").image(
        torch.from_numpy(task.train.pictures[0])[None].permute(0, 3, 1, 2) / 255
    )
    assert torch.allclose(task.changed[0, :1], plain, atol=1e-4)


def test_only_the_mouth_changes():
    draw = np.random.default_rng(0)
    picture, donor = (draw.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(2))
    for _ in range(12):
        changed = change_content(picture, donor, draw)
        assert (changed[:56] == picture[:56]).all()
        assert (changed[80:92, 48:64] != picture[80:92, 48:64]).mean() > 0.5
    mask = mouth_mask(112)
    assert mask[86, 56] == 1
    assert mask[:56].max() == 0


def test_what_is_there_is_read_and_what_is_not_is_not():
    draw = np.random.default_rng(0)
    labels, people = draw.integers(-1, 3, 600), np.array([f"p{n}" for n in draw.integers(0, 8, 600)])
    told = torch.from_numpy(np.eye(4)[labels] @ draw.normal(size=(4, 30)) + 0.3 * draw.normal(size=(600, 30)))
    assert linear_probe_accuracy(told, labels, people)[0] > 0.9
    accuracy, chance = linear_probe_accuracy(torch.from_numpy(draw.normal(size=(600, 30))), labels, people)
    assert abs(accuracy - chance) < 0.1
    assert linear_probe_accuracy(told, labels, np.full(600, "p0")) is None


def test_bad_input_is_refused_in_one_line(prepared, tmp_path, capsys):
    alone = make_prepared(tmp_path / "film", ["anna", "W011"], ("happy",), 1, 3, dataset="film")
    with pytest.raises(UsageError, match="no person to train on shows two emotions"):
        RECIPE.train(RECIPE.make_options(prepared, tmp_path / "run", data=(alone,)))
    pickle = tmp_path / "vlm.pt"
    pickle.write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="cdrl convert"):
        RECIPE.train(RECIPE.make_options(prepared, tmp_path / "run", vlm=str(pickle)))
    words = ["train", "emotion", "--vlm", str(tmp_path / "nowhere.safetensors"), "--data", str(prepared / "film")]
    assert cli.main(words) == 3
    assert capsys.readouterr().err.count("\n") == 1
