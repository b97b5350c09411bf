"""Frames of a clip, one by one, upright, with exact times."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import chain
from math import floor
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from cdrl.errors import InputError, LimitError
from cdrl.media.captions import CaptionWatch
from cdrl.media.decoding import DecodeErrors, decode_pictures, pluralize
from cdrl.media.frames import Frame
from cdrl.media.layout import convert_format, decoded_rgb, extract_alpha, extract_planes, has_alpha, is_rgb
from cdrl.media.limits import Limits
from cdrl.media.numbering import ImageSequence
from cdrl.media.opening import check_path, open_container
from cdrl.media.probing import VideoInfo, choose_decoder, describe
from cdrl.media.sequences import decode_sequence, describe_sequence
from cdrl.media.side_data import read_captions
from cdrl.media.threads import available_cores
from cdrl.media.tiles import decode_tiles
from cdrl.media.webp import decode_animation, read_animation

_SEEKABLE = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv"))
"""Containers that hold the time of each picture, so that it doesn't depend on what was read before."""


def read(
    source: str | Path | ImageSequence | VideoInfo,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    stop: Fraction | None = None,
    start: Fraction | None = None,
    keep_rgb: bool = False,
) -> FrameReader:
    """Read the frames of a clip one by one; a photo is a clip of one frame.

    Args:
        source: A file or a sequence, which is opened at once, or what `probe` said of one, which is opened with the
            first frame.
        limits: What the file may hold.
        stop: Only frames with `Frame.time < stop` are read, in seconds; None for all.
        start: Only frames with `start <= Frame.time` are given, in seconds; None for all. Pictures and times are those
            of a reader that begins with the first frame, and there may be none; `Frame.index` counts from here. Files
            that can be relied on to seek are read from the keyframe before, others from their beginning.
        keep_rgb: Whether frames of an RGB clip carry the RGB they were made of (`Frame.pixels`).

    Returns:
        An iterator over the frames. The file closes at the last frame, at `close()`, or at the end of a `with` block.
        While iterating it raises LimitError, and InputError when nothing decodes. Damage that leaves frames to show is
        no error: see `FrameReader.notes`.

    Raises:
        InputError: As `probe` does, where a file is given.
        LimitError: The same.
    """
    return FrameReader(source, limits, stop, start, keep_rgb)


def can_seek(info: VideoInfo) -> bool:
    """Whether a clip is of a kind in which `read(start=...)` need not decode all that lies before."""
    return info.sequence is not None or (info.container in _SEEKABLE and not info.jumps)


class _Stamp(NamedTuple):
    """When a frame is shown: in ticks, for how many of them where that is known, and in seconds."""

    pts: int
    duration: int | None
    time: Fraction


