"""A queue of one item between two threads: an item that is not fetched in time is dropped, or waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
IDLE = 0.05  # seconds without an item after which the consumer asks whether to go on


class LatestValueQueue(Generic[Item]):
    """One thread puts items, another takes the latest; `received` and `dropped` count them."""

    def __init__(self) -> None:
        self.received = 0
        self.dropped = 0
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._left = False

    def put(self, item: Item, wait: bool = False) -> bool:
        """Put an item in the place of the one that is still there; with `wait`, once that one is taken.

        Returns:
            False when the queue is closed.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._item is None or self._left)
            if self._left:
                return False
            self.received += 1
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Announce that no more items come; `error` is raised in the consumer, after the last item."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Announce that no more items are taken; what is left counts as dropped."""
        with self._changed:
            self._left = True
            self.dropped += self._item is not None
            self._item = None
            self._changed.notify_all()

    def iter_latest(self, over: Callable[[], bool] = lambda: False) -> Iterator[Item]:
        """Take the latest item again and again, until the end, or until `over`, which is asked while there is none."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._item is not None or self._ended, IDLE)
                item, self._item = self._item, None
                self._changed.notify_all()
                through = item is None and self._ended
            if item is not None:
                yield item
            elif through:
                if self._error is not None:
                    raise self._error
                return
            elif over():
                return
