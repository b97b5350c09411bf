"""The figures of an HTML report, each with its caption, as SVG in the page: small panels, legible on a phone.

Colors are the page's variables (`--ink`, `--quiet`, `--line`, `--accent`), so that one picture serves light and dark;
letters stay text. Needs matplotlib, of the extra `evaluate`.
"""

import html
import io
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from cdrl.evaluation.measure_registry import (
    ALL_EMOTIONS,
    EMOTIONS,
    Column,
    format_number,
    format_signed,
    get_column,
    list_measures,
)
from cdrl.evaluation.summary import make_real_table, make_table, share_of_means, share_of_real

Row = dict[str, Any]
Figures = Iterator[tuple[str, Markup]]
"""Caption and SVG."""

_SPEECH = "lip_flow_r"

# Stand-ins that matplotlib can draw with, and what they become in the page.
_INK, _QUIET, _LINE, _ACCENT, _PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {_INK: "ink", _QUIET: "quiet", _LINE: "line", _ACCENT: "accent", _PAPER: "paper"}
# Middle tones that stand out from white and from black; told apart by their numbers, too.
_HUES = ("#3b82c4", "#e07b28", "#2f9e5a", "#d64545", "#8f6bc9", "#a0694e", "#d466ac", "#7d8590", "#a3a021", "#20a3b3")
_WIDTH = 5.0  # inches of 72 pixels: one phone's width
_ROW = 0.36  # inches a method
_WIDE, _NARROW = 0.53, 0.47  # of the axes, shares of the figure: beside them stands a number, or two
_NAME = 21  # letters of a method's name in a line
_TITLED = "title:"  # an element so named gets a title, which browsers show under the pointer
_STYLE: Any = {  # matplotlib's type is a list of three hundred names
    "svg.fonttype": "none",
    "text.parse_math": False,  # a method may be called "$5"
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _QUIET,
    "axes.edgecolor": _LINE,
    "xtick.color": _QUIET,
    "ytick.color": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}
_LEFT_OUT = r"(?s)<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->| xmlns(:\w+)?=\"[^\"]*\"|xlink:(?=href)"


