"""What an edit did: frames edited, skipped and why, time per stage, lips beside the source's."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from cdrl.errors import FaceError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.selection import explain_no_face
from cdrl.media import Frame
from cdrl.plan import EditedSpan, EditPlan, EditTally

Item = TypeVar("Item")

NO_FACE, INACTIVE, PROFILE, OUTSIDE = "no face", "nothing asked for at that time", "face in profile", "face cut off"
UNCHANGED = "already as asked for"
ESTIMATED = "estimated from the source"


class StageClock:
    """Seconds of work per stage. Stages run side by side, so their sum is more than the time that passes."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, stage: str, within: str | None = None) -> Iterator[None]:
        """Count the time inside the block; where it lies within another stage, it is not counted there."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - begin
            self.seconds[stage] += passed
            if within is not None:
                self.seconds[within] -= passed

    def timed(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """Pass the items on, and count the time that each takes to come."""
        while True:
            with self.measure(stage):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item


@dataclass
class Report:
    """Counts and findings of one edit."""

    source: str
    output: str
    tally: EditTally
    """Frames of each segment, and how many of them were changed."""
    neutral: str = ESTIMATED
    """Where the person's neutral face is known from: that, or the name of the file that was given for it."""
    renderer: str = "warp"
    """What rendered the faces: `warp`, `neural`, or the name of a file."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Why frames were left as they are → number of frames."""
    n_surveys: int = 0
    """How often somebody was looked at before they were edited: once a shot, and again after a loss of the face."""
    shown: dict[str, float] = field(default_factory=dict)
    """Emotions found in the first of them who shows any, which are taken out → their amount."""
    most_faces: int = 0
    """The most faces found in one frame."""
    n_occluded: int = 0
    """Frames in which an occluder hides a part of the face."""
    first_occluded: float | None = None
    """Seconds: the first of them."""
    smallest_face: float = float("inf")
    """Width of the narrowest face that was edited, in pixels."""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a user should know of the files that were read and written; part of the warnings in the end."""
    clock: StageClock = field(default_factory=StageClock)
    lip_openings: list[tuple[float, float, float]] = field(default_factory=list)
    """Of each frame that was looked at again: seconds, lip opening of the source, lip opening of the edit."""
    amounts: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    """Seconds of each frame, and what was asked for then: emotion → amount."""
    n_copied: int = 0
    """Frames that were not changed and are written as the source's packets, bit for bit."""
    sidecar: str | None = None
    """The file beside the output that says what was done; None where provenance was turned off."""

    def add_frame(
        self, frame: Frame, skipped: str | None, weights: Mapping[str, float], *, is_occluded: bool = False
    ) -> None:
        """Count a frame for which `weights` were asked; `skipped` says why it was not changed.

        `is_occluded` says whether an occluder hides a part of the face.
        """
        end = frame.time + (frame.duration or 0) * frame.time_base
        self.tally.add(frame.time, end, changed=skipped is None)
        self.amounts.append((float(frame.time), dict(weights)))
        if skipped is not None:
            self.skipped[skipped] += 1
        if is_occluded:
            self.n_occluded += 1
            self.first_occluded = float(frame.time) if self.first_occluded is None else self.first_occluded

    @property
    def total(self) -> int:
        """Frames of the clip."""
        return self.tally.total

    @property
    def edited(self) -> int:
        """Frames with at least one changed sample."""
        return self.tally.edited

    def finalize(self) -> None:
        """Add the warnings that only the whole clip can tell."""
        found = []
        if not self.edited and self.skipped[UNCHANGED]:
            found.append("the face shows what is asked for already: no frame was changed")
        found += [
            f"nothing was changed in the segment {span.segment.text!r} ({span.total} frames)"
            for span in self.tally.spans
            if self.edited and span.total and not span.edited and any(span.segment.amounts.values())
        ]
        if faceless := self.skipped[NO_FACE]:
            found.append(f"no face in {faceless} of {self.total} frames; those are unchanged")
        if turned := self.skipped[PROFILE]:
            found.append(f"the face is turned too far in {turned} frames; those are unchanged")
        if self.first_occluded is not None:
            found.append(
                f"something is in front of the face in {self.n_occluded} of {self.total} frames, first at "
                f"{self.first_occluded:.2f} s; it stays as it is, and what it hides is not edited"
            )
        if self.smallest_face < 80:
            found.append(f"the face is only {self.smallest_face:.0f} pixels wide; below 80 an edit is a guess")
        self.warnings += [f"{self.source}: {text}" for text in (*found, *self.notes)]

    @property
    def lip_opening_r(self) -> float | None:
        """Pearson correlation of the lip opening over the edited frames, source against edit as looked at again.

        None where it was not measured or cannot be.
        """
        if len(self.lip_openings) < 3:
            return None
        _, before, after = np.array(self.lip_openings).T
        if before.std() == 0 or after.std() == 0:
            return None
        return float(np.corrcoef(before, after)[0, 1])

    def curves(self) -> dict[str, Any]:
        """Over time, in seconds: amount of each emotion asked for, and lip opening where it was measured."""
        names = sorted({name for _, weights in self.amounts for name in weights})
        return {
            "emotion": {
                "time_s": [round(time, 3) for time, _ in self.amounts],
                "amount": {name: [round(w.get(name, 0.0), 3) for _, w in self.amounts] for name in names},
            },
            "lip_opening": {
                "time_s": [round(time, 3) for time, _, _ in self.lip_openings],
                "source": [round(opening, 4) for _, opening, _ in self.lip_openings],
                "edited": [round(opening, 4) for _, _, opening in self.lip_openings],
            },
        }

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "source": self.source,
            "output": self.output,
            "frames": {
                "total": self.total,
                "edited": self.edited,
                "copied": self.n_copied,
                "occluded": self.n_occluded,
                "skipped": dict(self.skipped),
            },
            "segments": [_describe_span(span) for span in self.tally.spans],
            "begins_s": round(float(self.tally.origin), 3),
            "neutral": self.neutral,
            "renderer": self.renderer,
            "surveys": self.n_surveys,
            "source_emotion": {name: round(amount, 3) for name, amount in self.shown.items()},
            "lip_opening_r": None if self.lip_opening_r is None else round(self.lip_opening_r, 4),
            "stages_ms": {k: round(1000 * s / max(self.total, 1), 2) for k, s in self.clock.seconds.items()},
            "provenance": "turned off" if self.sidecar is None else self.sidecar,
            "warnings": self.warnings,
            "curves": self.curves(),
        }

    def summary(self) -> str:
        """The outcome in one line."""
        return f"{self.output}: {self.edited} of {self.total} frames edited"