class FrameReader(Iterator[Frame]):
    """Iterator over the frames of `info`; `notes` says what a user should know and is complete after the last frame."""

    def __init__(
        self,
        source: str | Path | ImageSequence | VideoInfo,
        limits: Limits,
        stop: Fraction | None,
        start: Fraction | None = None,
        keep_rgb: bool = False,
    ) -> None:
        """See `read`."""
        self._limits = limits
        self._stop = stop
        self._start = start
        self._keep_rgb = keep_rgb
        self.sought = False
        """Whether the first frame was reached without reading all that lies before it."""
        self._damage = DecodeErrors()
        self._n_retimed = 0
        self._n_resized = 0
        self._captions = CaptionWatch()
        self._stack = ExitStack()
        self._pictures: Iterator[av.VideoFrame] | None = None
        self.info = source if isinstance(source, VideoInfo) else self._open_and_describe(source)
        self.notes: list[str] = list(self.info.notes)
        self._stored = self.info.orientation.format(self.info.format)  # turning twice gives back the format as stored
        self._frames = self._generate()

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file now; further `next` ends the iteration."""
        self._frames.close()
        self._stack.close()

    def _open_and_describe(self, source: str | Path | ImageSequence) -> VideoInfo:
        if isinstance(source, ImageSequence):
            return describe_sequence(source, self._limits)
        path = check_path(source, self._limits)
        with self._stack:
            container = self._stack.enter_context(open_container(path, self._limits))
            info, self._pictures = describe(
                path, container, self._limits, self._damage, available_cores(), self._captions
            )
            self._stack = self._stack.pop_all()
        return info

    def _open(self, start: Fraction | None = None) -> Iterator[av.VideoFrame]:
        """The pictures of the stream that `probe` chose, from a keyframe that is to lie at `start` or before."""
        if self.info.sequence is not None:
            begin = max(0, floor((start or 0) * self.info.sequence.rate))
            return decode_sequence(self.info.sequence, self._limits, begin)
        path = check_path(self.info.path, self._limits)
        animation = read_animation(path, self._limits)
        if animation is not None:
            return decode_animation(path, animation, self._damage)
        container = self._stack.enter_context(open_container(path, self._limits))
        if self.info.tiles is not None:
            return decode_tiles(container, self.info.tiles)
        stream = select_stream(container, self.info)
        decoder = choose_decoder(stream, self._limits, available_cores())
        if start is not None:
            container.seek(floor((start + self.info.start) / self.info.time_base), stream=stream)
        return decode_pictures(container, stream, decoder, self._damage, self._limits, self.info.jumps, self._captions)

    def _choose_pictures(self) -> Iterator[av.VideoFrame]:
        """The pictures from `start` on where the file can seek, else all of them."""
        if self._start is None:
            return self._pictures or self._open()
        self._pictures = None
        self._stack.close()  # `describe` has read the first picture
        if can_seek(self.info):
            pictures = self._seek(self._start)
            if pictures is not None:
                self.sought = True
                return pictures
            self._stack.close()
            self._damage = DecodeErrors()
        return self._open()

    def _seek(self, start: Fraction) -> Iterator[av.VideoFrame] | None:
        """The pictures from `start` on; None where they may not be those that reading from the beginning gives."""
        try:
            pictures = self._open(start)
        except (av.FFmpegError, OverflowError):
            return None
        last = None
        for picture in pictures:
            time = None if picture.pts is None else picture.pts * self.info.time_base - self.info.start
            if time is None or str(self._damage) or (last is not None and time <= last):
                return None
            if time > start and last is None:  # something may lie between
                return None
            if time >= start:
                return chain([picture], pictures)
            last = time
        return None if str(self._damage) or last is None else iter(())

    def _generate(self) -> Generator[Frame, None, None]:
        path, limits, index, last = self.info.path, self._limits, 0, None
        with closing(self._stack):
            for count, picture in enumerate(self._choose_pictures()):
                last = self._stamp(picture, last)
                if self._start is not None and last.time < self._start:
                    continue
                if self._stop is not None and last.time >= self._stop:
                    return
                if last.time > limits.max_seconds:
                    raise LimitError(f"{path} lasts longer than {limits.max_seconds} s, the limit: raise max_seconds")
                if count >= limits.max_frames:
                    raise LimitError(f"{path} has more than {limits.max_frames:,} frames: raise max_frames")
                yield self._frame(picture, last, index)
                index += 1
        if last is not None:
            self._conclude(self._damage, index, last.time)
        elif not self.sought:
            raise InputError(f"{path}: no frame can be decoded (empty or damaged); play it to see whether it is whole")

    def _stamp(self, picture: av.VideoFrame, last: _Stamp | None) -> _Stamp:
        """When `picture` is shown: after the one before."""
        info, pts = self.info, picture.pts
        if last is not None and (pts is None or pts <= last.pts):
            self._n_retimed += 1
            step = last.duration or mean_duration(info)
            # What stands still or goes back is shown in time before the next one that doesn't.
            pts = last.pts + (max(1, step // 2) if pts is not None else step)
        if pts is None:  # the first frame, without a time: it is what a player begins with
            self._n_retimed += 1
            pts = round(info.start / info.time_base)
        duration = picture.duration or 0
        usable = 0 < duration * info.time_base <= self._limits.max_seconds
        return _Stamp(pts, duration if usable else None, pts * info.time_base - info.start)

    def _frame(self, picture: av.VideoFrame, stamp: _Stamp, index: int) -> Frame:
        """`picture` upright, in the clip's own format and size."""
        info = self.info
        size = (info.height, info.width) if info.orientation.transpose else (info.width, info.height)
        alpha = None
        if info.alpha and has_alpha(picture.format.name):
            alpha = extract_alpha(picture, self._stored, size, info.orientation)
        if (picture.width, picture.height) != size:
            self._n_resized += 1
            picture = convert_format(picture, self._stored, size)  # which has no packet any more
        keeps = self._keep_rgb and is_rgb(picture.format.name)
        return Frame(
            pixels=decoded_rgb(picture, info.orientation) if keeps else None,
            planes=extract_planes(picture, self._stored, info.orientation),
            format=info.format,
            pts=stamp.pts,
            time_base=info.time_base,
            index=index,
            duration=stamp.duration,
            time=stamp.time,
            alpha=alpha,
            packet=picture.opaque if isinstance(picture.opaque, bytes) else b"",
            captions=read_captions(picture) if self._captions.seen else b"",
        )

    def _conclude(self, damage: DecodeErrors, count: int, end: Fraction) -> None:
        length = self.info.duration
        if text := str(damage):
            self.notes.append(f"the clip is damaged: {text}; {pluralize(count, 'frame')} can be used")
        elif length is not None and end < min(Fraction(9, 10) * length, length - Fraction(1, 2)):
            self.notes.append(f"the picture ends early, {float(end):.1f} s into {float(length):.1f} s")
        if self._n_retimed:
            self.notes.append(
                f"{pluralize(self._n_retimed, 'frame')} without a time, or out of order, put after the one before"
            )
        if self._n_resized:
            self.notes.append(
                f"{self._n_resized} frames of another size are scaled to {self.info.width}x{self.info.height}"
            )


def mean_duration(info: VideoInfo) -> int:
    """Ticks that a frame is shown at the mean rate; at least 1."""
    return max(1, round(1 / ((info.rate or Fraction(25)) * info.time_base)))


def select_stream(container: InputContainer, info: VideoInfo) -> VideoStream:
    """The stream that `probe` chose; InputError when the file has changed since."""
    chosen = container.streams[info.stream_index] if info.stream_index < len(container.streams) else None
    if not isinstance(chosen, VideoStream) or chosen.codec_context is None:
        raise InputError(f"{info.path} has changed since it was opened first: start again")
    return chosen
