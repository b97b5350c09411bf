"""From judged clips to numbers to trust: people as units, shares of real clips, paired differences, tables."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cdrl.evaluation.measures import bootstrap_interval, people_mean
from cdrl.evaluation.people import APART, EMOTIONS

Row = dict[str, Any]

MISS = dict.fromkeys(
    ("lip_opening_r", "lip_width_r", "lip_flow_r", "lip_flow_opening_r", "closures_kept", "p_target", "edited"), 0.0
)
"""What a clip that failed scores; ratios and identity have no zero and leave it out."""

_COLUMNS = {
    "lip_opening_r": "lip opening r",
    "lip_width_r": "lip width r",
    "lip_flow_r": "lip flow r",
    "closures_kept": "closures kept",
    "p_target": "p(target)",
    "identity": "identity",
    "flicker": "flicker",
    "sharpness": "sharpness",
    "edited": "edited",
}
_LOWER_IS_BETTER = frozenset({"flicker"})
_PAIRED = ("lip_opening_r", "lip_flow_r", "closures_kept", "p_target", "identity", "flicker")


def by_person(rows: Iterable[Row], measure: str) -> dict[str, list[float]]:
    """Values of a measure, person by person: one number an emotion, itself the mean over clips; NaN left out."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        value = row["measures"].get(measure)
        if value is not None and np.isfinite(value):
            cells[row["person"], row["emotion"]].append(value)
    people: dict[str, list[float]] = defaultdict(list)
    for (person, _emotion), values in cells.items():
        people[person].append(float(np.mean(values)))
    return dict(people)


def real_probability(real: Sequence[Row], emotion: str) -> tuple[dict[str, float], float]:
    """(person → mean p of their own real clips of the emotion, mean over all people who have some)."""
    own: dict[str, list[float]] = defaultdict(list)
    for row in real:
        if row["emotion"] == emotion:
            own[row["person"]].append(row["p"][emotion])
    means = {person: float(np.mean(values)) for person, values in own.items()}
    return means, float(np.mean(list(means.values()))) if means else float("nan")


def probability_share(rows: Sequence[Row], real: Sequence[Row], emotion: str) -> Row | None:
    """p(target) of edited clips over that of real ones, one emotion.

    Numerator: mean over people of p. Denominator: mean over the same people of the p of their own real clips of that
    emotion, or, for who has none, the mean over all people of the data. `own` says who has some.
    """
    edited = by_person([row for row in rows if row["emotion"] == emotion], "p_target")
    if not edited:
        return None
    own, everyone = real_probability(real, emotion)
    target = float(np.mean([own.get(person, everyone) for person in edited]))
    p = people_mean(edited)
    names = sorted(set(edited) & set(own))
    return {"p": p, "real": target, "share": p / target, "own": names, "people": sorted(edited)}


def share_of_means(shares: Sequence[Row]) -> float:
    """p(target) over that of real clips, several emotions (`probability_share` of each); NaN for none.

    A ratio of means: where the network hardly sees one person's real emotion, a mean of ratios would be that person's.
    """
    return sum(s["p"] for s in shares) / sum(s["real"] for s in shares) if shares else float("nan")


def _summary(rows: Sequence[Row], real: Sequence[Row]) -> Row:
    counted = [row for row in rows if row["emotion"] not in APART]
    result: Row = {"clips": len(counted), "failed": sum(row["failed"] is not None for row in counted), "measures": {}}
    for measure in _COLUMNS:
        people = by_person(counted, measure)
        if people:
            low, high = bootstrap_interval(people)
            means = {name: float(np.mean(values)) for name, values in sorted(people.items())}
            cell = {"mean": people_mean(people), "low": low, "high": high, "people": means}
            result["measures"][measure] = cell
    shares = {emotion: probability_share(rows, real, emotion) for emotion in (*EMOTIONS, *APART)}
    result["emotions"] = {emotion: share for emotion, share in shares.items() if share is not None}
    counting = [share for emotion, share in result["emotions"].items() if emotion not in APART]
    result["share"] = share_of_means(counting)
    result["share_capped"] = float(np.mean([min(s["share"], 1) for s in counting])) if counting else float("nan")
    own = real_identity(real)
    margins = {who: cell - own[who] for who, cell in _identity_of(result).items() if who in own}
    result["identity_margin"] = float(np.mean(list(margins.values()))) if margins else float("nan")
    return result


