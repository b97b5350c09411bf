"""Frames of a clip, one by one, upright, with exact times."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.video.stream import VideoStream

from cdrl.errors import InputError, LimitError
from cdrl.media.decoding import Damage, counted, decoded
from cdrl.media.frames import Frame
from cdrl.media.layout import planes_of, rearranged
from cdrl.media.limits import Limits
from cdrl.media.opening import check_path, opened
from cdrl.media.probing import VideoInfo, probe
from cdrl.media.threads import available_cores


def read(source: str | Path | VideoInfo, limits: Limits = Limits(), stop: Fraction | None = None) -> FrameReader:  # noqa: B008
    """The frames of a clip, streamed; a photo is a clip of one frame.

    `stop`: read only frames with `Frame.time < stop`, in seconds. The file closes at the last frame, at `close()`, or
    at the end of a `with` block. Raises as `probe` does; while iterating LimitError, and InputError when nothing
    decodes. Damage that leaves frames to show is no error: see `FrameReader.notes`.
    """
    info = source if isinstance(source, VideoInfo) else probe(source, limits)
    return FrameReader(info, limits, stop)


class FrameReader(Iterator[Frame]):
    """Iterator over the frames of `info`; `notes` says what a user should know and is complete after the last frame."""

    def __init__(self, info: VideoInfo, limits: Limits, stop: Fraction | None) -> None:
        self.info = info
        self.notes: list[str] = list(info.notes)
        self._limits = limits
        self._stop = stop
        self._retimed = 0
        self._resized = 0
        self._frames = self._generate()

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file now; further `next` ends the iteration."""
        self._frames.close()

    def _generate(self) -> Generator[Frame, None, None]:
        info, limits, damage = self.info, self._limits, Damage()
        with opened(check_path(info.path, limits), limits) as container:
            stream = selected_stream(container, info)
            configure_decoder(stream, limits)
            frame = None
            for picture in decoded(container, stream, damage, limits):
                frame = self._frame(picture, frame)
                if self._stop is not None and frame.time >= self._stop:
                    return
                if frame.time > limits.max_seconds:
                    raise LimitError(
                        f"{info.path} lasts longer than {limits.max_seconds} s, the limit: raise max_seconds"
                    )
                if frame.index >= limits.max_frames:
                    raise LimitError(f"{info.path} has more than {limits.max_frames:,} frames: raise max_frames")
                yield frame
        if frame is None:
            raise InputError(
                f"{info.path}: no frame can be decoded (empty or damaged); play it to see whether it is whole"
            )
        self._conclude(damage, frame)

    def _frame(self, picture: av.VideoFrame, last: Frame | None) -> Frame:
        """`picture` upright, in the clip's own format and size, with a time after the last frame's."""
        info = self.info
        stored = info.turn.format(info.format)  # turning twice gives back the format as stored
        size = (info.height, info.width) if info.turn.transpose else (info.width, info.height)
        if (picture.width, picture.height) != size:
            self._resized += 1
            picture = rearranged(picture, stored, size)
        pts = picture.pts
        if last is not None and (pts is None or pts <= last.pts):
            self._retimed += 1
            pts = last.pts + (1 if pts is not None else last.duration or usual_duration(info))
        if pts is None:  # the first frame, without a time: it is what a player begins with
            self._retimed += 1
            pts = round(info.start / info.time_base)
        return Frame(
            planes=planes_of(picture, stored, info.turn),
            format=info.format,
            pts=pts,
            time_base=info.time_base,
            index=0 if last is None else last.index + 1,
            duration=picture.duration or None,
            time=pts * info.time_base - info.start,
        )

    def _conclude(self, damage: Damage, last: Frame) -> None:
        count, end, length = last.index + 1, last.time, self.info.duration
        if text := str(damage):
            self.notes.append(f"the clip is damaged: {text}; {counted(count, 'frame')} can be used")
        elif length is not None and end < min(Fraction(9, 10) * length, length - Fraction(1, 2)):
            self.notes.append(f"the picture ends early, {float(end):.1f} s into {float(length):.1f} s")
        if self._retimed:
            self.notes.append(
                f"{counted(self._retimed, 'frame')} without a time, or out of order, put after the one before"
            )
        if self._resized:
            self.notes.append(
                f"{self._resized} frames of another size are scaled to {self.info.width}x{self.info.height}"
            )


def usual_duration(info: VideoInfo) -> int:
    """Ticks that a frame is shown at the mean rate; at least 1."""
    return max(1, round(1 / ((info.rate or Fraction(25)) * info.time_base)))


def selected_stream(container: InputContainer, info: VideoInfo) -> VideoStream:
    """The stream that `probe` chose; InputError when the file has changed since."""
    chosen = container.streams[info.stream_index] if info.stream_index < len(container.streams) else None
    if not isinstance(chosen, VideoStream) or chosen.codec_context is None:
        raise InputError(f"{info.path} has changed since it was opened first: start again")
    return chosen


def configure_decoder(stream: VideoStream, limits: Limits) -> None:
    """Threads and the guard against huge pictures, before the first packet."""
    context = stream.codec_context
    context.options = {"max_pixels": str(limits.max_pixels)}
    context.thread_type = ThreadType.AUTO
    context.thread_count = available_cores()
