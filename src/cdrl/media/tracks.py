"""The streams beside the picture: copied packet by packet, converted only where the output format forces it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from math import ceil
from typing import Any, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from cdrl.media.clocks import ContinuousClock, discard_others
from cdrl.media.decoding import DecodeErrors, demux_packets, pluralize
from cdrl.media.encoding import Container
from cdrl.media.labels import carry_labels
from cdrl.media.limits import Limits
from cdrl.media.opening import open_container
from cdrl.media.probing import Track, VideoInfo

TEXT_SUBTITLES = {"subrip", "ass", "ssa", "webvtt", "mov_text", "text"}
AUDIO_BITS = 96_000  # per second and channel, where audio must be encoded again
EMPTY_TEXT = b"\0\0"  # MP4 text of length 0
# By number of channels, where the file tells no more.
LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
# QuickTime knows some languages only by their older codes.
QUICKTIME_LANGUAGES = {"deu": "ger", "fra": "fre", "nld": "dut", "zho": "chi", "ell": "gre", "isl": "ice", "sqi": "alb"}
MP3_LOWEST_RATE = 16_000  # Hz: MP4 defines no MP3 below it


Route: TypeAlias = "Callable[[Packet[Any]], list[Packet[Any]]]"
"""Where the packets of one source stream go: packets ready for the output, for one of it; an empty one flushes."""


@dataclass
class Copy:
    """Packets pass as they are, only on the output's clock."""

    target: Stream
    shift: Fraction
    """Seconds taken from every time."""
    gaps: bool = False
    """True: the packets are MP4 text, whose muxer writes the empty packets between two texts itself."""
    count: int = 0
    """Packets that were passed on."""
    moved: int = 0
    """Packets whose decoding time was missing or not after the one before."""
    overlaps: bool = False
    """True behind a jump of the clock, as long as the sound of the part before isn't over."""
    last: int | None = None
    length: int = 0

    def __call__(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Pass the packet on with times of the output."""
        if (packet.size == 0 and packet.pts is None) or (self.gaps and bytes(packet) == EMPTY_TEXT):
            return []
        offset = round(self.shift / packet.time_base)
        dts = packet.dts if packet.dts is not None else packet.pts
        dts = None if dts is None else dts - offset
        if dts is None or (self.last is not None and dts <= self.last):
            self.moved += not self.overlaps
            # At least a tick of the output's own clock, which may be coarser.
            tick = 1 if self.target.time_base is None else ceil(self.target.time_base / packet.time_base)
            dts = 0 if self.last is None else self.last + (max(self.length, tick) if dts is None else tick)
        else:
            self.overlaps = False
        pts = dts if packet.pts is None else max(packet.pts - offset, dts)
        self.last, self.length = dts, packet.duration or self.length
        packet.pts, packet.dts = pts, dts
        self.count += 1
        packet.stream = self.target
        return [packet]


def encode_audio(source: AudioStream, target: AudioStream, shift: Fraction, packet: Packet[Any]) -> list[Packet[Any]]:
    """Sound decoded and encoded again."""
    ready: list[Packet[Any]] = []
    for frame in source.codec_context.decode(packet):
        if frame.pts is not None and frame.time_base:
            frame.pts -= round(shift / frame.time_base)
        ready += target.encode(frame)
    return ready if packet.size else ready + target.encode(None)


def encode_text(
    source: SubtitleStream, target: SubtitleStream, shift: Fraction, packet: Packet[Any]
) -> list[Packet[Any]]:
    """Text subtitles written in the output's own way; the words and times stay, styling may not."""
    subtitle = None if packet.size == 0 or packet.pts is None else source.codec_context.decode2(packet)
    if subtitle is None or packet.pts is None:
        return []
    encoded = target.codec_context.encode_subtitle(subtitle)
    encoded.time_base = packet.time_base
    encoded.pts = encoded.dts = packet.pts - round(shift / packet.time_base)
    encoded.duration = packet.duration
    encoded.stream = target
    return [encoded]


def take_cover(covers: list[bytes], packet: Packet[Any]) -> list[Packet[Any]]:
    """Keep a cover's file; nothing of it goes into the output."""
    if packet.size:
        covers.append(bytes(packet))
    return []


def read_cover(info: VideoInfo, track: Track) -> bytes:
    """The file of a cover picture; empty where there is none."""
    with open_container(info.path, Limits()) as container:
        stream = container.streams[track.index]
        discard_others(container, stream)
        return next((bytes(packet) for packet in container.demux(stream) if packet.size), b"")


@dataclass
class TrackCopier:
    """Takes every stream of `source` but the picture to `output`, and writes in `notes` what did not come along."""

    source: InputContainer
    output: OutputContainer
    format: Container
    info: VideoInfo
    shift: Fraction
    """Seconds taken from every time."""
    latest: Fraction
    """Seconds on the source's clock after which a time can only be damage."""
    notes: list[str]
    take_covers: bool = False
    """Whether covers go into `covers` instead of the output."""
    kept: tuple[Fraction, Fraction | None] | None = None
    """From when to when packets are kept, in seconds on the source's clock; None for all."""
    covers: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Add the output's streams. To be made after the picture's stream is added and before the first packet."""
        self.routes: dict[int, Route] = {}
        self.damage = DecodeErrors()
        self._packets: Iterator[Packet[Any]] = iter(())
        self._held: Packet[Any] | None = None
        for track in self.info.tracks:
            stream = self.source.streams[track.index]
            route = self._route(track, stream)
            if route is not None:
                self.routes[track.index] = route
        self._clock = ContinuousClock(self.info.jumps)
        streams = [self.source.streams[index] for index in self.routes]
        if streams:
            discard_others(self.source, *streams)
            self._packets = demux_packets(self.source, *streams, damage=self.damage)

    def advance(self, until: Fraction | None) -> None:
        """Write all packets up to `until` seconds on the source's clock; all there are for None."""
        while (packet := self._held or next(self._packets, None)) is not None:
            route = self.routes[packet.stream.index]
            if packet is not self._held and self._clock.rebase(packet) and isinstance(route, Copy):
                route.overlaps = True
            self._held = None
            stamp = packet.dts if packet.dts is not None else packet.pts
            time = None if stamp is None else stamp * packet.time_base
            if time is not None and time > self.latest:
                self.damage.packets += 1
                continue
            if not self._is_kept(packet, route):
                continue
            if until is not None and time is not None and time > until:
                self._held = packet
                return
            try:
                for ready in route(packet):
                    self.output.mux(ready)
            except (av.error.InvalidDataError, av.error.ArgumentError, av.error.EOFError, ValueError):
                self.damage.packets += 1  # a damaged packet costs its own sound or text, not the clip

    def _is_kept(self, packet: Packet[Any], route: Route) -> bool:
        """Whether a packet belongs to the part that is written; a text that began before is shown from its beginning.

        MP4 and MOV play sound from 0 whenever its first packet begins, so that it can begin in time, with one packet
        more for the decoder to settle.
        """
        start = packet.pts if packet.pts is not None else packet.dts
        if self.kept is None or start is None or packet.time_base is None:
            return True
        begin, end = self.kept
        time, length = start * packet.time_base, (packet.duration or 0) * packet.time_base
        if end is not None and time >= end:
            return False
        if packet.stream.type == "audio":
            plays_from_0 = self.format.muxer in ("mp4", "mov") and isinstance(route, Copy)
            return time + 2 * length > begin if plays_from_0 else time >= begin
        if time < begin < time + length:
            passed = round((begin - time) / packet.time_base)
            packet.pts, packet.dts, packet.duration = start + passed, start + passed, (packet.duration or 0) - passed
            return True
        return time >= begin

    def finish(self) -> None:
        """Write what is left, and say what was damaged."""
        self.advance(None)
        covers = {track.index for track in self.info.tracks if track.kind == "cover"}  # which have no time
        routes = (route for index, route in self.routes.items() if index not in covers)
        moved = sum(route.moved for route in routes if isinstance(route, Copy))
        if moved:
            self.notes.append(
                f"{pluralize(moved, 'audio or subtitle packet')} without a time, or out of order, put in order"
            )
        for track in self.info.audio:
            route = self.routes.get(track.index)
            if isinstance(route, Copy) and not route.count:
                self.notes.append(f"{track} is silent: the file ends before its first sound")
        if text := str(self.damage):
            self.notes.append(f"audio or subtitles are damaged: {text}")

    def _route(self, track: Track, stream: Stream) -> Route | None:
        if track.kind == "audio" and isinstance(stream, AudioStream):
            return self._copy(track, stream, self.format.audio) or self._encode_audio(track, stream)
        if track.kind == "subtitle" and isinstance(stream, SubtitleStream):
            return self._copy(track, stream, self.format.subtitles) or self._encode_text(track, stream)
        if track.kind == "cover" and self.format.covers:
            return partial(take_cover, self.covers) if self.take_covers else self._copy(track, stream, None)
        if track.kind == "cover" and self.format.attachments:
            self._attach(track, stream)
            return None
        if self._is_written_anew(track, stream):
            return None
        if track.kind == "attachment" and self.format.attachments:
            self.output.add_stream_from_template(stream)
            return None
        reasons = {"video": "only the main picture is kept", "data": "its content is not sound, text or picture"}
        self._left_out(track, reasons.get(track.kind, ""))
        return None

    def _attach(self, track: Track, stream: Stream) -> None:
        """Put a cover among the attached files, where players of Matroska look for it by its name."""
        picture = read_cover(self.info, track)
        kind = {"mjpeg": "jpeg", "bmp": "bmp", "gif": "gif", "webp": "webp"}.get(track.codec, "png")
        ending = "jpg" if kind == "jpeg" else kind
        if not picture:
            self._left_out(track, "it cannot be read")
            return
        name = stream.metadata.get("filename", "") or f"cover.{ending}"
        self.output.add_attachment(name, stream.metadata.get("mimetype", "") or f"image/{kind}", picture)

    def _is_written_anew(self, track: Track, stream: Stream) -> bool:
        """Whether a track of data holds what the output has otherwise: the timecode, or the names of chapters."""
        if track.kind != "data":
            return False
        is_names = track.codec == "bin_data" and bool(self.source.chapters())
        timecode = stream.metadata.get("timecode", "")  # of a part, the result has a later one
        return is_names or (bool(timecode) and (timecode == self.info.timecode or self.kept is not None))

    def _copy(self, track: Track, stream: Stream, allowed: frozenset[str] | None) -> Copy | None:
        """A route that copies, or None where the output format cannot hold the stream."""
        context: Any = stream.codec_context
        codec = "" if context is None else context.codec.canonical_name
        too_slow = codec == "mp3" and allowed is not None and context.sample_rate < MP3_LOWEST_RATE
        if not codec or too_slow or (allowed is not None and codec not in allowed):
            return None
        try:
            target = self.output.add_stream_from_template(stream, opaque=True)
        except (ValueError, av.FFmpegError):
            return None
        self._label(stream, target)
        return Copy(target, self.shift, gaps=codec == "mov_text")

    def _encode_audio(self, track: Track, stream: AudioStream) -> Route | None:
        context = stream.codec_context
        if context is None:
            self._left_out(track, "its codec is unknown")
            return None
        encoder = self.format.audio_fallback
        rates = av.Codec(encoder, "w").audio_rates or [context.sample_rate]
        rate = min(rates, key=lambda offered: (offered < context.sample_rate, abs(offered - context.sample_rate)))
        channels = context.layout.nb_channels
        known = not context.layout.name.endswith("channels")
        layout = context.layout.name if known else LAYOUTS[min(channels, len(LAYOUTS)) - 1]
        target = self.output.add_stream(encoder, rate=rate, layout=layout)
        assert isinstance(target, AudioStream)
        target.codec_context.bit_rate = AUDIO_BITS * channels
        self._label(stream, target)
        name = target.codec_context.codec.canonical_name
        self.notes.append(f"{track} is encoded again as {name}: {self.format.name} cannot hold it as it is")
        return partial(encode_audio, stream, target, self.shift)

    def _encode_text(self, track: Track, stream: SubtitleStream) -> Route | None:
        context, codec = stream.codec_context, self.format.text_subtitles
        if context is None or context.codec.canonical_name not in TEXT_SUBTITLES or not codec:
            self._left_out(track)
            return None
        context.open(strict=False)  # the decoder writes the header that the encoder needs
        target = self.output.add_stream(codec)
        assert isinstance(target, SubtitleStream)
        target.codec_context.subtitle_header = context.subtitle_header
        target.time_base = stream.time_base
        self._label(stream, target)
        self.notes.append(f"{track} is rewritten as {codec}: the words and times stay, styling may not")
        return partial(encode_text, stream, target, self.shift)

    def _label(self, source: Stream, target: Stream) -> None:
        carry_labels(source, target)
        if self.format.muxer == "mov" and (language := target.metadata.get("language", "")) in QUICKTIME_LANGUAGES:
            target.metadata["language"] = QUICKTIME_LANGUAGES[language]

    def _left_out(self, track: Track, why: str = "") -> None:
        self.notes.append(f"{track} is left out: {why or f'{self.format.name} cannot hold it'}")
