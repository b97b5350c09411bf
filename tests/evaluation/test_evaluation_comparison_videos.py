"""Tiled comparison clips made here: tiles cut in the right place, lags found in spite of labels, edits and padding."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cdrl.errors import InputError
from cdrl.evaluation import comparison_videos as videos
from cdrl.evaluation.clips import decode_frames

SIZE = 64
COUNT = 40
RANDOM = np.random.default_rng(11)


def source_tile() -> np.ndarray:
    """[T,64,64] gray: a textured disc wandering about."""
    texture = cv2.GaussianBlur(RANDOM.uniform(60, 220, (SIZE * 2, SIZE * 2)), (0, 0), 3)
    path = np.cumsum(RANDOM.normal(0, 1.5, (COUNT, 2)), axis=0)
    return np.stack(
        [cv2.warpAffine(texture, np.float32([[1, 0, x - 30], [0, 1, y - 30]]), (SIZE, SIZE)) for x, y in path]
    )


def generated(source: np.ndarray, lag: int) -> np.ndarray:
    """The source `lag` frames later, its middle repainted, a label box on it, black where nothing is left."""
    index = np.arange(COUNT) - lag
    tile = source[np.clip(index, 0, COUNT - 1)].copy()
    tile[:, 24:40, 24:40] = tile[:, 24:40, 24:40] * 0.5 + 80
    tile[:, :8, :24] = 30
    tile[index >= COUNT] = 0
    return tile


def to_rgb(tile: np.ndarray) -> np.ndarray:
    return np.repeat(tile[..., None], 3, 3).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, write_video) -> videos.ComparisonVideo:
    folder = tmp_path_factory.mktemp("peers")
    source = source_tile()
    tiled = np.concatenate([source, source * 0, generated(source, 3), generated(source, -2)], 2)
    write_video(folder / "x_sad_033.mp4", to_rgb(tiled))
    (folder / "peers.csv").write_text(
        "path,setting,source_actor,reference_actor,emotion,tiles,tile_size,fps\n"
        f"x_sad_033.mp4,Cross-ID,P1,P2,sad,source|reference|ONE|TWO,{SIZE},25\n"
    )
    (row,) = videos.read_comparison_videos(folder)
    return row


def test_the_table_is_read_and_none_is_no_rows(clip: videos.ComparisonVideo, tmp_path: Path) -> None:
    assert videos.read_comparison_videos(tmp_path) == []
    assert (clip.person, clip.emotion, clip.setting, clip.methods) == ("P1", "sad", "Cross-ID", ("ONE", "TWO"))


@pytest.mark.parametrize(("name", "lag"), [("ONE", 3), ("TWO", -2), ("source", 0)])
def test_lags_are_found(clip: videos.ComparisonVideo, name: str, lag: int) -> None:
    source, output = (videos.measure_motion(videos.read_tile(clip, tile)) for tile in ("source", name))
    assert videos.estimate_lag(source, output) == lag


def test_black_frames_have_no_motion(clip: videos.ComparisonVideo) -> None:
    clipped = generated(source_tile(), -3)
    clipped[-3:] = 0
    moves = videos.measure_motion(lambda: iter(to_rgb(clipped)))
    assert np.isnan(moves[-3:]).all() and np.isfinite(moves[:-3]).all()


def test_the_source_tile_becomes_a_file(clip: videos.ComparisonVideo, tmp_path: Path) -> None:
    videos.write_source(clip, tmp_path / "source.mp4")
    written = list(decode_frames(tmp_path / "source.mp4"))
    original = list(videos.read_tile(clip, "source")())
    assert len(written) == COUNT and written[0].shape == (SIZE, SIZE, 3)
    assert np.abs(written[9].astype(int) - original[9]).mean() < 3


def test_a_tile_that_is_not_there_is_refused(clip: videos.ComparisonVideo) -> None:
    wider = replace(clip, tiles=("source", "reference", "A", "B", "C"))
    with pytest.raises(InputError, match="no tile 'C'"):
        list(videos.read_tile(wider, "C")())
