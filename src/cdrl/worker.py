"""The life of a worker process of `cdrl.parallel`: item after item, each reply sent back, and an end in good order."""

from __future__ import annotations

import _thread
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

UNWINDING = 10.0  # seconds that interrupted work has to clean up
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_STOPPED = "it was told to stop"

# Of this process: whether an item is at work, whether nothing is to be begun any more, when it last made progress.
_working, _stopping = threading.Event(), threading.Event()
_last_progress: Any = None


def report_progress() -> None:
    """Say that the item at work goes on; see `ProcessExecutor`. Elsewhere than in its processes it does nothing."""
    if _last_progress is not None:
        _last_progress.value = time.monotonic()


def attempt(function: Callable[[Item], Result], item: Item) -> tuple[Result | None, str]:
    """The function's result and "", or None and what went wrong in one line."""
    try:
        return function(item), ""
    except Exception as error:  # noqa: BLE001 - one item must not end the work on the others
        return None, describe_unexpected(error)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def describe_unexpected(error: Exception) -> str:
    """An error that nobody expected, in one line."""
    return f"unexpected {type(error).__name__}: {first_line(error)}"


def serve(connection: Connection, stop: Connection, progress: Any, pickled_function: bytes) -> None:
    """The life of a worker process: item after item, until there are no more.

    The function comes pickled, because reading it imports what it needs: libraries that ask for their number of threads
    when they are imported must find the answer.
    """
    global _last_progress  # noqa: PLW0603 - there is one worker in a process
    _last_progress = progress
    os.environ.update(dict.fromkeys(THREADS, "1"))
    function = pickle.loads(pickled_function)
    # Ctrl-C reaches every process of a terminal; the one that began us decides, and tells us through `stop`.
    signal.signal(signal.SIGINT, _exit_if_stopping)
    threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    while True:
        try:
            pickled = connection.recv_bytes()
            connection.send_bytes(_reply(function, pickled))
        except (EOFError, OSError):
            return


def _reply(function: Callable[[Any], Any], pickled: bytes) -> bytes:
    try:
        _working.set()
        result, error = (None, _STOPPED)
        if not _stopping.is_set():
            result, error = attempt(lambda item: function(pickle.loads(item)), pickled)
    except SystemExit:
        result, error = None, _STOPPED
    finally:
        _working.clear()
    try:
        return pickle.dumps((result, error))
    except Exception as failure:  # noqa: BLE001 - a result that cannot be sent is that item's failure
        return pickle.dumps((None, describe_unexpected(failure)))


def _exit_if_stopping(number: int, frame: Any) -> None:
    if _stopping.is_set() and _working.is_set():
        sys.exit(1)


def _watch_parent(stop: Connection) -> None:
    """End this process with the one that began it, at once; where it tells to stop, let the work unwind first."""
    try:
        stop.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
    _stopping.set()
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # a real one: it also ends a wait
    else:
        _thread.interrupt_main()
    time.sleep(UNWINDING)
    os._exit(1)
