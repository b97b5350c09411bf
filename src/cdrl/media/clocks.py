"""Times that a player could not show: clocks that begin anew or jump, and pictures timed in order of decoding."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, cast

from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame

# Formats of packets with times of their own, that can be put one behind the other. Others have an index of all samples:
# their times are those of one clock, and a long frame is a long frame.
STREAMED = frozenset(("mpegts", "mpeg", "flv", "live_flv", "kux", "asf", "nsv", "nut", "ogg", "rm", "wtv"))
DECODING_TIMES_ONLY = frozenset(("avi",))
"""Formats that number pictures in order of decoding: when they are shown, FFmpeg can only guess."""
BACK = Fraction(1, 10)  # seconds: what lies farther back than this is another clock, not the jitter of this one
MOST_JUMPS = 1000  # in a file; in one that is made to have more, later ones are taken for damage
FORWARD = 10  # seconds without picture and without sound, in a broadcast; the same as FFmpeg's own bound


@dataclass(frozen=True)
class ClockJump:
    """A place in a file where the times of all streams begin anew, or leap."""

    position: int
    """Byte from which on packets are on the new clock."""
    last: int
    """Byte of the picture's last packet but one before."""
    time: Fraction
    """Seconds on the continuous clock, when the jump is reached."""
    shift: Fraction
    """Seconds to be added to times after the jump, earlier jumps included."""


class _Break(NamedTuple):
    """What one stream's times say of a jump."""

    last: int
    """Byte of the last packet but one before."""
    low: int
    """Byte of the last packet before."""
    high: int
    """Byte of the first packet after."""


@dataclass
class _Part:
    """What a stream shows between two breaks."""

    start: Fraction
    """When the first picture or sound begins, seconds."""
    last: Fraction
    """When the last one begins, seconds."""
    length: Fraction
    """How long a packet lasts, seconds; 0 where none tells."""
    count: int = 0

    @property
    def end(self) -> Fraction:
        """When the last one ends, seconds."""
        return self.last + (self.length or (self.last - self.start) / max(1, self.count - 1))


@dataclass
class _StreamClock:
    """Follows the decoding times of one stream in order of the file."""

    farthest: Fraction | None
    """A leap ahead that is longer is another clock, seconds; None where every leap is believed."""
    previous: int = 0
    position: int = 0
    end: Fraction | None = None
    last: Fraction | None = None
    breaks: list[_Break] = field(default_factory=list)
    parts: list[_Part] = field(default_factory=list)
    """One more than there are breaks."""

    def follow(self, packet: Packet[Any]) -> None:
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        start = stamp * packet.time_base
        if self.last is not None and self.end is not None and packet.pos is not None:
            leaps = self.farthest is not None and start - self.end > self.farthest
            if (start < self.last - BACK or leaps) and len(self.breaks) < MOST_JUMPS:
                self.breaks.append(_Break(self.previous, self.position, packet.pos))
        if packet.pos is not None:
            self.previous, self.position = self.position, packet.pos
        length = (packet.duration or 0) * packet.time_base
        self.last, self.end = start, start + length
        shown = (stamp if packet.pts is None else packet.pts) * packet.time_base
        if len(self.parts) <= len(self.breaks):
            self.parts.append(_Part(shown, shown, length))
        part = self.parts[-1]
        part.start, part.last = min(part.start, shown), max(part.last, shown)
        part.length, part.count = length or part.length, part.count + 1


def may_jump(container: InputContainer) -> bool:
    """Whether a file is of a kind that can be made of parts with clocks of their own."""
    return container.format.name in STREAMED


def find_clock_jumps(container: InputContainer, picture: int) -> tuple[tuple[ClockJump, ...], Fraction | None]:
    """Read a file's packets through, decoding none, for places where its clock begins anew or leaps.

    A jump counts where the picture has it and every other stream that goes on behind it, too: a gap of one stream
    alone is a gap. Each part begins when the picture of the part before has ended, so that frames stay even.

    Args:
        container: The file, opened and not yet read from; it is at its end afterwards.
        picture: Index of the stream of the picture, or of the sound where there is none.

    Returns:
        The jumps in order, and when the picture ends, in seconds on the clock of the first part; None where there is
        no jump.
    """
    discontinuous = bool(container.format.flags & cast(int, Flags.ts_discont.value))
    streams = [stream for stream in container.streams if stream.type in ("video", "audio")]
    clocks = {stream.index: _StreamClock(Fraction(FORWARD) if discontinuous else None) for stream in streams}
    with suppress(FFmpegError):  # whoever reads the file tells where it breaks off
        for packet in container.demux(*streams):
            clocks[packet.stream.index].follow(packet)
    main, others = clocks[picture], [clock for index, clock in clocks.items() if index != picture]
    jumps: list[ClockJump] = []
    shift = Fraction(0)
    for pause, before, after in zip(main.breaks, main.parts, main.parts[1:], strict=False):
        found = [_match(pause, clock.breaks) for clock in others if clock.position >= pause.high]
        if None in found:
            continue
        shift += before.end - after.start
        position = min([pause.high, *(other.high for other in found if other is not None)])
        jumps.append(ClockJump(position, pause.last, after.start + shift, shift))
    return tuple(jumps), main.parts[-1].end + shift if jumps else None


