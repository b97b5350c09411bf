"""Run a generator ahead of its consumer, in a thread, with a bounded queue between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
POLL = 0.1  # seconds between looks at whether the consumer has gone; only paid while the queue is full


class _End:
    """Last entry of the queue: the producer is through, or has failed with `error`."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(iterable: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The items of `iterable` in order, made up to `depth` ahead in a thread that starts at the first `next`.

    An exception of the producer comes out where its item would have been. Closing (or dropping) this generator stops
    the thread after at most the item it is at, and closes the producer there before it returns.
    """
    if depth < 1:
        raise ValueError(f"prefetch depth is {depth}: it must be at least 1")
    return _prefetched(iterable, depth)


def _prefetched(iterable: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    ready: queue.Queue[Item | _End] = queue.Queue(depth)
    stopping, turn = threading.Event(), threading.RLock()
    arguments = (iterable, ready, stopping, turn)
    thread = threading.Thread(target=_produce, args=arguments, name="prefetch", daemon=True)
    interruption: KeyboardInterrupt | None = None
    try:
        thread.start()  # a signal may come in here, too, when the thread runs already
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        # Nobody may close what the thread still runs, so a signal that comes meanwhile has to wait until it has ended.
        # Inline, because calling a function is a moment for signals.
        while True:
            try:
                stopping.set()
                with turn:  # the producer has ended, or will not begin any more
                    pass
                if thread.is_alive():
                    thread.join()
                break
            except KeyboardInterrupt as caught:
                interruption = caught
        if interruption is not None:
            raise interruption


def _produce(
    iterable: Iterable[Item], ready: queue.Queue[Item | _End], stopping: threading.Event, turn: threading.RLock
) -> None:
    with turn:
        if not stopping.is_set():
            _run_ahead(iterable, ready, stopping)


def _run_ahead(iterable: Iterable[Item], ready: queue.Queue[Item | _End], stopping: threading.Event) -> None:
    error: BaseException | None = None
    iterator = iter(iterable)
    try:
        for item in iterator:
            if not _put(item, ready, stopping):
                break
    except BaseException as caught:  # noqa: BLE001 - whatever it is, it is raised again in the consumer
        error = caught
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
        _put(_End(error), ready, stopping)


def _put(item: Item | _End, ready: queue.Queue[Item | _End], stopping: threading.Event) -> bool:
    """Wait for a place in the queue; False when the consumer has gone."""
    while not stopping.is_set():
        try:
            ready.put(item, timeout=POLL)
        except queue.Full:
            continue
        return True
    return False
