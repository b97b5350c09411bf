"""Who edits now, and who waits: the server's turns, first come, first served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """Lets `limit` edits run at the same time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._line: list[object] = []
        self._lock = threading.Lock()

    @contextmanager
    def stand_in_line(self) -> Iterator[Callable[[], bool]]:
        """A place at the end of the line until the block ends; what it gives says whether its turn has come."""
        place = object()
        with self._lock:
            self._line.append(place)
        try:
            yield lambda: self._has_come(place)
        finally:
            with self._lock:
                self._line.remove(place)

    def _has_come(self, place: object) -> bool:
        with self._lock:
            return self._line.index(place) < self.limit
