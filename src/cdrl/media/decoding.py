"""Decoding that survives damage: every readable picture comes out, what was lost is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import av
from av.codec.context import Flags as CodecFlags
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from cdrl.media.captions import CaptionWatch
from cdrl.media.clocks import DECODING_TIMES_ONLY, ClockJump, ContinuousClock, DisplayTimes, discard_others
from cdrl.media.limits import Limits

INTRA_CODECS = frozenset(("prores", "dnxhd", "ffv1"))
"""Codecs for editing and keeping, in which a packet may be taken from one file into another."""
_LARGEST_GROUP = 64 << 20  # bytes: a minute at 8 Mbit/s


@dataclass
class DecodeErrors:
    """What could not be read of one stream."""

    packets: int = 0
    """Packets that could not be decoded."""
    frames: int = 0
    """Pictures delivered although parts of them are wrong, as far as file and decoder can tell."""
    broken: str = ""
    """Why the file could not be read to its end; empty when it could."""

    def __str__(self) -> str:
        parts = []
        if self.packets:
            parts.append(f"{pluralize(self.packets, 'packet')} could not be decoded")
        if self.frames:
            parts.append(f"{pluralize(self.frames, 'frame')} may show damage")
        if self.broken:
            parts.append(f"the file breaks off ({self.broken})")
        return ", ".join(parts)


def decode_pictures(
    container: InputContainer,
    stream: VideoStream,
    decoder: VideoCodecContext,
    damage: DecodeErrors,
    limits: Limits,
    jumps: Sequence[ClockJump] = (),
    captions: CaptionWatch | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode the pictures of a stream, in order of showing and on one clock.

    Args:
        container: The open file.
        stream: The stream of it; no other one is read.
        decoder: Decodes its packets.
        damage: Counted up on the way; an error of FFmpeg's never comes out.
        limits: When a file that gives no pictures is given up.
        jumps: Where the file's clock begins anew.
        captions: Looks at every packet.

    Yields:
        Pictures, with their packets as `opaque` in codecs of `INTRA_CODECS`. Their times may be missing, or not rise,
        where those in the file are damaged.
    """
    discard_others(container, stream)
    try:
        yield from _decode_packets(container, stream, decoder, damage, limits, jumps, captions)
    finally:
        # PyAV frees a decoder with Python's lock in its hand and waits for the decoder's threads. One of them that
        # wants the lock, to drop a packet's `opaque` or to log an error, would wait for it for ever. Flushing waits
        # for the threads, too, but without the lock.
        decoder.flush_buffers()


def _decode_packets(
    container: InputContainer,
    stream: VideoStream,
    decoder: VideoCodecContext,
    damage: DecodeErrors,
    limits: Limits,
    jumps: Sequence[ClockJump],
    captions: CaptionWatch | None,
) -> Iterator[av.VideoFrame]:
    clock, times = ContinuousClock(jumps), DisplayTimes(container.format.name in DECODING_TIMES_ONLY)
    group = _Group(decoder, limits)
    stands_alone = decoder.codec.canonical_name in INTRA_CODECS
    if stands_alone:
        decoder.flags |= CodecFlags.copy_opaque
    in_a_row, reason = 0, ""
    for packet in demux_packets(container, stream, damage=damage):
        clock.rebase(packet)
        times.feed(packet)
        group.add(packet)
        if stands_alone and packet.size and packet.is_keyframe:
            packet.opaque = bytes(packet)
        if captions is not None:
            captions.look_at(packet)
        try:
            pictures = decoder.decode(packet)
        except av.FFmpegError as error:
            damage.packets += 1
            times.drop(packet)
            pictures, reason = ([], error_text(error)) if packet.size else (group.decode_rest(), "")
        damage.frames += bool(pictures) and packet.is_corrupt and not clock.is_cut(packet)
        in_a_row = 0 if pictures else in_a_row + 1
        if in_a_row >= limits.max_damaged_packets:
            damage.broken = f"{in_a_row} packets in a row without a picture{reason and ', '}{reason}"
            return
        for picture in pictures:
            damage.frames += picture.is_corrupt
            group.last = picture.pts
            times.assign(picture, decoder.has_b_frames)
            yield picture


class _Group:
    """The packets since the last keyframe, for the end of a stream that is damaged there.

    A decoder of several threads gives its last pictures all at once, or, where one of them is damaged, none of them.
    """

    def __init__(self, context: VideoCodecContext, limits: Limits) -> None:
        self._context, self._limits = context, limits
        self._packets: list[Packet[Any]] = []
        self._size = 0
        self.last: int | None = None
        """Time of the last picture that was given, in ticks, as decoded."""

    def add(self, packet: Packet[Any]) -> None:
        """Keep a packet that goes to the decoder, and forget what lies before a keyframe."""
        if packet.is_keyframe:
            self._packets, self._size = [], 0
        self._size += packet.size
        if packet.size and self._size <= _LARGEST_GROUP:
            self._packets.append(packet)

    def decode_rest(self) -> list[av.VideoFrame]:
        """Decode the group once more, in one thread; return the pictures after the last one that was given."""
        context = self._context
        again = av.CodecContext.create(context.codec.name, "r")
        assert isinstance(again, VideoCodecContext)
        again.extradata = context.extradata
        again.options = {"max_pixels": str(self._limits.max_pixels)}
        pictures: list[av.VideoFrame] = []
        for packet in (*self._packets, None):
            with suppress(av.FFmpegError):
                pictures += again.decode(packet)
        last = self.last
        return [picture for picture in pictures if picture.pts is not None and (last is None or picture.pts > last)]


def demux_packets(container: InputContainer, *streams: av.stream.Stream, damage: DecodeErrors) -> Iterator[Packet[Any]]:
    """Packets of `streams`, then an empty one of each that flushes its decoder, also where the file breaks off."""
    try:
        yield from container.demux(*streams)
    except av.FFmpegError as error:
        damage.broken = error_text(error)
        for stream in streams:
            flush: Packet[Any] = Packet()
            flush.stream = stream
            yield flush


def pluralize(number: int, thing: str) -> str:
    """'1 frame', '2 frames'."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def error_text(error: Exception) -> str:
    """FFmpeg's or the system's own words for `error`, in one line."""
    if isinstance(error, EOFError):
        return "it ends before its first frame"
    text = str(getattr(error, "strerror", None) or error)
    return text.splitlines()[0] if text else type(error).__name__
