"""How the color of skin changes where an emotion shades it: the power of luma's factor that chroma takes.

python benchmarks/fold_colors.py DATA --people W009,W011

DATA has clips.csv. Of each person the neutral take and an angry, a disgusted and a happy one are compared in texture
space, without what is wider than a fold. 1 is what light does alone, 0 a fold whose color stays.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import read
from cdrl.rendering.texture import low_pass, skin_mask, unwrap_luma
from cdrl.training.observations import read_clips

EMOTIONS = "angry", "disgusted", "happy"
INTERVAL = 6  # frames between two textures
FINE = 1.5  # texels: finer changes are grain
SHADED = 0.05  # log of luma
DARKEST, PALEST = 8.0, 2.0  # luma and chroma, 0..255, taken at least, so that noise does not count


@dataclass(frozen=True)
class Options:
    """Compare colors of takes."""

    data: tyro.conf.Positional[Path]
    """Folder with clips.csv."""
    people: str = "W009,W011"
    """Whose takes are compared."""


def main(options: Options) -> int:
    """Print a row for each take."""
    table = Table("person", "emotion", "in folds", "in lights")
    clips = read_clips(options.data)
    for person in options.people.split(","):
        takes = {clip.emotion: clip.path for clip in clips if clip.person == person}
        before = _observe(takes["neutral"])
        for emotion in EMOTIONS:
            folds, lights = (f"{power:.2f}" for power in _compare(before, _observe(takes[emotion])))
            table.add_row(person, emotion, folds, lights)
    Console().print(table)
    return 0


def _observe(path: Path) -> Floats:
    """Return the median luma and chroma [3, SIZE, SIZE] of a clip's face in texture space."""
    tracker, textures = FaceTracker(BundleDetector()), []
    for frame in read(path):
        track = tracker.step(frame)
        if track is None or frame.index % INTERVAL:
            continue
        form = frame.format
        luma = (frame.planes[0].astype(np.float32) - form.black) * (255 / (form.white - form.black))
        size = luma.shape[::-1]
        chroma = [cv2.resize(plane.astype(np.float32) - form.chroma_zero, size) for plane in frame.planes[1:]]
        textures.append([unwrap_luma(plane, track.points[:, :2]) for plane in (luma, *chroma)])
    median: Floats = np.median(textures, 0)
    return median


def _compare(before: Floats, after: Floats) -> list[float]:
    """Return the power by which chroma along the skin's own color follows luma, in folds and in lights."""
    skin = skin_mask() > 0.9
    color = np.median(before[1:, skin], 1)
    color /= np.linalg.norm(color)
    luma = _change(before[0], after[0], DARKEST)
    chroma = _change(np.tensordot(color, before[1:], 1), np.tensordot(color, after[1:], 1), PALEST)
    places = skin & (luma < -SHADED), skin & (luma > SHADED)
    return [float((luma[at] * chroma[at]).sum() / np.square(luma[at]).sum()) for at in places]


def _change(before: Floats, after: Floats, floor: float) -> Floats:
    """Return the change [SIZE, SIZE] of a logarithm, without what is finer or wider than a fold."""
    change = np.log(np.maximum(after, floor) / np.maximum(before, floor)).astype(np.float32)
    return low_pass(change, FINE) - low_pass(change)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
