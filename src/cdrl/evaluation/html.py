"""The table as one HTML file: numbers, plots and faces inside it, nothing fetched from anywhere, no script.

`write(result, faces, path)`: `result` is what `table.evaluate` returns (or its JSON, read again), `faces` what the
table took of the edited files, or the folder it kept them in. Needs jinja2 and matplotlib, of the extra `evaluate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdrl.errors import AssetError, OutputError
from cdrl.evaluation import report
from cdrl.evaluation.columns import COLUMNS
from cdrl.evaluation.people import APART, EMOTIONS
from cdrl.evaluation.sheets import SIDE, Faces
from cdrl.files import atomic_write

if TYPE_CHECKING:
    from cdrl.evaluation.plots import Point

Row = dict[str, Any]

_TEMPLATE = "report.html.jinja"
_BLOCKS = {
    "peers": "Comparison clips, beside published methods",
    "neutral": "Neutral clips",
    "wild": "Clips in the wild",
    "all": "All clips together",
}
_SPEECH = "lip_flow_r"


def check(path: Path) -> None:
    """Before hours are spent: the libraries are there and the file has a place. AssetError, OutputError."""
    for library in ("jinja2", "matplotlib"):
        if find_spec(library) is None:
            raise AssetError(f"an HTML report needs {library}: run `pip install 'cdrl[evaluate]'`")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"{path}: not a place for a report; give the name of a file in a folder that exists")


def write(result: Row, faces: Faces | Path | None, path: Path) -> None:
    """Write the report, whole or not at all.

    `faces`: what the table took, or the folder given to --keep; None, or a folder without any, leaves the contact
    sheets out. Raises AssetError without the libraries, OutputError, InputError for a folder that is not what it was.
    """
    check(path)
    if isinstance(faces, Path):
        faces = Faces.load(faces)
    atomic_write(path, [render(result, faces if faces is not None else Faces()).encode()])


def render(result: Row, faces: Faces) -> str:
    """The page as text; everything that comes from outside is escaped by the template."""
    import jinja2  # noqa: PLC0415  only who asks for a report needs it

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(files("cdrl.evaluation").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    blocks = result["summary"]["blocks"]
    if len(blocks) == 2:  # a single block is all there is
        blocks = {name: block for name, block in blocks.items() if name != "all"}
    return template.render(
        result=result,
        blocks=[_block(name, block, result) for name, block in blocks.items()],
        sheets=_sheets(result["rows"], faces),
        failed=[row for row in result["rows"] if row["failed"]],
        apart=" and ".join(APART),
        identities=[(who, _number(value, 3)) for who, value in result["summary"]["real_identity"].items()],
        others=_number(result["summary"]["others_identity"], 3),
        side=SIDE,
    )


def pretty(measure: str) -> str:
    """A measure's name for people; its key where nobody gave it one."""
    return COLUMNS[measure].heading if measure in COLUMNS else measure.replace("_", " ")


def _number(value: float | None, digits: int = 2) -> str:
    return report.number(value, digits).replace("-", "−")


def _digits(measure: str, value: float) -> int:
    """Cosines differ in the third place; a distance in the tens has nothing to say after the first."""
    return 3 if measure.startswith(("identity", "csim")) else 1 if abs(value) >= 10 else 2


def _shown(measure: str, value: float | None) -> str:
    return "–" if value is None else _number(value, _digits(measure, value))


def _measures(cells: Sequence[Row]) -> list[str]:
    """Every measure that some method has: the known ones in the table's order, then whatever else there is."""
    found = dict.fromkeys(measure for cell in cells for measure in cell)
    return [measure for measure in COLUMNS if measure in found] + [
        measure for measure in found if measure not in COLUMNS
    ]


def _block(name: str, block: Row, result: Row) -> Row:
    methods = block["methods"]
    measures = _measures([summary["measures"] for summary in methods.values()])
    lines = []
    for method, summary in methods.items():
        cells = [(_number(summary[key]), "") for key in ("share", "share_capped")]
        cells.append((_number(summary["identity_margin"], 3), ""))
        for measure in measures:
            cell = summary["measures"].get(measure) or {}
            span = [_shown(measure, cell[end]) for end in ("low", "high") if cell.get(end) is not None]
            interval = (" to " if "−" in "".join(span) else "–").join(span) or ("–" if cell else "")
            cells.append((_shown(measure, cell.get("mean")), interval))
        people = max((len(cell["people"]) for cell in summary["measures"].values()), default=0)
        lines.append((method, [people, summary["clips"], summary["failed"]], cells))
    slug = re.sub(r"\W", "-", name)
    return {
        "slug": slug,
        "title": _BLOCKS.get(name, name),
        "header": ["p / real", "capped", "identity − real", *map(pretty, measures)],
        "lines": lines,
        "measures": list(_measure_figures(methods, measures, slug)),
        "trade_off": _trade_off(name, methods, result, slug),
        "paired": list(_paired_figures(block["paired"], slug)),
        "emotions": list(_emotion_figures(methods, slug)),
    }


def _figure(svg: str, caption: str) -> Row:
    from markupsafe import Markup  # noqa: PLC0415  jinja2's own

    return {"svg": Markup(svg), "caption": caption}


def _direction(measure: str) -> str:
    return " (lower is better)" if measure in COLUMNS and COLUMNS[measure].lower else ""


