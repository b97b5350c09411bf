"""The measures a report shows, in order: what is entered here appears in every table, mean, interval and difference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """How one measure of a row is shown and counted.

    `digits` after the point; `lower`: less is better; `paired`: shown with its interval and in paired differences;
    `miss`: what a clip that failed scores, None where no number means "failed" and the clip is left out.
    """

    heading: str
    digits: int = 2
    lower: bool = False
    paired: bool = False
    miss: float | None = None


COLUMNS: dict[str, Column] = {
    "lip_opening_r": Column("lip opening r", paired=True, miss=0.0),
    "lip_width_r": Column("lip width r", miss=0.0),
    "lip_flow_r": Column("lip flow r", paired=True, miss=0.0),
    "closures_kept": Column("closures kept", paired=True, miss=0.0),
    "mouth_distance": Column("mouth distance, %", 1, lower=True, paired=True),
    "mouth_distance_source": Column("of the source, %", 1, lower=True),
    "p_target": Column("p(target)", paired=True, miss=0.0),
    "fad": Column("FAD", 3, lower=True, paired=True),
    "csim": Column("CSIM", 3, paired=True),
    "lse_d": Column("LSE-D", lower=True, paired=True),
    "lse_c": Column("LSE-C", paired=True),
    "identity": Column("identity", 3, paired=True),
    "flicker": Column("flicker", lower=True, paired=True),
    "sharpness": Column("sharpness"),
    "edited": Column("edited", miss=0.0),
}
"""Key of `row["measures"]` → its column."""

PAIRED = tuple(name for name, column in COLUMNS.items() if column.paired)

MISS = {name: column.miss for name, column in COLUMNS.items() if column.miss is not None} | {"lip_flow_opening_r": 0.0}
"""What a clip that failed scores; ratios, distances and identity have no zero and leave it out."""

INTRODUCTION = (
    "Files as written, decoded again; none of the judges drives an edit:",
    "Means over people, 95 % intervals by bootstrap over people ([–] for one person); fear is printed but in no mean. "
    "A clip that fails "
    "scores 0 in lip r, closures and p.",
    "",
    "*p / real*: mean over emotions of p(target), over that of real clips; *capped*: mean over emotions of each share, "
    "at most 1. *identity − real*: cosine to the person's other neutral clips, less that of their real emotional "
    "clips. *FAD* (lower is better): Fréchet distance of recognition features to real frames of the person in that "
    "emotion, as many on each side. *CSIM* (higher is better): mean cosine of expression features, raw, over up to "
    "100 × 100 pairs with them. *Mouth distance* (lower is better): lip landmarks to the person's real take of the "
    "same words in that emotion, warped to the source's time, in percent of the eyes' distance; beside it that of the "
    "source itself on the same clips.",
)
"""Lines above a table: what its numbers are."""
