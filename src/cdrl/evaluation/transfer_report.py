"""The report of `transfer`: a line a group of edits, as Markdown."""

from __future__ import annotations

from typing import Any

from cdrl.evaluation.measure_registry import format_number
from cdrl.evaluation.report import format_interval

Row = dict[str, Any]

_TEXT = """# From any emotion to any other, on the {set} people

{method}, {renderer} renderer, intensity {intensity:g}{enrolled}{asked}. Files as written, decoded again; none of the
evaluators drives an edit: {judges}.

Means over people (of pairs of emotions, of clips), [95 % intervals by bootstrap over people] ([–] for one person).
*source → edit (real)*: beside the edit its source and the person's real take of the same words, warped to the source's
time. Widths and openings in eye distances; *error*: of the mean, *by frame*: mean difference of the frames; in brackets
that of the source itself. *nearer*: share of the edits whose source is .05 or more off, in width or opening, that came
nearer. *p left*: of the source's emotion. *plausible*: share of frames inside the 99 % region of real expressions, by
the landmarks of other people. *likeness*: cosine of the mean expression to the real take's. *identity*: cosine to the
person's neutral takes. A failed edit scores 0 in p(target), lip flow, order and closures.

"""
_HEADINGS = (
    *("", "people", "edits", "failed", "mouth width", "width error", "by frame", "lip opening", "opening error"),
    *("by frame", "nearer", "p(target)", "of real", "p left", "p(neutral)", "lip flow r", "opening order"),
    *("closures kept", "plausible (real)", "likeness", "identity (real)"),
)


def render_transfer(result: Row) -> str:
    """Return the report of `transfer.evaluate_transfer` as Markdown."""
    judges = ", ".join(f"{what} by {name}" for what, name in result["judges"].items())
    enrolled = ", shown the person's neutral take where that is not the source" if result["enroll_neutral"] else ""
    asked = ", asked for by the person's real take as the reference" if result["by_reference"] else ""
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *(_make_line(*group) for group in result["summary"].items())]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    failed = [f"- {row['source']}, {row['emotion']}: {row['failed']}\n" for row in result["rows"] if row["failed"]]
    clips = {name: f"left out: {reason}" for name, reason in result["unread"].items()} | result["repeated"]
    notes = [f"- real clip {name}, {note}\n" for name, note in clips.items()]
    return (
        _TEXT.format(**result | {"judges": judges, "enrolled": enrolled, "asked": asked})
        + table
        + "\n"
        + "".join(failed + notes)
    )


def _make_line(name: str, group: Row) -> list[str]:
    cells = group["measures"]

    def mean(measure: str, digits: int = 2) -> str:
        return format_number(cells.get(measure, {}).get("mean"), digits)

    def change(measure: str) -> str:
        return f"{mean(f'{measure}_source')} → {mean(measure)} ({mean(f'{measure}_real')})"

    def error(measure: str) -> str:
        interval = format_interval(cells[measure], 3) if measure in cells else "[–]"
        return f"{mean(measure, 3)} {interval} ({mean(f'{measure}_source', 3)})"

    mouths = [[change(m), error(f"{m}_error"), error(f"{m}_distance")] for m in ("width", "opening")]
    return [
        name,
        str(len(cells.get("p_target", {"people": ()})["people"])),
        *(str(group[count]) for count in ("edits", "failed")),
        *(cell for mouth in mouths for cell in mouth),
        f"{mean('nearer')} of {group['differ']}",
        change("p_target"),
        format_number(group["share"]),
        *(change(measure) for measure in ("p_left", "p_neutral")),
        *(mean(measure) for measure in ("lip_flow_r", "opening_order", "closures_kept")),
        f"{mean('plausibility')} ({mean('plausibility_real')})",
        f"{mean('likeness_source')} → {mean('likeness')}",
        f"{mean('identity', 3)} ({mean('identity_real', 3)})",
    ]
