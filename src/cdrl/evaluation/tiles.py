"""Published comparison clips: several methods' videos side by side in one file, of one source.

A row of `peers.csv` names the tiles (`source|reference|NED|...`), squares of `tile_size` pixels from left to right. The
methods' tiles are a few frames off their source (each drops or repeats some at the start: −2 and +3 are seen); the
lag is estimated from the whole tile's motion and taken out before anything is compared. Padding (black) counts as no
face.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import InputError
from cdrl.evaluation.clips import Frames, Image, decode, frame_rate

Array = NDArray[np.float64]

MAXIMUM_LAG = 8  # frames either way
_SMALL = 32  # pixels: the tile's size when lags are estimated
_BLACK = 8.0  # mean grey level under which a frame is padding
_SOURCE_CRF = 10  # of the source tile cut into its own file: next to lossless


@dataclass(frozen=True)
class TiledClip:
    """One row of `peers.csv`; `tiles` are method names in the file's order, the first is `source`."""

    path: Path
    setting: str
    person: str
    emotion: str
    tiles: tuple[str, ...]
    size: int

    @property
    def methods(self) -> tuple[str, ...]:
        """The generated tiles' names."""
        return tuple(name for name in self.tiles if name not in ("source", "reference"))


def read_peers(folder: Path) -> list[TiledClip]:
    """The rows of `folder/peers.csv`; empty when there is no such file."""
    table = folder / "peers.csv"
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return [
            TiledClip(
                folder / row["path"],
                row["setting"],
                row["source_actor"],
                row["emotion"],
                tuple(row["tiles"].split("|")),
                int(row["tile_size"]),
            )
            for row in csv.DictReader(file)
        ]


def _cut(clip: TiledClip, index: int) -> Iterator[Image]:
    left = index * clip.size
    for rgb in decode(clip.path):
        if rgb.shape[1] < left + clip.size or rgb.shape[0] < clip.size:
            raise InputError(f"{clip.path} is {rgb.shape[1]} x {rgb.shape[0]}: it has no tile {clip.tiles[index]!r}")
        yield np.ascontiguousarray(rgb[: clip.size, left : left + clip.size])


def tile_frames(clip: TiledClip, name: str) -> Frames:
    """Passes over the RGB frames [size,size,3] of one tile."""
    index = clip.tiles.index(name)
    return lambda: _cut(clip, index)


def write_source(clip: TiledClip, output: Path) -> None:
    """The source tile as a video file of its own, for methods that read files."""
    with av.open(str(output), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frame_rate(clip.path), options={"crf": str(_SOURCE_CRF)})
        stream.width = stream.height = clip.size
        stream.pix_fmt = "yuv420p"
        for rgb in _cut(clip, clip.tiles.index("source")):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))


def motion(frames: Frames) -> Array:
    """[T,32,32] grey frames less their temporal mean (labels and constant changes vanish); NaN where black."""
    side = (_SMALL, _SMALL)
    rows = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), side, interpolation=cv2.INTER_AREA) for f in frames()]
    pictures: Array = np.stack(rows).astype(np.float64)
    pictures[pictures.mean((1, 2)) <= _BLACK] = np.nan
    return np.asarray(pictures - np.nanmean(pictures, axis=0))


def estimate_lag(source: Array, tile: Array, maximum: int = MAXIMUM_LAG) -> int:
    """Frames the tile is behind its source: argmax over lags of the correlation of tile[t + lag] with source[t].

    Both [T,H,W] from `motion`. Head, hair and shoulders move alike in both, so the maximum is sharp even where the
    mouth is not.
    """
    scores = {}
    for lag in range(-maximum, maximum + 1):
        start, stop = max(0, -lag), min(len(source), len(tile) - lag)
        a, b = source[start:stop], tile[start + lag : stop + lag]
        both = np.isfinite(a[:, 0, 0]) & np.isfinite(b[:, 0, 0])
        x, y = a[both].ravel(), b[both].ravel()
        power = float(x @ x) * float(y @ y)
        scores[lag] = float(x @ y) / power**0.5 if power > 0 else -1.0
    return max(scores, key=lambda lag: scores[lag])
