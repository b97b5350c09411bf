"""`cdrl train vlm` from faces to a checkpoint: learns, balances batches, augments, and refuses."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_prepared import pack  # noqa: E402
from recipes import RECIPES, make_prepared  # noqa: E402
from rich.console import Console  # noqa: E402
from runs import losses  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.datasets.shards import encode_sample  # noqa: E402
from cdrl.errors import InputError, UsageError  # noqa: E402
from cdrl.representations.vlm import embed_sentences, load_vlm  # noqa: E402
from cdrl.training.augmentation import Augmentation, augment, resize  # noqa: E402
from cdrl.training.faces import balance_weights, batch_strata, draw_batch, load_faces, load_gray_faces  # noqa: E402
from cdrl.training.options import FaceOptions  # noqa: E402

RECIPE, QUIET = RECIPES["vlm"], Console(quiet=True)
torch.set_num_threads(1)


def make_unlabeled(folder: Path) -> Path:
    """A prepared clip of somebody without an emotion label."""
    labels = {"dataset": "film", "actor": "anna", "emotion": "", "intensity": 1, "view": "front"}
    facts = {"clip": {**labels, "sentence": "", "sentence_id": ""}, "frames": 1, "sound": False}
    picture = cv2.imencode(".jpg", np.zeros((224, 224, 3), np.uint8))[1].tobytes()
    arrays = {"times": np.zeros(1), "landmarks": np.zeros((1, 478, 3), np.float32)}
    arrays |= {"blendshapes": np.zeros((1, 52), np.float32), "shots": np.zeros(1, np.int64)}
    return pack(folder, [("clip", encode_sample("clip", facts, (picture,), arrays))])


def test_it_learns(finished):
    output, published = finished(RECIPE)
    assert all(np.isfinite(list(losses(output).values())))
    model = load_vlm(published)
    assert model.image(torch.rand(2, 3, 224, 224)).shape == (2, 384)
    with torch.no_grad():
        happy, sad, smile = embed_sentences(model, ["a happy face", "a sad face", "a broad smile"])
    assert happy @ smile > sad @ smile
    assert "28 gray faces, 1 real and" in (published.parent / "manifest.json").read_text()


def test_a_batch_holds_its_share_of_every_kind(prepared):
    options = RECIPE.make_options(
        prepared, prepared, gray_fraction=0.5, synthetic_fraction=0.2, described_fraction=0.1
    ).faces
    faces, *_ = load_faces(options, QUIET)
    assert "test" not in set(faces.split)
    train = faces.of("train")
    rows = draw_batch(batch_strata(train, 20, options), np.random.default_rng(0))
    drawn = train.source[rows].tolist()
    assert [drawn.count(source) for source in ("fer", "synthetic", "film")] == [10, 4, 6]
    share = balance_weights(train)
    assert share.sum() == pytest.approx(1)
    assert share[train.source == "film"].sum() == pytest.approx(2 / (7 + 3 + 2))


def test_varied_pictures_are_those_of_their_seed():
    picture = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    one, again, other = (augment(picture, 32, Augmentation(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (32, 32, 3)
    assert (one == again).all()
    assert (one != other).any()
    assert resize(picture, 96).shape == (96, 96, 3)
    still = Augmentation(0, (1, 1), 0, 0, 0, 0, (1, 1), 0, (1, 1), 0, 36, 0, 0)
    same = augment(picture, 48, still, np.random.default_rng(2)).astype(int)
    away = [np.abs(view - picture[..., None]).max() for view in (same, same[:, ::-1])]
    assert min(away) <= 1  # perhaps mirrored, else untouched


def test_a_person_of_one_emotion_tells_nothing(prepared):
    folders = prepared / "film", prepared / "synthetic"
    faces, *_ = load_faces(FaceOptions(data=folders, split="shipped", check_people=False), QUIET)
    assert faces.informative.all()
    alone = faces.select(faces.emotion == 0)
    assert not alone.informative.any()
    assert np.allclose(faces.priors[faces.source == "film"][:, [0, 4]], 0.5)


def test_stills_are_aligned_and_stay_with_their_people(repository, tmp_path):
    from cdrl.media import read

    frame = next(iter(read(repository / "examples" / "1001_DFA_NEU_XX.flv")))
    matrix = np.array([[1.0, 0, 0], [0, 1, 0]])
    rgb = frame.rgb_crop(matrix, (frame.width, frame.height))
    cv2.imwrite(str(tmp_path / "seen.png"), rgb[..., ::-1])
    cv2.imwrite(str(tmp_path / "nobody.png"), np.zeros_like(rgb))
    rows = ["path,emotion,person", "seen.png,neutral,anna", "seen.png,neutral,1001", "nobody.png,sad,anna"]
    (tmp_path / "stills.csv").write_text("\n".join(rows))
    console = Console(record=True, width=300)
    faces, *_ = load_faces(FaceOptions(stills=tmp_path), console)
    assert faces.split.tolist() == ["train", "test"]
    assert faces.measured.all()
    assert "no face found in 1 of 3 pictures" in console.export_text()


def test_bad_sources_are_refused(prepared, tmp_path, capsys):
    with pytest.raises(UsageError, match="no faces to learn from"):
        load_faces(FaceOptions(), QUIET)
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"not an \.npz"):
        load_gray_faces(tmp_path / "bad.npz", tmp_path, QUIET)
    alone = make_prepared(tmp_path / "film", ["anna"], ("neutral", "happy"), 1, 3, dataset="film")
    with pytest.raises(UsageError, match="to validate on"):
        RECIPE.train(replace(RECIPE.make_options(prepared, tmp_path / "run"), faces=FaceOptions(data=(alone,))))
    with pytest.raises(UsageError, match="of the people to train on has an emotion"):
        load_faces(FaceOptions(data=(make_unlabeled(tmp_path / "unlabeled"),)), QUIET)
    assert cli.main(["train", "vlm", "--fer", str(tmp_path / "nothing.npz"), "--output", str(tmp_path)]) == 3
    assert capsys.readouterr().err.count("\n") == 1
