"""`cdrl train content`: pairs, augmentations, every form of the loss, and what is refused."""

import io
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_prepared import make_prepared  # noqa: E402
from recipes import ALONE, CONTENT_PEOPLE, RECIPES  # noqa: E402
from rich.console import Console  # noqa: E402
from runs import losses, started_together  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.datasets.prepared import PreparedDataset  # noqa: E402
from cdrl.errors import OutputError, UsageError  # noqa: E402
from cdrl.representations.content import load_content  # noqa: E402
from cdrl.representations.encoders import images_to_tensor  # noqa: E402
from cdrl.training import content, progress  # noqa: E402
from cdrl.training.content import ContentTask  # noqa: E402
from cdrl.training.feature_cache import UNAUGMENTED  # noqa: E402
from cdrl.training.pair_sampling import ClipPair, draw_moments, find_pairs, mark_same_content, self_pairs  # noqa: E402

RECIPE = RECIPES["content"]
QUIET = Console(quiet=True)
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
    pairs = find_pairs(PreparedDataset.open([prepared / "synthetic"]).clips, 4, QUIET)
    assert len(pairs) == len(CONTENT_PEOPLE) * 2
    for pair in pairs:
        assert pair.first.metadata.emotion != pair.second.metadata.emotion
        frames = draw_moments(pair, 4, np.random.default_rng(0))
        places = pair.first.ground_truth.position[frames[:, 0]], pair.second.ground_truth.position[frames[:, 1]]
        assert np.abs(places[0] - places[1]).max() < 0.08
        assert (np.diff(frames[:, 0]) > 0).all()


def test_the_papers_pairs_are_neutral_takes_with_each_other_one(tmp_path):
    clips = PreparedDataset.open([make_prepared(tmp_path, ["p000"], ("happy", "neutral", "sad"), 2, 12)]).clips
    pairs = find_pairs(clips, 2, QUIET, neutral=True)
    emotions = [tuple(clip.metadata.emotion for clip in pair.clips) for pair in pairs]
    assert sorted(emotions) == [("neutral", "happy")] * 2 + [("neutral", "sad")] * 2
    assert len(find_pairs(clips, 2, QUIET)) == 6


def test_without_variants_pictures_are_shown_as_they_are(prepared, tmp_path):
    given = RECIPE.make_options(prepared, tmp_path / "run", variants=0, real=0)
    task = ContentTask(given, PreparedDataset.open(given.data, given.split), ALONE)
    assert list(task.list_variants(task.pairs[0], 0)) == list(task.list_variants(task.pairs[0], 1)) == [UNAUGMENTED]
    assert task.loss(0, task.world)["loss"].isfinite()


def test_pairing_says_how_far_it_is_without_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL", -1.0)
    clips = PreparedDataset.open([make_prepared(tmp_path, ["anna"], ("happy", "sad"), 2, 12, dataset="film")]).clips
    said = io.StringIO()
    console = Console(file=said, soft_wrap=True)
    assert len(find_pairs(clips, 1, console)) == 2
    assert said.getvalue().splitlines() == ["pairing takes: 1 of 2", "pairing takes: 2 of 2"]
    assert len(self_pairs(clips, 1, console)) == 4
    assert said.getvalue().endswith("looking for speech: 4 of 4\n")


def made_clip(sentence="", places=None):
    """A clip of twenty frames of which a sentence, and perhaps the place of each frame in it, are known."""
    truth = None if places is None else SimpleNamespace(position=np.asarray(places, np.float32))
    return SimpleNamespace(metadata=SimpleNamespace(dataset="set", sentence_id=sentence), ground_truth=truth)


