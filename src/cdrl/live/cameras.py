"""Where live frames come from: a camera, a file that is played as one, or a stream on standard input."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import ThreadType
from av.container import InputContainer

from cdrl.errors import InputError, InputNotFoundError, UsageError
from cdrl.media import Frame, Limits, probe, read
from cdrl.media.decoding import words
from cdrl.media.layout import Turn, pixel_format, planes_of
from cdrl.media.opening import DEMUXERS
from cdrl.media.probing import check_pixels

STDIN = "-"
_BEHIND = 0.1  # seconds that decoding a file may lag before the pretended camera is taken to be slower than the file
# FFmpeg would look at seconds of a stream before it gives the first frame; its first bytes say what it is.
_AT_ONCE = {"formatprobesize": "32768", "probesize": "32768", "fpsprobesize": "0"}
_DEVICE = re.compile(r"\d{1,3}|/dev/video\d{1,3}")


@dataclass(frozen=True)
class Captured:
    """A frame, and when it was there: seconds of `time.monotonic`."""

    frame: Frame
    at: float


Capture = Generator[Captured, None, None]


@dataclass(frozen=True)
class CameraMode:
    """What a camera is asked for; it may give something near it."""

    width: int = 640
    height: int = 480
    rate: int = 30


def camera(name: str, mode: CameraMode, limits: Limits) -> Capture:
    """Frames of a camera: its number, or its device /dev/videoN. Raises UsageError, InputError."""
    if not _DEVICE.fullmatch(name):
        raise UsageError(f"--camera {name!r} is no camera: give its number, as in 0, or its device, as in /dev/video0")
    path = Path(name if name.startswith("/") else f"/dev/video{name}")
    try:
        device = stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        there = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none is connected"
        raise InputNotFoundError(f"there is no camera {path}; cameras here: {there}") from None
    if not device:
        raise InputError(f"{path} is no camera but a file: to play a file as a camera give --input FILE")
    options = {"video_size": f"{mode.width}x{mode.height}", "framerate": str(mode.rate)}
    with _told(f"the camera {path} cannot be used", "close other programs that use it, or try another --size"):
        container = av.open(str(path), "r", format="v4l2", options=options)
    return _frames(container, str(path), limits)


def standard_input(limits: Limits) -> Capture:
    """Frames of a stream on standard input: Y4M, MJPEG, Matroska, whatever says itself what it is.

    It is opened with the first frame, in the thread that asks for it: nobody knows how long that waits.
    """
    # Unbuffered: a full buffer must not be waited for while half of a frame is there.
    stream = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - closed with the process
    options = {"format_whitelist": DEMUXERS, "max_pixels": str(limits.max_pixels), **_AT_ONCE}
    options["protocol_whitelist"] = "none"  # what comes in opens nothing else
    with _told("standard input is no video stream", "send Y4M, MJPEG or Matroska, as from ffmpeg -f yuv4mpegpipe -"):
        container = av.open(stream, "r", options=options, metadata_errors="replace")
    yield from _frames(container, "standard input", limits)


def file_as_camera(path: Path, limits: Limits) -> Capture:
    """Frames of a file, each when its time has come. Raises as `cdrl.media.probe`."""
    info = probe(path, limits)
    if info.photo:
        raise InputError(f"{path} is a photo: give a video to play it as a camera")
    return _played(path, limits)


def _played(path: Path, limits: Limits) -> Capture:
    with read(path, limits) as frames:
        begin: float | None = None
        for frame in frames:
            if begin is None:
                begin = time.monotonic() - float(frame.time)
            due = begin + float(frame.time)
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -_BEHIND:
                begin, due = begin - wait, due - wait
            yield Captured(frame, due)


def _frames(container: InputContainer, name: str, limits: Limits) -> Capture:
    if not container.streams.video:
        container.close()
        raise InputError(f"{name} has no picture: send a video stream")
    stream = container.streams.video[0]
    stream.codec_context.thread_type = ThreadType.SLICE  # whole frames side by side would come a few frames late
    begin: float | None = None
    with container, _told(f"{name} broke off", "check the cable, or the program that sends it"):
        for index, picture in enumerate(container.decode(stream)):
            check_pixels(picture.width, picture.height, Path(name), limits)
            at = time.monotonic()
            begin = at if begin is None else begin
            colours = stream.codec_context
            form, _ = pixel_format(picture.format.name, colours.color_range, colours.colorspace, picture.height)
            moment = Fraction(round((at - begin) * 1000), 1000)
            planes = planes_of(picture, form, Turn())
            yield Captured(Frame(planes, form, round(moment * 1000), index=index, time=moment), at)
    if begin is None:
        raise InputError(f"{name} holds no frame: check what sends it")


@contextmanager
def _told(what: str, advice: str) -> Iterator[None]:
    """FFmpeg's and the system's errors as InputError, in words."""
    try:
        yield
    except InputError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{what} ({words(error)}): {advice}") from error
