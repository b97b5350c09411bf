"""The report of `evaluate_realism`, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cdrl.emotions import EMOTIONS
from cdrl.evaluation.measure_registry import format_number
from cdrl.evaluation.report import format_interval

Row = dict[str, Any]

_TEXT = """# Edits told from real footage, on the {set} people

{methods}; intensity {intensity:g}. The first {seconds:g} s of {clips} clips, {frames} frames of each file, as written
and decoded again; {judges}. Real: the same frames through the same encoder, nothing changed. For each of {people} a
detector is trained anew on the other people and {others} more, never on the person left out.

AUC: .5 says that edits cannot be told from real frames of the person, 1 that each can. Means over the people left out,
[95 % intervals by bootstrap over people] ([–] for one person), and the person whose edits are told best. *frame*: of
single frames. *clip*: of means over the frames of a file. *together*: of the mean of the four detectors. *control*:
real frames called edits, through the same training.

"""
_SHAPES = """
## Teeth and brows

Edited over real, the same frames: how high teeth are where both show some, and how thick brows are; 1 where nothing is
stretched. *off*: mean distance of an edit from 1, either way.

"""


def render_realism(result: Row) -> str:
    """Return the report of `benchmark.evaluate_realism` as Markdown."""
    judges = ", ".join(f"{what} by {name}" for what, name in result["judges"].items())
    facts = {"judges": judges, "methods": ", ".join(result["methods"]), "people": ", ".join(result["people"])}
    sides = [*result["detection"].items(), ("control", result["control"])]
    notes = {f"clip {name}": f"left out: {reason}" for name, reason in result["unread"].items()}
    notes |= {f"{row['source']}, {row['emotion']}": row["failed"] for row in result["rows"] if row["failed"]}
    notes |= {f"not trained on {name}": reason for name, reason in result["failed_training"].items()}
    if result["unnamed"]:
        notes["not trained on"] = (
            f"{result['unnamed']} clips of people without a name, who may be one of those left out"
        )
    parts = [
        _TEXT.format(**result | facts),
        _tabulate_means(sides),
        "\n## By emotion\n\nMean AUC a frame (a clip) of the edits to each, against all real ones.\n\n",
        _tabulate_emotions(result["detection"]),
        "\n## By person\n\nAUC a frame (a clip).\n\n",
        _tabulate_people(sides, result["people"]),
        _SHAPES,
        _tabulate_shapes(result["shapes"]),
        "\n",
        *(f"- {what}: {why}\n" for what, why in notes.items()),
    ]
    return "".join(parts)


def _format_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (headings, ["---"] * len(headings), *lines))


def _tabulate_means(sides: Sequence[tuple[str, Row]]) -> str:
    lines = []
    for name, regions in sides:
        for region, units in regions.items():
            cells = [_format_mean(units[unit]) for unit in ("frame", "clip")]
            lines.append([name, region, *(cell for pair in cells for cell in pair)])
    return _format_table(("", "region", "AUC a frame", "worst", "AUC a clip", "worst"), lines)


def _format_mean(cell: Row) -> tuple[str, str]:
    if cell["mean"] is None:
        return "–", "–"
    worst = max(cell["people"], key=cell["people"].get)
    return f"{format_number(cell['mean'])} {format_interval(cell, 2)}", f"{format_number(cell['worst'])} {worst}"


def _format_both(units: Row, *keys: str) -> str:
    """A frame's value and, in brackets, a clip's, that lie at the keys."""
    values = []
    for cell in (units["frame"], units["clip"]):
        for key in keys:
            cell = cell.get(key, {}) if isinstance(cell, dict) else cell  # noqa: PLW2901
        values.append(format_number(cell if isinstance(cell, float) else None))
    return f"{values[0]} ({values[1]})"


def _tabulate_emotions(detection: Row) -> str:
    shown = [(name, region, units) for name, regions in detection.items() for region, units in regions.items()]
    asked = [emotion for emotion in EMOTIONS if any(emotion in units["frame"]["emotions"] for _, _, units in shown)]
    lines = [
        [name, region, *(_format_both(units, "emotions", emotion, "mean") for emotion in asked)]
        for name, region, units in shown
    ]
    return _format_table(("", "region", *asked), lines)


def _tabulate_people(sides: Sequence[tuple[str, Row]], people: Sequence[str]) -> str:
    lines = [
        [name, region, *(_format_both(units, "people", person) for person in people)]
        for name, regions in sides
        for region, units in regions.items()
    ]
    return _format_table(("", "region", *people), lines)


def _tabulate_shapes(shapes: Row) -> str:
    lines = []
    for name, groups in shapes.items():
        for group, cells in groups.items():
            texts = []
            for shape in ("tooth_height", "brow_thickness"):
                mean, change = (cells.get(measure) for measure in (shape, f"{shape}_change"))
                texts.append(f"{format_number(mean['mean'])} {format_interval(mean, 2)}" if mean else "–")
                texts.append(format_number(change["mean"]) if change else "–")
            lines.append([name, group, *texts])
    return _format_table(("", "edits to", "tooth height", "off", "brow thickness", "off"), lines)
