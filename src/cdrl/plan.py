"""What to change, when, and by how much: a plan, checked before any video is opened.

Segments are written `START-END:BLEND`, separated by commas, in times from the clip's first frame:

    0-2.5:neutral, 2.5-6:surprised:1.2, 0:07-0:08:happy:0.6+surprised:0.4, 00:00:09:12-:reference

Times are written as `cdrl.timecodes` reads them; they end at the colon before the first letter. All that
follows is a blend as `cdrl.emotions` reads it, with an intensity at its end if wanted. A segment holds its start and
not its end; without END it lasts to the end of the clip. `reference` stands for the expression of the reference clip
or photo.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from numbers import Real
from pathlib import Path

from cdrl.emotions import MAX_INTENSITY, parse_blend, suggest
from cdrl.errors import UsageError
from cdrl.timecodes import Timecode, parse_time

REGIONS = ("brows", "eyes", "cheeks", "mouth")
"""The parts of a face that can be edited on their own."""

REFERENCE = "reference"
"""In a plan's weights, the name of the reference's expression."""

CROSS_FADE = Fraction(2, 5)  # seconds
END_SLACK = Fraction(1, 10)  # seconds that a segment may end after its clip

# A run of digits and separators that ends in a digit, so that the colon before the emotion is none of it.
_TIME = r"-?[.:;]?\d(?:[\d.:;]*[\d.])?"
_SEGMENT = re.compile(
    rf"(?P<start>{_TIME})s?\s*[-–]\s*(?:(?P<end>{_TIME})s?)?\s*:\s*(?P<blend>(?:[^\d\s].*)?)", re.DOTALL
)
_NO_EMOTION = re.compile(rf"(?:{_TIME})s?\s*[-–]\s*(?:(?:{_TIME})s?)?")
_EXAMPLE = "write START-END:EMOTION, as in 0-2.5:happy or 0:05-1:10:happy"


@dataclass(frozen=True)
class Segment:
    """A stretch of the clip and the emotion it is to show."""

    start: Fraction
    """Seconds from the clip's first frame, ≥ 0; the segment holds this moment."""
    end: Fraction | None
    """Seconds, > start; the segment does not hold this moment. None: to the end of the clip."""
    amounts: Mapping[str, float]
    """Amount per emotion (or `reference`), intensity included; the sum is within 0..1.5."""
    text: str = field(default="", compare=False)
    """As the user wrote it, for messages."""
    timecodes: tuple[Timecode | None, Timecode | None] = (None, None)
    """Start and end where they count frames; until `EditPlan.at_rate` sets them, `start` and `end` then hold whole
    seconds and a thousandth for every frame, which keeps the order of timecodes."""

    @property
    def length(self) -> Fraction | None:
        """Seconds; None where the segment has no end."""
        return None if self.end is None else self.end - self.start


