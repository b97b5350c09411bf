"""Where live frames come from: a camera, a file that is played as one, or a stream on standard input."""

from __future__ import annotations

import re
import stat
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.device import enumerate_input_devices
from av.video.stream import VideoStream

from cdrl.errors import CdrlError, InputError, InputNotFoundError, UsageError
from cdrl.live.clocks import Signal, StreamClock, describe_file, describe_stream, has_times
from cdrl.media import Frame, Limits, VideoInfo, probe, read
from cdrl.media.decoding import error_text
from cdrl.media.layout import Orientation, extract_planes, pixel_format
from cdrl.media.opening import DEMUXERS
from cdrl.media.probing import check_pixels

_BEHIND = 0.1  # seconds that decoding a file may lag before the pretended camera is taken to be slower than the file
# FFmpeg would look at seconds of a stream before it gives the first frame; its first bytes say what it is.
LOW_LATENCY_OPTIONS = {"formatprobesize": "32768", "probesize": "32768", "fpsprobesize": "0"}
_DEVICE = re.compile(r"\d{1,3}|/dev/video\d{1,3}")
_ANY_CAMERA = Signal()


@dataclass(frozen=True)
class TimedFrame:
    """A frame, when it was there (seconds of `time.monotonic`), and what it is a part of."""

    frame: Frame
    at: float
    signal: Signal = _ANY_CAMERA


Capture = Generator[TimedFrame, None, None]


def camera(name: str, size: str, rate: int, limits: Limits) -> Capture:
    """Frames of a camera: its number; on Linux also its device /dev/videoN, on Windows its name.

    It is asked for a `size` such as 640x480 and for `rate` frames a second, and may give something near it.

    Raises UsageError, InputError.
    """
    device, form = _device(name)
    if form not in {known for names in av.formats_available for known in names.split(",")}:
        raise InputError(
            f"the camera {name} cannot be used: PyAV comes without {form} here; let FFmpeg read the camera and send "
            "Y4M to --input -"
        )
    options = {"video_size": size, "framerate": str(rate)}
    with _as_input_error(
        f"the camera {name} cannot be used", "close other programs that use it, or try another --size"
    ):
        container = av.open(device, "r", format=form, options=options)
    return _camera_frames(container, f"the camera {name}", limits)


def _device(name: str) -> tuple[str, str]:
    """What FFmpeg opens for a camera on this system, and with which of its devices. Raises UsageError, InputError."""
    if sys.platform == "win32":
        return f"video={_listed(int(name)) if name.isdecimal() else name}", "dshow"
    if sys.platform == "darwin":
        if not name.isdecimal():
            raise UsageError(f"--camera {name!r} is no camera: give its number, as in 0")
        return f"{name}:none", "avfoundation"
    return str(_video_device(name)), "v4l2"


def _listed(number: int) -> str:
    """The name of a camera on Windows, by its place in the list of devices."""
    with _as_input_error("the cameras here cannot be listed", "give --camera the name that the system's settings show"):
        names = [device.description for device in enumerate_input_devices("dshow") if "video" in device.media_types]
    if number >= len(names):
        raise InputNotFoundError(f"there is no camera {number}; cameras here: {', '.join(names) or 'none'}")
    return names[number]


def _video_device(name: str) -> Path:
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
    return path


def standard_input(limits: Limits, rate: int) -> Capture:
    """Frames of a stream on standard input: Y4M, MJPEG, Matroska, whatever says itself what it is.

    Their times are the stream's own; `rate`: frames a second of one that has none. It is opened with the first frame,
    in the thread that asks for it: nobody knows how long that waits.
    """
    # Unbuffered: a full buffer must not be waited for while half of a frame is there.
    stream = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - closed with the process
    options = {"format_whitelist": DEMUXERS, "max_pixels": str(limits.max_pixels), **LOW_LATENCY_OPTIONS}
    options["protocol_whitelist"] = "none"  # what comes in opens nothing else
    with _as_input_error(
        "standard input is no video stream", "send Y4M, MJPEG or Matroska, as from ffmpeg -f yuv4mpegpipe -"
    ):
        container = av.open(stream, "r", options=options, metadata_errors="replace")
    yield from _stream_frames(container, "standard input", Fraction(rate), limits)


def file_as_camera(path: Path, limits: Limits) -> Capture:
    """Frames of a file, each when its time has come. Raises as `cdrl.media.probe`."""
    info = probe(path, limits)
    if info.photo:
        raise InputError(f"{path} is a photo: give a video to play it as a camera")
    return _played(info, describe_file(info, limits), limits)


def _played(info: VideoInfo, signal: Signal, limits: Limits) -> Capture:
    with read(info, limits) as frames:
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
            yield TimedFrame(frame, due, signal)
        # What `probe` notes is of clips that are written; what comes after it was found in reading.
        signal.notes.extend(f"{info.path}: {note}" for note in frames.notes[len(info.notes) :])


def _camera_frames(container: InputContainer, name: str, limits: Limits) -> Capture:
    """Frames with the time at which each was there: a camera's own clock may be any."""
    begin: float | None = None
    for index, (picture, stream) in enumerate(_pictures(container, name, limits)):
        at = time.monotonic()
        begin = at if begin is None else begin
        yield TimedFrame(_frame(picture, stream, index, Fraction(round((at - begin) * 1000), 1000)), at)


def _stream_frames(container: InputContainer, name: str, rate: Fraction, limits: Limits) -> Capture:
    """Frames with the stream's own times, however fast or slowly they come."""
    pictures = _pictures(container, name, limits)
    first, stream = next(pictures)  # with its first picture is known what the stream is
    signal = describe_stream(stream, rate, first)
    clock = StreamClock(stream.time_base if has_times(stream) else None, signal.rate or rate)
    for index, picture in enumerate(chain([first], (picture for picture, _ in pictures))):
        at = time.monotonic()
        yield TimedFrame(_frame(picture, stream, index, clock.time(picture.pts)), at, signal)


def _pictures(
    container: InputContainer, name: str, limits: Limits
) -> Generator[tuple[av.VideoFrame, VideoStream], None, None]:
    if not container.streams.video:
        container.close()
        raise InputError(f"{name} has no picture: send a video stream")
    stream = container.streams.video[0]
    stream.codec_context.thread_type = ThreadType.SLICE  # whole frames side by side would come a few frames late
    some = False
    with container, _as_input_error(f"{name} broke off", "check the cable, or the program that sends it"):
        for picture in container.decode(stream):
            check_pixels(picture.width, picture.height, Path(name), limits)
            some = True
            yield picture, stream
    if not some:
        raise InputError(f"{name} holds no frame: check what sends it")


def _frame(picture: av.VideoFrame, stream: VideoStream, index: int, moment: Fraction) -> Frame:
    colors = stream.codec_context
    form, _ = pixel_format(picture.format.name, colors.color_range, colors.colorspace, picture.height)
    lasts = picture.duration * stream.time_base * 1000 if picture.duration and stream.time_base else 0
    return Frame(
        extract_planes(picture, form, Orientation()), form, round(moment * 1000), index=index,
        duration=round(lasts) or None, time=moment,
    )  # fmt: skip


@contextmanager
def _as_input_error(what: str, advice: str) -> Iterator[None]:
    """FFmpeg's and the system's errors as InputError, in words."""
    try:
        yield
    except CdrlError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{what} ({error_text(error)}): {advice}") from error
