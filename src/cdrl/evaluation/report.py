"""From judged clips to numbers to trust: people as units, shares of real clips, paired differences, tables."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from cdrl.errors import UsageError
from cdrl.evaluation.columns import COLUMNS, INTRODUCTION, PAIRED
from cdrl.evaluation.measures import bootstrap_interval, people_mean
from cdrl.evaluation.people import APART, EMOTIONS

Row = dict[str, Any]

_NO_REAL = "no real clip shows it"
_NO_INTERVAL = "one person: no interval"
UNDEFINED = {
    "share": "for some emotion there is no real clip, or the network gives real clips none of it",
    "share_capped": "for some emotion there is no real clip, or the network gives real clips none of it",
    "identity_margin": "nobody has a real clip of another emotion to be compared with",
}
"""Number of a method → why it has no value, where it has none."""


def by_person(rows: Iterable[Row], measure: str) -> dict[str, list[float]]:
    """Values of a measure, person by person: one number an emotion, the mean over clips that have a value."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        value = row["measures"].get(measure)
        if value is not None and np.isfinite(value):
            cells[row["person"], row["emotion"]].append(value)
    people: dict[str, list[float]] = defaultdict(list)
    for (person, _emotion), values in cells.items():
        people[person].append(float(np.mean(values)))
    return dict(people)


def real_probability(real: Sequence[Row], emotion: str) -> tuple[dict[str, float], float | None]:
    """(person → mean p of their own real clips of the emotion, mean over all people who have some; None of none)."""
    own: dict[str, list[float]] = defaultdict(list)
    for row in real:
        if row["emotion"] == emotion:
            own[row["person"]].append(row["p"][emotion])
    means = {person: float(np.mean(values)) for person, values in own.items()}
    return means, float(np.mean(list(means.values()))) if means else None


def probability_share(rows: Sequence[Row], real: Sequence[Row], emotion: str) -> Row | None:
    """p(target) of edited clips over that of real ones, one emotion.

    Numerator: mean over people of p. Denominator: mean over the same people of the p of their own real clips of that
    emotion, or, for who has none, the mean over all people of the data. `own` says who has some. Without a real clip
    `real` is None, and where it is None or 0, so is `share`; `reason` says why.
    """
    edited = by_person([row for row in rows if row["emotion"] == emotion], "p_target")
    if not edited:
        return None
    own, everyone = real_probability(real, emotion)
    target = None if everyone is None else float(np.mean([own.get(person, everyone) for person in edited]))
    p = people_mean(edited)
    cell: Row = {"p": p, "real": target, "share": p / target if target else None}
    if not target:
        cell["reason"] = _NO_REAL if target is None else "the network gives real clips none of it"
    return {**cell, "own": sorted(set(edited) & set(own)), "people": sorted(edited)}


def share_of_means(shares: Sequence[Row]) -> float | None:
    """p(target) over that of real clips, several emotions (`probability_share` of each); None for none, or where one of
    them has no real clip, or real clips show nothing of any.

    A ratio of means: where the network hardly sees one person's real emotion, a mean of ratios would be that person's.
    """
    real = [share["real"] for share in shares]
    total = None if None in real else sum(real)
    return sum(share["p"] for share in shares) / total if total else None


def _summary(rows: Sequence[Row], real: Sequence[Row]) -> Row:
    counted = [row for row in rows if row["emotion"] not in APART]
    result: Row = {"clips": len(counted), "failed": sum(row["failed"] is not None for row in counted), "measures": {}}
    result |= _likeness_facts(counted)
    for measure in COLUMNS:
        people = by_person(counted, measure)
        if people:
            means = {name: float(np.mean(values)) for name, values in sorted(people.items())}
            result["measures"][measure] = {"mean": people_mean(people), **_interval(people), "people": means}
    shares = {emotion: probability_share(rows, real, emotion) for emotion in (*EMOTIONS, *APART)}
    result["emotions"] = {emotion: share for emotion, share in shares.items() if share is not None}
    counting = [share for emotion, share in result["emotions"].items() if emotion not in APART]
    result["share"] = share_of_means(counting)
    known = [share["share"] for share in counting]
    result["share_capped"] = float(np.mean([min(s, 1) for s in known])) if known and None not in known else None
    own = real_identity(real)
    margins = {who: cell - own[who] for who, cell in _identity_of(result).items() if who in own}
    result["identity_margin"] = float(np.mean(list(margins.values()))) if margins else None
    result["reasons"] = {name: why for name, why in UNDEFINED.items() if result[name] is None}
    return result


def _interval(people: dict[str, list[float]]) -> Row:
    """`low`, `high`: 95 % interval over people; both None, and `reason`, where there is none."""
    found = bootstrap_interval(people)
    if found is None:
        return {"low": None, "high": None, "reason": _NO_INTERVAL}
    return {"low": found[0], "high": found[1]}


