"""What is computed once and kept: known by content, gone on with after a kill, computed again where damaged."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recipes import ALONE, make_prepared, read_drawn_lips  # noqa: E402
from rich.console import Console  # noqa: E402

from cdrl.datasets.prepared import PreparedDataset  # noqa: E402
from cdrl.media import read  # noqa: E402
from cdrl.representations.content import ContentConfig, ContentModel  # noqa: E402
from cdrl.training import feature_cache, sync  # noqa: E402
from cdrl.training.faces import load_faces  # noqa: E402
from cdrl.training.options import FaceOptions  # noqa: E402


class Encoder(torch.nn.Module):
    """An image encoder that counts what it has seen."""

    channels, grid = 4, (8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 28, 28)
        self.seen, self.dies_after = 0, 10**9

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.seen + len(images) > self.dies_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        return self.layer(images)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return PreparedDataset.open([make_prepared(tmp_path_factory.mktemp("made"), ["p000"], ("neutral",), 3, 60)]).clips


def model(seed: int = 0) -> ContentModel:
    torch.manual_seed(seed)
    return ContentModel(ContentConfig(width=16, dimensions=8), Encoder())


def encoded(clips, network: ContentModel, folder: Path) -> np.ndarray:
    """The maps of all frames."""
    requests = [feature_cache.FeatureRequest(clip, range(clip.count)) for clip in clips]
    maps = feature_cache.cached_maps(requests, network, "data", folder, ALONE)
    return np.concatenate([maps.read(maps.find_rows(clip, np.arange(clip.count), 0)).numpy() for clip in clips])


def test_maps_of_other_weights_are_others_wherever_the_file_lies(clips, tmp_path):
    one, two, again = model(0), model(1), model(0)
    first = encoded(clips, one, tmp_path)
    assert not np.array_equal(first, encoded(clips, two, tmp_path))
    assert np.array_equal(first, encoded(clips, again, tmp_path))
    assert again.encoder.seen == 0


def test_an_encoding_that_was_stopped_goes_on_where_it_was(clips, tmp_path):
    whole, stopped, resumed = model(), model(), model()
    expected = encoded(clips, whole, tmp_path / "whole")
    stopped.encoder.dies_after = 150
    with pytest.raises(KeyboardInterrupt):
        encoded(clips, stopped, tmp_path / "stopped")
    found = encoded(clips, resumed, tmp_path / "stopped")
    assert np.array_equal(found, expected)
    assert resumed.encoder.seen <= whole.encoder.seen - 120
    (one,), (other,) = ([p.read_bytes() for p in (tmp_path / n).glob("maps*")] for n in ("whole", "stopped"))
    assert one == other


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_maps_are_computed_again(clips, tmp_path, damage):
    expected = encoded(clips, model(), tmp_path)
    (path,) = tmp_path.glob("maps*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "flip": content, "empty": b""}[damage])
    try:
        found = encoded(clips, model(), tmp_path)
    except (ValueError, OSError, EOFError) as error:
        pytest.fail(str(error))
    assert np.array_equal(found, expected)


def test_two_runs_that_want_the_same_maps_compute_them_once(clips, tmp_path):
    networks = model(), model()
    runs = [threading.Thread(target=encoded, args=(clips, each, tmp_path)) for each in networks]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    frames = sum(clip.count for clip in clips)
    assert sorted(each.encoder.seen for each in networks) == [0, frames]


def test_encoding_says_how_far_it_is_without_a_terminal(clips, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("time.monotonic", iter(range(0, 10**6, 31)).__next__)
    encoded(clips, model(), tmp_path)
    assert "encoding frames: 96 of 180" in capsys.readouterr().out


def test_lips_are_kept_when_a_run_is_stopped_and_read_again_when_damaged(clips, tmp_path, monkeypatch):
    read: list[str] = []

    def read_two(clip):
        if read[:1] == ["stop"] and len(read) == 2:
            raise KeyboardInterrupt
        read.append(clip.metadata.id)
        return read_drawn_lips(clip)

    monkeypatch.setattr(sync, "read_lip_clip", read_two)
    read.append("stop")
    with pytest.raises(KeyboardInterrupt):
        sync.read_cached_lips(clips, "data", tmp_path)
    assert read == ["stop", clips[0].metadata.id]
    read.clear()
    assert len(sync.read_cached_lips(clips, "data", tmp_path)) == 3
    assert read == [clip.metadata.id for clip in clips[1:]]
    damaged = min(tmp_path.glob("lips*"))
    damaged.write_bytes(damaged.read_bytes()[:40])
    read.clear()
    assert len(sync.read_cached_lips(clips, "data", tmp_path)) == 3
    assert len(read) == 1


def test_stills_are_known_by_their_pictures(tmp_path, repository):
    (tmp_path / "stills.csv").write_text("path,emotion,person\none.png,happy,anna\n")
    digests = set()
    for number in (0, 40):
        frame = next(frame for frame in read(repository / "examples/1001_DFA_HAP_XX.flv") if frame.index == number)
        cv2.imwrite(str(tmp_path / "one.png"), frame.rgb())
        digests.add(load_faces(FaceOptions(stills=tmp_path), Console())[1])
    assert len(digests) == 2
