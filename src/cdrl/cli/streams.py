"""The process's standard streams: there when a caller has closed them, and free of what C libraries write.

Both concern the process as a whole, so they are for the program `cdrl` alone, never for who calls `cdrl.cli.main.main`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def open_closed_streams() -> None:
    """Give standard input, output and error somewhere to lead where the caller closed them (`2>&-`).

    Otherwise the next file that is opened, be it the video being written, gets the descriptor that libraries write
    their messages to.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


@contextmanager
def native_messages_muted() -> Iterator[None]:
    """Keep what C libraries write to standard error on their own from users; Python's goes on as before.

    The network runtime greets, which no switch of its own turns off, and codecs remark on every flaw of a file; what
    matters comes back as an error or a warning of ours.
    """
    before = sys.stderr
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    sys.stderr = os.fdopen(kept, "w", 1, before.encoding, "backslashreplace", closefd=False)
    before.flush()
    os.dup2(sink, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        sys.stderr = before
        os.close(kept)
        os.close(sink)


def discard_output() -> None:
    """Let standard output lead nowhere: it cannot be written, and Python would try again, and complain, at its exit."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
