"""Frames of a clip, one by one, upright, with exact times."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from cdrl.errors import InputError, LimitError
from cdrl.media.decoding import DecodeErrors, decode_pictures, pluralize
from cdrl.media.frames import Frame
from cdrl.media.layout import convert_format, extract_planes
from cdrl.media.limits import Limits
from cdrl.media.opening import check_path, open_container
from cdrl.media.probing import VideoInfo, configure_decoder, describe
from cdrl.media.threads import available_cores


def read(source: str | Path | VideoInfo, limits: Limits = Limits(), stop: Fraction | None = None) -> FrameReader:  # noqa: B008
    """Read the frames of a clip one by one; a photo is a clip of one frame.

    Args:
        source: A file, which is opened at once, or what `probe` said of one, which is opened with the first frame.
        limits: What the file may hold.
        stop: Only frames with `Frame.time < stop` are read, in seconds; None for all.

    Returns:
        An iterator over the frames. The file closes at the last frame, at `close()`, or at the end of a `with` block.
        While iterating it raises LimitError, and InputError when nothing decodes. Damage that leaves frames to show is
        no error: see `FrameReader.notes`.

    Raises:
        InputError: As `probe` does, where a file is given.
        LimitError: The same.
    """
    return FrameReader(source, limits, stop)


class FrameReader(Iterator[Frame]):
    """Iterator over the frames of `info`; `notes` says what a user should know and is complete after the last frame."""

    def __init__(self, source: str | Path | VideoInfo, limits: Limits, stop: Fraction | None) -> None:
        """See `read`."""
        self._limits = limits
        self._stop = stop
        self._damage = DecodeErrors()
        self._n_retimed = 0
        self._n_resized = 0
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

    def _open_and_describe(self, source: str | Path) -> VideoInfo:
        path = check_path(source, self._limits)
        with self._stack:
            container = self._stack.enter_context(open_container(path, self._limits))
            info, self._pictures = describe(path, container, self._limits, self._damage, available_cores())
            self._stack = self._stack.pop_all()
        return info

    def _open(self) -> Iterator[av.VideoFrame]:
        """The pictures of the stream that `probe` chose."""
        path = check_path(self.info.path, self._limits)
        container = self._stack.enter_context(open_container(path, self._limits))
        stream = select_stream(container, self.info)
        configure_decoder(stream, self._limits, available_cores())
        return decode_pictures(container, stream, self._damage, self._limits)

    def _generate(self) -> Generator[Frame, None, None]:
        path, limits, frame = self.info.path, self._limits, None
        with closing(self._stack):
            for picture in self._pictures or self._open():
                frame = self._frame(picture, frame)
                if self._stop is not None and frame.time >= self._stop:
                    return
                if frame.time > limits.max_seconds:
                    raise LimitError(f"{path} lasts longer than {limits.max_seconds} s, the limit: raise max_seconds")
                if frame.index >= limits.max_frames:
                    raise LimitError(f"{path} has more than {limits.max_frames:,} frames: raise max_frames")
                yield frame
        if frame is None:
            raise InputError(f"{path}: no frame can be decoded (empty or damaged); play it to see whether it is whole")
        self._conclude(self._damage, frame)

    def _frame(self, picture: av.VideoFrame, last: Frame | None) -> Frame:
        """`picture` upright, in the clip's own format and size, with a time after the last frame's."""
        info = self.info
        size = (info.height, info.width) if info.orientation.transpose else (info.width, info.height)
        if (picture.width, picture.height) != size:
            self._n_resized += 1
            picture = convert_format(picture, self._stored, size)
        pts = picture.pts
        if last is not None and (pts is None or pts <= last.pts):
            self._n_retimed += 1
            pts = last.pts + (1 if pts is not None else last.duration or mean_duration(info))
        if pts is None:  # the first frame, without a time: it is what a player begins with
            self._n_retimed += 1
            pts = round(info.start / info.time_base)
        duration = picture.duration or 0
        return Frame(
            planes=extract_planes(picture, self._stored, info.orientation),
            format=info.format,
            pts=pts,
            time_base=info.time_base,
            index=0 if last is None else last.index + 1,
            duration=duration if 0 < duration * info.time_base <= self._limits.max_seconds else None,
            time=pts * info.time_base - info.start,
        )

    def _conclude(self, damage: DecodeErrors, last: Frame) -> None:
        count, end, length = last.index + 1, last.time, self.info.duration
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
