"""What a stream says of itself, its times, and the constant rate at which all its frames can be shown in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cdrl.media import ColorTags, Limits, VideoInfo
from cdrl.media.clocks import ContinuousClock, discard_others
from cdrl.media.decoding import DecodeErrors, demux_packets
from cdrl.media.fields import find_first_field
from cdrl.media.opening import check_path, open_container
from cdrl.media.probing import color_tags
from cdrl.media.reading import select_stream

HIGHEST_RATE = 240  # frames a second; what comes closer together only once in a while need not set the rate
_RATES = (*(Fraction(rate) for rate in (12, 15, 24, 25, 30, 48, 50, 60, 100, 120, 240)),
          *(Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120)))  # fmt: skip
_SHORTEST = 5  # percentile of the times between frames that a varying rate is made for
_NEAR = Fraction(1, 50)  # of a rate: what is so near to a usual one is meant as that
_LARGEST = 10_000  # denominator of any other
_GAP = Fraction(10)  # seconds: a jump in a stream's times beyond which they begin anew
_INTERLACING = {"": "p", "top": "t", "bottom": "b"}  # first field → Y4M's letter


@dataclass(frozen=True)
class Signal:
    """What frames are, beyond their pixels; a camera says none of it."""

    rate: Fraction | None = None
    """Frames a second at which all of them have room; None for a camera, whose frames come when they come."""
    sample_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""
    interlace: str = "p"
    """As Y4M writes it: p for whole frames; t or b for fields woven, the top or bottom one first."""
    centered: bool = False
    """Whether chroma stands amid its luma, as in JPEG, not on the first of its columns, as in MPEG."""
    color: ColorTags = field(default_factory=ColorTags)
    """What the numbers of the pixels stand for."""
    notes: list[str] = field(default_factory=list)
    """What a user should know; complete after the last frame."""


def describe_file(info: VideoInfo, limits: Limits) -> Signal:
    """What a file says, its rate found from the times of all its packets, which are read but not decoded."""
    with open_container(check_path(info.path, limits), limits) as container:
        stream = select_stream(container, info)
        times = sorted({value * info.time_base for value in _iter_times(container, stream, info)})
        named = stream.guessed_rate or info.rate
    rate, centered = common_rate(times, named, info.time_base), info.codec == "mjpeg"
    return Signal(rate, info.sample_aspect, _INTERLACING[info.first_field], centered, info.color)


def _iter_times(container: InputContainer, stream: VideoStream, info: VideoInfo) -> Iterator[int]:
    """When the pictures of a file are shown, in ticks of one clock and in order of the file."""
    discard_others(container, stream)
    clock = ContinuousClock(info.jumps)
    for packet in demux_packets(container, stream, damage=DecodeErrors()):
        clock.rebase(packet)
        if packet.size and packet.pts is not None:
            yield packet.pts


def describe_stream(stream: VideoStream, rate: Fraction, first: VideoFrame) -> Signal:
    """What a stream with this first picture says; `rate`: frames a second, where it names none that is sensible."""
    named = stream.guessed_rate or stream.average_rate
    if has_times(stream) and named and 1 <= named <= HIGHEST_RATE:
        rate = Fraction(named)
    aspect, centered = Fraction(stream.sample_aspect_ratio or 1), stream.codec_context.name == "mjpeg"
    interlace = _INTERLACING[find_first_field(first)]
    return Signal(rate, aspect, interlace, centered, color_tags(stream.codec_context))


def has_times(stream: VideoStream) -> bool:
    """Whether the stream says when its frames are shown; MJPEG and bare H.264 do not."""
    return not stream.container.format.flags & 0x80  # AVFMT_NOTIMESTAMPS


def common_rate(times: Sequence[Fraction], named: Fraction | None, tick: Fraction) -> Fraction:
    """A constant rate at which frames with these times can be shown, each in its turn and at its time.

    Args:
        times: Seconds, in order, each once.
        named: Frames a second as the file has it; None where it has none.
        tick: Seconds that the file's clock counts; its times may be rounded to them.

    Returns:
        The rate of a clip that has one, blurred as its clock may be. Where it varies, the rate of frames that are as
        close together as the closest twentieth, and at most `HIGHEST_RATE`.
    """
    if len(times) < 2:
        return Fraction(named) if named and 1 <= named <= HIGHEST_RATE else Fraction(25)
    mean = (len(times) - 1) / (times[-1] - times[0])
    usual = sorted(_RATES, key=lambda rate: rate.denominator)
    exact = next((rate for rate in [*filter(None, [named]), *usual] if _fit(times, rate, tick)), None)
    if exact is not None:
        return Fraction(exact)
    for rate in (_usual(mean), mean.limit_denominator(_LARGEST)):
        if rate <= HIGHEST_RATE and _fit(times, rate, 1 / (2 * rate)):
            return rate
    steps = np.array([float(later - time) for time, later in pairwise(times)])
    return min(_usual(1 / Fraction(float(np.percentile(steps, _SHORTEST)))), Fraction(HIGHEST_RATE))


def _usual(rate: Fraction) -> Fraction:
    """The usual rate that is meant, if any is near."""
    nearest = min(_RATES, key=lambda usual: abs(usual / rate - 1))
    return nearest if abs(nearest / rate - 1) <= _NEAR else max(rate.limit_denominator(_LARGEST), Fraction(1))


def _fit(times: Sequence[Fraction], rate: Fraction, slack: Fraction) -> bool:
    """Whether no time is further off its own frame at that rate than `slack` seconds."""
    return all(abs(time - times[0] - number / rate) <= slack for number, time in enumerate(times))


class StreamClock:
    """The times of a stream's frames from its first one on. They never run back, and long jumps are left out."""

    def __init__(self, time_base: Fraction | None, rate: Fraction) -> None:
        """`time_base`: seconds a unit of pts; None where only the rate is known."""
        self._time_base = time_base
        self._step = 1 / rate
        self._offset: Fraction | None = None
        self._last: Fraction | None = None

    def time(self, pts: int | None) -> Fraction:
        """Seconds of the next frame."""
        due = Fraction(0) if self._last is None else self._last + self._step
        time = due
        if pts is not None and self._time_base is not None:
            given = pts * self._time_base
            if self._offset is None or not self._follows(given - self._offset):
                self._offset = given - due
            time = given - self._offset
        self._last = time
        return time

    def _follows(self, time: Fraction) -> bool:
        return self._last is None or self._last < time <= self._last + _GAP
