"""The report of a benchmark: its tables as Markdown, and one HTML file with numbers, plots and faces.

The HTML fetches nothing and holds no script. Needs jinja2 and, for HTML, matplotlib, of the extra `evaluate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from cdrl.errors import ModelFileError, OutputError
from cdrl.evaluation import report_tables
from cdrl.evaluation.contact_sheets import SIDE, ContactSheets, SheetRow
from cdrl.evaluation.measure_registry import (
    ALL_EMOTIONS,
    EMOTIONS,
    EXCLUDED_FROM_MEAN,
    format_number,
    format_signed,
    get_column,
)
from cdrl.evaluation.summary import make_real_table, make_table, share_of_means, share_of_real
from cdrl.files import atomic_write

Row = dict[str, Any]

_BLOCKS = {
    "peers": "Comparison clips, beside published methods",
    "neutral": "Neutral clips",
    "wild": "Clips in the wild",
    "all": "All clips together",
}
_SPEECH = "lip_flow_r"


def _render(name: str, undefined: type[jinja2.Undefined], **values: Any) -> str:
    """Fill in a template; in HTML, everything that comes from outside is escaped."""
    environment = jinja2.Environment(
        autoescape="html" in name, undefined=undefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"number": format_number, **vars(report_tables)}
    source = files("cdrl.evaluation").joinpath(name).read_text(encoding="utf-8")
    return environment.from_string(source).render(**values)


def render_markdown(result: Row) -> str:
    """Return the whole report of `BenchmarkRun.finish` as Markdown."""
    return _render("report.md.jinja", jinja2.Undefined, result=result).rstrip() + "\n"


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
    blocks = result["summary"]["blocks"]
    if len(blocks) == 2:  # a single block is all there is
        blocks = {name: block for name, block in blocks.items() if name != "all"}
    return _render(
        "report.html.jinja",
        jinja2.StrictUndefined,
        result=result,
        blocks=[_draw_block(name, block, result) for name, block in blocks.items()],
        sheets=list(_describe_sheets(result["rows"], sheets)),
        failed=[row for row in result["rows"] if row["failed"]],
        excluded=" and ".join(EXCLUDED_FROM_MEAN),
        side=SIDE,
    )


def _draw_block(name: str, block: Row, result: Row) -> Row:
    slug = re.sub(r"\W", "-", name)
    cells = {method: summary["measures"] for method, summary in block["methods"].items()}
    return {
        **block,
        "slug": slug,
        "title": _BLOCKS.get(name, name),
        "measure_figures": list(_draw_measures(cells, slug)),
        "trade_off": _draw_trade_off(name, block["methods"], result, slug),
        "paired_figures": list(_draw_measures(block["paired"], f"{slug}-paired", paired=True)),
        "emotion_figures": list(_draw_emotions(block["methods"], slug)),
    }


def _list_labels(what: str, labels: Mapping[str, str]) -> str:
    return f"{what}: " + ", ".join(f"{name} {label}" for name, label in labels.items())


def _draw_measures(methods: Mapping[str, Row], slug: str, paired: bool = False) -> Iterator[Row]:
    """A figure for each measure that some method has; `paired`: of differences."""
    from cdrl.evaluation import plots  # noqa: PLC0415  matplotlib

    write = format_signed if paired else format_number
    for measure in report_tables.list_measures(methods.values()):
        column = get_column(measure)
        cells = {name: cell for name, measures in methods.items() if (cell := measures.get(measure))}
        labels = {name: write(cell["mean"], column.digits) for name, cell in cells.items()}
        if paired:
            better = {name: f"({cell['better']}/{len(cell['people'])})" for name, cell in cells.items()}
            labels = {name: f"{label} {better[name]}" for name, label in labels.items()}
        title = _list_labels(f"{'Difference in ' * paired}{column.heading}", labels)
        svg = plots.draw_dots(cells, list(labels.values()), title, f"{slug}-{measure}", zero=paired)
        yield {"svg": Markup(svg), "caption": column.heading + " (lower is better)" * column.lower}


def _draw_emotions(methods: Mapping[str, Row], slug: str) -> Iterator[Row]:
    from cdrl.evaluation import plots  # noqa: PLC0415  matplotlib

    for emotion in ALL_EMOTIONS:
        shares = {name: summary["emotions"].get(emotion) for name, summary in methods.items()}
        shares = {name: share for name, share in shares.items() if share and share["real"] is not None}
        if shares:
            labels = {n: f"{format_number(s['p'])} of {format_number(s['real'])}" for n, s in shares.items()}
            title = _list_labels(f"p({emotion}), edited of real", labels)
            svg = plots.draw_bars(shares, list(labels.values()), title, f"{slug}-emotion-{emotion}")
            yield {"svg": Markup(svg), "caption": emotion + " (in no mean)" * (emotion in EXCLUDED_FROM_MEAN)}


def _draw_trade_off(block: str, methods: Mapping[str, Row], result: Row, slug: str) -> Row | None:
    """The scatter and its numbered methods; None where no method has both numbers."""
    from cdrl.evaluation import plots  # noqa: PLC0415  matplotlib

    table, real = make_table(result["rows"]), make_real_table(result["real"])
    points: dict[str, dict[str, tuple[float, float]]] = {}
    for name, summary in methods.items():
        cell = summary["measures"].get(_SPEECH)
        if not cell or summary["share"] is None:
            continue
        points[name] = {"": (cell["mean"], summary["share"])}
        inside = table[(table["method"] == name) & ((table["block"] == block) | (block == "all"))]
        for person, x in cell["people"].items():
            shares = [share_of_real(inside[inside["person"] == person], real, emotion) for emotion in EMOTIONS]
            y = share_of_means([share for share in shares if share is not None])
            if y is not None:
                points[name][person] = (x, y)
    if not points:
        return None
    labels = {f"{k} {name}": ", ".join(map(format_number, p[""])) for k, (name, p) in enumerate(points.items(), 1)}
    title = _list_labels("Speech against emotion", labels)
    axes = get_column(_SPEECH).heading, "p(target) / real clips'"
    return {"svg": Markup(plots.draw_trade_off(points, axes, title, f"{slug}-trade-off")), "methods": list(points)}


def _describe_sheets(rows: Sequence[Row], sheets: ContactSheets) -> Iterator[Row]:
    """A contact sheet an emotion: people down, methods across; a cell without a picture says why."""
    failures = {(row["person"], row["emotion"], row["source"], row["method"]): row["failed"] for row in rows}
    for emotion in ALL_EMOTIONS:
        lines = [row for row in sheets.rows.values() if row.emotion == emotion]
        keys = {(row.person, emotion, row.source) for row in lines}
        methods = list(dict.fromkeys(key[3] for key in failures if key[:3] in keys))
        if lines:
            cells = [[_describe_cell(line, method, failures) for method in methods] for line in lines]
            yield {"emotion": emotion, "methods": methods, "lines": list(zip(lines, cells, strict=True))}


def _describe_cell(line: SheetRow, method: str, failures: Mapping[Any, str | None]) -> Row:
    key = (line.person, line.emotion, line.source, method)
    reason = (failures[key] or "has no frame at this time") if key in failures else "not judged on this clip"
    return {"picture": line.methods.get(method), "reason": reason, "failed": bool(failures.get(key))}
