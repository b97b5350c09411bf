"""How far points of the lower face go along as lips part in talk, beside what `cdrl.face.apertures` takes them to do.

python benchmarks/jaw.py DATA --exclude M003,M009,M030,1001

DATA has clips.csv. Motion is down, over the mean opening of the inner lips (slopes over all frames).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from cdrl.face.apertures import lips
from cdrl.face.mesh import MESH_POINTS, POINTS
from cdrl.training.observations import observe_clips, read_clips

SHOWN = {"upper lip": 13, "lower lip": 14, "below it": 18, "chin": 152, "jaw": 149, "corner": 61, "cheek": 205}
MIN_FRAMES, MIN_DEVIATION = 20, 0.1  # frames of a clip; cm of its opening: who hardly talks says nothing


@dataclass(frozen=True)
class Options:
    """Measure talk."""

    data: tyro.conf.Positional[Path]
    """Folder with clips.csv."""
    exclude: str = ""
    """People who are left out."""
    cache: Path = Path("runs/prior")
    """Folder that keeps the measurements."""


def main(options: Options) -> int:
    """Print a row for each point, and the root mean square difference over the face."""
    clips = [clip for clip in read_clips(options.data) if clip.person not in options.exclude.split(",")]
    moved, opened = np.zeros((POINTS, 3)), np.zeros((len(lips().upper), 3))
    total, count = 0.0, 0
    for seen in observe_clips(clips, options.cache):
        if isinstance(seen, str) or len(seen.shapes) < MIN_FRAMES:
            continue
        shapes = seen.shapes.astype(np.float32)
        opening, vectors = lips().opening(shapes), lips().vectors(shapes)
        if opening.std() < MIN_DEVIATION:
            continue
        opening = opening - opening.mean()
        moved += np.tensordot(opening, shapes - shapes.mean(0), (0, 0))
        opened += np.tensordot(opening, vectors - vectors.mean(0), (0, 0))
        total, count = total + float(np.square(opening).sum()), count + 1
    found, expected = moved[:, 1] / total, (lips().spread @ (opened / total))[:, 1]
    table = Table("point", "in talk", "here")
    for name, point in SHOWN.items():
        table.add_row(name, f"{found[point]:.2f}", f"{expected[point]:.2f}")
    error = np.sqrt(np.square(found - expected)[:MESH_POINTS].mean())
    Console().print(table, f"root mean square difference {error:.3f}, {count} clips")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
