"""What a file holds, found by opening it and decoding one frame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal, cast, get_args

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.format import Flags
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from cdrl.errors import InputError, LimitError
from cdrl.media.captions import CaptionWatch
from cdrl.media.clocks import ClockJump, describe_jumps, find_clock_jumps, may_jump
from cdrl.media.decoding import DecodeErrors, decode_pictures
from cdrl.media.fields import FirstField, find_first_field
from cdrl.media.frames import PixelFormat
from cdrl.media.layout import Orientation, may_be_transparent, pixel_format
from cdrl.media.limits import Limits
from cdrl.media.numbering import ImageSequence
from cdrl.media.opening import check_path, open_container
from cdrl.media.side_data import DYNAMIC, HLG, PQ, HdrMetadata, describe_container, read_hdr_metadata, side_data
from cdrl.media.tiles import ANIMATIONS, BRANDS, TileGrid, decode_tiles, find_orientation, find_tiles, first_tile
from cdrl.media.webp import TICK, Animation, decode_animation, read_animation

Kind = Literal["video", "audio", "subtitle", "data", "attachment", "cover"]
CLOCK = Fraction(1, 1_000_000)  # FFmpeg's container times are in microseconds
FASTEST = 1000  # frames a second: more than any camera of talking people
TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;.]\d\d")
_UNSPECIFIED, _LIMITED, _BT601 = 2, 1, 5  # color tags
_LIBVPX = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
LONG_OFFSET = 10  # seconds: a later start is a recorder's clock, not a pause the author put there


@dataclass(frozen=True)
class ColorTags:
    """The stream's color description as ITU-T H.273 numbers, carried over unchanged; 2 is 'unspecified'."""

    range: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2

    @property
    def hdr(self) -> bool:
        """Whether the numbers stand for more light than a usual display gives."""
        return self.transfer in (PQ, HLG)


@dataclass(frozen=True)
class Track:
    """A stream beside the picture."""

    index: int
    kind: Kind
    codec: str
    language: str = ""
    title: str = ""

    def __str__(self) -> str:
        extra = ", ".join(filter(None, [self.language, self.title]))
        return f"{self.kind} stream {self.index} ({self.codec}{', ' + extra if extra else ''})"


@dataclass(frozen=True)
class VideoInfo:
    """One clip (or photo) as `read` will deliver it. Sizes are of the upright picture; times are exact."""

    path: Path
    container: str
    """FFmpeg's name of the file format, 'mov,mp4,m4a,3gp,3g2,mj2' or 'flv'."""
    codec: str
    width: int
    height: int
    rotation: int
    """Clockwise degrees the stored picture is turned to stand upright: 0, 90, 180, 270."""
    orientation: Orientation
    sample_aspect: Fraction
    """Width of a pixel over its height, upright; 1 for square pixels."""
    rate: Fraction | None
    """Mean frames a second, for information only: each frame has its own time."""
    time_base: Fraction
    """Seconds per unit of `Frame.pts`."""
    start: Fraction
    """What a player shows as 0:00, in seconds on the file's clock: `Frame.time = pts * time_base - start`."""
    lead: Fraction
    """Seconds from there to the first picture."""
    duration: Fraction | None
    """Seconds, where the file says so."""
    frame_count: int | None
    """About how many frames there are, for progress bars; the file's word, not counted."""
    format: PixelFormat
    color: ColorTags
    stream_index: int
    tracks: tuple[Track, ...]
    """Every other stream of the file."""
    photo: bool
    first_field: FirstField
    """The field that is shown first where the clip is interlaced; empty for whole frames."""
    rebased: bool
    """True when a written clip starts at 0 because the source's clock starts anywhere (MPEG-TS, recorders)."""
    notes: tuple[str, ...]
    """What a user should know about how this file is read; one sentence each."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The file's own labels (title, comment, XMP packet, ...), by their names in the file."""
    pixels: str = "yuv420p"
    """FFmpeg's name of the layout as it is decoded; `format` is what frames have."""
    alpha: bool = False
    """Whether it may be transparent: `Frame.alpha` says where."""
    hdr: HdrMetadata | None = None
    """The light levels that HDR10 states."""
    icc_profile: bytes = b""
    """What the colors of a picture are, as an ICC profile."""
    timecode: str = ""
    """What an editor calls the first frame: HH:MM:SS:FF, with a semicolon where numbers are dropped."""
    tiles: TileGrid | None = None
    """How a photo is put together where it is made of tiles."""
    jumps: tuple[ClockJump, ...] = ()
    """Where the file's clock begins anew; `Frame.pts` and `duration` are on one clock."""
    sequence: ImageSequence | None = None
    """The pictures, where the clip is a sequence of them; `path` is then their pattern."""
    channels: tuple[str, ...] = ()
    """What pictures hold beside color and transparency (EXR): depth, masks, ..."""

    @property
    def first_file(self) -> Path:
        """The clip's file; of a sequence the first picture."""
        return self.path if self.sequence is None else self.sequence.file(0)

    @property
    def is_deep(self) -> bool:
        """Whether 8 bits are too few for it: it has more, or is HDR."""
        return self.format.depth > 8 or self.color.hdr

    @property
    def audio(self) -> tuple[Track, ...]:
        """The audio tracks."""
        return tuple(track for track in self.tracks if track.kind == "audio")


