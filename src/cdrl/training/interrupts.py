"""Ctrl-C and SIGTERM while training: they wait until a step is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Within it, signals that Python handles are passed on at once, but within `held()` only at its end.

    Python handles signals in the main thread alone; in another one nothing is to be held.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting: list[tuple[int, FrameType | None]] = []
        self._held = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):  # a default ends the process at once, as a kill does
                    self._before[number] = handler
                    signal.signal(number, self._came)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What comes within it waits for its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        while self._waiting:
            number, frame = self._waiting.pop(0)
            self._before[number](number, frame)

    def _came(self, number: int, frame: FrameType | None) -> None:
        if self._held:
            self._waiting.append((number, frame))
        else:
            self._before[number](number, frame)