def _identity_of(summary: Row) -> dict[str, float]:
    return dict(summary["measures"].get("identity", {"people": {}})["people"])


def real_identity(real: Sequence[Row]) -> dict[str, float]:
    """Person → mean cosine of their real emotional clips to their neutral clips; people without are left out."""
    people: dict[str, list[float]] = defaultdict(list)
    for row in real:
        if row["identity"] is not None:
            people[row["person"]].append(row["identity"])
    return {name: float(np.mean(values)) for name, values in sorted(people.items())}


def paired(rows: Sequence[Row], first: str, second: str) -> dict[str, Row]:
    """first − second on the clips both were given: mean over people, each one's own, how many go the right way."""
    sides: dict[str, dict[tuple[str, str], Row]] = {first: {}, second: {}}
    for row in rows:
        if row["method"] in sides and row["emotion"] not in APART:
            sides[row["method"]][row["source"], row["emotion"]] = row
    common = sorted(set(sides[first]) & set(sides[second]))
    result: dict[str, Row] = {}
    for measure in _PAIRED:
        people: dict[str, list[float]] = defaultdict(list)
        for key in common:
            a, b = sides[first][key], sides[second][key]
            x, y = a["measures"].get(measure), b["measures"].get(measure)
            if x is not None and y is not None and np.isfinite(x) and np.isfinite(y):
                people[a["person"]].append(x - y)
        if people:
            means = {person: float(np.mean(values)) for person, values in sorted(people.items())}
            sign = -1 if measure in _LOWER_IS_BETTER else 1
            better = sum(sign * value > 0 for value in means.values())
            result[measure] = {"mean": people_mean(people), "people": means, "better": better, "clips": len(common)}
    return result


def summarise(rows: Sequence[Row], real: Sequence[Row]) -> Row:
    """Every block (and all together): every method's means, intervals, shares; cdrl paired with each other method."""
    blocks: Row = {}
    for block in (*dict.fromkeys(row["block"] for row in rows), "all"):
        inside = [row for row in rows if block in (row["block"], "all")]
        names = list(dict.fromkeys(row["method"] for row in inside))
        ours = next((name for name in names if name.startswith("cdrl")), None)
        blocks[block] = {
            "methods": {name: _summary([r for r in inside if r["method"] == name], real) for name in names},
            "paired": {name: paired(inside, ours, name) for name in names if name != ours} if ours else {},
        }
    people = sorted({row["person"] for row in rows})
    mine = [row for row in real if row["person"] in people]
    others = [row["identity_others"] for row in mine if row["identity_others"] is not None]
    return {
        "blocks": blocks,
        "real_identity": real_identity(mine),
        "others_identity": float(np.mean(others)) if others else None,
    }


def _number(value: float | None, digits: int = 2) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    head = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return [*head, *("| " + " | ".join(line) + " |" for line in lines), ""]