def _make_panel(labels: Mapping[str, str], width: float) -> tuple[Figure, Any]:
    """A figure with a row for each name, the first on top, a label beside each; `width` of the axes, a share of it."""
    height = _ROW * len(labels) + 0.42
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((0.34, 0.32 / height, width, (height - 0.4) / height))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), ["\n".join(textwrap.wrap(name, _NAME)[:3]) for name in labels])
    axes.tick_params(length=0)
    axes.grid(axis="x", color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    for row, text in enumerate(labels.values()):
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", ha="left")
    return figure, axes


def draw_measures(methods: Mapping[str, Row], slug: str) -> Figures:
    """Draw each measure that some method has; `slug` makes the pictures' names unique in the page."""
    return _draw_columns({method: summary["measures"] for method, summary in methods.items()}, slug, False)


def draw_differences(paired: Mapping[str, Row], slug: str) -> Figures:
    """Draw the paired differences of each measure."""
    return _draw_columns(paired, f"{slug}-paired", True)


def _draw_columns(rows: Mapping[str, Row], slug: str, paired: bool) -> Figures:
    for measure in list_measures(rows.values()):
        column = get_column(measure)
        cells = {name: measures[measure] for name, measures in rows.items() if measure in measures}
        svg = _draw_dots(cells, column, f"{slug}-{measure}", paired)
        yield column.heading + " (lower is better)" * column.lower, svg


def _draw_dots(cells: Mapping[str, Row], column: Column, salt: str, paired: bool) -> Markup:
    """A row a method: one dot a person, the mean as a diamond, its interval as a line.

    Args:
        cells: Method → `mean`, `people`, and, where there is an interval, `low` and `high`.
        column: The measure's.
        salt: Makes the names in this picture unique in the page.
        paired: Whether they are differences: no difference is marked, and for how many people the first is better.
    """
    labels = {name: format_number(cell["mean"], column.digits) for name, cell in cells.items()}
    if paired:
        for name, cell in cells.items():
            labels[name] = f"{format_signed(cell['mean'], column.digits)} ({cell['better']}/{len(cell['people'])})"
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure, axes = _make_panel(labels, _NARROW if paired else _WIDE)
        if paired:
            axes.axvline(0, color=_QUIET, linewidth=1.2)
        for row, cell in enumerate(cells.values()):
            if cell.get("low") is not None and cell.get("high") is not None:
                ends = [cell["low"], cell["high"]]
                axes.plot(ends, [row, row], color=_ACCENT, linewidth=2.2, solid_capstyle="round")
            for person, value in cell["people"].items():
                name = f"{_TITLED}{person}: {value:.3f}"
                axes.plot([value], [row], "o", color=_QUIET, markersize=5.5, alpha=0.6, mew=0, gid=name)
            axes.plot([cell["mean"]], [row], "D", color=_ACCENT, markersize=6.5, mec=_PAPER, mew=0.8)
        axes.margins(x=0.06)
        return _inline_figure(figure, "Difference in " * paired + column.heading, labels, salt)


def draw_emotions(methods: Mapping[str, Row], slug: str, result: Row) -> Figures:
    """Draw p(target) beside that of real clips, for each emotion that some of these show."""
    averaged = result["summary"].get("averaged", EMOTIONS)
    for emotion in ALL_EMOTIONS:
        shares = {name: summary["emotions"].get(emotion) for name, summary in methods.items()}
        shares = {name: share for name, share in shares.items() if share and share["real"] is not None}
        if shares:
            svg = _draw_bars(shares, f"p({emotion}), edited of real", f"{slug}-emotion-{emotion}")
            yield emotion + " (in no mean)" * (emotion not in averaged), svg


def _draw_bars(shares: Mapping[str, Row], what: str, salt: str) -> Markup:
    """A bar a method from 0 to `p`; the upright mark is `real`, the p of real clips of the same people."""
    labels = {name: f"{format_number(s['p'])} of {format_number(s['real'])}" for name, s in shares.items()}
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure, axes = _make_panel(labels, _NARROW)
        for row, share in enumerate(shares.values()):
            axes.barh(row, share["p"], height=0.55, color=_ACCENT, alpha=0.75)
            axes.plot([share["real"]] * 2, [row - 0.38, row + 0.38], color=_INK, linewidth=2)
        axes.set_xlim(0, max([0.1, *(1.04 * max(share["p"], share["real"]) for share in shares.values())]))
        return _inline_figure(figure, what, labels, salt)


def draw_trade_off(block: str, methods: Mapping[str, Row], result: Row, slug: str) -> Row | None:
    """Draw speech against emotion, `svg`, of the `methods` that have both numbers; None where none has.

    A method is a numbered disc (1 is the first), tied to a dot for each of its people.
    """
    table, real = make_table(result["rows"]), make_real_table(result["real"])
    averaged = result["summary"].get("averaged", EMOTIONS)
    points: dict[str, dict[str, tuple[float, float]]] = {}  # method → person → (x, y), "" → its own mean
    for name, summary in methods.items():
        cell = summary["measures"].get(_SPEECH)
        if not cell or summary["share"] is None:
            continue
        points[name] = {"": (cell["mean"], summary["share"])}
        inside = table[(table["method"] == name) & ((table["block"] == block) | (block == "all"))]
        for person, x in cell["people"].items():
            shares = [share_of_real(inside[inside["person"] == person], real, emotion) for emotion in averaged]
            y = share_of_means([share for share in shares if share is not None])
            if y is not None:
                points[name][person] = (x, y)
    if not points:
        return None
    labels = {f"{k} {name}": ", ".join(map(format_number, p[""])) for k, (name, p) in enumerate(points.items(), 1)}
    salt = f"{slug}-trade-off"
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        svg = _inline_figure(_draw_plane(points), "Speech against emotion", labels, salt)
    return {"svg": svg, "methods": list(points)}


def _draw_plane(points: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    figure = Figure(figsize=(_WIDTH * 1.3, _WIDTH * 0.95))
    axes: Any = figure.add_axes((0.12, 0.12, 0.86, 0.86))
    axes.grid(color=_LINE, linewidth=0.7)
    axes.spines[:].set_color(_LINE)
    axes.tick_params(length=0)
    axes.set_xlabel(get_column(_SPEECH).heading)
    axes.set_ylabel("p(target) / real clips'")
    for number, (method, people) in enumerate(points.items(), 1):
        hue, (mean_x, mean_y) = _HUES[(number - 1) % len(_HUES)], people[""]
        for person, (x, y) in people.items():
            style = {"markersize": 5, "alpha": 0.7, "mew": 0} if person else {"markersize": 16, "mec": _PAPER}
            axes.plot([mean_x, x], [mean_y, y], color=hue, linewidth=0.8, alpha=0.45)
            name = f"{_TITLED}{method}{', ' * bool(person)}{person}: {x:.2f}, {y:.2f}"
            axes.plot([x], [y], "o", color=hue, gid=name, zorder=2 if person else 3, **style)
        centered = {"ha": "center", "va": "center_baseline", "weight": "bold"}
        axes.text(mean_x, mean_y, str(number), color=_PAPER, zorder=4, **centered)
    axes.margins(0.08)
    return figure


def _inline_figure(figure: Figure, what: str, labels: Mapping[str, str], salt: str) -> Markup:
    """The figure as an `svg` element for HTML: no prolog, no name spaces, no style sheet that would leak, own names."""
    title = f"{what}: " + ", ".join(f"{name} {label}" for name, label in labels.items())
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = re.sub(_LEFT_OUT, "", file.getvalue()[file.getvalue().index("<svg") :])
    text = re.sub(rf'id="{_TITLED}([^"]*)">', r"><title>\1</title>", text)
    text = re.sub(r'<(g|text) id="[^"]*"', r"<\1", text)  # matplotlib names groups alike in every figure
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{salt}-", text)
    text = re.sub(r' (width|height)="[0-9.]+pt"', "", text, count=2)
    text = f'<svg role="img" aria-label="{html.escape(title)}"' + text.removeprefix("<svg")
    for stand_in, name in _VARIABLES.items():
        text = text.replace(stand_in, f"var(--{name})")
    return Markup(text)