def probe(path: str | Path | ImageSequence, limits: Limits = Limits()) -> VideoInfo:  # noqa: B008 - frozen
    """Find out what a local video or photo holds, or a sequence of pictures; no file's name is taken for a pattern.

    Raises:
        InputNotFoundError: There is no such file.
        InputError: It is no video, has no video stream, or nothing of it decodes.
        LimitError: It is larger than the limits allow.
    """
    if isinstance(path, ImageSequence):
        from cdrl.media.sequences import describe_sequence  # noqa: PLC0415 - which describes its first picture here

        return describe_sequence(path, limits)
    checked = check_path(path, limits)
    with open_container(checked, limits) as container:
        info, _ = describe(checked, container, limits, DecodeErrors())
    return info


def describe(
    path: Path,
    container: InputContainer,
    limits: Limits,
    damage: DecodeErrors,
    threads: int = 1,
    captions: CaptionWatch | None = None,
) -> tuple[VideoInfo, Iterator[av.VideoFrame]]:
    """Describe an open file by decoding its first picture.

    Args:
        path: The file, as `check_path` gives it.
        container: The same file, opened and not yet read from.
        limits: What the file may hold.
        damage: Counts what cannot be decoded, now and while the pictures are read.
        threads: Threads of the decoder.
        captions: Looks at every packet.

    Returns:
        What the file holds, and all of its pictures from the first one on.

    Raises:
        InputError: There is no video stream, or nothing of it decodes.
        LimitError: The video is larger than the limits allow.
    """
    if container.format.name == "exr_pipe":
        raise InputError(f"{path} is one EXR picture, which holds scene-linear light: edit a numbered sequence of them")
    animation = read_animation(path, limits)
    if animation is not None:
        return _describe_animation(path, container, animation, limits, damage)
    grid = find_tiles(path)
    if grid is not None and (tile := first_tile(container, grid)) is not None:
        return _describe_tiles(path, container, tile, grid, limits)
    stream = main_video(container, path)
    check_pixels(stream.codec_context.width, stream.codec_context.height, path, limits)
    decoder = choose_decoder(stream, limits, threads)
    jumps, end = read_clock_jumps(path, container, stream, limits)
    pictures = decode_pictures(container, stream, decoder, damage, limits, jumps, captions)
    first = next(pictures, None)
    if first is None:
        unseen = "" if stream.codec_context.width else f", or over the limit of {limits.max_pixels:,} pixels"
        raise InputError(f"{path}: no frame can be decoded (empty or damaged{unseen}); check that it plays")
    info = _describe(path, container, stream, first, limits)
    if end is not None:
        notes = (*info.notes, describe_jumps(jumps, info.start))
        length = end - info.start
        count = round(length * info.rate) if info.rate else None
        info = replace(info, jumps=jumps, duration=length, frame_count=count, notes=notes)
    check_length(info, limits)
    return info, chain([first], pictures)