def check_result(report: Report, plan: EditPlan, face: str, *, is_part: bool = False) -> None:
    """Refuse a result in which nothing was changed though something was asked for, and say why.

    Raises:
        UsageError: A segment holds no frame of the clip; where `is_part`, none of the frames is in any segment.
        FaceError: No frame shows the face so that it can be edited.
    """
    if plan.changes_nothing or not report.total:
        return
    if is_part and report.skipped[INACTIVE] == report.total:
        raise UsageError(f"{report.source}: no segment lies in the part from --from to --to: choose another part")
    for span in report.tally.spans:
        if not span.total and not is_part:
            length = f"which is {float(report.tally.end):.2f} s long"
            raise UsageError(f"the segment {span.segment.text!r} holds no frame of {report.source}, {length}")
    asked = report.total - report.skipped[INACTIVE]
    if report.edited or report.skipped[UNCHANGED] or not asked:
        return
    if report.skipped[NO_FACE] < asked:
        raise FaceError(
            f"{report.source}: the face is turned too far or cut off in {asked - report.skipped[NO_FACE]} of {asked} "
            "frames and not seen in the others, so nothing can be edited; it must be seen from the front"
        )
    raise FaceError(f"{report.source}: {explain_no_face(face, report.most_faces, asked)}")


def _describe_span(span: EditedSpan) -> dict[str, Any]:
    """What of a segment was carried out, in seconds and frames."""
    changed = (round(float(span.start), 3), round(float(span.end), 3)) if span.edited else None
    amounts = {name: round(amount, 4) for name, amount in span.segment.amounts.items()}
    return {"amounts": amounts, "frames": {"total": span.total, "edited": span.edited}, "changed_s": changed}


def lip_opening(points: Floats) -> float:
    """The gap between the inner lips of landmarks [478, 3], over the distance of the outer eye corners."""
    gap = np.linalg.norm(points[13, :2] - points[14, :2])
    return float(gap / max(float(np.linalg.norm(points[33, :2] - points[263, :2])), 1e-6))
