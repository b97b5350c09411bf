"""Animated WebP, by Pillow: of this format FFmpeg decodes still pictures alone."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from cdrl.errors import LimitError
from cdrl.extras import require_modules
from cdrl.media.decoding import DecodeErrors, error_text
from cdrl.media.limits import Limits
from cdrl.media.opening import LARGEST_BLOCK

TICK = Fraction(1, 1000)
"""Seconds in which the format counts."""
_HEAD = 30  # bytes: RIFF, size, WEBP, and the chunk VP8X
_OTHERS = 16  # chunks that are no frames
_ANIMATED = 2  # bit of what VP8X says


@dataclass(frozen=True)
class Animation:
    """What the chunks of a file say, as far as they are whole."""

    size: tuple[int, int]
    """Width and height, pixels."""
    durations: tuple[int, ...]
    """How long each frame is shown, in ticks."""
    icc_profile: bytes
    end: int
    """Bytes up to the end of the last chunk that is whole."""
    is_cut: bool


def read_animation(path: Path, limits: Limits) -> Animation | None:
    """Read what an animated WebP holds, without decoding it; None for another file.

    Raises:
        LimitError: The file is too large to be decoded, which Pillow does in one piece.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[8:16] != b"WEBPVP8X" or len(head) < _HEAD or not head[20] & _ANIMATED:
            return None
        length = path.stat().st_size
        if length > LARGEST_BLOCK:
            bound = f"the limit of an animated WebP is {LARGEST_BLOCK:,}"
            raise LimitError(f"{path} has {length:,} bytes, {bound}: convert it to MP4 first")
        durations, profile, end = [], b"", _HEAD
        for _ in range(limits.max_frames + _OTHERS):
            kind, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
            following = end + 8 + size + size % 2
            if not kind.strip(b"\0") or following > length:
                break
            if kind == b"ANMF":
                durations.append(int.from_bytes(file.read(16)[12:15], "little"))
            elif kind == b"ICCP":
                profile = file.read(size)
            end = file.seek(following)
    width, height = (1 + int.from_bytes(head[place : place + 3], "little") for place in (24, 27))
    whole = 8 + int.from_bytes(head[4:8], "little")
    return Animation((width, height), tuple(durations), profile, end, end < whole)


def decode_animation(path: Path, animation: Animation, damage: DecodeErrors) -> Iterator[av.VideoFrame]:
    """The frames of an animated WebP, put together, RGB or RGBA with straight alpha, with their times in ticks.

    Args:
        path: The file.
        animation: What `read_animation` said of it.
        damage: Told where the file breaks off.

    Raises:
        UsageError: Pillow is not installed.
    """
    require_modules("an animated WebP", "PIL")
    from PIL import Image  # noqa: PLC0415 - of an extra

    with path.open("rb") as file:
        data = bytearray(file.read(animation.end))
    data[4:8] = struct.pack("<I", len(data) - 8)  # else nothing of a cut file is decoded
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            for number in range(len(animation.durations)):
                image.seek(number)
                picture = av.VideoFrame.from_ndarray(np.asarray(image), "rgba" if image.mode == "RGBA" else "rgb24")
                picture.pts, picture.duration = image.info["timestamp"], image.info["duration"]
                picture.time_base = TICK
                yield picture
    except (OSError, EOFError, Image.DecompressionBombError) as error:
        damage.broken = error_text(error)
    if animation.is_cut:
        damage.broken = "its end is missing"
