"""Plots of the report, as SVG that stands inside a page: small panels, legible on a phone, in the page's own colors.

Every function returns the markup. Colors are the page's variables (`--ink`, `--quiet`, `--line`, `--accent`), so that
one picture serves light and dark; letters stay text. Needs matplotlib, of the extra `evaluate`.
"""

import html
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

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


def _make_panel(names: Sequence[str], width: float) -> tuple[Figure, Any]:
    """A figure with a row for each name, the first on top; `width` of the axes, shares of the figure's."""
    height = _ROW * len(names) + 0.42
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((0.34, 0.32 / height, width, (height - 0.4) / height))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), ["\n".join(textwrap.wrap(name, _NAME)[:3]) for name in names])
    axes.tick_params(length=0)
    axes.grid(axis="x", color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    return figure, axes


def _label_rows(axes: Any, labels: Mapping[str, str]) -> None:
    for row, text in enumerate(labels.values()):
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", ha="left")


def draw_dots(cells: Mapping[str, Any], labels: Mapping[str, str], title: str, salt: str, zero: bool = False) -> str:
    """Draw a row a method: one dot a person, the mean as a diamond, its interval as a line.

    Args:
        cells: Method → `mean`, `people`, and, where there is an interval, `low` and `high`.
        labels: Method → what stands beside its row.
        title: Of the picture, for who cannot see it.
        salt: Makes the names in this picture unique in the page.
        zero: Whether to mark no difference.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure, axes = _make_panel(list(cells), _NARROW if zero else _WIDE)
        if zero:
            axes.axvline(0, color=_QUIET, linewidth=1.2)
        for row, cell in enumerate(cells.values()):
            if cell.get("low") is not None and cell.get("high") is not None:
                ends = [cell["low"], cell["high"]]
                axes.plot(ends, [row, row], color=_ACCENT, linewidth=2.2, solid_capstyle="round")
            for person, value in cell["people"].items():
                name = f"{_TITLED}{person}: {value:.3f}"
                axes.plot([value], [row], "o", color=_QUIET, markersize=5.5, alpha=0.6, mew=0, gid=name)
            axes.plot([cell["mean"]], [row], "D", color=_ACCENT, markersize=6.5, mec=_PAPER, mew=0.8)
        _label_rows(axes, labels)
        axes.margins(x=0.06)
        return _inline_figure(figure, title, salt)


def draw_bars(shares: Mapping[str, Any], labels: Mapping[str, str], title: str, salt: str) -> str:
    """Draw a bar a method from 0 to `p`; the upright mark is `real`, the p of real clips of the same people."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure, axes = _make_panel(list(shares), _NARROW)
        for row, share in enumerate(shares.values()):
            axes.barh(row, share["p"], height=0.55, color=_ACCENT, alpha=0.75)
            axes.plot([share["real"]] * 2, [row - 0.38, row + 0.38], color=_INK, linewidth=2)
        _label_rows(axes, labels)
        axes.set_xlim(0, max([0.1, *(1.04 * max(share["p"], share["real"]) for share in shares.values())]))
        return _inline_figure(figure, title, salt)


def draw_trade_off(
    points: Mapping[str, Mapping[str, tuple[float, float]]], labels: tuple[str, str], title: str, salt: str
) -> str:
    """Draw speech against emotion: a numbered disc a method (1 is the first), tied to a dot for each of its people.

    Args:
        points: Method → person → (x, y); the method's own mean is under the empty name.
        labels: Of the two axes.
        title: Of the picture, for who cannot see it.
        salt: Makes the names in this picture unique in the page.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(_WIDTH * 1.3, _WIDTH * 0.95))
        axes: Any = figure.add_axes((0.12, 0.12, 0.86, 0.86))
        axes.grid(color=_LINE, linewidth=0.7)
        axes.spines[:].set_color(_LINE)
        axes.tick_params(length=0)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
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
        return _inline_figure(figure, title, salt)


def _inline_figure(figure: Figure, title: str, salt: str) -> str:
    """The figure as an `svg` element for HTML: no prolog, no name spaces, no style sheet that would leak, own names."""
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
    return text