def _dots(measure: str, cells: dict[str, Row], salt: str, paired: bool = False) -> str:
    from cdrl.evaluation import plots  # noqa: PLC0415  matplotlib

    lines = []
    for name, cell in cells.items():
        label = _shown(measure, cell["mean"])
        if paired:
            label = f"{'+' * (cell['mean'] >= 0)}{label} ({cell['better']}/{len(cell['people'])})"
        lines.append(plots.Line(name, cell["mean"], cell.get("low"), cell.get("high"), cell["people"], label))
    title = f"{'Difference in ' * paired}{pretty(measure)}: " + ", ".join(f"{line.name} {line.label}" for line in lines)
    return plots.dots(lines, title, salt, zero=paired)


def _with(measure: str, methods: dict[str, Row]) -> dict[str, Row]:
    """Method → its cell of a measure; those that have no number are left out."""
    from cdrl.evaluation.plots import finite  # noqa: PLC0415  matplotlib

    cells = {name: measures.get(measure) for name, measures in methods.items()}
    return {name: cell for name, cell in cells.items() if cell and finite(cell["mean"])}


def _measure_figures(methods: dict[str, Row], measures: Sequence[str], slug: str) -> Iterator[Row]:
    for measure in measures:
        cells = _with(measure, {name: summary["measures"] for name, summary in methods.items()})
        if cells:
            yield _figure(_dots(measure, cells, f"{slug}-{measure}"), pretty(measure) + _direction(measure))


def _paired_figures(paired: dict[str, Row], slug: str) -> Iterator[Row]:
    for measure in _measures(list(paired.values())):
        cells = _with(measure, paired)
        if cells:
            svg = _dots(measure, cells, f"{slug}-paired-{measure}", paired=True)
            yield _figure(svg, pretty(measure) + _direction(measure))


def _emotion_figures(methods: dict[str, Row], slug: str) -> Iterator[Row]:
    from cdrl.evaluation import plots  # noqa: PLC0415  matplotlib

    for emotion in (*EMOTIONS, *APART):
        shares = {name: summary["emotions"].get(emotion) for name, summary in methods.items()}
        bars = [
            plots.Bar(name, share["p"], share["real"], f"{_number(share['p'])} of {_number(share['real'])}")
            for name, share in shares.items()
            if share and plots.finite(share["real"])
        ]
        if bars:
            title = f"p({emotion}), edited of real: " + ", ".join(f"{bar.name} {bar.label}" for bar in bars)
            caption = emotion + (" (in no mean)" if emotion in APART else "")
            yield _figure(plots.bars(bars, title, f"{slug}-emotion-{emotion}"), caption)


def _trade_off(block: str, methods: dict[str, Row], result: Row, slug: str) -> Row | None:
    """The scatter and its numbered methods; None where no method has both numbers."""
    from cdrl.evaluation import plots  # noqa: PLC0415  matplotlib

    inside = [row for row in result["rows"] if block in (row["block"], "all")]
    points: list[Point] = []
    for name, summary in methods.items():
        cell = summary["measures"].get(_SPEECH)
        if not cell or not plots.finite(cell["mean"]) or not plots.finite(summary["share"]):
            continue
        people = {}
        for person, x in cell["people"].items():
            rows = [row for row in inside if row["method"] == name and row["person"] == person]
            shares = [report.probability_share(rows, result["real"], emotion) for emotion in EMOTIONS]
            y = report.share_of_means([share for share in shares if share is not None])
            if y is not None and plots.finite(y):
                people[person] = (x, y)
        points.append(plots.Point(name, cell["mean"], summary["share"], people))
    if not points:
        return None
    title = "Speech against emotion: " + ", ".join(
        f"{number} {point.name} {_number(point.x)}, {_number(point.y)}" for number, point in enumerate(points, 1)
    )
    svg = plots.trade_off(points, pretty(_SPEECH), "p(target) / real clips'", title, f"{slug}-trade-off")
    return {**_figure(svg, ""), "methods": [point.name for point in points]}


def _sheets(rows: Sequence[Row], faces: Faces) -> list[Row]:
    """A contact sheet an emotion: people down, methods across; a cell without a picture says why."""
    reasons = {(row["person"], row["emotion"], row["source"], row["method"]): row["failed"] for row in rows}
    sheets = []
    for emotion in (*EMOTIONS, *APART):
        moments = [moment for moment in faces.moments.values() if moment.emotion == emotion]
        if not moments:
            continue
        judged = dict.fromkeys(row["method"] for row in rows if row["emotion"] == emotion)
        methods = [name for name in judged if any(_row_of(moment, name) in reasons for moment in moments)]
        lines = []
        for moment in moments:
            cells = []
            for method in methods:
                key = _row_of(moment, method)
                reason = (reasons[key] or "has no frame at this time") if key in reasons else "not judged on this clip"
                failed = bool(reasons.get(key))
                cells.append({"picture": moment.methods.get(method), "reason": reason, "failed": failed})
            lines.append({"moment": moment, "cells": cells})
        sheets.append({"emotion": emotion, "methods": methods, "lines": lines})
    return sheets


def _row_of(moment: Any, method: str) -> tuple[str, str, str, str]:
    return moment.person, moment.emotion, moment.source, method
