"""Published comparison videos: several methods' videos side by side in one file, of one source.

A row of `peers.csv` names the tiles (`source|reference|NED|...`), squares of `tile_size` pixels from left to right. The
methods' tiles are a few frames off their source (each drops or repeats some at the start: −2 and +3 are seen); the
lag is estimated from the whole tile's motion and taken out before anything is compared. Padding (black) counts as no
face.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.csv_tables import read_rows
from cdrl.errors import InputError, UsageError
from cdrl.evaluation.clips import Frames, Image, decode_frames, read_frame_rate

Array = NDArray[np.float64]

MAXIMUM_LAG = 8
"""Frames either way."""
_COLUMNS = ("path", "setting", "source_actor", "emotion", "tiles", "tile_size")
_SMALL = 32  # pixels: the tile's size when lags are estimated
_BLACK = 8.0  # mean gray level under which a frame is padding
_SOURCE_CRF = 10  # of the source tile cut into its own file: next to lossless


@dataclass(frozen=True)
class ComparisonVideo:
    """One row of `peers.csv`."""

    path: Path
    setting: str
    person: str
    emotion: str
    tiles: tuple[str, ...]
    """Names of the methods in the file's order; the first is `source`, one may be `reference`."""
    size: int
    """Side of a tile in pixels."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The generated tiles' names."""
        return tuple(name for name in self.tiles if name not in ("source", "reference"))


def read_comparison_videos(folder: Path) -> list[ComparisonVideo]:
    """Read `folder/peers.csv`; empty when there is no such file. Raises InputError or UsageError for a wrong one."""
    table = folder / "peers.csv"
    if not table.is_file():
        return []
    videos = []
    for _, row in read_rows(table, _COLUMNS, UsageError):
        facts = folder / row["path"], row["setting"], row["source_actor"], row["emotion"]
        videos.append(ComparisonVideo(*facts, tuple(row["tiles"].split("|")), int(row["tile_size"])))
    return videos


def read_tile(video: ComparisonVideo, name: str) -> Frames:
    """Return passes over the RGB frames [size,size,3] of one tile; they raise InputError where it is not there."""
    left = video.tiles.index(name) * video.size

    def crop() -> Iterator[Image]:
        for rgb in decode_frames(video.path):
            if rgb.shape[1] < left + video.size or rgb.shape[0] < video.size:
                raise InputError(f"{video.path} is {rgb.shape[1]} x {rgb.shape[0]}: it has no tile {name!r}")
            yield np.ascontiguousarray(rgb[: video.size, left : left + video.size])

    return crop


def write_source(video: ComparisonVideo, output: Path) -> None:
    """Write the source tile as a video file of its own, for methods that read files."""
    with av.open(str(output), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=read_frame_rate(video.path), options={"crf": str(_SOURCE_CRF)})
        stream.width = stream.height = video.size
        stream.pix_fmt = "yuv420p"
        for rgb in read_tile(video, "source")():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))


def measure_motion(frames: Frames) -> Array:
    """Return [T,32,32] gray frames less their temporal mean (labels and constant changes vanish); NaN where black."""
    side = (_SMALL, _SMALL)
    rows = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), side, interpolation=cv2.INTER_AREA) for f in frames()]
    pictures: Array = np.stack(rows).astype(np.float64)
    pictures[pictures.mean((1, 2)) <= _BLACK] = np.nan
    return np.asarray(pictures - np.nanmean(pictures, axis=0))


def estimate_lag(source: Array, output: Array, maximum: int = MAXIMUM_LAG) -> int:
    """Estimate how many frames an output is behind its source.

    Head, hair and shoulders move alike in both, so the maximum of the correlation of output[t + lag] with source[t] is
    sharp even where the mouth is not.

    Args:
        source: [T,H,W] of `measure_motion`.
        output: [T',H,W] likewise.
        maximum: Frames that are tried either way.
    """
    scores = {}
    for lag in range(-maximum, maximum + 1):
        start, stop = max(0, -lag), min(len(source), len(output) - lag)
        a, b = source[start:stop], output[start + lag : stop + lag]
        both = np.isfinite(a[:, 0, 0]) & np.isfinite(b[:, 0, 0])
        x, y = a[both].ravel(), b[both].ravel()
        power = float(x @ x) * float(y @ y)
        scores[lag] = float(x @ y) / power**0.5 if power > 0 else -1.0
    return max(scores, key=lambda lag: scores[lag])
