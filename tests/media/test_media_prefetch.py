"""The producer runs ahead, but never further than it may, and ends when its consumer does."""

import gc
import os
import signal
import threading
import time

import pytest

from cdrl.media import prefetch, read, run_stages


class Source:
    """A generator that counts what it made and knows whether it was closed."""

    def __init__(self, count: int = 100, fail_at: int | None = None) -> None:
        self.count, self.fail_at = count, fail_at
        self.made, self.closed = 0, False
        self.thread = ""

    def __call__(self):
        try:
            for item in range(self.count):
                if item == self.fail_at:
                    raise RuntimeError("no more")
                self.made, self.thread = item + 1, threading.current_thread().name
                yield item
        finally:
            self.closed = True


def wait_until(condition) -> bool:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_items_come_in_order():
    source = Source()
    assert list(prefetch(source(), 3)) == list(range(100))
    assert source.closed
    assert source.thread != threading.current_thread().name


def test_the_producer_runs_ahead_but_not_far():
    source = Source()
    items = prefetch(source(), 3)
    assert next(items) == 0
    assert wait_until(lambda: source.made == 5)  # one taken, three in the queue, one in hand
    time.sleep(0.05)
    assert source.made == 5
    items.close()


def test_an_exception_comes_where_its_item_would_have():
    items = prefetch(Source(fail_at=4)(), 2)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="no more"):
        next(items)
    with pytest.raises(StopIteration):
        next(items)


class Unwilling:
    """An iterable that fails when it is begun, or at its end when it is closed."""

    def __init__(self, *, begins: bool) -> None:
        self.begins = begins

    def __iter__(self):
        if not self.begins:
            raise RuntimeError("no beginning")
        return self

    def __next__(self):
        raise StopIteration

    def close(self):
        raise RuntimeError("no end")


@pytest.mark.parametrize(("begins", "said"), [(False, "no beginning"), (True, "no end")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_producer_that_cannot_be_begun_or_closed_leaves_nobody_waiting(begins, said):
    caught = []

    def consume():
        try:
            list(prefetch(Unwilling(begins=begins), 1))
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    thread.join(5)
    assert caught == [said]


def test_closing_stops_the_thread_and_the_producer():
    source, before = Source(count=10**9), threading.active_count()
    items = prefetch(source(), 2)
    next(items)
    items.close()
    assert source.closed
    assert threading.active_count() == before


def test_dropping_it_is_closing_it():
    source = Source(count=10**9)
    items = prefetch(source(), 2)
    next(items)
    del items
    assert wait_until(lambda: source.closed)


def test_stages_that_one_of_their_threads_collects_as_garbage_end():
    dropped, ended = threading.Event(), threading.Event()

    def source():
        try:
            yield from range(4)
            dropped.wait()
            gc.collect()
            yield from range(10**9)
        finally:
            ended.set()

    before, row = threading.active_count(), [run_stages(source(), str, depth=1)]
    row.append(row)  # a circle, which only the collector finds
    next(row[0])
    gc.disable()
    try:
        del row
        dropped.set()
        assert ended.wait(5)
        assert wait_until(lambda: threading.active_count() == before)
    finally:
        gc.enable()


def test_an_interruption_while_the_thread_starts_leaves_none_behind(monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    source, before = Source(count=10**9), threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(prefetch(source(), 2))
    assert threading.active_count() == before


def test_an_interruption_while_it_closes_comes_out_when_the_producer_has_ended():
    ended = threading.Event()

    def slow():
        try:
            while True:
                yield 0
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            ended.set()

    inner = slow()
    items = prefetch(inner, 2)
    next(items)
    with pytest.raises(KeyboardInterrupt):
        items.close()
    assert ended.is_set()
    inner.close()  # "generator already executing" while the thread still runs it


def test_a_producer_that_waits_for_room_stops_promptly():
    source = Source(count=10**9)
    items = prefetch(source(), 1)
    next(items)
    wait_until(lambda: source.made == 3)
    start = time.monotonic()
    items.close()
    assert time.monotonic() - start < 1


def test_nothing_starts_before_the_first_item():
    source = Source()
    items = prefetch(source(), 2)
    time.sleep(0.02)
    assert source.made == 0
    items.close()
    assert not source.closed  # it was never begun


def test_an_empty_iterable_and_a_list():
    assert list(prefetch([], 1)) == []
    assert list(prefetch([1, 2], 5)) == [1, 2]


def test_the_depth_is_checked_at_once():
    with pytest.raises(ValueError, match="at least 1"):
        prefetch([], 0)


def test_stages_in_a_row():
    source = Source(count=10**6)
    stages = run_stages(source(), lambda item: item * 2, str, depth=2)
    assert [next(stages) for _ in range(5)] == ["0", "2", "4", "6", "8"]
    stages.close()
    assert source.closed


def test_frames_ahead_of_their_use(clip):
    frames = list(prefetch(read(clip()), 4))
    assert [frame.index for frame in frames] == list(range(12))
    items = prefetch(read(clip("other.mp4")), 2)
    next(items)
    items.close()
