"""Ctrl-C and SIGTERM while training: they wait until a step is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Hold signals back until the end of the block.

    Python handles signals in the main thread alone; in another one there is nothing to defer.
    """
    pending: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A default handler is not callable: it ends the process at once, as a kill does.
    deferred = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        deferred = {}
    for number in deferred:
        signal.signal(number, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in deferred.items():
            signal.signal(number, handler)
    for received, frame in pending:
        deferred[signal.Signals(received)](received, frame)