def may_be_the_same(one, moment, other, there):
    """Whether two moments of two drawn pairs may show the same content, by the rules."""
    sentence = one.first.metadata.sentence_id
    if sentence and sentence == other.first.metadata.sentence_id:
        if one.first.ground_truth and other.first.ground_truth:
            places = one.first.ground_truth.position[moment[0]], other.first.ground_truth.position[there[0]]
            return not abs(places[0] - places[1]) > 1.5
        if not {id(clip) for clip in one.clips} & {id(clip) for clip in other.clips}:
            return True
    sides = product(range(2), range(2))
    return any(one.clips[a] is other.clips[b] and abs(moment[a] - there[b]) <= 3 for a, b in sides)


def test_moments_of_two_pairs_that_may_show_the_same_are_marked():
    exact = [made_clip("a", np.arange(20) * pace) for pace in (0.3, 0.5)]
    lost = made_clip("a", np.where(np.arange(20) % 7, np.arange(20) * 0.4, np.nan))
    real, unknown = [made_clip("b") for _ in range(4)], [made_clip() for _ in range(2)]
    pairs = [
        ClipPair(*exact, None), ClipPair(*exact, None), ClipPair(exact[1], lost, None), ClipPair(lost, exact[0], None),
        ClipPair(real[0], real[1], None), ClipPair(real[1], real[2], None), ClipPair(real[3], real[3], None),
        ClipPair(unknown[0], unknown[0], None), ClipPair(unknown[0], unknown[0], None),
        ClipPair(unknown[1], unknown[1], None), ClipPair(made_clip("c"), made_clip("c"), None),
    ]  # fmt: skip
    random = np.random.default_rng(0)
    moments = [np.sort(random.integers(0, 20, (4, 2)), 0) for _ in pairs]
    rows = [(number, moment) for number, frames in enumerate(moments) for moment in frames]
    wanted = [
        [p != q and may_be_the_same(pairs[p], moment, pairs[q], there) for q, there in rows] for p, moment in rows
    ]
    found = mark_same_content(pairs, moments)
    assert found.tolist() == wanted
    shares = found.reshape(11, 4, 11, 4).mean((1, 3))
    assert (shares[4, 6], shares[5, 6], shares[7, 9], shares[10].max()) == (1, 1, 0, 0)
    assert 0 < shares[0, 1] < 1 and 0 < shares[4, 5] < 1 and 0 < shares[7, 8] < 1


def test_the_loss_takes_no_known_positive_for_a_negative(prepared, tmp_path, monkeypatch):
    seen, drawn = [], []

    def contrast(first, second, temperature, same=None, whole=content.moment_contrast):
        seen.append(same)
        return whole(first, second, temperature, same)

    def draw(self, random, whole=ContentTask._draw_pairs):
        drawn.append(whole(self, random))
        return drawn[-1]

    monkeypatch.setattr(content, "moment_contrast", contrast)
    monkeypatch.setattr(ContentTask, "_draw_pairs", draw)
    given = RECIPE.make_options(prepared, tmp_path / "run", real=0)
    task = ContentTask(given, PreparedDataset.open(given.data, given.split), ALONE)
    masked = task.loss(0, ALONE)["infonce"]
    # All places of the drawn sentences are within 1.5 phones.
    says = [(pair.first.metadata.dataset, pair.first.metadata.sentence_id) for pair in drawn[0]]
    same = [[p != q and says[p] == says[q] for q in range(len(says))] for p in range(len(says))]
    assert seen[0] is not None
    assert seen[0].tolist() == np.kron(same, np.ones((4, 4), bool)).tolist()
    assert any(map(any, same))
    task.options = RECIPE.make_options(prepared, tmp_path / "run", real=0, mask_positives=False)
    assert task.loss(0, ALONE)["infonce"] > masked
    assert seen[1] is None


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
        ({"variants": -1}, "--variants -1"),
        ({"moments": 1}, "--moments 1"),
    ):
        with pytest.raises(UsageError, match=message):
            RECIPE.train(RECIPE.make_options(prepared, tmp_path / "run", **changes))
    assert cli.main(["train", "content", "--data", str(tmp_path / "nothing")]) == 3
    assert capsys.readouterr().err.count("\n") == 1
