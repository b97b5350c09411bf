"""The figures of an HTML report, each with its caption. Needs matplotlib, of the extra `evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from cdrl.evaluation import plots
from cdrl.evaluation.measure_registry import (
    ALL_EMOTIONS,
    EMOTIONS,
    EXCLUDED_FROM_MEAN,
    format_number,
    format_signed,
    get_column,
)
from cdrl.evaluation.report_tables import list_measures
from cdrl.evaluation.summary import make_real_table, make_table, share_of_means, share_of_real

Row = dict[str, Any]
Figures = Iterator[tuple[str, Markup]]
"""Caption and SVG."""

_SPEECH = "lip_flow_r"


def _list_labels(what: str, labels: Mapping[str, str]) -> str:
    return f"{what}: " + ", ".join(f"{name} {label}" for name, label in labels.items())


def draw_measures(methods: Mapping[str, Row], slug: str) -> Figures:
    """Draw each measure that some method has; `slug` makes the pictures' names unique in the page."""
    measured = {method: summary["measures"] for method, summary in methods.items()}
    for measure in list_measures(measured.values()):
        column = get_column(measure)
        cells = {name: measures[measure] for name, measures in measured.items() if measure in measures}
        labels = {name: format_number(cell["mean"], column.digits) for name, cell in cells.items()}
        svg = plots.draw_dots(cells, labels, _list_labels(column.heading, labels), f"{slug}-{measure}")
        yield column.heading + " (lower is better)" * column.lower, Markup(svg)


def draw_differences(paired: Mapping[str, Row], slug: str) -> Figures:
    """Draw the paired differences of each measure."""
    for measure in list_measures(paired.values()):
        column = get_column(measure)
        cells = {name: measures[measure] for name, measures in paired.items() if measure in measures}
        labels = {
            name: f"{format_signed(cell['mean'], column.digits)} ({cell['better']}/{len(cell['people'])})"
            for name, cell in cells.items()
        }
        title = _list_labels(f"Difference in {column.heading}", labels)
        svg = plots.draw_dots(cells, labels, title, f"{slug}-paired-{measure}", zero=True)
        yield column.heading + " (lower is better)" * column.lower, Markup(svg)


def draw_emotions(methods: Mapping[str, Row], slug: str) -> Figures:
    """Draw p(target) beside that of real clips, for each emotion that some of these show."""
    for emotion in ALL_EMOTIONS:
        shares = {name: summary["emotions"].get(emotion) for name, summary in methods.items()}
        shares = {name: share for name, share in shares.items() if share and share["real"] is not None}
        if shares:
            labels = {n: f"{format_number(s['p'])} of {format_number(s['real'])}" for n, s in shares.items()}
            title = _list_labels(f"p({emotion}), edited of real", labels)
            svg = plots.draw_bars(shares, labels, title, f"{slug}-emotion-{emotion}")
            yield emotion + " (in no mean)" * (emotion in EXCLUDED_FROM_MEAN), Markup(svg)


def draw_trade_off(block: str, methods: Mapping[str, Row], result: Row, slug: str) -> Row | None:
    """Draw speech against emotion, `svg`, of the `methods` that have both numbers; None where none has."""
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
