"""A part of a clip: from one time to another, with handles, frame by frame as an editing program counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from cdrl.errors import UsageError
from cdrl.media.probing import VideoInfo
from cdrl.timecodes import Timecode, move_timecode

_SLACK = Fraction(1, 10)  # seconds that a part may end after its clip, since people and players round lengths


@dataclass(frozen=True)
class ClipPart:
    """The frames of a clip that are written."""

    begin: Fraction
    """Seconds as of `Frame.time`: frames from here on are written."""
    end: Fraction | None
    """Seconds: frames before this; None: to the end."""
    stop: Fraction | None
    """When the last of these frames ends, and the sound: half a frame later."""
    skipped: int
    """Frames of the clip before the first one that is written."""
    notes: tuple[str, ...] = ()
    """What a user should know; one sentence each."""

    def describe(self, info: VideoInfo) -> VideoInfo:
        """What the clip would be if it held nothing but this part: its length and timecode."""
        timecode, rate, end = info.timecode, info.rate, self.stop
        if timecode and rate:
            timecode = move_timecode(timecode, rate, self.skipped)
        if info.duration is not None:
            end = info.duration if end is None else min(end, info.duration)
        length = None if end is None or not rate else end - info.lead - self.skipped / rate
        count = round(length * rate) if length is not None and rate else None
        return replace(info, timecode=timecode, duration=length, frame_count=count)


def fit_part(
    start: Fraction | Timecode | None, end: Fraction | Timecode | None, handles: int, info: VideoInfo
) -> ClipPart:
    """Fit a part to a clip: times go to the nearest frame, and `handles` frames are added on both sides.

    Args:
        start: The first frame, in seconds or as timecode from the clip's first frame; None: that one.
        end: The frame after the last one; None: the clip's end.
        handles: Frames before and after.
        info: The clip.

    Raises:
        UsageError: The part is empty or lies outside the clip, or the clip tells no frame rate.
    """
    rate = info.rate
    if not rate:
        raise UsageError(f"{info.path} tells no frame rate, so that no part of it can be cut out: convert it first")
    first, last = (at.at_rate(rate) if isinstance(at, Timecode) else at for at in (start, end))
    first = first or Fraction(0)
    number = round(first * rate)
    if last is not None and (last <= first or round(last * rate) <= number):
        why = "is not after --from" if last <= first else "goes to the same frame as --from"
        raise UsageError(f"--to {why}: give a later time")
    half = 1 / (2 * rate)
    length = info.duration
    if length is not None and (info.lead + number / rate > length - half or (last or first) > length + _SLACK):
        raise UsageError(
            f"the part lies outside the clip, which is {float(length):.2f} s long: choose --from and --to in it"
        )
    skipped = max(0, number - handles)
    notes = []
    if number - skipped < handles:
        notes.append(f"the handle before the part has {number - skipped} of {handles} frames: there the clip begins")
    stop = None if last is None else info.lead + (round(last * rate) + handles) / rate
    if stop is not None and info.duration is not None and stop > info.duration + half:
        left = max(0, handles - round((stop - info.duration) * rate))
        notes.append(f"the handle after the part has about {left} of {handles} frames: there the clip ends")
    end = None if stop is None else stop - half
    return ClipPart(info.lead + skipped / rate - half, end, stop, skipped, tuple(notes) if handles else ())