def _describe_tiles(
    path: Path, container: InputContainer, tile: VideoStream, grid: TileGrid, limits: Limits
) -> tuple[VideoInfo, Iterator[av.VideoFrame]]:
    """The same as `describe`, of a photo that is put together from tiles."""
    check_pixels(grid.width, grid.height, path, limits)
    first = next(decode_tiles(container, grid), None)
    if first is None:
        raise InputError(f"{path}: a part of the photo cannot be decoded; check that it can be viewed")
    info = _describe(path, container, tile, first, limits)
    turn = grid.orientation
    width, height = (grid.height, grid.width) if turn.transpose else (grid.width, grid.height)
    stored, _ = pixel_format(first.format.name, info.color.range, info.color.matrix, first.height)
    info = replace(
        info, width=width, height=height, rotation=turn.degrees, orientation=turn, format=turn.format(stored),
        tracks=(), tiles=grid,
    )  # fmt: skip
    return info, iter([first])


def _describe_animation(
    path: Path, container: InputContainer, animation: Animation, limits: Limits, damage: DecodeErrors
) -> tuple[VideoInfo, Iterator[av.VideoFrame]]:
    """The same as `describe`, of an animated WebP, which FFmpeg opens as a photo."""
    check_pixels(*animation.size, path, limits)
    pictures = decode_animation(path, animation, damage)
    first = next(pictures, None)
    if first is None:
        why = f" ({damage.broken})" if damage.broken else ""
        raise InputError(f"{path}: no frame can be decoded{why}; check that it plays")
    info = _describe(path, container, main_video(container, path), first, limits)
    count, ticks = len(animation.durations), sum(animation.durations)
    info = replace(
        info, rate=count / (ticks * TICK) if ticks else None, time_base=TICK, start=Fraction(0), lead=Fraction(0),
        duration=ticks * TICK or None, frame_count=count, photo=False, alpha=may_be_transparent(first, info.codec),
        icc_profile=animation.icc_profile,
    )  # fmt: skip
    check_length(info, limits)
    return info, chain([first], pictures)


def read_clock_jumps(
    path: Path, container: InputContainer, stream: Stream, limits: Limits
) -> tuple[tuple[ClockJump, ...], Fraction | None]:
    """Where a file's clock begins anew, by `stream`, and when that then ends; the file is read through for it."""
    if not may_jump(container):
        return (), None
    with open_container(path, limits) as again:
        return find_clock_jumps(again, stream.index)


def choose_decoder(stream: VideoStream, limits: Limits, threads: int) -> VideoCodecContext:
    """The decoder of a stream, with its threads and its guard against huge pictures, before the first packet.

    VP8 and VP9 hold transparency as a second picture beside the first, which libvpx alone decodes.
    """
    context = stream.codec_context
    labels = {key.lower(): text for key, text in stream.metadata.items()}
    if labels.get("alpha_mode") == "1" and (name := _LIBVPX.get(context.name)) in av.codecs_available:
        other = av.CodecContext.create(name, "r")
        assert isinstance(other, VideoCodecContext)
        other.extradata = context.extradata
        context = other
    context.options = {"max_pixels": str(limits.max_pixels)}
    if threads > 1:
        context.thread_type, context.thread_count = ThreadType.AUTO, threads
    return context