def _likeness_facts(rows: Sequence[Row]) -> Row:
    """`fad_frames`: fewest and most frames on each side of a FAD; `without_real`: of how many people and emotions the
    outputs have no real clip to be compared with (FAD and CSIM leave them out)."""
    judged = [row for row in rows if row["failed"] is None]
    counts = [int(row["measures"]["fad_frames"]) for row in judged if "fad_frames" in row["measures"]]
    lacking = {(row["person"], row["emotion"]) for row in judged if "csim" not in row["measures"]}
    return {"fad_frames": [min(counts), max(counts)] if counts else None, "without_real": len(lacking)}


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
    """first − second on the clips both were given: mean over people, each one's own, how many go the right way.

    `low`, `high`: 95 % interval by bootstrap over people, None for one person; `median`: over the pairs, each a source
    and an emotion (and a reference, where there are several).
    """
    sides: dict[str, dict[tuple[str, ...], Row]] = {first: {}, second: {}}
    for row in rows:
        if row["method"] in sides and row["emotion"] not in APART:
            sides[row["method"]][row["block"], row["source"], row["emotion"], row.get("reference") or ""] = row
    common = sorted(set(sides[first]) & set(sides[second]))
    result: dict[str, Row] = {}
    for measure in PAIRED:
        people: dict[str, list[float]] = defaultdict(list)
        for key in common:
            a, b = sides[first][key], sides[second][key]
            x, y = a["measures"].get(measure), b["measures"].get(measure)
            if x is not None and y is not None and np.isfinite(x) and np.isfinite(y):
                people[a["person"]].append(x - y)
        if people:
            result[measure] = {**_difference(people, COLUMNS[measure].lower), "clips": len(common)}
    return result


def _difference(people: dict[str, list[float]], lower_is_better: bool) -> Row:
    means = {person: float(np.mean(values)) for person, values in sorted(people.items())}
    sign = -1 if lower_is_better else 1
    return {
        "mean": people_mean(people),
        **_interval(people),
        "median": float(np.median(np.concatenate(list(people.values())))),
        "people": means,
        "better": sum(sign * value > 0 for value in means.values()),
    }


def pair_names(pairs: Sequence[str]) -> list[tuple[str, str]]:
    """`NAME:NAME` texts as (first, second); UsageError for any other. The last colon divides."""
    named = [text.rpartition(":")[::2] for text in pairs]
    for text, (first, second) in zip(pairs, named, strict=True):
        if not first or not second or first == second:
            raise UsageError(f"--pairs {text!r}: write NAME:NAME, two methods of the table")
    return named


def _pairs_of(names: Sequence[str], pairs: Sequence[tuple[str, str]] | None) -> Row:
    """Key of a difference → its two methods. Asked ones as they are; by default cdrl's first row and each other."""
    if pairs is not None:
        return {f"{a} − {b}": [a, b] for a, b in pairs if a in names and b in names}
    ours = next((name for name in names if name.startswith("cdrl")), None)
    return {name: [ours, name] for name in names if name != ours} if ours else {}


def summarise(rows: Sequence[Row], real: Sequence[Row], pairs: Sequence[tuple[str, str]] | None = None) -> Row:
    """Every block (and all together): every method's means, intervals, shares, and paired differences.

    `pairs` (first, second): what is subtracted from what; by default cdrl paired with each other method. `pairs` of a
    block names the two methods of each key of its `paired`.
    """
    blocks: Row = {}
    for block in (*dict.fromkeys(row["block"] for row in rows), "all"):
        inside = [row for row in rows if block in (row["block"], "all")]
        names = list(dict.fromkeys(row["method"] for row in inside))
        compared = _pairs_of(names, pairs)
        blocks[block] = {
            "methods": {name: _summary([r for r in inside if r["method"] == name], real) for name in names},
            "pairs": compared,
            "paired": {key: paired(inside, *two) for key, two in compared.items()},
        }
    people = sorted({row["person"] for row in rows})
    mine = [row for row in real if row["person"] in people]
    others = [row["identity_others"] for row in mine if row["identity_others"] is not None]
    return {
        "blocks": blocks,
        "real_identity": real_identity(mine),
        "others_identity": float(np.mean(others)) if others else None,
    }


