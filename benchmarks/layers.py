"""How well occluders and background stay as they are in an edit, and how often an occluder is seen where there is none.

python benchmarks/layers.py BASE FILE... [--emotions happy surprised angry] [--clear CLIP...]

Each FILE is the clip BASE with something put into its frames: a microphone, a paper, glasses, lines behind the head.
Where the two differ is what was put in. It is edited, decoded again, and compared with what it was: in dB, by how far
its texture moved (dense optical flow, pixels), and by how much it is taller for its width. In each CLIP nothing is in
front of the face: the share of frames in which an occluder is seen, and the time that a look takes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import cdrl
from cdrl.errors import CdrlError, InputError
from cdrl.face.landmarks import BundleDetector
from cdrl.face.segmentation import Segmenter
from cdrl.face.tracking import FaceTracker
from cdrl.media import EncoderOptions, read

Picture = NDArray[np.uint8]
_DIFFERENT = 24  # levels of luma between BASE and FILE where something was put in
_LEAST = 150  # pixels of it in a frame that counts
_EDGE = 40.0  # levels a pixel: there a movement can be measured


@dataclass(frozen=True)
class Options:
    """Measure what stays."""

    base: tyro.conf.Positional[Path]
    """The clip without anything put in."""
    files: tyro.conf.Positional[tuple[Path, ...]]
    """The same clip with it."""
    emotions: tuple[str, ...] = ("happy", "surprised", "angry")
    """What is asked for."""
    clear: tuple[Path, ...] = ()
    """Clips of faces without an occluder."""


def read_luma(path: Path) -> list[Picture]:
    """Read the luma of every frame, 8 bit."""
    with read(path) as frames:
        return [np.asarray(frame.planes[0], np.uint8).copy() for frame in frames]


def measure(base: Sequence[Picture], before: Sequence[Picture], after: Sequence[Picture]) -> dict[str, float]:
    """Compare what was put into frames before and after an edit."""
    errors, moved, stretched = list[float](), list[float](), list[float]()
    for without, source, edited in zip(base, before, after, strict=True):
        there = np.abs(source.astype(np.int16) - without) > _DIFFERENT
        there = cv2.morphologyEx(there.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)) > 0
        if there.sum() < _LEAST:
            continue
        errors.append(float(np.square(edited.astype(np.float32) - source)[there].mean()))
        flow: Any = cv2.calcOpticalFlowFarneback(source, edited, None, 0.5, 4, 11, 4, 5, 1.1, 0)
        slope = np.hypot(*(cv2.Sobel(source, cv2.CV_32F, *order) / 4 for order in ((1, 0), (0, 1))))
        told = there & (slope > _EDGE)
        if told.sum() < _LEAST // 3:
            continue
        moved.append(float(np.percentile(np.linalg.norm(flow[told], axis=1), 99)))
        y, x = np.nonzero(told)
        sides = [np.polyfit(place - place.mean(), flow[told][:, axis], 1)[0] for axis, place in enumerate((x, y))]
        stretched.append((1 + sides[1]) / (1 + sides[0]) - 1)
    if not moved:
        raise InputError("a FILE hardly differs from BASE: give the same clip with something put into it")
    psnr = 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9))
    return {
        "frames": len(errors),
        "dB": float(psnr),
        "moved, median frame": float(np.median(moved)),
        "moved, worst frame": float(np.max(moved)),
        "taller, worst frame": float(np.max(np.abs(stretched))),
    }


def look_at_clear_faces(paths: Sequence[Path], console: Console) -> None:
    """Print for each clip in how many of its frames an occluder is seen, and how long a look takes."""
    segmenter, alarms, seconds = Segmenter(), list[bool](), list[float]()
    table = Table("clip", "frames", "with an occluder")
    for path in paths:
        tracker, found = FaceTracker(BundleDetector()), list[bool]()
        with read(path) as frames:
            for frame in frames:
                track = tracker.step(frame)
                if track is not None:
                    begin = time.thread_time()
                    found.append(not segmenter(frame, track.points).is_clear)
                    seconds.append(time.thread_time() - begin)
        table.add_row(path.stem, str(len(found)), f"{np.mean(found):.3f}")
        alarms += found
    console.print(table)
    console.print(
        f"an occluder in {np.mean(alarms):.3f} of {len(alarms)} frames of {len(paths)} clips; "
        f"{1000 * np.median(seconds):.1f} ms of processor time a look"
    )


def main(options: Options) -> None:
    """Print one row for each file and emotion, and one for each clear clip."""
    base, table = read_luma(options.base), Table("file", "emotion")
    editor = cdrl.load()
    for path in options.files:
        before = read_luma(path)
        for emotion in options.emotions:
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "edited.mkv"
                report = editor.edit(path, emotion=emotion).save(output, encoder=EncoderOptions(quality=0))
                found = measure(base, before, read_luma(output))
            if not table.rows:
                for name in (*found, "warnings"):
                    table.add_column(name, justify="right")
            numbers = [f"{value:.3f}" for value in found.values()]
            table.add_row(path.stem, emotion, *numbers, str(len(report.warnings)))
    console = Console(width=160)
    console.print(table)
    if options.clear:
        look_at_clear_faces(options.clear, console)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except CdrlError as error:
        sys.exit(f"error: {error}")
