"""Plots of the report, as SVG that stands inside a page: small panels, legible on a phone, in the page's own colours.

Every function returns the markup. Colours are the page's variables (`--ink`, `--quiet`, `--line`, `--accent`), so that
one picture serves light and dark; letters stay text. Needs matplotlib, of the extra `evaluate`.
"""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

# Stand-ins that matplotlib can draw with, and what they become in the page.
_INK, _QUIET, _LINE, _ACCENT, _PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {_INK: "ink", _QUIET: "quiet", _LINE: "line", _ACCENT: "accent", _PAPER: "paper"}
# Middle tones that stand out from white and from black; told apart by their numbers, too.
_HUES = ("#3b82c4", "#e07b28", "#2f9e5a", "#d64545", "#8f6bc9", "#a0694e", "#d466ac", "#7d8590", "#a3a021", "#20a3b3")
_WIDTH = 5.0  # inches of 72 pixels: one phone's width
_ROW = 0.36  # inches a method
_WIDE, _NARROW = 0.53, 0.47  # of the axes, shares of the figure: beside them stands a number, or two
_LETTERS = 9.5
_NAME = 21  # letters of a method's name in a line
_TITLED = "title:"  # an element so named gets a title, which browsers show under the pointer
_STYLE: Any = {  # matplotlib's type is a list of three hundred names
    "svg.fonttype": "none",
    "text.parse_math": False,  # a method may be called "$5"
    "font.size": _LETTERS,
    "text.color": _INK,
    "axes.labelcolor": _QUIET,
    "axes.edgecolor": _LINE,
    "xtick.color": _QUIET,
    "ytick.color": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}


@dataclass(frozen=True)
class Line:
    """One row of a plot: a mean, its interval where there is one, and each person's own value."""

    name: str
    mean: float
    low: float | None
    high: float | None
    people: Mapping[str, float]
    label: str


@dataclass(frozen=True)
class Bar:
    """p(target) of a method's edits beside that of real clips, one emotion."""

    name: str
    p: float
    real: float
    label: str


@dataclass(frozen=True)
class Point:
    """A method in the plane of speech and emotion, with each person's own place."""

    name: str
    x: float
    y: float
    people: Mapping[str, tuple[float, float]]


@contextmanager
def _style(salt: str) -> Iterator[None]:
    with mpl.rc_context(_STYLE), mpl.rc_context({"svg.hashsalt": salt}):
        yield


def _panel(names: Sequence[str], width: float) -> tuple[Figure, Any]:
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


def _beside(axes: Any, row: int, text: str) -> None:
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", ha="left")


def dots(lines: Sequence[Line], title: str, salt: str, zero: bool = False) -> str:
    """A row a method: one dot a person, the mean as a diamond, its interval as a line; `zero` marks no difference."""
    with _style(salt):
        figure, axes = _panel([line.name for line in lines], _NARROW if zero else _WIDE)
        if zero:
            axes.axvline(0, color=_QUIET, linewidth=1.2)
        for row, line in enumerate(lines):
            if line.low is not None and line.high is not None:
                axes.plot([line.low, line.high], [row, row], color=_ACCENT, linewidth=2.2, solid_capstyle="round")
            for person, value in line.people.items():
                name = f"{_TITLED}{person}: {value:.3f}"
                axes.plot([value], [row], "o", color=_QUIET, markersize=5.5, alpha=0.6, mew=0, gid=name)
            axes.plot([line.mean], [row], "D", color=_ACCENT, markersize=6.5, mec=_PAPER, mew=0.8)
            _beside(axes, row, line.label)
        axes.margins(x=0.06)
        return _inline(figure, title, salt)


def bars(values: Sequence[Bar], title: str, salt: str) -> str:
    """A bar a method from 0 to p; the upright mark is p of real clips of the same people."""
    with _style(salt):
        figure, axes = _panel([bar.name for bar in values], _NARROW)
        for row, bar in enumerate(values):
            axes.barh(row, bar.p, height=0.55, color=_ACCENT, alpha=0.75)
            axes.plot([bar.real, bar.real], [row - 0.38, row + 0.38], color=_INK, linewidth=2)
            _beside(axes, row, bar.label)
        axes.set_xlim(0, max([0.1, *(1.04 * max(bar.p, bar.real) for bar in values)]))
        return _inline(figure, title, salt)


def trade_off(points: Sequence[Point], horizontal: str, vertical: str, title: str, salt: str) -> str:
    """Speech against emotion: a numbered disc a method (1 is the first), tied to a dot for each of its people."""
    with _style(salt):
        figure = Figure(figsize=(_WIDTH * 1.3, _WIDTH * 0.95))
        axes = figure.add_axes((0.12, 0.12, 0.86, 0.86))
        axes.grid(color=_LINE, linewidth=0.7)
        axes.spines[:].set_color(_LINE)
        axes.tick_params(length=0)
        axes.set_xlabel(horizontal)
        axes.set_ylabel(vertical)
        for number, point in enumerate(points, 1):
            hue = _HUES[(number - 1) % len(_HUES)]
            for person, (x, y) in point.people.items():
                axes.plot([point.x, x], [point.y, y], color=hue, linewidth=0.8, alpha=0.45)
                name = f"{_TITLED}{point.name}, {person}: {x:.2f}, {y:.2f}"
                axes.plot([x], [y], "o", color=hue, markersize=5, alpha=0.7, mew=0, gid=name)
        for number, point in enumerate(points, 1):
            hue, name = _HUES[(number - 1) % len(_HUES)], f"{_TITLED}{point.name}: {point.x:.2f}, {point.y:.2f}"
            axes.plot([point.x], [point.y], "o", color=hue, markersize=16, mec=_PAPER, mew=1, gid=name)
            axes.text(point.x, point.y, str(number), color=_PAPER, ha="center", va="center_baseline", weight="bold")
        axes.margins(0.08)
        return _inline(figure, title, salt)


def _inline(figure: Figure, title: str, salt: str) -> str:
    """The figure as an `svg` element for HTML: no prolog, no name spaces, no style sheet that would leak, own names."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(file.getvalue())
    _strip(root, salt)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.attrib |= {"role": "img", "aria-label": title}
    text = ElementTree.tostring(root, encoding="unicode")
    for stand_in, name in _VARIABLES.items():
        text = text.replace(stand_in, f"var(--{name})")
    return text


def _strip(element: ElementTree.Element, salt: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for name in list(element.attrib):
        value, local = element.attrib.pop(name), name.rpartition("}")[2]
        if local == "href":
            value = f"#{salt}-{value[1:]}"
        elif local == "clip-path":
            value = value.replace("url(#", f"url(#{salt}-")
        elif local == "id":
            if value.startswith(_TITLED):
                title = ElementTree.Element("title")
                title.text = value.removeprefix(_TITLED)
                element.insert(0, title)
            if element.tag in {"g", "text"}:  # matplotlib names groups alike in every figure, and nothing asks for them
                continue
            value = f"{salt}-{value}"
        element.attrib[local] = value
    for child in list(element):
        if child.tag.rpartition("}")[2] in {"metadata", "style"}:
            element.remove(child)
        elif child.tag != "title":
            _strip(child, salt)


def finite(value: float | None) -> bool:
    """Whether there is a number to draw."""
    return value is not None and bool(np.isfinite(value))
