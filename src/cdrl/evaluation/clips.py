"""Frames of a file for the evaluators: decoded again from what was written, never taken from an editor's memory."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from cdrl.errors import InputError
from cdrl.media import Limits
from cdrl.media.opening import check_path, open_container

Image = NDArray[np.uint8]
Frames = Callable[[], Iterator[Image]]
"""A fresh pass over the same RGB frames [H,W,3] each call."""

_FALLBACK_RATE = Fraction(25)


def decode_frames(path: Path) -> Iterator[Image]:
    """Decode the first video stream: RGB frames [H,W,3], upright (a rotation flag is obeyed).

    Raises:
        InputError: The file is missing or no video that can be read.
    """
    try:
        with _open_input(path) as container:
            if not container.streams.video:
                raise InputError(f"cannot evaluate {path}: it has no video stream")
            for frame in container.decode(video=0):
                turned = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90) % 4)
                yield np.ascontiguousarray(turned, dtype=np.uint8)
    except av.FFmpegError as error:
        raise InputError(f"cannot evaluate {path}: {error.strerror or error}") from error


def _open_input(path: Path) -> AbstractContextManager[InputContainer]:
    """The file alone, within the usual limits: what others made may be no video but lead elsewhere."""
    return open_container(check_path(path, Limits()), Limits())


def read_frames(path: Path) -> Frames:
    """Return a source of passes over the file's frames."""
    return lambda: decode_frames(path)


def read_frame_rate(path: Path) -> Fraction:
    """Return the average frames per second, exact."""
    with _open_input(path) as container:
        return container.streams.video[0].average_rate or _FALLBACK_RATE


def encode_copy(source: Path, output: Path, crf: int = 18) -> None:
    """Decode the source and encode it again (H.264, 4:2:0), nothing else: the ceiling of every measure.

    Odd sizes lose their last row or column, as 4:2:0 asks. Timestamps stay the source's.
    """
    with _open_input(source) as inside, av.open(str(output), "w", format="mp4") as outside:
        stream = inside.streams.video[0]
        rate = stream.average_rate or _FALLBACK_RATE
        encoder = outside.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "medium"})
        encoder.width, encoder.height = stream.width // 2 * 2, stream.height // 2 * 2
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = stream.time_base
        for frame in inside.decode(stream):
            smaller = frame.reformat(width=encoder.width, height=encoder.height, format="yuv420p")
            smaller.pts, smaller.time_base = frame.pts, frame.time_base
            smaller.pict_type = av.video.frame.PictureType.NONE
            outside.mux(encoder.encode(smaller))
        outside.mux(encoder.encode(None))