def check_pixels(width: int, height: int, path: Path, limits: Limits) -> None:
    """Raises LimitError for a picture larger than the limit."""
    if width * height > limits.max_pixels:
        bound = f"the limit is {limits.max_pixels:,} pixels: scale it down or raise max_pixels"
        raise LimitError(f"{path} is {width}x{height}, {bound}")


def check_length(info: VideoInfo, limits: Limits) -> None:
    """Raises LimitError for a clip that is longer than the limit."""
    if info.duration is not None and info.duration > limits.max_seconds:
        raise LimitError(
            f"{info.path} lasts {float(info.duration):.0f} s, the limit is {limits.max_seconds} s: raise max_seconds"
        )


def color_tags(context: VideoCodecContext) -> ColorTags:
    """What a decoder says of the colors of its pictures; those of VP8 are always the same."""
    if context.name == "vp8" and context.colorspace == _UNSPECIFIED:  # not decoded by itself
        return ColorTags(context.color_range or _LIMITED, _BT601)
    return ColorTags(context.color_range, context.colorspace, context.color_primaries, context.color_trc)


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The video stream a player shows: the default one, else the largest; never a cover picture."""
    candidates = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not candidates:
        held = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream at all"
        raise InputError(f"{path} has no video stream (it holds {held}): choose a file with a picture")
    if container.metadata.get("major_brand") in ANIMATIONS:  # beside which lies a still picture
        most = max(stream.frames for stream in candidates)
        candidates = [stream for stream in candidates if stream.frames == most]
    readable = [stream for stream in candidates if stream.codec_context is not None]
    if not readable:
        raise InputError(f"{path}: there is no decoder for its video; convert it to H.264 first")
    best = max(readable, key=_precedence)
    if best.codec_tag in ("dvh1", "dvhe", "dva1", "dvav", "dav1"):
        raise InputError(f"{path} is Dolby Vision without a standard base picture: export it as HDR10 or SDR first")
    return best


def _precedence(stream: VideoStream) -> tuple[bool, int]:
    context = stream.codec_context
    return bool(stream.disposition & Disposition.default), context.width * context.height


def _describe(
    path: Path, container: InputContainer, stream: VideoStream, first: av.VideoFrame, limits: Limits
) -> VideoInfo:
    """The whole description, once the first frame is decoded."""
    context = stream.codec_context
    color = color_tags(context)
    stored, layout_note = pixel_format(first.format.name, color.range, color.matrix, first.height)
    turn, turn_note = _turn(first, find_orientation(path))
    time_base = stream.time_base or CLOCK
    start = _start(container, stream, first, time_base)
    broadcast = bool(container.format.flags & cast(int, Flags.ts_discont.value))
    lasting = stream.duration * time_base if stream.duration else (container.duration or 0) * CLOCK
    duration = lasting or None
    rate = _rate(stream, first, time_base)
    if rate and rate * limits.max_seconds < 1:  # damage: a frame would last longer than a clip may
        rate = None
    photo = container.format.name.endswith("_pipe") and not container.format.name.startswith("yuv4mpeg")
    photo = photo or container.metadata.get("major_brand", "").encode() in BRANDS
    size = (first.height, first.width) if turn.transpose else (first.width, first.height)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return VideoInfo(
        path=path,
        container=container.format.name,
        codec=context.name,
        width=size[0],
        height=size[1],
        rotation=turn.degrees,
        orientation=turn,
        sample_aspect=1 / aspect if turn.transpose else aspect,
        rate=Fraction(rate) if rate else None,
        time_base=time_base,
        start=start,
        lead=Fraction(0) if first.pts is None else max(Fraction(0), first.pts * time_base - start),
        duration=None if photo else duration,
        frame_count=1 if photo else stream.frames or (round(duration * rate) if duration and rate else None),
        format=turn.format(stored),
        color=color,
        stream_index=stream.index,
        tracks=tuple(_track(other) for other in container.streams if other.index != stream.index),
        photo=photo,
        first_field="" if photo else find_first_field(first),
        rebased=broadcast or start >= LONG_OFFSET,
        notes=tuple(filter(None, [layout_note * (not photo), turn_note, *_picture_notes(container, stream, first)])),
        labels=dict(container.metadata),
        pixels=first.format.name,
        alpha=not photo and may_be_transparent(first, context.name),
        hdr=read_hdr_metadata(side_data(first)),
        icc_profile=side_data(first).get(SideDataType.ICC_PROFILE, b""),
        timecode=_timecode(container, stream),
    )


def _turn(first: av.VideoFrame, photo: Orientation | None) -> tuple[Orientation, str]:
    """The turn of a HEIC or AVIF `photo`, else that of the first frame; a note where it cannot be done without loss."""
    if photo is not None:
        return photo, ""
    matrix = side_data(first).get(SideDataType.DISPLAYMATRIX)
    turn = Orientation() if matrix is None else Orientation.from_display_matrix(matrix)
    if turn is None:
        return Orientation(), "the clip asks to be shown at a slant, which is ignored: frames stay as they are stored"
    return turn, ""


def _start(container: InputContainer, stream: VideoStream, first: av.VideoFrame, time_base: Fraction) -> Fraction:
    """What a player shows as 0:00. Audio before 0 is the encoder's run-up and does not count."""
    ticks = stream.start_time if stream.start_time is not None else first.pts or 0
    starts = [ticks * time_base]
    for other in container.streams.audio:
        if other.start_time is not None and other.time_base is not None:
            starts.append(other.start_time * other.time_base)
    return min(starts) if min(starts) >= 0 else min(starts[0], Fraction(0))


