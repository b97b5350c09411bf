"""Who is excluded from supervised training: only people who exist, and everywhere; clips without sound are masked."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recipes import make_prepared, make_supervised_data  # noqa: E402
from rich.console import Console  # noqa: E402

from cdrl.datasets.prepared import PreparedDataset  # noqa: E402
from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import UsageError  # noqa: E402
from cdrl.manipulation.prior import EXPRESSIVE  # noqa: E402
from cdrl.representations.encoders import images_to_tensor  # noqa: E402
from cdrl.training.augmentation import resize  # noqa: E402
from cdrl.training.faces import load_clip_faces  # noqa: E402
from cdrl.training.options import SupervisionOptions  # noqa: E402
from cdrl.training.supervised_data import SupervisedDataset  # noqa: E402

HAPPY = EXPRESSIVE.index("happy")
pytestmark = pytest.mark.usefixtures("slow_models")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_supervised_data(tmp_path_factory.mktemp("supervised"))


def load(folders, cache, *exclude: str, **changes) -> SupervisedDataset:
    options = SupervisionOptions(length=3, exclude=exclude, references=2, **changes)
    return SupervisedDataset(options, PreparedDataset.open(folders, "shipped"), cache, torch.device("cpu"), True)


def draw_references(dataset) -> set[int]:
    random = np.random.default_rng(0)
    moments = [dataset.make_moment(dataset.train[0], HAPPY, random) for _ in range(50)]
    return {int(row) for moment in moments for row in moment.references}


@pytest.mark.parametrize(
    ("name", "meant"), [("mead/ana", "mead/anna"), ("anna", "mead/anna"), ("synthetic/p01", "synthetic/p001")]
)
def test_excluding_nobody_is_refused_and_a_close_name_suggested(folders, tmp_path, name, meant):
    with pytest.raises(UsageError) as caught:
        load(folders, tmp_path, "mead/anna", name)
    assert f"--exclude {name}" in str(caught.value)
    assert meant in str(caught.value)


def test_references_are_encoded_once_and_excluded_people_are_never_drawn(folders, tmp_path, monkeypatch):
    whole = load(folders, tmp_path)
    monkeypatch.setattr(SupervisedDataset, "_encode_references", lambda *_: pytest.fail("encoded again"))
    assert draw_references(load(folders, tmp_path, "mead/anna")) < draw_references(whole)


def test_a_namesake_in_another_set_stays_among_the_references(folders, tmp_path):
    more = make_prepared(tmp_path / "more", ["anna"], ("neutral", "happy"), 1, 5, dataset="film")
    one = draw_references(load([*folders, more], tmp_path, "mead/anna"))
    assert draw_references(load([*folders, more], tmp_path, "mead/anna", "film/anna")) < one


def test_changes_of_emotion_are_counted_from_the_source_and_from_neutral_faces(folders, tmp_path):
    dataset = load(folders, tmp_path, emotion_target="difference")
    emotion, supervision = EMOTIONS.index("happy"), dataset.supervision
    faces = load_clip_faces(PreparedDataset.open(folders, "shipped"), Console(quiet=True), ("train",))
    images = images_to_tensor(np.stack([resize(picture, 224) for picture in faces.of("train").pictures]))
    shown = supervision.emotion.weigh(supervision.emotion.encode(images[faces.emotion == EMOTIONS.index("neutral")]))
    moment = dataset.make_moment(dataset.train[0], HAPPY, np.random.default_rng(0))
    _, unchanged = dataset.supervise([moment], lambda batch: batch.images)
    _, terms = dataset.supervise([moment], lambda batch: batch.images**2)
    assert float(unchanged["emotion"]) == pytest.approx(1, abs=1e-5)
    source = dataset.load_batch([moment]).images[0]
    before, after = (
        supervision.emotion.weigh(supervision.emotion.encode(part))[:, emotion] for part in (source, source**2)
    )
    wanted = dataset._evidence[0][moment.references].mean(0) - shown[:, emotion].mean(0)
    expected = 1 - torch.nn.functional.cosine_similarity(after - before, wanted[None], dim=1).mean()
    assert float(terms["emotion"]) == pytest.approx(float(expected), abs=1e-4)
    assert float(terms["emotion"]) != pytest.approx(
        float(load(folders, tmp_path).supervise([moment], lambda batch: batch.images**2)[1]["emotion"])
    )


def test_a_batch_tells_how_far_each_person_opens_the_lips(folders, tmp_path):
    dataset = load(folders, tmp_path)
    batch = dataset.load_batch([dataset.make_moment(clip, HAPPY, np.random.default_rng(0)) for clip in dataset.train])
    for name in ("closed_opening", "mean_opening"):
        found = getattr(batch, name)[:, 0].tolist()
        assert found == pytest.approx([getattr(clip.person, name) for clip in dataset.train])


def test_clips_without_sound_are_masked(folders, tmp_path):
    silent = make_prepared(tmp_path / "silent", ["bert"], ("neutral",), 1, 5, dataset="film", sound=False)
    dataset = load([*folders, silent], tmp_path)
    masks = {}

    def compare(source, generated, speech, audible):
        masks["audible"] = audible
        return source.sum() * 0 + torch.isnan(speech).sum()

    dataset.supervision.content_consistency = compare
    random = np.random.default_rng(0)
    quiet = next(clip for clip in dataset.train if clip.person_name == "film/bert")
    moments = [dataset.make_moment(clip, HAPPY, random) for clip in (quiet, dataset.train[0])]
    _, terms = dataset.supervise(moments, lambda batch: batch.images)
    assert masks["audible"].tolist() == [[False] * 3, [True] * 3]
    assert float(terms["content"]) == 0
