"""How far lips part in people's takes of the same words, in all frames and before shut teeth, and where teeth end.

python benchmarks/teeth.py DATA --people W009,W011

DATA has clips.csv; of each person all takes of one sentence are looked at. Openings are in distances of the eyes' outer
corners, the edges of the upper teeth in cm down in the pose-free shape, and their luma is a share of the skin's.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from cdrl.evaluation.clip_tables import read_clips
from cdrl.face.apertures import lips
from cdrl.face.landmarks import BundleDetector
from cdrl.face.mesh import LEFT_CORNERS, RIGHT_CORNERS
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import FaceTracker
from cdrl.media import read
from cdrl.rendering.mouth_patch import measure_shut_teeth
from cdrl.rendering.teeth import measure_teeth

SHUT = 0.7  # share of shut teeth from which on a frame counts


@dataclass(frozen=True)
class Options:
    """Compare takes."""

    data: tyro.conf.Positional[Path]
    """Folder with clips.csv."""
    people: str = "W009,W011"
    """Whose takes are looked at."""
    sentence: str = "001"
    """Number of the sentence that all takes say."""


def main(options: Options) -> int:
    """Print a row for each take."""
    opening = ("mean opening", "frames", "with shut teeth", "their median opening")
    table = Table("person", "emotion", *opening, "edges seen", "their median", "deviation", "luma")
    for clip in read_clips(options.data):
        if clip.person in options.people.split(",") and clip.sentence == options.sentence:
            table.add_row(clip.person, clip.emotion, *_describe(clip.path))
    Console().print(table)
    return 0


def _describe(path: Path) -> list[str]:
    """Return the cells of a take."""
    tracker, openings, shares, teeth = FaceTracker(BundleDetector()), [], [], []
    for frame in read(path):
        track = tracker.step(frame)
        if track is None:
            continue
        points = track.points[:, :2]
        openings.append(lips().opening(points) / np.linalg.norm(points[RIGHT_CORNERS[0]] - points[LEFT_CORNERS[0]]))
        shares.append(measure_shut_teeth(frame, points))
        teeth.append(measure_teeth(frame, track.points, estimate_pose(track.points)))
    found, shut = np.array(openings), np.array(shares) > SHUT
    median = f"{np.median(found[shut]):.3f}" if shut.any() else "-"
    cells = [f"{found.mean():.3f}", str(len(found)), str(int(shut.sum())), median]
    seen = np.array([(one.edge, one.luma) for one in teeth if one is not None]).reshape(-1, 2)
    if not len(seen):
        return [*cells, "0", "-", "-", "-"]
    (edge, luma), deviation = np.median(seen, 0), seen[:, 0].std()
    return [*cells, str(len(seen)), f"{edge:.2f}", f"{deviation:.2f}", f"{luma:.2f}"]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