def _track(stream: Stream) -> Track:
    """A stream beside the picture, in words."""
    context = getattr(stream, "codec_context", None)
    codec = context.name if context is not None else getattr(stream, "name", None) or "unknown codec"
    kind = "cover" if stream.disposition & Disposition.attached_pic else stream.type
    language = stream.metadata.get("language", "")
    return Track(
        stream.index,
        cast(Kind, kind) if kind in get_args(Kind) else "data",
        codec,
        "" if language == "und" else language,
        stream.metadata.get("title", "") or stream.metadata.get("name", ""),
    )


def _picture_notes(container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> list[str]:
    """What the picture carries that will not be in an edited clip."""
    notes = []
    held = side_data(first)
    if stream.codec_context.name in ("hevc", "h264", "av1") and "DOVI configuration" in describe_container(container):
        notes.append("Dolby Vision metadata is left out; the HDR base picture is kept")
    elif held.keys() & set(DYNAMIC):
        notes.append("Dolby Vision / HDR10+ frame-by-frame metadata is left out; the HDR base picture is kept")
    elif SideDataType.AMBIENT_VIEWING_ENVIRONMENT in held:
        notes.append("the ambient light that the HDR clip was made for is left out; depth and color tags are kept")
    return notes


def _rate(stream: VideoStream, first: av.VideoFrame, time_base: Fraction) -> Fraction | None:
    """The mean rate; where a file states none that can be, that of the first frame."""
    of_first = 1 / (first.duration * time_base) if first.duration else None
    if first.pts is None and of_first is not None:  # a stream without times, whose mean rate is FFmpeg's guess
        return of_first
    rates = (rate for rate in (stream.average_rate, stream.guessed_rate) if rate and rate <= FASTEST)
    return next((Fraction(rate) for rate in rates), of_first)


def _timecode(container: InputContainer, stream: VideoStream) -> str:
    """The timecode of the picture: its own, that of a timecode track, or the file's."""
    tracks = (other.metadata for other in container.streams if other.type == "data")
    every = (metadata.items() for metadata in (stream.metadata, *tracks, container.metadata))
    held = (text for labels in every for key, text in labels if key.lower() == "timecode")
    return next((timecode for timecode in held if TIMECODE.fullmatch(timecode)), "")
