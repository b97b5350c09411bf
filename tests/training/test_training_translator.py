"""`cdrl train translator` on made faces: begins as the prior, learns, resumes, computes alike on two processes."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("datasets", "manipulation", "training")]

from made_performances import performed, short, small  # noqa: E402
from runs import losses, same, stopped_at, two_processes  # noqa: E402

from cdrl.datasets.prepared import Prepared  # noqa: E402
from cdrl.errors import AssetError, InputError, UsageError  # noqa: E402
from cdrl.manipulation.person import Person  # noqa: E402
from cdrl.manipulation.personal import OnnxTranslator, PersonalPrior  # noqa: E402
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior  # noqa: E402
from cdrl.manipulation.traits import FURTHER, adaptation, traits  # noqa: E402
from cdrl.manipulation.translator import Translator, TranslatorConfig, as_onnx, load_translator  # noqa: E402
from cdrl.training import scenes  # noqa: E402
from cdrl.training.distributed import World  # noqa: E402
from cdrl.training.translator import Options, TranslatorTask, run  # noqa: E402

STEPS = 6
CPU = World(0, 1, torch.device("cpu"))
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def supervisors(monkeypatch):
    small(monkeypatch)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    return performed(tmp_path_factory.mktemp("performed"), 5)


@pytest.fixture(scope="module")
def prior():
    return EmotionPrior.load()


def options(folders, output, publish=None, **changes) -> Options:
    loop = short(output, STEPS, 2e-3)
    scene = scenes.SceneOptions(**{"clips": 2, "length": 3, "references": 2, **changes})
    return Options(tuple(folders), loop, scene, cache=folders[0].parent / "cache", publish=publish)


def somebody(prior):
    neutral = prior.mean + 0.5 * prior.identity[1]
    return Person(neutral, neutral, {"sad": 0.2}, 0.4, None, 0.12)


def test_it_learns_and_goes_on_where_it_was_stopped(folders, tmp_path, monkeypatch, prior):
    published = tmp_path / "shipped" / "translator.onnx"
    published.parent.mkdir()
    assert run(options(folders, tmp_path / "whole", publish=published)) == 0
    whole = losses(tmp_path / "whole")
    assert "cdrl train translator" in (published.parent / "manifest.json").read_text()
    model = load_translator(tmp_path / "whole" / "best.safetensors")
    person = somebody(prior)
    expected = prior.adapted(adaptation(model(torch.from_numpy(traits(person, prior))[None])[0].numpy()))
    found = PersonalPrior(prior, OnnxTranslator(prior, published))(person)
    for name in ("offset", "lip_opening", "lid_ratio", "gain"):
        assert np.allclose(getattr(found, name), getattr(expected, name), atol=1e-5)
    assert not np.allclose(found.offset, prior.offset, atol=1e-5)
    with stopped_at(4, TranslatorTask, monkeypatch):
        run(options(folders, tmp_path / "stopped"))
    run(options(folders, tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == whole


def test_two_processes_compute_what_one_does(folders, tmp_path):
    run(options(folders, tmp_path / "one"))
    two_processes(__file__, *folders, tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")


def test_before_training_it_is_the_prior(prior, tmp_path):
    torch.manual_seed(0)
    config = TranslatorConfig(len(prior.identity) + len(EXPRESSIVE) + 2, len(prior.expression_deviation))
    path = tmp_path / "new.onnx"
    path.write_bytes(as_onnx(Translator(replace(config, prior_sha256=prior.sha256))))
    assert np.allclose(prior.adapted(OnnxTranslator(prior, path)(somebody(prior))).offset, prior.offset, atol=1e-6)
    path.write_bytes(as_onnx(Translator(config)))
    with pytest.raises(AssetError, match="another prior"):
        OnnxTranslator(prior, path)
    path.write_bytes(as_onnx(Translator(replace(config, modes=7))))
    with pytest.raises(AssetError, match="another prior"):
        OnnxTranslator(prior, path)
    path.write_text("no model at all")
    with pytest.raises(AssetError, match="not a translator"):
        OnnxTranslator(prior, path)


def test_what_people_were_seen_to_show_is_learned(folders, tmp_path):
    task = TranslatorTask(options(folders, tmp_path), Prepared.open(folders), CPU)
    draw = np.random.default_rng(0)
    happy, sad = EXPRESSIVE.index("happy"), EXPRESSIVE.index("sad")
    performance = next(item for item in task.stage.train if item.who == "mead/anna")
    moment = task.stage.moment(performance, happy, draw)
    asked = task.asked(moment)
    assert asked.own is not None
    assert task.asked(task.stage.moment(performance, sad, draw)).own is None
    scene = task.stage.scene([moment])
    generated = task.generated([asked], task.changes([asked]), scene)
    assert generated.shape == scene.images.shape == (1, 3, 3, 224, 224)
    assert (generated - scene.images).abs().mean() > 1e-3


def test_what_references_show_is_read_once_and_of_people_left_out_never_taken(folders, tmp_path, monkeypatch):
    whole = TranslatorTask(options(folders, tmp_path), Prepared.open(folders), CPU).stage
    monkeypatch.setattr(scenes.Stage, "_shown", None)  # nothing is left to compute
    left = TranslatorTask(options(folders, tmp_path, leave=("mead/anna",)), Prepared.open(folders), CPU).stage
    draw, happy = np.random.default_rng(0), EXPRESSIVE.index("happy")
    every, others = (
        {int(row) for _ in range(50) for row in stage.moment(stage.train[0], happy, draw).references}
        for stage in (whole, left)
    )
    assert others < every


def test_growing_is_paid_for_and_shrinking_is_not(folders, tmp_path):
    task = TranslatorTask(options(folders, tmp_path), Prepared.open(folders), CPU)
    wide = len(task.fitted.expression_deviation) + FURTHER
    for strength, wanted in ((0.0, 0.0), (0.1, 0.2), (-0.1, 0.0)):
        change = torch.zeros(1, len(EXPRESSIVE), wide)
        change[..., -FURTHER:-3] = strength  # of every region: the square of the size grows twice as fast
        assert float(task._growth(change, [EXPRESSIVE.index("angry")])) == pytest.approx(wanted, abs=0.01)


def test_too_little_is_refused_in_one_line(folders, tmp_path):
    with pytest.raises(UsageError, match="0 clips to train on"):
        run(options(folders, tmp_path / "run", length=50))
    with pytest.raises(UsageError, match="nobody to train on shows"):
        run(options(folders[1:], tmp_path / "run"))
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError):
        load_translator(tmp_path / "other.safetensors")


if __name__ == "__main__":
    patch = pytest.MonkeyPatch()
    small(patch)
    run(options([Path(word) for word in sys.argv[1:3]], Path(sys.argv[3])))