@dataclass(frozen=True)
class EditPlan:
    """A checked wish: amount per emotion at every moment, the regions it applies to, and the reference."""

    segments: tuple[Segment, ...]
    """Ordered by time, without overlap."""
    regions: frozenset[str] = frozenset(REGIONS)
    """The regions that are edited; the others stay as in the source."""
    reference: Path | None = None
    """Clip or photo whose expression is to be shown; not looked at here."""

    @classmethod
    def parse(
        cls,
        emotion: str | None = None,
        reference: str | Path | None = None,
        intensity: float = 1.0,
        regions: str | Iterable[str] = (),
        segments: str | None = None,
    ) -> EditPlan:
        """Make a plan of what the command line and the Python interface take.

        One of `emotion`, `reference` and `segments` says what to show; `segments` may go with `reference` when one of
        them names it. `intensity` (0..1.5) scales all of it. `regions` is empty for the whole face. `neutral` is a real
        edit: it takes the source's own emotion out. Raises UsageError for anything that makes no sense.
        """
        if not (isinstance(intensity, Real) and 0 <= intensity <= MAX_INTENSITY):
            raise UsageError(f"intensity {intensity} is out of range: give a number from 0 to {MAX_INTENSITY:g}")
        _check_wish(emotion, reference, segments)
        extra = () if reference is None else (REFERENCE,)
        if segments is not None:
            if not segments.strip():
                raise UsageError(f"no segment is given: {_EXAMPLE}")
            parsed = _ordered(_parse_segment(part.strip(), extra) for part in segments.split(","))
        else:
            parsed = (Segment(Fraction(0), None, parse_blend(REFERENCE if emotion is None else emotion, extra)),)
        plan = cls(
            tuple(_scaled(segment, float(intensity)) for segment in parsed),
            _parse_regions(regions),
            None if reference is None else Path(reference),
        )
        if reference is not None and REFERENCE not in plan.names:
            raise UsageError("a reference is given but no segment uses it: name it, as in 0-2:reference, or drop it")
        return plan

    @property
    def names(self) -> frozenset[str]:
        """Every emotion (or `reference`) that the plan shows at some time, even with amount 0."""
        return frozenset(name for segment in self.segments for name in segment.amounts)

    @property
    def changes_nothing(self) -> bool:
        """Whether every amount is 0, so that all frames stay as decoded."""
        return not any(amount for segment in self.segments for amount in segment.amounts.values())

    @cached_property
    def counts_frames(self) -> bool:
        """Whether a time is a timecode, so that the plan needs `at_rate` before it can be carried out."""
        return any(any(segment.timecodes) for segment in self.segments)

    def at_rate(self, rate: Fraction | None) -> EditPlan:
        """The plan for a clip of `rate` frames a second, with all times in seconds.

        Raises:
            UsageError: A timecode does not fit the rate, or segments overlap at this rate.
        """
        if not self.counts_frames:
            return self
        return replace(self, segments=_ordered(_segment_at_rate(segment, rate) for segment in self.segments))

    def weights(self, time: Fraction | float) -> dict[str, float]:
        """Amount per emotion at `time` (seconds from the clip's first frame); empty where nothing is to be edited.

        Continuous in time. Every amount is > 0 and their sum ≤ 1.5. Raises UsageError where `counts_frames`.
        """
        if self.counts_frames:
            raise UsageError("the plan counts frames: fit it to the clip's frame rate first (EditPlan.at_rate)")
        weights: dict[str, float] = {}
        # A cross-fade reaches at most half-way into a neighbor, so only the segment before `time`'s and the one after
        # it can also be seen.
        at = bisect_right(self.segments, time, key=lambda segment: segment.start)
        for index in range(max(at - 2, 0), min(at + 1, len(self.segments))):
            share = self._share(index, time)
            for name, amount in self.segments[index].amounts.items():
                if share * amount > 0:
                    weights[name] = weights.get(name, 0.0) + share * amount
        return weights

    def segment_at(self, time: Fraction | float) -> int | None:
        """The index of the segment that holds `time` (seconds from the clip's first frame); None in a gap."""
        index = bisect_right(self.segments, time, key=lambda segment: segment.start) - 1
        if index < 0:
            return None
        end = self.segments[index].end
        return index if end is None or time < end else None

    def check_within(self, seconds: Fraction) -> None:
        """Refuse a plan of which a part lies outside a clip of that length.

        An end may lie up to `END_SLACK` beyond it, since people and players round lengths.

        Raises:
            UsageError: A segment begins or ends after the clip's end.
        """
        for segment in self.segments:
            if segment.start >= seconds or (segment.end is not None and segment.end > seconds + END_SLACK):
                raise UsageError(
                    f"the segment {segment.text!r} lies outside the clip, which is {float(seconds):.2f} s long: end it "
                    "before, or leave its end open to go on to the end"
                )

    def _share(self, index: int, time: Fraction | float) -> float:
        """How much of segment `index` is seen at `time`, 0..1."""
        segment = self.segments[index]
        before = self.segments[index - 1] if index > 0 else None
        after = self.segments[index + 1] if index + 1 < len(self.segments) else None
        share = 1.0
        if before is not None and before.end == segment.start:
            share *= smoothstep(time, *_shared_fade(before, segment))
        elif segment.start > 0:  # before the clip's first frame there is nothing to fade in from
            share *= smoothstep(time, segment.start, segment.start + _free_fade(segment))
        if segment.end is None:
            return share
        if after is not None and after.start == segment.end:
            return share * (1 - smoothstep(time, *_shared_fade(segment, after)))
        return share * (1 - smoothstep(time, segment.end - _free_fade(segment), segment.end))


def _check_wish(emotion: str | None, reference: str | Path | None, segments: str | None) -> None:
    if emotion is None and reference is None and segments is None:
        raise UsageError("nothing is asked for: give --emotion, --reference or --segments")
    if emotion is not None and segments is not None:
        raise UsageError("--emotion and --segments are both given: choose one (0-:happy is a segment, too)")
    if emotion is not None and reference is not None:
        raise UsageError("--emotion and --reference are both given: choose one, or give each its time with --segments")


def _parse_regions(regions: str | Iterable[str]) -> frozenset[str]:
    words = regions.split(",") if isinstance(regions, str) else list(regions)
    names = {word.strip().lower() for word in words}
    if not names or names == {"all"}:
        return frozenset(REGIONS)
    for name in sorted(names):
        if name not in REGIONS:
            raise UsageError(f"unknown region {name!r}{suggest(name, REGIONS)}: choose from {', '.join(REGIONS)}")
    return frozenset(names)


