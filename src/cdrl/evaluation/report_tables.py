"""The tables of a report, as headings and lines of text."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cdrl.evaluation.measure_registry import COLUMNS, format_number, get_column
from cdrl.evaluation.summary import average_real, make_real_table, make_table

Row = dict[str, Any]
Table = tuple[list[str], list[list[str]]]
"""Headings, and a list of cells a line."""


def list_measures(cells: Iterable[Row]) -> list[str]:
    """Return every measure of the cells: the known ones in the registry's order, then whatever else there is."""
    present = dict.fromkeys(measure for cell in cells for measure in cell)
    return [*(measure for measure in COLUMNS if measure in present), *(m for m in present if m not in COLUMNS)]


def format_interval(cell: Row, digits: int, write: Callable[[float, int], str] = format_number) -> str:
    """Write the interval of a cell in brackets; a dash in them where there is none."""
    ends = cell["low"], cell["high"]
    return f"[{'–' if None in ends else ', '.join(write(end, digits) for end in ends)}]"


def tabulate_methods(methods: dict[str, Row], all_intervals: bool = False) -> Table:
    """Return a line a method: means over people with intervals, shares of real clips.

    Args:
        methods: Method → its summary.
        all_intervals: Whether measures that are not compared in pairs have intervals, too.
    """
    measures = list(dict.fromkeys([*COLUMNS, *list_measures(summary["measures"] for summary in methods.values())]))
    lines = []
    for method, summary in methods.items():
        cells = [_format_mean(measure, summary["measures"].get(measure), all_intervals) for measure in measures]
        count = len(summary["measures"].get("p_target", {"people": ()})["people"])
        shares = [format_number(summary["share"]), format_number(summary["share_capped"])]
        margin = format_number(summary["identity_margin"], 3)
        lines.append([method, str(count), str(summary["clips"]), str(summary["failed"]), *cells, *shares, margin])
    headings = [get_column(measure).heading for measure in measures]
    return ["method", "people", "clips", "failed", *headings, "p / real", "capped", "identity − real"], lines


def _format_mean(measure: str, cell: Row | None, interval: bool) -> str:
    column = get_column(measure)
    if cell is None:
        return "–"
    mean = format_number(cell["mean"], column.digits)
    return f"{mean} {format_interval(cell, column.digits)}" if column.paired or interval else mean


def tabulate_groups(rows: Sequence[Row], real: Sequence[Row]) -> Table:
    """Return a line a method, person and emotion: means over the clips."""
    table, real_table = make_table(rows), make_real_table(real)
    lines = []
    for (method, person, emotion), group in table.groupby(["method", "person", "emotion"]):
        own = average_real(real_table, emotion)
        target = format_number(own[person]) if person in own else f"{format_number(own.mean())} (all)"
        means = group[list(COLUMNS)].mean()
        values = [format_number(means[measure], column.digits) for measure, column in COLUMNS.items()]
        lines.append([method, person, emotion, str(len(group)), *values, target])
    return ["method", "person", "emotion", "clips", *(column.heading for column in COLUMNS.values()), "real p"], lines
