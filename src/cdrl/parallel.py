"""The same function on many items: in this process, in several of this machine, or on a Ray cluster.

Every item ends exactly once, as done or failed, whatever happens to the process that works on it. Each process has a
pipe of its own and one item at a time, so a process that dies (out of memory, a crash in a codec) or hangs costs that
item alone; a shared queue would break with it. docs/decisions/executor.md has the measurements.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Generic, Protocol, TypeVar

from cdrl.errors import OutputError
from cdrl.worker import UNWINDING, attempt, describe_unexpected, serve

Item = TypeVar("Item")
Result = TypeVar("Result")

DIED = "the process that worked on it died (out of memory, or a crash in a library)"
_WATCH_EVERY = 0.2  # seconds between two looks for processes that hang, at most


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of item number `index`: its `result`, or an `error` in one line."""

    index: int
    result: Result | None
    error: str = ""


class Executor(Protocol):
    """Runs a function on items."""

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """Yield one outcome for each item, in the order in which they are ready.

        `function`, items and results must pickle. Closing the iterator, or an exception while it is asked (Ctrl-C),
        drops what is not begun and interrupts what is, which unwinds.
        """
        ...


class SerialExecutor:
    """In this process, one after the other."""

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """See `Executor`."""
        for index, item in enumerate(items):
            yield Outcome(index, *attempt(function, item))


@dataclass(frozen=True)
class ProcessExecutor:
    """In fresh processes of this machine (never forked: threads of the runtimes do not survive it).

    An item whose process dies is tried once more at the end, alone, with the machine's memory for itself. An item that
    makes no progress (see `report_progress`) for `stall_limit` seconds is ended and has failed.
    """

    workers: int
    stall_limit: float | None = None

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """See `Executor`."""
        suspects: list[int] = []
        with _Team(function, items, self.workers, self.stall_limit) as team:
            yield from team.run(range(len(items)), suspects)
        with _Team(function, items, 1, self.stall_limit) as team:
            yield from team.run(suspects, None)


class _Worker:
    """A process and the item it works on: `index`, −1 while it is idle."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        stop, self._stop = context.Pipe(duplex=False)
        self.index = -1
        self.stalled = False
        self._changing = threading.Lock()
        self._progress = context.RawValue("d", 0.0)
        self.process = context.Process(
            target=serve, args=(theirs, stop, self._progress, pickle.dumps(function)), daemon=True
        )
        try:
            self.process.start()
        except OSError as error:
            raise OutputError(f"no process can be started ({error.strerror}): give fewer workers") from error
        finally:
            theirs.close()  # or the pipe would not end with the process
            stop.close()

    def give(self, index: int, pickled: bytes) -> bool:
        """Hand out an item; False where the process is gone, which is not the item's doing."""
        try:
            self.connection.send_bytes(pickled)
        except OSError:
            return False
        with self._changing:
            self._progress.value = time.monotonic()
            self.index = index
        return True

    def take_index(self) -> int:
        """The index of the item that was at work; the process is idle from now on."""
        with self._changing:
            index, self.index = self.index, -1
        return index

    def end_if_stalled(self, limit: float) -> None:
        """Kill the process where its item has made no progress for `limit` seconds."""
        with self._changing:
            if self.index >= 0 and time.monotonic() - self._progress.value > limit:
                self.stalled = True
                self.process.kill()

    def tell_to_stop(self) -> None:
        """Interrupt what is at work; an idle process ends."""
        with suppress(OSError):
            self._stop.send_bytes(b"stop")
        self._stop.close()
        self.connection.close()

    def kill(self) -> None:
        """End the process, at once, and leave nothing of it."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()
        self._stop.close()


class _Team:
    """Workers that share the items of one run."""

    def __init__(
        self, function: Callable[[Any], Any], items: Sequence[Any], size: int, stall_limit: float | None
    ) -> None:
        self._function, self._items, self._size, self._stall_limit = function, items, size, stall_limit
        self.workers: list[_Worker] = []
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="stall watcher", daemon=True)

    def __enter__(self) -> _Team:
        self._watcher.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Interrupt and end all workers."""
        try:
            for worker in self.workers:
                worker.tell_to_stop()
            deadline = time.monotonic() + UNWINDING + 1
            for worker in self.workers:
                worker.process.join(max(0.0, deadline - time.monotonic()))
        finally:
            try:
                for worker in self.workers:
                    worker.kill()
            finally:
                self._over.set()
                self._watcher.join()

    def run(self, indices: Iterable[int], suspects: list[int] | None) -> Iterator[Outcome[Any]]:
        """Outcomes of the items `indices`. Those whose process dies go to `suspects`, or fail without it."""
        waiting = deque(indices)
        while waiting or any(worker.index >= 0 for worker in self.workers):
            for index, error in self.assign(waiting):
                yield Outcome(index, None, error)
            for worker in self.wait():
                reply = self.receive(worker)
                index = worker.take_index()
                if reply is None and suspects is not None:
                    suspects.append(index)
                else:
                    yield Outcome(index, *(reply or (None, DIED)))

    def assign(self, waiting: deque[int]) -> list[tuple[int, str]]:
        """Give every idle worker an item; returns index and error of those that cannot be handed out."""
        failed = []
        while waiting and sum(worker.index >= 0 for worker in self.workers) < self._size:
            try:
                pickled = pickle.dumps(self._items[waiting[0]])
            except Exception as error:  # noqa: BLE001 - an item that does not pickle is that item's failure
                failed.append((waiting.popleft(), describe_unexpected(error)))
                continue
            idle = self._find_idle()
            if idle.give(waiting[0], pickled):
                waiting.popleft()
            else:
                self._remove(idle)
        return failed

    def wait(self) -> list[_Worker]:
        """The workers that have an answer, or are gone; none where no item is at work."""
        busy: dict[Any, _Worker] = {worker.connection: worker for worker in self.workers if worker.index >= 0}
        return [busy[connection] for connection in wait(list(busy))] if busy else []

    def receive(self, worker: _Worker) -> tuple[Any, str] | None:
        """A worker's result and error; None where its process died. The worker is idle then, or gone."""
        try:
            reply = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._remove(worker)
            if worker.stalled:
                return None, f"it made no progress for {self._stall_limit:g} seconds and was ended"
            return None
        if worker.stalled:  # its answer came in the same moment as its end
            self._remove(worker)
        try:
            result, error = pickle.loads(reply)
        except Exception as failure:  # noqa: BLE001 - a result that cannot be read is that item's failure
            return None, describe_unexpected(failure)
        return result, error

    def _watch(self) -> None:
        """Until the run is over, end workers that hang."""
        limit = self._stall_limit
        while limit is not None and not self._over.wait(min(_WATCH_EVERY, limit / 4)):
            for worker in list(self.workers):
                with suppress(ValueError):  # it was closed meanwhile
                    worker.end_if_stalled(limit)

    def _find_idle(self) -> _Worker:
        for worker in self.workers:
            if worker.index < 0:
                return worker
        self.workers.append(_Worker(self._function))
        return self.workers[-1]

    def _remove(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.kill()
