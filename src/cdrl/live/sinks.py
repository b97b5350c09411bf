"""Where live frames go: a window, a pipe, or nowhere."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import IO, Any

import av
import cv2
import numpy as np

from cdrl.emotions import EMOTIONS
from cdrl.errors import OutputError, UsageError
from cdrl.live.clocks import Signal
from cdrl.live.editing import OFF, QUIT
from cdrl.media import Frame, PixelFormat
from cdrl.media.layout import convert_format, untagged_matrix, view
from cdrl.media.tone import show_frame, to_standard

_LONGEST_PIXEL = Fraction(4)  # sides of one: more can only be damage
_LONGEST_END = 60  # seconds for which a last frame is shown at most, whatever a damaged file says


class FrameSink:
    """Takes frames, and hands on the commands that its user gives. This one shows nothing, for measurements."""

    every_frame = False
    """Whether it wants every frame of a file or stream, however late, rather than the newest."""

    signal = Signal()
    """What the frames are."""

    def begin(self, signal: Signal) -> None:
        """Learn what the frames are; called once before the first."""
        self.signal = signal

    def show(self, frame: Frame) -> None:
        """Show the frame; returns when the sink has done with it."""

    def commands(self) -> list[str]:
        """The commands since the last call, as `EmotionControl.command` takes them."""
        return []

    def title(self, text: str) -> None:
        """Say what is shown."""

    def end(self) -> None:
        """Finish after the last frame; not called after an error."""

    def close(self) -> None:
        """Release what the sink holds, in any case."""


class Y4mPipe(FrameSink):
    """Y4M, 8-bit 4:2:0, to a stream: what FFmpeg, ffplay, mpv and GStreamer read from a pipe.

    Y4M has one rate and no times. So a frame of a file or stream that is shown for longer is written again, and what
    is written lasts as long as what came. A camera's frames are written once each. It cannot say HDR either, which is
    written in the colors of usual displays.
    """

    every_frame = True

    def __init__(self, stream: IO[bytes], rate: Fraction) -> None:
        """`rate`: frames a second that a camera is said to have."""
        self._stream = stream
        self._rate = rate
        self._size: tuple[int, int] | None = None
        self._start: Fraction | None = None
        self._written = 0
        self._last: tuple[bytes, Fraction] | None = None
        """What was written last, and when it has been shown."""

    def begin(self, signal: Signal) -> None:
        """Take the rate of the frames, where they have one."""
        super().begin(signal)
        self._rate = signal.rate or self._rate

    def show(self, frame: Frame) -> None:
        """Write the frame. Raises BrokenPipeError where the reader has gone."""
        size = frame.width, frame.height
        if self._size is None:
            self._stream.write(self._header(frame))
            self._size, self._start = size, frame.time
        if size != self._size:
            raise OutputError(
                f"the picture changed from {self._size} to {size} pixels, which Y4M cannot say: start again"
            )
        self._fill(frame.time)
        planes = to_yuv420(self._standard(frame)).planes
        self._last = (
            b"FRAME\n" + b"".join(plane.tobytes() for plane in planes),
            frame.time + (frame.duration or 0) * frame.time_base,
        )
        self._write()

    def end(self) -> None:
        """Write the last frame for as long as it is shown, at most `_LONGEST_END` seconds."""
        if self._last is not None and self._start is not None:
            self._fill(min(self._last[1], self._start + self._written / self._rate + _LONGEST_END))

    def _fill(self, until: Fraction) -> None:
        """Writes the last frame again until the next one's time has come."""
        if self.signal.rate is None or self._start is None or self._last is None:
            return
        for _ in range(round((until - self._start) * self._rate) - self._written):
            self._write()

    def _write(self) -> None:
        assert self._last is not None
        self._stream.write(self._last[0])
        self._stream.flush()
        self._written += 1

    def _standard(self, frame: Frame) -> Frame:
        return to_standard(frame, self.signal.color, untagged_matrix(frame.height))

    def _header(self, frame: Frame) -> bytes:
        signal, rate = self.signal, self._rate
        full_range = frame.format.full_range and not signal.color.hdr
        words = (
            "YUV4MPEG2", f"W{frame.width}", f"H{frame.height}", f"F{rate.numerator}:{rate.denominator}",
            f"I{signal.interlace}", f"A{signal.sample_aspect.numerator}:{signal.sample_aspect.denominator}",
            "C420jpeg" if signal.centered else "C420mpeg2",
            "XCOLORRANGE=FULL" if full_range else "XCOLORRANGE=LIMITED",
        )  # fmt: skip
        return " ".join(words).encode() + b"\n"


def to_yuv420(frame: Frame) -> Frame:
    """The frame as 8-bit 4:2:0; itself where it is that already."""
    form = frame.format
    if (form.depth, form.sx, form.sy, form.gray) == (8, 2, 2, False):
        return frame
    picture = av.VideoFrame(frame.width, frame.height, form.name)
    for plane, samples in zip(picture.planes, frame.planes, strict=True):
        view(plane, form)[:] = samples
    target = PixelFormat("yuv420p", 8, 2, 2, form.full_range, form.matrix)
    planes = tuple(view(plane, target).copy() for plane in convert_format(picture, target).planes)
    return Frame(planes, target, frame.pts, frame.time_base, frame.index, frame.duration, frame.time)


def square_size(frame: Frame, sample_aspect: Fraction) -> tuple[int, int]:
    """Width and height at which a frame's pixels are square: stretched, never made smaller."""
    sample_aspect = min(max(sample_aspect, 1 / _LONGEST_PIXEL), _LONGEST_PIXEL)
    width = max(frame.width, round(frame.width * sample_aspect))
    return width, max(frame.height, round(frame.height / sample_aspect))


class Window(FrameSink):
    """A window by SDL. Keys: 1–7 the emotions, 0 off, up and down the intensity, q or escape the end."""

    def __init__(self) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it would greet on standard output
        try:
            import pygame  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError(
                "a window needs pygame-ce: pip install 'cdrl[live]', or pipe to a player with --output - | ffplay -i -"
            ) from None
        self._pygame: Any = pygame
        try:
            pygame.display.init()
        except pygame.error as error:
            raise OutputError(f"no window can be opened ({error}): run it at a screen, or give --output -") from None
        self._surface: Any = None
        self._title = "cdrl live"

    def show(self, frame: Frame) -> None:
        """Draw the frame; the window takes its size."""
        size = square_size(frame, self.signal.sample_aspect)
        if self._surface is None or self._surface.get_size() != size:
            self._surface = self._pygame.display.set_mode(size)
            self.title(self._title)
        shown = show_frame(frame, self.signal.color)
        if size != (frame.width, frame.height):
            shown = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        picture = self._pygame.image.frombuffer(shown.tobytes(), size, "RGB")
        self._surface.blit(picture, (0, 0))
        self._pygame.display.flip()

    def commands(self) -> list[str]:
        """Read the keys that were pressed."""
        pygame = self._pygame
        keys = {pygame.K_q: QUIT, pygame.K_ESCAPE: QUIT, pygame.K_UP: "+", pygame.K_DOWN: "-", pygame.K_0: OFF}
        keys |= {pygame.K_1 + place: name for place, name in enumerate(EMOTIONS)}
        said = []
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                said.append(QUIT)
            elif event.type == pygame.KEYDOWN and event.key in keys:
                said.append(keys[event.key])
        return said

    def title(self, text: str) -> None:
        """Show the text as the title."""
        self._title = text
        if self._surface is not None:
            self._pygame.display.set_caption(text)

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()