def _block_lines(name: str, block: Row) -> list[str]:
    header = ["method", "people", "clips", "failed", *_COLUMNS.values(), "p / real", "capped", "identity − real"]
    lines = []
    for method, summary in block["methods"].items():
        cells = []
        for measure in _COLUMNS:
            cell = summary["measures"].get(measure)
            digits = 3 if measure == "identity" else 2
            span = f" [{_number(cell['low'], digits)}, {_number(cell['high'], digits)}]" if cell else ""
            cells.append(_number(cell["mean"] if cell else None, digits) + (span if measure in _PAIRED else ""))
        count = len(summary["measures"].get("p_target", {"people": ()})["people"])
        facts = [str(count), str(summary["clips"]), str(summary["failed"])]
        ends = [_number(summary["share"]), _number(summary["share_capped"]), _number(summary["identity_margin"], 3)]
        lines.append([method, *facts, *cells, *ends])
    text = [f"## {name}", "", *_table(header, lines)]
    emotions = (*EMOTIONS, *APART)
    shares = []
    for method, summary in block["methods"].items():
        cells = []
        for emotion in emotions:
            share = summary["emotions"].get(emotion)
            own = f"{len(share['own'])}/{len(share['people'])}" if share else ""
            cells.append(f"{_number(share['p'])} of {_number(share['real'])} ({own})" if share else "–")
        shares.append([method, *cells])
    text += ["p(target) of that of real clips (people whose own real clips are the measure / people):", ""]
    return text + _table(["method", *emotions], shares)


def _paired_lines(block: Row) -> list[str]:
    lines = []
    for method, differences in block["paired"].items():
        cells = []
        for measure in _PAIRED:
            cell = differences.get(measure)
            sign = "+" if cell and cell["mean"] >= 0 else ""
            digits = 3 if measure == "identity" else 2
            cells.append(
                f"{sign}{_number(cell['mean'], digits)} ({cell['better']}/{len(cell['people'])})" if cell else "–"
            )
        lines.append([f"cdrl − {method}", *cells])
    if not lines:
        return []
    title = "Paired differences on the same clips (people for whom cdrl is better / people):"
    return [title, "", *_table(["", *(_COLUMNS[measure] for measure in _PAIRED)], lines)]


def _cell_lines(rows: Sequence[Row], real: Sequence[Row]) -> list[str]:
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["method"], row["person"], row["emotion"]].append(row)
    lines = []
    for (method, person, emotion), cell in sorted(groups.items()):
        own, everyone = real_probability(real, emotion)
        target = f"{_number(own[person])}" if person in own else f"{_number(everyone)} (all)"
        values = []
        for measure in _COLUMNS:
            found = [row["measures"][measure] for row in cell if measure in row["measures"]]
            values.append(_number(float(np.mean(found)) if found else None, 3 if measure == "identity" else 2))
        lines.append([method, person, emotion, str(len(cell)), *values, target])
    header = ["method", "person", "emotion", "clips", *_COLUMNS.values(), "real p"]
    return ["## Every person and emotion", "", *_table(header, lines)]


def markdown(result: Row) -> str:
    """The whole report as Markdown."""
    summary = result["summary"]
    judges = ", ".join(f"{what} by {name}" for what, name in result["judges"].items())
    text = [
        f"# Judged on the {result['set']} people",
        "",
        f"Files as written, decoded again; {judges}: none of them drives an edit. Means over people, 95 % intervals by "
        "bootstrap over people; fear is printed but in no mean. A clip that fails scores 0 in lip r, closures and p.",
        "",
        "*p / real*: mean over emotions of p(target), over that of real clips; *capped*: mean over emotions of each "
        "share, at most 1. *identity − real*: cosine to the person's other neutral clips, less that of their real "
        "emotional clips.",
        "",
    ]
    for name, block in summary["blocks"].items():
        text += [*_block_lines(name, block), *_paired_lines(block)]
    real = ", ".join(f"{name} {_number(value, 3)}" for name, value in summary["real_identity"].items())
    text += [
        f"Identity of real emotional clips to the same person's neutral clips: {real}; to other people: "
        f"{_number(summary['others_identity'], 3)}.",
        "",
        *_cell_lines(result["rows"], result["real"]),
    ]
    failed = [row for row in result["rows"] if row["failed"]]
    text += [f"- {row['method']}, {row['source']}, {row['emotion']}: {row['failed']}" for row in failed]
    return "\n".join(text).rstrip() + "\n"
