"""One pass over a clip for what its timeline shows: moments to preview, the sound's envelope, and a copy to play."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.app.scene import Moment
from cdrl.errors import InputError
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import EncoderOptions, Frame, Limits, VideoInfo, Writer, read
from cdrl.speech.audio import SAMPLE_RATE, read_samples

MOMENTS = 8
_KEPT_BYTES = 64 << 20  # of frames in memory for one session
BINS = 400  # of the sound's envelope
_PLAYED_SOUND = {"aac", "mp3", "mp3float", "opus", "vorbis", "flac"}
_PLAYED = {"mov,mp4,m4a,3gp,3g2,mj2": {"h264", "vp9", "av1", "libdav1d"}, "matroska,webm": {"vp8", "vp9", "libdav1d"}}
_COPY = EncoderOptions(pixel_format="yuv420p", quality=20)


@dataclass(frozen=True)
class Timeline:
    """`moments` spread over the clip; `envelope` [BINS] in [0, 1], loudness over its length, None without sound."""

    seconds: float
    moments: tuple[Moment, ...]
    envelope: NDArray[np.float32] | None


def plays_in_browsers(info: VideoInfo) -> bool:
    """Whether any current browser shows this picture and plays its sound."""
    codecs = _PLAYED.get(info.container, set())
    simple = info.format.depth == 8 and (info.format.sx, info.format.sy) == (2, 2) and not info.rotation
    heard = all(track.codec in _PLAYED_SOUND for track in info.audio)
    # A Matroska file that is no WebM opens in some browsers only.
    named = info.container != "matroska,webm" or info.path.suffix.lower() == ".webm"
    return info.codec in codecs and simple and heard and named


def look_through(
    info: VideoInfo, limits: Limits, copy: Path | None, wanted: Callable[[], bool] = lambda: True
) -> Timeline:
    """Reads the clip once, and writes it to `copy` as 8-bit H.264 where one is asked for.

    `wanted` is asked at each frame; once it says no, the look ends early and no copy is left. Raises as `read` does.
    """
    count = int(np.clip(_KEPT_BYTES // max(frame_bytes(info), 1), 1, MOMENTS))
    tracker, keep = FaceTracker(BundleDetector()), Spread(count)
    end = Fraction(0)
    with ExitStack() as stack:
        reader = stack.enter_context(read(info, limits))
        writer = stack.enter_context(Writer(copy, info, _COPY, overwrite=True, limits=limits)) if copy else None
        for frame in reader:
            if not wanted():
                raise InputError("another clip was opened meanwhile")
            tracker.skip(frame)
            keep.add(Moment(frame, tracker.shot))
            end = frame.time
            if writer is not None:
                writer.write(frame)
    seconds = max(end, info.duration or end)
    return Timeline(float(seconds), tuple(keep.kept), envelope(info, limits, float(seconds)))


def frame_bytes(info: VideoInfo) -> int:
    """About how many bytes a frame takes."""
    luma = info.width * info.height * (1 if info.format.depth == 8 else 2)
    return luma if info.format.gray else luma + 2 * (luma // (info.format.sx * info.format.sy))


class Spread:
    """Keeps up to `count` moments spread evenly over a clip of unknown length, the first always among them."""

    def __init__(self, count: int) -> None:
        self._kept: list[Moment] = []
        self._count = count
        self._every = 1
        self._seen = 0

    def add(self, moment: Moment) -> None:
        """Offers the next one."""
        if self._seen % self._every == 0:
            self._kept.append(moment)
            if len(self._kept) >= 2 * self._count:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    @property
    def kept(self) -> list[Moment]:
        """At most `count`, in order."""
        pick = np.unique(np.linspace(0, len(self._kept) - 1, min(self._count, len(self._kept))).round().astype(int))
        return [self._kept[index] for index in pick]


def envelope(info: VideoInfo, limits: Limits, seconds: float) -> NDArray[np.float32] | None:
    """Root mean square of the sound in `BINS` equal parts of the clip, over the loudest; None where none is heard."""
    if not info.audio:
        return None
    try:
        samples = read_samples(info.path, limits)
    except InputError:
        return None
    edges = np.linspace(0, seconds * SAMPLE_RATE, BINS + 1).astype(int)
    parts = [samples[low:high] for low, high in pairwise(edges)]
    loud = np.array([np.sqrt(np.mean(part**2)) if part.size else 0.0 for part in parts], np.float32)
    return loud / max(float(loud.max()), 1e-6)


def thumbnail(frame: Frame, height: int = 72) -> NDArray[np.uint8]:
    """The frame as a small RGB picture."""
    scale = height / frame.height
    size = (max(round(frame.width * scale), 1), height)
    return np.asarray(cv2.resize(frame.rgb(), size, interpolation=cv2.INTER_AREA), np.uint8)
