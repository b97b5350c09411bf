"""Decoding that survives damage: every readable picture comes out, what was lost is counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from cdrl.media.limits import Limits


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
    container: InputContainer, stream: VideoStream, damage: DecodeErrors, limits: Limits
) -> Iterator[av.VideoFrame]:
    """Pictures of `stream` in order of showing, never an error of FFmpeg's; `damage` is counted up on the way."""
    in_a_row, reason = 0, ""
    for packet in demux_packets(container, stream, damage=damage):
        try:
            pictures = stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            damage.packets += 1
            pictures, reason = [], error_text(error)
        damage.frames += bool(pictures) and packet.is_corrupt
        in_a_row = 0 if pictures else in_a_row + 1
        if in_a_row >= limits.max_damaged_packets:
            damage.broken = f"{in_a_row} packets in a row without a picture{reason and ', '}{reason}"
            return
        for picture in pictures:
            damage.frames += picture.is_corrupt
            yield picture


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
