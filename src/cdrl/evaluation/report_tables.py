"""The tables of a report, as headings and lines of text."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cdrl.evaluation.measure_registry import ALL_EMOTIONS, COLUMNS, PAIRED, format_number, format_signed, get_column
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


def tabulate_shares(methods: dict[str, Row]) -> Table:
    """Return a line a method: p(target) beside that of real clips, emotion by emotion."""
    lines = [[method, *(_format_share(s["emotions"].get(e)) for e in ALL_EMOTIONS)] for method, s in methods.items()]
    return ["method", *ALL_EMOTIONS], lines


def _format_share(share: Row | None) -> str:
    if share is None:
        return "–"
    own = f"{len(share['own'])}/{len(share['people'])}"
    return f"{format_number(share['p'])} of {format_number(share['real'])} ({own})"


def tabulate_differences(block: Row) -> Table:
    """Return a line a pair of methods: mean difference, interval, median, for how many people the first is better."""
    lines = []
    for key, cells in block["paired"].items():
        lines.append([" − ".join(block["pairs"][key]), *(_format_difference(m, cells.get(m)) for m in PAIRED)])
    return ["", *(COLUMNS[measure].heading for measure in PAIRED)], lines


def _format_difference(measure: str, cell: Row | None) -> str:
    if cell is None:
        return "–"
    digits = COLUMNS[measure].digits
    mean, median = (format_signed(cell[name], digits) for name in ("mean", "median"))
    interval = format_interval(cell, digits, format_signed)
    return f"{mean} {interval}, {median} ({cell['better']}/{len(cell['people'])})"


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
