"""The report: one table with a verdict a line, on the screen and as Markdown, and everything as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.table import Table

from cdrl.evaluation.estimates import Measurement

MODELS = ("content", "emotion")
"""The names of what is measured; every other name is an ablation's."""

HEADINGS = ("measure", "people", "with", "value", "95 % interval, over", "n", "threshold", "verdict")


@dataclass
class Results:
    """What has been measured so far, and in the end the report."""

    rows: list[Measurement] = field(default_factory=list)
    """Measurements of the models and of their ablations."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else the JSON file holds."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Further tables of texts in the Markdown file, by their titles."""
    compared: tuple[tuple[str, str, str], ...] = ()
    """What ablations are compared by: measure, people, condition."""

    @property
    def shipped(self) -> list[Measurement]:
        """The rows of what is measured, without ablations."""
        return [row for row in self.rows if row.model in MODELS]

    def verdicts(self) -> dict[str, int]:
        """Count the thresholds that were passed, failed, and could not be measured."""
        verdicts = [row.threshold.verdict(row.estimate) for row in self.shipped if row.threshold]
        return {name: verdicts.count(name) for name in ("pass", "fail", "not measured")}

    def to_json(self) -> dict[str, Any]:
        """Return everything."""
        return {
            "verdicts": self.verdicts(),
            "rows": [row.to_json() for row in self.shipped],
            "ablations": [row.to_json() for row in self.rows if row.model not in MODELS],
            **self.details,
        }

    def ablations(self) -> pd.DataFrame:
        """Compare the ablations: a measure a line, a model a column; no line where there are no ablations."""
        names = list(dict.fromkeys(row.model for row in self.rows if row.model not in MODELS))
        cells = {(row.key, row.model if row.model in names else "shipped"): row for row in self.rows}
        lines = []
        for key in self.compared:
            if any((key, name) in cells for name in names):
                ours = cells.get((key, "shipped"))
                values = {
                    name: format_number(cells[key, name].estimate.value)
                    for name in ("shipped", *names)
                    if (key, name) in cells
                }
                threshold = str(ours.threshold or "") if ours else ""
                lines.append(
                    {**dict(zip(("measure", "people", "with"), key, strict=True)), **values, "threshold": threshold}
                )
        return pd.DataFrame(lines, columns=["measure", "people", "with", "shipped", *names, "threshold"]).fillna("")

    def table(self) -> pd.DataFrame:
        """Tabulate the rows of what is measured as `HEADINGS`, every cell as text."""
        return pd.DataFrame([_cells(row) for row in self.shipped], columns=list(HEADINGS))


def screen_tables(results: Results) -> list[Table]:
    """Return the tables for the terminal: the measures, and the ablations where there are any."""
    styles = {"pass": "green", "fail": "red", "not measured": "yellow", "": "dim"}
    tables = [("The representations, on people they never saw", results.table()), ("Ablations", results.ablations())]
    shown = []
    for title, frame in tables:
        if len(frame):
            table = Table(*frame.columns, title=title, title_justify="left")
            for cells in frame.itertuples(index=False):
                table.add_row(*cells, style=styles[cells[-1]] if "verdict" in frame else None)
            shown.append(table)
    return shown


def write_markdown(results: Results) -> str:
    """Write the report as Markdown: the verdicts, every row, ablations, and further tables."""
    verdicts = ", ".join(f"{count} {name}" for name, count in results.verdicts().items())
    text = ["# The representations, on people they never saw", "", f"Thresholds: {verdicts}.", ""]
    text += [f"- {name}: {value}" for name, value in results.details.get("data", {}).items()]
    text += ["", *markdown_table(results.table())]
    for title, frame in {"Ablations": results.ablations(), **results.tables}.items():
        if len(frame):
            text += [f"## {title}", "", *markdown_table(frame)]
    return "\n".join(text).rstrip() + "\n"


def markdown_table(frame: pd.DataFrame) -> list[str]:
    """Write a table of texts as lines of Markdown."""
    rows = [frame.columns, *frame.itertuples(index=False)]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(frame.columns), *lines[1:], ""]


def _cells(row: Measurement) -> Sequence[str]:
    estimate, threshold = row.estimate, str(row.threshold or "")
    verdict = row.threshold.verdict(estimate) if row.threshold else ""
    if estimate.value is None:
        return [*row.key, "–", estimate.reason, "", threshold, verdict]
    low, high = format_number(estimate.low), format_number(estimate.high)
    interval = f"[{low}, {high}] {estimate.unit}" if estimate.low is not None else "–"
    chance = f" (chance {format_number(row.chance)})" if row.chance is not None else ""
    count = f"{estimate.count} of {len(estimate.people)}"
    return [*row.key, format_number(estimate.value) + chance, interval, count, threshold, verdict]


def format_number(value: float | None) -> str:
    """Write a number with three decimals; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
