"""`cdrl train translator` on drawn faces: starts as the prior, learns, and penalizes growth."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recipes import ALONE, RECIPES  # noqa: E402

from cdrl.datasets.prepared import PreparedDataset  # noqa: E402
from cdrl.errors import InputError, ModelFileError, UsageError  # noqa: E402
from cdrl.face.apertures import remove_apertures  # noqa: E402
from cdrl.manipulation.manipulator import Manipulator  # noqa: E402
from cdrl.manipulation.person import Person  # noqa: E402
from cdrl.manipulation.personalization import (  # noqa: E402
    N_EXTRA_OUTPUTS,
    OnnxTranslator,
    PersonalPrior,
    encode_offset,
    person_features,
    split_outputs,
)
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior  # noqa: E402
from cdrl.plan import EditPlan  # noqa: E402
from cdrl.training.options import SupervisionOptions  # noqa: E402
from cdrl.training.supervised_data import ClipBatch  # noqa: E402
from cdrl.training.translator import (  # noqa: E402
    Translator,
    TranslatorConfig,
    TranslatorTask,
    export_onnx,
    load_translator,
)

RECIPE = RECIPES["translator"]
torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("slow_models")


@pytest.fixture(scope="module")
def prior():
    return EmotionPrior.load()


@pytest.fixture
def task(prepared, tmp_path):
    given = RECIPE.make_options(prepared, tmp_path)
    return TranslatorTask(given, PreparedDataset.open(given.data, given.split), ALONE)


def make_person(prior):
    neutral = prior.mean + 0.5 * prior.identity[1]
    return Person(neutral, neutral, {"sad": 0.2}, 0.4, 0.9, 0.8, None, 0.12)


def test_the_published_file_predicts_what_the_checkpoint_does(finished, prior):
    output, published = finished(RECIPE)
    model = load_translator(output / "best.safetensors")
    person = make_person(prior)
    expected = prior.adapt(split_outputs(model(torch.from_numpy(person_features(person, prior))[None])[0].numpy()))
    adapted = PersonalPrior(prior, OnnxTranslator(prior, published))(person)
    for name in ("offset", "lip_opening", "lid_ratio", "gain"):
        assert np.allclose(getattr(adapted, name), getattr(expected, name), atol=1e-5)
    assert not np.allclose(adapted.offset, prior.offset, atol=1e-5)


def test_before_training_it_is_the_prior(prior, tmp_path):
    torch.manual_seed(0)
    config = TranslatorConfig(len(prior.identity) + len(EXPRESSIVE) + 2, len(prior.expression_deviation))
    path = tmp_path / "new.onnx"
    path.write_bytes(export_onnx(Translator(replace(config, prior_sha256=prior.sha256))))
    assert np.allclose(prior.adapt(OnnxTranslator(prior, path)(make_person(prior))).offset, prior.offset, atol=1e-6)
    for other in (config, replace(config, modes=7)):
        path.write_bytes(export_onnx(Translator(other)))
        with pytest.raises(ModelFileError, match="another prior"):
            OnnxTranslator(prior, path)
    path.write_text("no model at all")
    with pytest.raises(ModelFileError, match="not a translator"):
        OnnxTranslator(prior, path)


def test_what_people_are_observed_to_show_is_learned(task):
    random = np.random.default_rng(0)
    happy, sad = EXPRESSIVE.index("happy"), EXPRESSIVE.index("sad")
    clip = next(item for item in task.dataset.train if item.person_name == "mead/anna")
    moment = task.dataset.make_moment(clip, happy, random)
    clips = [item for item in task.dataset.all_clips if item.person_name == "mead/anna"]
    smiling, neutral = (
        np.mean([item.person.mean_shape for item in clips if item.clip.metadata.emotion == name], 0)
        for name in ("happy", "neutral")
    )
    shown, typical = remove_apertures(smiling - neutral), task.fitted.offset[happy]
    assert task.observe(moment) == pytest.approx(encode_offset(shown - typical, task.fitted))
    assert task.observe(task.dataset.make_moment(clip, sad, random)) is None
    batch = task.dataset.load_batch([moment])
    generated = task.generate([moment], task.predict([moment]), batch)
    assert generated.shape == batch.images.shape == (1, 3, 3, 224, 224)
    assert (generated - batch.images).abs().mean() > 1e-3


def test_training_moves_faces_as_the_editor_does(task, monkeypatch):
    """Of people who show another emotion or none: who shows the same one keeps more of their own in an edit."""
    random, emotion = np.random.default_rng(0), EXPRESSIVE.index("angry")
    clips = [item for item in task.dataset.train if "angry" not in item.person.emotions][:2]
    moments = [task.dataset.make_moment(item, emotion, random) for item in clips]
    batch = task.dataset.load_batch(moments)
    monkeypatch.setattr(ClipBatch, "render", lambda _, displacement, gain: displacement)
    moved = task.generate(moments, 0 * task.predict(moments), batch).detach().numpy()
    manipulator = Manipulator(task.fitted, EditPlan.parse(emotion="angry"))
    for item, shapes, found in zip(clips, batch.shapes.numpy(), moved, strict=True):
        assert item.person.mouth_freedom < 0.9
        wanted = [manipulator.edit_shape({"angry": 1.0}, item.person, shape)[0] for shape in shapes]
        assert found == pytest.approx(np.array(wanted), abs=1e-4)


def test_growing_costs_and_shrinking_does_not(task):
    random = np.random.default_rng(0)
    moment = task.dataset.make_moment(task.dataset.train[0], EXPRESSIVE.index("angry"), random)
    for strength, wanted in ((0.0, 0.0), (0.1, 0.2), (-0.1, 0.0)):
        change = torch.zeros(1, len(EXPRESSIVE), len(task.fitted.expression_deviation) + N_EXTRA_OUTPUTS)
        change[..., -N_EXTRA_OUTPUTS:-3] = strength  # of every region: the square of the size grows twice as fast
        assert float(task.measure_growth(change, [moment])) == pytest.approx(wanted, abs=0.01)


def test_too_little_is_refused_in_one_line(prepared, tmp_path):
    given = RECIPE.make_options(prepared, tmp_path / "run", supervision=SupervisionOptions(length=50))
    with pytest.raises(UsageError, match="0 clips to train on"):
        RECIPE.train(given)
    film = RECIPE.make_options(prepared, tmp_path / "run")
    with pytest.raises(UsageError, match="nobody to train on shows"):
        RECIPE.train(replace(film, data=(prepared / "film",)))
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError):
        load_translator(tmp_path / "other.safetensors")
