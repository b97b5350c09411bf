"""What of a plan was carried out: its segments, each with the frames that were changed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from cdrl.plan import EditPlan, Segment


@dataclass
class EditedSpan:
    """A segment of a plan and what became of it."""

    segment: Segment
    total: int = 0
    """Frames of the clip that lie in the segment."""
    edited: int = 0
    """Of these, frames with at least one changed sample."""
    start: Fraction = Fraction(0)
    """Time of the first changed frame, in seconds from the clip's first frame."""
    end: Fraction = Fraction(0)
    """When the last changed frame ends, in the same seconds."""


class EditTally:
    """Counts the frames that an edit changes, segment by segment."""

    def __init__(self, plan: EditPlan) -> None:
        self._plan = plan
        self.spans = [EditedSpan(segment) for segment in plan.segments]
        self.total = 0
        """Frames of the clip."""
        self.end = Fraction(0)
        """When the last frame so far ends, in seconds from the clip's first frame."""

    @property
    def edited(self) -> int:
        """Changed frames; each lies in one segment."""
        return sum(span.edited for span in self.spans)

    def add(self, start: Fraction, end: Fraction, changed: bool) -> None:
        """Count a frame that is shown from `start` to `end`, seconds from the clip's first frame."""
        self.total += 1
        self.end = end
        index = self._plan.segment_at(start)
        if index is None:
            return
        span = self.spans[index]
        span.total += 1
        if changed:
            span.start = span.start if span.edited else start
            span.end = end
            span.edited += 1
