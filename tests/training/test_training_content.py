"""`cdrl train content`: pairs, augmentations, every form of the loss, and what is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recipes import ALONE, RECIPES  # noqa: E402
from runs import losses, started_together  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.datasets.prepared import PreparedDataset  # noqa: E402
from cdrl.errors import OutputError, UsageError  # noqa: E402
from cdrl.representations.content import load_content  # noqa: E402
from cdrl.representations.encoders import images_to_tensor  # noqa: E402
from cdrl.training.content import ContentTask  # noqa: E402
from cdrl.training.feature_cache import UNAUGMENTED  # noqa: E402
from cdrl.training.pair_sampling import draw_moments, find_pairs  # noqa: E402

RECIPE = RECIPES["content"]
torch.set_num_threads(1)


def test_it_learns(finished):
    output, published = finished(RECIPE)
    step = losses(output)
    assert sum(step[number] for number in (10, 11, 12)) < sum(step[number] for number in (1, 2, 3))
    assert load_content(published).config.speech == "made"


def test_a_second_run_into_the_same_folder_is_refused_and_changes_nothing(prepared, finished, tmp_path, monkeypatch):
    output, seen = tmp_path / "run", []
    given = RECIPE.make_options(prepared, output)

    def loss(self, step, world, whole=ContentTask.loss):
        if step == 6 and not seen:
            before = {path: path.read_bytes() for path in output.glob("*.*")}
            with pytest.raises(OutputError) as alone:
                RECIPE.train(given)
            words = ["-m", "cdrl", "train", "content", "--output", output, "--device", "cpu", "--data", *given.data]
            workers = started_together(*words, stderr=-1)
            together = [(worker.wait(120), worker.stderr.read()) for worker in workers]
            unchanged = before == {path: path.read_bytes() for path in output.glob("*.*")}
            seen.append((str(alone.value), together, unchanged))
        return whole(self, step, world)

    monkeypatch.setattr(ContentTask, "loss", loss)
    RECIPE.train(given)
    ((alone, together, unchanged),) = seen
    assert "another `cdrl train content` is at work there" in alone
    assert unchanged
    assert [code for code, _ in together] == [5, 5]
    assert sorted(error.count(b"\n") for _, error in together) == [0, 1]  # two processes of one run say it once
    assert losses(output) == losses(finished(RECIPE)[0])


def test_pairs_are_the_same_moments_in_two_emotions(prepared):
    pairs = find_pairs(PreparedDataset.open([prepared / "synthetic"]).clips, 4)
    assert len(pairs) == 8 * 2
    for pair in pairs:
        assert pair.first.metadata.emotion != pair.second.metadata.emotion
        frames = draw_moments(pair, 4, np.random.default_rng(0))
        places = pair.first.ground_truth.position[frames[:, 0]], pair.second.ground_truth.position[frames[:, 1]]
        assert np.abs(places[0] - places[1]).max() < 0.08
        assert (np.diff(frames[:, 0]) > 0).all()


def test_training_people_are_augmented_and_validation_people_are_not(prepared, tmp_path):
    given = RECIPE.make_options(prepared, tmp_path / "run", variants=2)
    task = ContentTask(given, PreparedDataset.open(given.data, given.split), ALONE)
    for pair, plain in ((task.pairs[0], False), (task.self_pairs[0], True), (task.validation_pairs[0], True)):
        variants = task.list_variants(pair, 0)
        assert list(variants) == ([UNAUGMENTED] if plain else [1, 2])
        maps = [task.maps.read(task.maps.find_rows(pair.first, np.arange(3), number)) for number in variants]
        image = images_to_tensor(pair.first.images(range(3)))
        assert torch.allclose(maps[0].float(), task.model.maps(image), rtol=0.01, atol=0.01) == plain
        assert len(maps) == 1 or not torch.equal(*maps)
    assert task.loss(0, task.world)["loss"].isfinite()


def test_too_few_people_are_refused_in_one_line(prepared, tmp_path, capsys):
    for changes, message in (
        ({"people": 40}, "40 people and one pair at least"),
        ({"offsets": (-2, 2)}, "the frame in question"),
        ({"variants": 0}, "--variants 0"),
    ):
        with pytest.raises(UsageError, match=message):
            RECIPE.train(RECIPE.make_options(prepared, tmp_path / "run", **changes))
    assert cli.main(["train", "content", "--data", str(tmp_path / "nothing")]) == 3
    assert capsys.readouterr().err.count("\n") == 1
