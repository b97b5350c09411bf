"""Times as people write them: seconds, minutes and seconds, clock times, and SMPTE timecodes that count frames.

| written | means |
| --- | --- |
| `2.5` | seconds |
| `1:02.5` | minutes, seconds |
| `01:02:10` | hours, minutes, seconds |
| `01:02:10:05` | hours, minutes, seconds, frames |
| `01:02:10;05` | the same in drop-frame timecode, at 29.97 or 59.94 frames/s |

All count from the clip's first frame, which is 0. A timecode is a number of frames, at the next whole number of frames
a second: at 29.97 frames/s `01:00:00:00` is frame 108000, 3603.6 s after the first one (SMPTE ST 12-1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from cdrl.errors import UsageError

EXAMPLES = "write seconds (2.5), minutes and seconds (1:02.5), or a timecode (00:01:02:12)"

_SECONDS = re.compile(r"\d{1,7}(?:\.\d{0,9})?|\.\d{1,9}")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):(\d{1,2}(?:\.\d{0,9})?)")
_TIMECODE = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2})([:;])(\d{1,3})")

_RATE = re.compile(r"(\d{1,7}(?:\.\d{1,9})?)(?:/(\d{1,7}))?")
_ROUNDED = Fraction(1, 100)  # frames a second by which 23.98 stands for 24000/1001


@dataclass(frozen=True)
class Timecode:
    """A time in hours, minutes, seconds and frames; seconds since the first frame need the clip's frame rate."""

    seconds: int
    """Whole seconds of the timecode, hours and minutes included."""
    frames: int
    """Frames after them."""
    drop_frame: bool
    """Whether two (at 59.94 frames/s four) frame numbers are left out each minute but every tenth."""
    text: str
    """As the user wrote it, for messages."""

    def at_rate(self, rate: Fraction | None) -> Fraction:
        """Seconds since the first frame of a clip of `rate` frames a second.

        Raises:
            UsageError: The rate is unknown, has no such frame, or has no drop-frame timecode.
        """
        if not rate:
            raise UsageError(
                f"the timecode {self.text!r} counts frames, and the clip tells no frame rate: give seconds"
            )
        nominal = -(-rate.numerator // rate.denominator)
        if self.frames >= nominal:
            raise UsageError(f"the timecode {self.text!r} has no such frame: the clip has {float(rate):g} frames/s")
        number = self.seconds * nominal + self.frames
        if self.drop_frame:
            number -= self._dropped(rate, nominal)
        return number / rate

    def _dropped(self, rate: Fraction, nominal: int) -> int:
        """Frame numbers that drop-frame timecode leaves out before this one."""
        if nominal not in (30, 60) or rate == nominal:
            raise UsageError(
                f"the timecode {self.text!r} is drop-frame, which the clip's {float(rate):g} frames/s has not: "
                "write the frames after a colon"
            )
        minutes, skipped = self.seconds // 60, nominal // 15
        if minutes % 10 and self.seconds % 60 == 0 and self.frames < skipped:
            raise UsageError(f"the timecode {self.text!r} is one that drop-frame leaves out: give a later frame")
        return skipped * (minutes - minutes // 10)


def move_timecode(text: str, rate: Fraction, frames: int) -> str:
    """The timecode a number of frames after `text` (`HH:MM:SS:FF`; a semicolon or point: drop-frame) at a rate.

    A text that is no timecode of that rate is given back as ''.
    """
    try:
        start = parse_time(text.replace(".", ";"))
        if not isinstance(start, Timecode):
            return ""
        number = int(start.at_rate(rate) * rate) + frames
    except (ValueError, UsageError):
        return ""
    nominal = -(-rate.numerator // rate.denominator)
    if start.drop_frame:  # per ten minutes nine times, at the begin of each minute but the first
        skipped = nominal // 15
        per_minute, per_ten = 60 * nominal - skipped, 600 * nominal - 9 * skipped
        tens, rest = divmod(number, per_ten)
        number += 9 * skipped * tens + skipped * max(0, (rest - skipped) // per_minute)
    seconds, frame = divmod(number, nominal)
    minutes, second = divmod(seconds % 86_400, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}{';' if start.drop_frame else ':'}{frame:02d}"


def parse_time(text: str) -> Fraction | Timecode:
    """The time that `text` writes; see the module's head.

    Raises:
        ValueError: It is no time, in words for a user.
    """
    if _SECONDS.fullmatch(text):
        return Fraction(text)
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = int(match[1] or 0), int(match[2]), Fraction(match[3])
        _check_sixty(text, (minutes if match[1] else 0, seconds))
        return hours * 3600 + minutes * 60 + seconds
    if match := _TIMECODE.fullmatch(text):
        hours, minutes, whole = int(match[1]), int(match[2]), int(match[3])
        _check_sixty(text, (minutes, whole))
        return Timecode(hours * 3600 + minutes * 60 + whole, int(match[5]), match[4] == ";", text)
    raise ValueError(f"{text!r} is no time: {EXAMPLES}")


def parse_rate(text: str) -> Fraction:
    """The frame rate that `text` writes: `25`, `24000/1001`, or rounded as people say it (`23.976`, `29.97`).

    Raises:
        UsageError: It is no rate from 1 to 1000.
    """
    match = _RATE.fullmatch(text.strip())
    rate = Fraction(match[1]) / int(match[2] or 1) if match is not None and match[2] != "0" else Fraction(0)
    if not 1 <= rate <= 1000:
        raise UsageError(f"the frame rate {text!r:.40} is none: give frames a second, as in 25, 29.97 or 24000/1001")
    if rate.denominator == 1 or "/" in text:
        return rate
    broadcast = Fraction(1000 * -(-rate.numerator // rate.denominator), 1001)
    return broadcast if abs(broadcast - rate) < _ROUNDED else rate


def _check_sixty(text: str, fields: tuple[int | Fraction, ...]) -> None:
    if any(value >= 60 for value in fields):
        raise ValueError(f"{text!r} is no time: minutes and seconds go up to 59")
