"""How far brows move beyond their landmarks, in each person and emotion, as `cdrl train prior` measures it.

python benchmarks/brows.py DATA --cache CACHE

DATA has clips.csv; CACHE keeps what was seen in the clips, as that of `cdrl train prior` does. Distances are those of
the brows' inner ends, in cm of the canonical face: by landmarks, and of the hair beside these.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from cdrl.face.mesh import LEFT_BROW, RIGHT_BROW
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.training.emotion_offsets import measure_offsets
from cdrl.training.observations import observe_clips, read_clips

INNER = RIGHT_BROW[4], LEFT_BROW[4]  # points at the lower edge of the inner ends


@dataclass(frozen=True)
class Options:
    """Tabulate how far brows move beyond their landmarks."""

    data: tyro.conf.Positional[Path]
    """Folder with clips.csv."""
    cache: Path = Path("runs/observations")
    """Folder that keeps what was seen in the clips."""


def main(options: Options) -> int:
    """Print a row for each person and emotion."""
    seen = [item for item in observe_clips(read_clips(options.data), options.cache) if not isinstance(item, str)]
    columns = "emotion", "person", "down, by landmarks", "and beside them", "apart, by landmarks", "and beside them"
    table = Table(*columns)
    for emotion in EXPRESSIVE:
        for person, change in measure_offsets(seen, emotion).items():
            parts = change.offset - change.brow_movement, change.brow_movement
            down = [float(part[list(INNER), 1].mean()) for part in parts]
            apart = [float(part[INNER[1], 0] - part[INNER[0], 0]) / 2 for part in parts]
            table.add_row(emotion, person, *(f"{value:.2f}" for value in (*down, *apart)))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