def number(value: float | None, digits: int = 2) -> str:
    """A value as tables have it: no zero before the point, a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    head = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return [*head, *("| " + " | ".join(line) + " |" for line in lines), ""]


def _block_lines(name: str, block: Row) -> list[str]:
    headings = [column.heading for column in COLUMNS.values()]
    header = ["method", "people", "clips", "failed", *headings, "p / real", "capped", "identity − real"]
    lines = []
    for method, summary in block["methods"].items():
        cells = []
        for measure, column in COLUMNS.items():
            cell = summary["measures"].get(measure)
            span = f" [{_span(cell, column.digits, number)}]" if cell else ""
            mean = number(cell["mean"] if cell else None, column.digits)
            cells.append(mean + (span if column.paired else ""))
        count = len(summary["measures"].get("p_target", {"people": ()})["people"])
        facts = [str(count), str(summary["clips"]), str(summary["failed"])]
        ends = [number(summary["share"]), number(summary["share_capped"]), number(summary["identity_margin"], 3)]
        lines.append([method, *facts, *cells, *ends])
    text = [f"## {name}", "", *_table(header, lines), *_likeness_lines(block)]
    emotions = (*EMOTIONS, *APART)
    shares = []
    for method, summary in block["methods"].items():
        cells = []
        for emotion in emotions:
            share = summary["emotions"].get(emotion)
            own = f"{len(share['own'])}/{len(share['people'])}" if share else ""
            cells.append(f"{number(share['p'])} of {number(share['real'])} ({own})" if share else "–")
        shares.append([method, *cells])
    text += ["p(target) of that of real clips (people whose own real clips are the measure / people):", ""]
    return text + _table(["method", *emotions], shares)


def _likeness_lines(block: Row) -> list[str]:
    said = []
    for method, summary in block["methods"].items():
        frames, lacking = summary["fad_frames"], summary["without_real"]
        if frames is not None:
            left = f", {lacking} people's emotions without a real clip left out" if lacking else ""
            said.append(f"{method} {frames[0]}–{frames[1]}{left}")
    return [f"FAD, frames on each side (N): {'; '.join(said)}.", ""] if said else []


def _paired_lines(block: Row) -> list[str]:
    lines = []
    for key, differences in block["paired"].items():
        cells = []
        for measure in PAIRED:
            cell = differences.get(measure)
            cells.append(_difference_text(cell, COLUMNS[measure].digits) if cell else "–")
        lines.append([" − ".join(block["pairs"][key]), *cells])
    if not lines:
        return []
    title = (
        "Paired differences on the same clips: mean [95 % interval over people], median of the pairs (people for whom "
        "the first is better / people):"
    )
    return [title, "", *_table(["", *(COLUMNS[measure].heading for measure in PAIRED)], lines)]


def _difference_text(cell: Row, digits: int) -> str:
    mean, median = (_signed(cell[name], digits) for name in ("mean", "median"))
    return f"{mean} [{_span(cell, digits, _signed)}], {median} ({cell['better']}/{len(cell['people'])})"


def _span(cell: Row, digits: int, shown: Callable[[float, int], str]) -> str:
    """The interval of a cell; a dash where there is none."""
    ends = cell["low"], cell["high"]
    return "–" if None in ends else ", ".join(shown(end, digits) for end in ends)


def _signed(value: float, digits: int) -> str:
    return ("+" if value >= 0 else "") + number(value, digits)


def _cell_lines(rows: Sequence[Row], real: Sequence[Row]) -> list[str]:
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["method"], row["person"], row["emotion"]].append(row)
    lines = []
    for (method, person, emotion), cell in sorted(groups.items()):
        own, everyone = real_probability(real, emotion)
        target = f"{number(own[person])}" if person in own else f"{number(everyone)} (all)"
        values = []
        for measure, column in COLUMNS.items():
            every = [row["measures"].get(measure) for row in cell]
            found = [value for value in every if value is not None and np.isfinite(value)]
            values.append(number(float(np.mean(found)) if found else None, column.digits))
        lines.append([method, person, emotion, str(len(cell)), *values, target])
    header = ["method", "person", "emotion", "clips", *(column.heading for column in COLUMNS.values()), "real p"]
    return ["## Every person and emotion", "", *_table(header, lines)]


def markdown(result: Row) -> str:
    """The whole report as Markdown."""
    summary = result["summary"]
    judges = ", ".join(f"{what} by {name}" for what, name in result["judges"].items())
    text = [
        f"# {result.get('title', 'Judged on the ' + result['set'] + ' people')}",
        "",
        f"{INTRODUCTION[0]} {judges}.",
    ]
    text += ["", *INTRODUCTION[1:], ""]
    for name, block in summary["blocks"].items():
        text += [*_block_lines(name, block), *_paired_lines(block)]
    real = ", ".join(f"{name} {number(value, 3)}" for name, value in summary["real_identity"].items())
    text += [
        f"Identity of real emotional clips to the same person's neutral clips: {real or '–'}; to other people: "
        f"{number(summary['others_identity'], 3)}.",
        "",
        *_floor_lines(result.get("floor")),
        *_cell_lines(result["rows"], result["real"]),
    ]
    failed = [row for row in result["rows"] if row["failed"]]
    text += [f"- {row['method']}, {row['source']}, {row['emotion']}: {row['failed']}" for row in failed]
    text += [f"- {remark}" for remark in result.get("remarks", ())]
    text += [f"- real clip {name}, left out: {reason}" for name, reason in result.get("unread", {}).items()]
    return "\n".join(text).rstrip() + "\n"


def _floor_lines(floor: Row | None) -> list[str]:
    if not floor or floor["csim"] is None:
        return []
    frames = f" at N = {floor['frames'][0]}–{floor['frames'][1]}" if floor["frames"] else ""
    return [
        f"Real frames against other real frames of the same person and emotion: FAD {number(floor['fad'], 3)}{frames} "
        f"(fewer frames make it larger), CSIM {number(floor['csim'], 3)}; {len(floor['people'])} people.",
        "",
    ]