def _match(pause: _Break, breaks: Sequence[_Break]) -> _Break | None:
    """The break of another stream at the same place of the file."""
    return next((other for other in breaks if other.low < pause.high and pause.low < other.high), None)


class ContinuousClock:
    """Puts the packets of a file whose clock jumps on the clock of its first part; one for each time it is read."""

    def __init__(self, jumps: Sequence[ClockJump]) -> None:
        self._jumps = jumps
        self._positions = [jump.position for jump in jumps]
        self._shifts: dict[int, Fraction] = {}

    def rebase(self, packet: Packet[Any]) -> bool:
        """Change the packet's times to the continuous clock; those of a file without jumps stay.

        Returns:
            Whether it is the first one of its stream behind a jump.
        """
        if not self._jumps or packet.time_base is None:
            return False
        before = self._shifts.get(packet.stream.index, Fraction(0))
        if packet.pos is not None:  # a part of a larger packet has none, and belongs to what came before
            passed = bisect_right(self._positions, packet.pos)
            self._shifts[packet.stream.index] = self._jumps[passed - 1].shift if passed else Fraction(0)
        shift = self._shifts.get(packet.stream.index, Fraction(0))
        offset = round(shift / packet.time_base)
        if packet.pts is not None:
            packet.pts += offset
        if packet.dts is not None:
            packet.dts += offset
        return shift != before

    def is_cut(self, packet: Packet[Any]) -> bool:
        """Whether a picture's packet is the last before a jump, or (FFmpeg names it in its place) the last but one.

        What follows does not continue it, which FFmpeg takes for damage.
        """
        if packet.pos is None:
            return False
        passed = bisect_right(self._positions, packet.pos)
        return passed < len(self._jumps) and self._jumps[passed].last <= packet.pos


class DisplayTimes:
    """Times of pictures in order of showing, also where a file tells only the order of decoding.

    Where pictures are decoded in another order than shown, times that rise from packet to packet cannot be those of
    showing. Then the pictures, which the decoder has put in order, take the times in order.
    """

    def __init__(self, decoding_times_only: bool) -> None:
        self._by_decoding = decoding_times_only
        self._offset: int | None = None
        self._waiting: deque[tuple[int, int]] | None = deque()
        """What packets tell, of pictures that were not given yet: (their own time, the one in order); None once the
        times turn out to be those of showing."""

    def feed(self, packet: Packet[Any]) -> None:
        """Take note of a packet that goes to the decoder."""
        own = packet.pts if packet.pts is not None else packet.dts
        if own is None or self._waiting is None:
            return
        if self._offset is None and packet.dts is not None:
            self._offset = own - packet.dts
        time = own
        if self._by_decoding and packet.dts is not None and self._offset is not None:
            time = packet.dts + self._offset
        if self._waiting and own <= self._waiting[-1][0]:
            self._waiting = None
            return
        self._waiting.append((own, time))

    def drop(self, packet: Packet[Any]) -> None:
        """Forget a packet of which no picture comes."""
        own = packet.pts if packet.pts is not None else packet.dts
        if self._waiting and self._waiting[-1][0] == own:
            self._waiting.pop()

    def assign(self, picture: VideoFrame, reorders: bool) -> None:
        """Give a decoded picture its time; `reorders` says whether the decoder gives pictures in another order."""
        waiting = self._waiting
        if not waiting:
            return
        own = picture.pts
        if own is not None and (not reorders or picture.key_frame):
            # Whatever was decoded before has been shown before: what still waits has given no picture.
            while len(waiting) > 1 and waiting[0][0] < own:
                waiting.popleft()
        time = waiting.popleft()[1]
        if reorders or own is None:
            picture.pts = time


def discard_others(container: InputContainer, *streams: Any) -> None:
    """Read none but `streams`: where a file is cut, the end of another stream would be the end of all."""
    indices = {stream.index for stream in streams}
    for stream in container.streams:
        if stream.index not in indices:
            stream.discard = Discard.all


def describe_jumps(jumps: Iterable[ClockJump], start: Fraction) -> str:
    """One sentence for the user; empty where nothing jumps."""
    times = [f"{float(jump.time - start):.2f} s" for jump in jumps]
    if not times:
        return ""
    more = f" and {len(times) - 3} times more" if len(times) > 3 else ""
    return f"the clip's clock jumps at {', '.join(times[:3])}{more}: its parts are joined without a gap"
