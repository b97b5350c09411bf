"""The report: one table with a verdict a line, on the screen and as Markdown, and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from cdrl.evaluation.representation import content, emotion
from cdrl.evaluation.representation.estimates import Row
from cdrl.evaluation.representation.features import FIXED, OWN, SHUFFLED, SILENT
from cdrl.evaluation.representation.moments import REAL, SYNTHETIC
from cdrl.evaluation.representation.pictures import Picture

MODELS = ("content", "emotion")
"""The names of what is judged; every other name is an ablation's."""

HEADINGS = ("measure", "people", "with", "value", "95 % interval, over", "n", "bar", "verdict")

_CORE = (
    (content.SAME, SYNTHETIC, OWN),
    (content.OTHER, SYNTHETIC, OWN),
    (content.RETRIEVAL, SYNTHETIC, OWN),
    (content.RETRIEVAL, SYNTHETIC, FIXED),
    (content.RETRIEVAL, SYNTHETIC, SHUFFLED),
    (content.RETRIEVAL, SYNTHETIC, SILENT),
    (content.SHUT, SYNTHETIC, OWN),
    (content.LOOKS, SYNTHETIC, OWN),
    (content.EMOTION_READ, SYNTHETIC, f"linear, {OWN}"),
    (content.EMOTION_READ, SYNTHETIC, f"small network, {OWN}"),
    (emotion.RECOGNISED, REAL, emotion.CLIPS),
    (emotion.RECOGNISED, emotion.FER, emotion.PICTURES),
    (emotion.RECOGNISED, SYNTHETIC, emotion.CLIPS),
    (emotion.VISEME_READ, SYNTHETIC, "linear"),
    (emotion.VISEME_READ, SYNTHETIC, "small network"),
)
"""What the ablations are compared by: measure, people, condition; and retrieval on each real data set."""


@dataclass(frozen=True)
class Report:
    """All rows, `details` for JSON, and pictures by name."""

    rows: tuple[Row, ...]
    details: Mapping[str, Any]
    pictures: Mapping[str, Picture]

    @property
    def judged(self) -> list[Row]:
        """The rows of what is judged, without ablations."""
        return [row for row in self.rows if row.model in MODELS]

    def verdicts(self) -> dict[str, int]:
        """How many bars were met, missed, and could not be measured."""
        met = [row.bar.met(row.found) for row in self.judged if row.bar]
        return {"met": met.count(True), "missed": met.count(False), "not measured": met.count(None)}

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures."""
        return {
            "verdicts": self.verdicts(),
            "rows": [row.to_json() for row in self.judged],
            "ablations": [row.to_json() for row in self.rows if row.model not in MODELS],
            **self.details,
        }


def screen(report: Report) -> Table:
    """The table for the terminal."""
    table = Table(title="The representations, on people they never saw", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading)
    style = {"met": "green", "missed": "red", "not measured": "yellow", "": "dim"}
    for row in report.judged:
        cells = _cells(row)
        table.add_row(*cells, style=style[cells[-1]])
    return table


def ablations(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and lines: what the ablations change, one column a model; no lines where there are none."""
    names = list(dict.fromkeys(row.model for row in report.rows if row.model not in MODELS))
    found = {(row.model, row.measure, row.people, row.condition): row for row in report.rows}
    real = [
        (row.measure, row.people, row.condition)
        for row in report.judged
        if row.measure == content.RETRIEVAL and row.people.startswith(f"{REAL}:") and row.bar
    ]
    lines = []
    for measure, people, condition in (*_CORE, *real) if names else ():
        ours = next(
            (found[m, measure, people, condition] for m in MODELS if (m, measure, people, condition) in found), None
        )
        others = [found.get((name, measure, people, condition)) for name in names]
        if any(others):
            values = [_number(row.found.value) if row else "" for row in (ours, *others)]
            lines.append([measure, people, condition, *values, str(ours.bar) if ours and ours.bar else ""])
    return ["measure", "people", "with", "shipped", *names, "bar"], lines


def markdown(report: Report) -> str:
    """The report as Markdown: the verdicts, every row, ablations, sentences, recall of each emotion."""
    counts = report.verdicts()
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    text = ["# The representations, on people they never saw", "", f"Bars: {said}.", ""]
    text += [f"- {name}: {value}" for name, value in report.details.get("data", {}).items()]
    text += ["", *_table(HEADINGS, [_cells(row) for row in report.judged])]
    headings, lines = ablations(report)
    if lines:
        text += ["## Ablations", "", *_table(headings, lines)]
    sentences = report.details.get("sentences", [])
    if sentences:
        text += ["## Free sentences, and the class whose prompt is nearest", ""]
        shown = [
            [s["sentence"], s["meant"], s["nearest"], _number(s["cosine"]), s["then"], _number(s["its cosine"])]
            for s in sentences
        ]
        text += _table(("sentence", "meant", "nearest", "cosine", "then", "cosine"), shown)
    recall = report.details.get("recall", {})
    if recall:
        text += ["## Share recognised of each emotion", ""]
        emotions = list(next(iter(recall.values())))
        text += _table(("", *emotions), [[name, *map(_number, values.values())] for name, values in recall.items()])
    return "\n".join(text).rstrip() + "\n"


def _cells(row: Row) -> list[str]:
    found = row.found
    if found.value is None:
        verdict = "not measured" if row.bar else ""
        return [row.measure, row.people, row.condition, "–", found.reason, "", str(row.bar or ""), verdict]
    interval = f"[{_number(found.low)}, {_number(found.high)}] {found.unit}" if found.low is not None else "–"
    chance = f" (chance {_number(row.chance)})" if row.chance is not None else ""
    verdict = {True: "met", False: "missed", None: "not measured"}[row.bar.met(found)] if row.bar else ""
    count = f"{found.count} of {len(found.people)}"
    bar = str(row.bar or "")
    return [row.measure, row.people, row.condition, _number(found.value) + chance, interval, count, bar, verdict]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    head = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return [*head, *("| " + " | ".join(line) + " |" for line in lines), ""]
