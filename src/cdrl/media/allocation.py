"""How much memory FFmpeg may take in one piece, while files of strangers are open.

FFmpeg has one such bound for the whole process and none for a file, so what holds is the largest that any open file
asks for. That gives, whatever is open at the same time and in whichever threads:

- a file never fails for the smaller bound of another one, and
- no piece is larger than the largest bound among the files that are open now.

A file beside one with a larger bound may take that for a single piece of its index or a packet. Its pictures, samples
and streams stay within its own limits: those are counted for each file, and by each decoder.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import av._core
import psutil

USUAL = 2**31 - 1
"""FFmpeg's own bound in bytes, which holds when no file is open."""

_lock = threading.RLock()  # not a plain one: what is collected as garbage while it is held may be an open file
_bounds: list[int] = []
"""The bound of each file that is open now."""
_applied = USUAL


@contextmanager
def allocation_limit(most: int) -> Iterator[None]:
    """While inside, FFmpeg may take up to `most` bytes in one piece; more where another open file asks for more."""
    _change(_bounds.append, most)
    try:
        yield
    finally:
        _change(_bounds.remove, most)


def _change(change: Callable[[int], None], bound: int) -> None:
    global _applied  # noqa: PLW0603 - what it stands for is one number of the process, too
    with _lock:
        change(bound)
        while _applied != (most := max(_bounds, default=USUAL)):  # again, if a collected file has closed meanwhile
            _applied = most
            _av_max_alloc()(ctypes.c_size_t(most))


@cache
def _av_max_alloc() -> Callable[[ctypes.c_size_t], None]:
    """FFmpeg's function, which PyAV does not offer, from the library that PyAV has loaded."""
    library = ctypes.CDLL(av._core.__file__)  # looks into those it depends on, too, but on Windows
    if not hasattr(library, "av_max_alloc"):
        loaded = (Path(part.path) for part in psutil.Process().memory_maps()) if sys.platform == "win32" else ()
        library = next(ctypes.CDLL(str(path)) for path in loaded if path.name.lower().startswith("avutil"))
    function: Callable[[ctypes.c_size_t], None] = library.av_max_alloc
    return function
