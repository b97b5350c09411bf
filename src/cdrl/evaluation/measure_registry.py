"""The measures that reports show, in order: what is entered here appears in every table, mean, interval and difference.

Also how reports write numbers, and over which emotions they average.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EMOTIONS = ("angry", "disgusted", "happy", "sad", "surprised")
"""What means are taken over."""
EXCLUDED_FROM_MEAN = ("fear", "neutral")
"""Evaluated and printed, but in no mean: the emotion network hardly sees real fear, and of a neutral source the neutral
edit is a copy. In the paper's setting (`--paper`) they are in every mean."""
ALL_EMOTIONS = (*EMOTIONS, *EXCLUDED_FROM_MEAN)
DEFAULT_TARGETS = (*EMOTIONS, "fear")
"""What sources, which are neutral, are edited to where nobody names the emotions."""
MINIMUM_PEOPLE = 2
"""Of fewer people there is no interval, in any report."""
ONE_PERSON = "one person: no interval"


@dataclass(frozen=True)
class Column:
    """How one measure of a row is shown and counted."""

    heading: str
    digits: int = 2
    """After the point."""
    lower: bool = False
    """Whether less is better."""
    paired: bool = False
    """Whether it is shown with its interval and in paired differences."""
    failure: float | None = None
    """What a clip that failed scores; None where no number means "failed" and the clip is left out."""


COLUMNS: dict[str, Column] = {
    "lip_opening_r": Column("lip opening r", paired=True, failure=0.0),
    "lip_width_r": Column("lip width r", failure=0.0),
    "lip_flow_r": Column("lip flow r", paired=True, failure=0.0),
    "closures_kept": Column("closures kept", paired=True, failure=0.0),
    "lip_dynamics": Column("lip dynamics"),
    "brow_dynamics": Column("brow dynamics"),
    "silent_lips": Column("silent lips, %", lower=True, paired=True),
    "silent_lips_source": Column("silent lips of the source, %", lower=True),
    "mouth_distance": Column("mouth distance, %", 1, lower=True, paired=True),
    "mouth_distance_source": Column("of the source, %", 1, lower=True),
    "p_target": Column("p(target)", paired=True, failure=0.0),
    "plausibility": Column("plausibility", paired=True),
    "plausibility_real": Column("of real clips"),
    "fad": Column("FAD", 3, lower=True, paired=True),
    "csim": Column("CSIM", 3, paired=True),
    "lse_d": Column("LSE-D", lower=True, paired=True),
    "lse_c": Column("LSE-C", paired=True),
    "identity": Column("identity", 3, paired=True),
    "flicker": Column("flicker", lower=True, paired=True),
    "sharpness": Column("sharpness"),
    "edited": Column("edited", failure=0.0),
}
"""Key of `row["measures"]` → its column."""

PAIRED = [name for name, column in COLUMNS.items() if column.paired]
"""Measures that are shown with intervals and in paired differences."""

PAPER = ("fad", "lse_d", "csim")
"""Measures of the paper's tables."""

FAILURE_SCORES = {name: column.failure for name, column in COLUMNS.items() if column.failure is not None}
FAILURE_SCORES["lip_flow_opening_r"] = 0.0
"""What a clip that failed scores; ratios, distances and identity have no zero and leave it out."""


def get_column(measure: str) -> Column:
    """Return a measure's column; one made of its key where it is not entered above."""
    return COLUMNS.get(measure) or Column(measure.replace("_", " "), paired=True)


def list_measures(cells: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return every measure of the cells: the known ones in order, then whatever else there is."""
    present = dict.fromkeys(measure for cell in cells for measure in cell)
    return [*(measure for measure in COLUMNS if measure in present), *(m for m in present if m not in COLUMNS)]


def format_number(value: float | None, digits: int = 2) -> str:
    """Write a value as tables have it: no zero before the point, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def format_signed(value: float | None, digits: int = 2) -> str:
    """Write a difference, with its sign."""
    return ("+" if value is not None and value >= 0 else "") + format_number(value, digits)
