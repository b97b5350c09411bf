"""Run generators ahead of their consumers, in threads, with bounded queues between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
POLL = 0.1  # seconds between looks at whether the consumer has gone; only paid while the queue is full


class _Sentinel:
    """Last entry of the queue: the producer is through, or has failed with `error`."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Producer(threading.Thread):
    """The thread of a stage."""


def prefetch(iterable: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The items of `iterable` in order, made up to `depth` ahead in a thread that starts at the first `next`.

    An exception of the producer comes out where its item would have been. Closing (or dropping) this generator stops
    the thread after at most the item it is at, and closes the producer there before it returns. Only where the thread
    of a stage collects it as garbage nobody waits for that.
    """
    if depth < 1:
        raise ValueError(f"prefetch depth is {depth}: it must be at least 1")
    return _prefetched(iterable, depth, None)


def run_stages(source: Iterable[Any], *stages: Callable[[Any], Any], depth: int) -> Generator[Any, None, None]:
    """Send items through a row of stages, of which each works in a thread of its own.

    Args:
        source: What the first stage takes.
        stages: Functions of one item, in order; each takes what the one before gives.
        depth: Items that may wait between two stages, at least 1.

    Returns:
        What the last stage gives, in the order of `source`. An exception of any stage comes out where its item would
        have been. Closing the generator ends all threads and closes `source` before it returns.
    """
    items = prefetch(source, depth)
    for stage in stages:
        items = _prefetched(items, depth, stage)
    return items


def _prefetched(iterable: Iterable[Any], depth: int, stage: Callable[[Any], Any] | None) -> Generator[Any, None, None]:
    ready: queue.Queue[Any] = queue.Queue(depth)
    stopping, lock = threading.Event(), threading.RLock()
    arguments = (iterable, stage, ready, stopping, lock)
    thread = _Producer(target=_produce, args=arguments, name="prefetch", daemon=True)
    consumer = threading.current_thread()
    interruption: KeyboardInterrupt | None = None
    try:
        thread.start()  # a signal may come in here, too, when the thread runs already
        while not isinstance(item := ready.get(), _Sentinel):
            yield item
            consumer = threading.current_thread()
        if item.error is not None:
            raise item.error
    finally:
        # Nobody may close what the thread still runs, so a signal that comes meanwhile has to wait until it has ended.
        # Inline, because calling a function is a moment for signals.
        while True:
            try:
                stopping.set()
                here = threading.current_thread()
                if here is not consumer and isinstance(here, _Producer):
                    break  # collected as garbage by the thread of a stage, for which the one to wait for may wait
                with lock:  # the producer has ended, or will not begin any more
                    pass
                if thread.is_alive():
                    thread.join()
                break
            except KeyboardInterrupt as caught:
                interruption = caught
        if interruption is not None:
            raise interruption


def _produce(
    iterable: Iterable[Any],
    stage: Callable[[Any], Any] | None,
    ready: queue.Queue[Any],
    stopping: threading.Event,
    lock: threading.RLock,
) -> None:
    with lock:
        if stopping.is_set():
            return
        error: BaseException | None = None
        try:
            iterator = iter(iterable)
            try:
                for item in iterator:
                    if not _put(item if stage is None else stage(item), ready, stopping):
                        break
            finally:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
        except BaseException as caught:  # noqa: BLE001 - whatever it is, it is raised again in the consumer
            error = caught
        _put(_Sentinel(error), ready, stopping)  # in any case: the consumer waits for it


def _put(item: Any, ready: queue.Queue[Any], stopping: threading.Event) -> bool:
    """Wait for a place in the queue; False when the consumer has gone."""
    while not stopping.is_set():
        try:
            ready.put(item, timeout=POLL)
        except queue.Full:
            continue
        return True
    return False
