"""Two readers with other limits at the same time: neither fails for the other's, and neither keeps the other's."""

import gc
import struct
import threading
import zlib

import pytest

from cdrl.errors import CdrlError
from cdrl.media import Limits, allocation, opening, read

LARGE = (1600, 1200)
SMALL = Limits(max_pixels=64 * 48)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """A picture of `LARGE` takes more than what is always allowed, one of 64x48 less; and nothing else is open.

    A reader that a test before has dropped without closing it is open, with its bound, until garbage is collected.
    """
    gc.collect()
    assert allocation._bounds == []
    monkeypatch.setattr(opening, "LARGEST_BLOCK", 1 << 20)


def count_frames(frames):
    """How many frames there are, or the error."""
    try:
        return sum(1 for _ in frames)
    except CdrlError as error:
        return error


def test_a_small_read_beside_a_large_one_fails_nobody_and_lets_nothing_in(clip):
    large, small = clip("large.mkv", size=LARGE, frames=12), clip("small.mkv", frames=12)
    limits = Limits(max_pixels=LARGE[0] * LARGE[1])
    begun, go_on, found = threading.Event(), threading.Event(), {}

    def read_large():
        with read(large, limits) as frames:
            next(frames)
            begun.set()
            go_on.wait()
            found["large"], found["notes"] = count_frames(frames), frames.notes

    thread = threading.Thread(target=read_large)
    thread.start()
    begun.wait()
    found["small"] = count_frames(read(small, SMALL))
    found["refused"] = counted_from(large)
    go_on.set()
    thread.join()
    assert (found["small"], found["large"], found["notes"]) == (12, 11, [])
    assert isinstance(found["refused"], CdrlError)


def counted_from(path):
    """What reading with small limits gives."""
    try:
        return count_frames(read(path, SMALL))
    except CdrlError as error:
        return error


def test_a_large_read_leaves_its_bound_to_nobody(clip, tmp_path):
    """While it is open, a file beside it may take a large piece; afterwards none may that has small limits."""
    large = clip("large.mkv", size=LARGE, frames=2)
    photo = clip("photo.png", codec="png", layout="rgb24", frames=1).read_bytes()
    unknown = b"teSt" + bytes(3 << 20)
    chunk = struct.pack(">I", len(unknown) - 4) + unknown + struct.pack(">I", zlib.crc32(unknown))
    heavy = tmp_path / "heavy.png"
    heavy.write_bytes(photo[:33] + chunk + photo[33:])  # a small picture whose one packet is large
    assert isinstance(counted_from(heavy), CdrlError)
    with read(large, Limits(max_pixels=LARGE[0] * LARGE[1])) as frames:
        next(frames)
        assert counted_from(heavy) == 1
    assert isinstance(counted_from(heavy), CdrlError)
    with opening.av.open(str(heavy)) as others:  # who uses FFmpeg without cdrl finds it as it was
        assert len(list(others.decode(video=0))) == 1
