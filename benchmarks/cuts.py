"""How many cuts between clips are noticed, and how many changes within them are taken for cuts.

python benchmarks/cuts.py DATA --dataset mead

DATA has clips.csv. Two clips of equal size are joined at random, the end of one and the first frame of the other, as
often as asked; and every clip of DATA is passed through whole. Each change that counts as a cut within a clip is named
with its time, so that it can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from cdrl.errors import CdrlError
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import Frame, read
from cdrl.training.tables import read_table

_END = 10  # frames of the first clip that come before a join


@dataclass(frozen=True)
class Options:
    """Count cuts that are noticed."""

    data: tyro.conf.Positional[Path]
    """Folder with clips.csv."""
    dataset: str = "mead"
    """Whose clips are joined."""
    joins: int = 4000
    """How many pairs are drawn."""
    seed: int = 0
    """Of the pairs."""


def is_noticed(before: list[Frame], first: Frame, detector: BundleDetector) -> bool:
    """Say whether a tracker takes the change from the last of some frames to another one for a cut."""
    tracker = FaceTracker(detector)
    for frame in before:
        tracker.skip(frame)
    shot = tracker.shot
    tracker.skip(first)
    return tracker.shot > shot


def main(options: Options) -> None:
    """Print both counts."""
    console, detector = Console(highlight=False, soft_wrap=True), BundleDetector()
    rows = [row for row in read_table(options.data / "clips.csv", ("path", "dataset"), "DATA") if row["path"]]
    ends: list[list[Frame]] = []
    clips = changes = cuts = 0
    for row in rows:
        tracker, frames = FaceTracker(detector), list[Frame]()
        try:
            for frame in read(options.data / row["path"]):
                before = tracker.shot
                tracker.skip(frame)
                changes += frame.index > 0
                if tracker.shot > before:
                    cuts += 1
                    console.print(f"{row['path']}: a cut at {float(frame.time):.2f} s")
                frames = [*frames[-_END:], frame] if frame.index else [frame, frame]
        except CdrlError as error:
            console.print(str(error))
            continue
        clips += 1
        if row["dataset"] == options.dataset:
            first = next(islice(read(options.data / row["path"]), 1))
            ends.append([first, *frames[-_END:]])
    console.print(f"{cuts} cuts in {clips} clips, {changes:,} changes of frames")
    random, found, drawn = np.random.default_rng(options.seed), 0, 0
    while len(ends) > 1 and drawn < options.joins:
        one, other = random.choice(len(ends), 2, replace=False)
        _, *end = ends[one]
        first = ends[other][0]
        if first.planes[0].shape != end[-1].planes[0].shape:
            continue
        drawn += 1
        step = end[-1].time - end[-2].time
        found += is_noticed(end, replace(first, time=end[-1].time + step), detector)
    console.print(f"{found} of {drawn} random joins of {len(ends)} clips of {options.dataset} noticed")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
