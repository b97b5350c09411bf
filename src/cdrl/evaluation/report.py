"""The report of a benchmark: its tables as Markdown, and one HTML file with numbers, plots and faces.

The HTML fetches nothing and holds no script. Needs jinja2 and, for HTML, matplotlib, of the extra `evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2

from cdrl.errors import ModelFileError, OutputError
from cdrl.evaluation.contact_sheets import SIDE, ContactSheets, SheetRow
from cdrl.evaluation.measure_registry import (
    ALL_EMOTIONS,
    COLUMNS,
    EXCLUDED_FROM_MEAN,
    PAIRED,
    PAPER,
    format_number,
    format_signed,
    get_column,
    list_measures,
)
from cdrl.evaluation.summary import average_real, make_real_table, make_table
from cdrl.files import atomic_write

Row = dict[str, Any]
Table = tuple[list[str], list[list[str]]]
"""Headings, and a list of cells a line."""


def _render(name: str, undefined: type[jinja2.Undefined], **values: Any) -> str:
    """Fill in a template; in HTML, everything that comes from outside is escaped."""
    html = "html" in name
    environment = jinja2.Environment(autoescape=html, undefined=undefined, trim_blocks=True, lstrip_blocks=True)
    source = files("cdrl.evaluation").joinpath(name).read_text(encoding="utf-8")
    return environment.from_string(source).render(number=format_number, tabulate_methods=tabulate_methods, **values)


def render_markdown(result: Row) -> str:
    """Return the whole report of `BenchmarkRun.finish` as Markdown."""
    names = {"columns": COLUMNS, "paired": PAIRED, "emotions": ALL_EMOTIONS}
    functions = {"signed": format_signed, "format_interval": format_interval, "tabulate_groups": tabulate_groups}
    functions |= {"tabulate_emotions": tabulate_emotions}
    excluded = " and ".join(EXCLUDED_FROM_MEAN)
    text = _render("report.md.jinja", jinja2.Undefined, result=result, excluded=excluded, **names, **functions)
    return text.rstrip() + "\n"


def check_place(path: Path) -> None:
    """Check before hours are spent that matplotlib is there and the file has a place. ModelFileError, OutputError."""
    if find_spec("matplotlib") is None:
        raise ModelFileError("an HTML report needs matplotlib: run `pip install 'cdrl[evaluate]'`")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"{path}: not a place for a report; give the name of a file in a folder that exists")


def write_html(result: Row, sheets: ContactSheets | Path | None, path: Path) -> None:
    """Write the report, whole or not at all.

    Args:
        result: What a benchmark returns, or its JSON, read again.
        sheets: Faces, or the folder given to --keep; None, or a folder without any, leaves the contact sheets out.
        path: The file.

    Raises:
        ModelFileError: matplotlib is missing.
        InputError: The folder is not what it was.
        OutputError: The file cannot be written.
    """
    check_place(path)
    if isinstance(sheets, Path):
        sheets = ContactSheets.load(sheets)
    atomic_write(path, [render_html(result, sheets if sheets is not None else ContactSheets()).encode()])


def render_html(result: Row, sheets: ContactSheets) -> str:
    """Return the report as a page."""
    from cdrl.evaluation import plots  # noqa: PLC0415  matplotlib

    blocks = result["summary"]["blocks"]
    if len(blocks) == 2:  # a single block is all there is
        blocks = {name: block for name, block in blocks.items() if name != "all"}
    failures = {(row["person"], row["emotion"], row["source"], row["method"]): row["failed"] for row in result["rows"]}
    return _render(
        "report.html.jinja",
        jinja2.StrictUndefined,
        result=result,
        blocks=blocks,
        failures=failures,
        sheets=list(_list_sheets(sheets, failures)),
        failed=[row for row in result["rows"] if row["failed"]],
        excluded=" and ".join(EXCLUDED_FROM_MEAN),
        side=SIDE,
        **{name: value for name, value in vars(plots).items() if name.startswith("draw_")},
    )


def _list_sheets(
    sheets: ContactSheets, evaluated: Iterable[tuple[str, str, str, str]]
) -> Iterator[tuple[str, list[str], list[SheetRow]]]:
    """Emotion, methods and people of each contact sheet."""
    for emotion in ALL_EMOTIONS:
        lines = [row for row in sheets.rows.values() if row.emotion == emotion]
        keys = {(row.person, emotion, row.source) for row in lines}
        if lines:
            yield emotion, list(dict.fromkeys(key[3] for key in evaluated if key[:3] in keys)), lines


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


def tabulate_emotions(methods: dict[str, Row]) -> Table:
    """Return a line a method and measure of the paper: the value of each emotion, and their mean."""
    cells = [
        (name, measure, summary["measures"].get(measure)) for name, summary in methods.items() for measure in PAPER
    ]
    lines = []
    for name, measure, cell in cells:
        if cell is not None:
            values = [cell["emotions"].get(emotion) for emotion in ALL_EMOTIONS]
            numbers = [format_number(value, 3) for value in (*values, cell["mean"])]
            lines.append([name, get_column(measure).heading, *numbers])
    return ["method", "measure", *ALL_EMOTIONS, "mean"], lines


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
