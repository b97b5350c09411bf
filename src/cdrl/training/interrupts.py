"""Ctrl-C and SIGTERM while training: they wait until a step is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptDeferral:
    """A context in which signals are passed on at once, but within a block of `defer()` only at its end.

    Python handles signals in the main thread alone; in another one there is nothing to defer.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._pending: list[tuple[int, FrameType | None]] = []
        self._deferring = False

    def __enter__(self) -> InterruptDeferral:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):  # a default ends the process at once, as a kill does
                    self._handlers[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @contextmanager
    def defer(self) -> Iterator[None]:
        """Hold signals back until the end of the block."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        while self._pending:
            number, frame = self._pending.pop(0)
            self._handlers[number](number, frame)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._deferring:
            self._pending.append((number, frame))
        else:
            self._handlers[number](number, frame)