def _ordered(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """The segments by time. Raises UsageError where two overlap."""
    found = sorted(segments, key=lambda segment: segment.start)
    for first, second in pairwise(found):
        comparable = _counting(first.timecodes[1]) == _counting(second.timecodes[0])
        if first.end is None or (comparable and second.start < first.end):
            raise UsageError(f"the segments {first.text!r} and {second.text!r} overlap: end one before the other")
    return tuple(found)


def _parse_segment(text: str, extra: tuple[str, ...]) -> Segment:
    match = _SEGMENT.fullmatch(text)
    if match is None:
        why = " (it names no emotion, which begins with a letter)" if _NO_EMOTION.fullmatch(text) else ""
        raise UsageError(f"cannot read the segment {text!r}{why}: {_EXAMPLE}")
    if match["start"].startswith("-") or (match["end"] or "").startswith("-"):
        raise UsageError(f"the segment {text!r} has a negative time: count from 0, the clip's first frame")
    try:
        start = parse_time(match["start"])
        end = None if match["end"] is None else parse_time(match["end"])
    except ValueError as error:
        raise UsageError(f"cannot read the segment {text!r}: {error}") from None
    blend = match["blend"]
    if REFERENCE in blend.lower() and not extra:
        raise UsageError(f"the segment {text!r} shows a reference but none is given: add --reference PATH")
    begin, begin_code = _provisional(start)
    until, until_code = (None, None) if end is None else _provisional(end)
    return _checked_order(Segment(begin, until, parse_blend(blend, extra), text, (begin_code, until_code)))


def _checked_order(segment: Segment) -> Segment:
    comparable = _counting(segment.timecodes[0]) == _counting(segment.timecodes[1])
    if comparable and segment.end is not None and segment.end <= segment.start:
        raise UsageError(
            f"the segment {segment.text!r} is empty or runs backwards: its end must be later than its start"
        )
    return segment


def _counting(timecode: Timecode | None) -> str:
    """How a time counts; before the clip's rate is known, only times that count alike can be compared."""
    return "seconds" if timecode is None else "drop-frame" if timecode.drop_frame else "frames"


def _provisional(time: Fraction | Timecode) -> tuple[Fraction, Timecode | None]:
    """Seconds, or what stands for a timecode before the rate is known, and that timecode."""
    return (time.seconds + Fraction(time.frames, 1000), time) if isinstance(time, Timecode) else (time, None)


def _segment_at_rate(segment: Segment, rate: Fraction | None) -> Segment:
    start, end = segment.timecodes
    seconds = segment.start if start is None else start.at_rate(rate)
    until = segment.end if end is None else end.at_rate(rate)
    return _checked_order(replace(segment, start=seconds, end=until, timecodes=(None, None)))


def _scaled(segment: Segment, intensity: float) -> Segment:
    amounts = {name: amount * intensity for name, amount in segment.amounts.items()}
    total = sum(amounts.values())
    if total > MAX_INTENSITY + 1e-9:
        where = f"in the segment {segment.text!r} " if segment.text else ""
        raise UsageError(
            f"emotion times intensity {where}comes to {total:g}: keep the product within {MAX_INTENSITY:g}"
        )
    # Rounding must not lift the promised bound.
    shrink = min(1.0, MAX_INTENSITY / total) if total > 0 else 1.0
    return replace(segment, amounts={name: amount * shrink for name, amount in amounts.items()})


def _shared_fade(first: Segment, second: Segment) -> tuple[Fraction, Fraction]:
    """Where the cross-fade over the border of two touching segments begins and ends, centered on the border.

    At most half of the shorter one, so that the fades at a segment's two ends never meet.
    """
    halves = [length / 2 for length in (first.length, second.length) if length is not None]
    reach = min(CROSS_FADE / 2, *halves)
    return second.start - reach, second.start + reach


def _free_fade(segment: Segment) -> Fraction:
    """Seconds of fade inside a segment at an end that borders a gap: a gap must stay as it is."""
    return CROSS_FADE if segment.length is None else min(CROSS_FADE, segment.length / 2)


def smoothstep(value: Fraction | float, begin: Fraction | float, end: Fraction | float) -> float:
    """0 until `begin`, 1 from `end`, and 3x² − 2x³ between: no jump, and no jump of the speed."""
    x = float((value - begin) / (end - begin))
    if math.isnan(x) or x <= 0:
        return 0.0
    return 1.0 if x >= 1 else x * x * (3 - 2 * x)


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
        self.origin = Fraction(0)
        """When the result begins, in seconds from the clip's first frame."""
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
