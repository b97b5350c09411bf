"""The same work on many items: in this process, in several of this machine, or on a Ray cluster.

Whatever runs it, outcomes come back as they are ready, and an item whose process dies (out of memory, a crash in a
codec) costs only itself. Who stops listening ends what is at work: it unwinds, so that it leaves nothing half done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from cdrl.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items handed out per worker: one at work, one waiting
_UNWINDING = 10.0  # seconds in which work that is given up has to clean up behind itself
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_DIED = "the process that worked on it died (out of memory, or a crash in a library)"
_STOPPED = "it was told to stop"

# Of a process of a pool: whether an item is at work, and whether nothing is to be begun any more.
_WORKING, _STOPPING = threading.Event(), threading.Event()


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of item number `index`: its `result`, or an `error` in one line."""

    index: int
    result: Result | None
    error: str = ""


class Executor(Protocol):
    """Runs a function on items."""

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """Outcomes in the order in which they are ready. `function`, items and results must pickle. Closing the
        iterator, or an exception while it is asked (Ctrl-C), gives up what is not begun and interrupts what is."""
        ...


class Inline:
    """In this process, one after the other."""

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """See `Executor`."""
        for index, item in enumerate(items):
            yield _attempt(function, index, item)


@dataclass(frozen=True)
class Processes:
    """In fresh processes of this machine (never forked: threads of the runtimes do not survive it)."""

    workers: int

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """See `Executor`. After a process has died, its pool's items are tried once more, each alone."""
        waiting = list(range(len(items)))[::-1]
        suspects: list[int] = []
        while waiting:
            yield from self._pool(function, items, waiting, suspects, self.workers)
            while suspects:
                index = suspects.pop()
                alone, again = [index], list[int]()
                yield from self._pool(function, items, alone, again, 1)
                if again:
                    yield Outcome(index, None, _DIED)

    def _pool(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        waiting: list[int],
        suspects: list[int],
        workers: int,
    ) -> Iterator[Outcome[Result]]:
        """One pool's life: takes items off `waiting`; when a process dies, those at work go to `suspects`."""
        context = multiprocessing.get_context("spawn")
        # Not an event: setting one waits for all who wait for it, also for those that were killed meanwhile.
        told, stop = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(workers, context, _begin, (told,))
        running: dict[Future[Outcome[Result]], int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _AHEAD * workers:
                    index = waiting.pop()
                    running[pool.submit(_attempt_in_pool, function, index, items[index])] = index
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    del running[future]
                    yield outcome
        except BrokenProcessPool:
            suspects += running.values()
            running.clear()
            pool.shutdown(wait=True)  # its other processes are killed now; none is to work beside its successor
        finally:
            stop.close()
            pool.shutdown(wait=False, cancel_futures=True)
            wait(running, _UNWINDING + 1)
            told.close()


class RayCluster:
    """On a Ray cluster, whose machines must see the same files and have cdrl installed; `address` "local" starts one
    of `workers` on this machine, stopped at the end."""

    def __init__(self, address: str, workers: int) -> None:
        self._address = address
        self._workers = workers

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """See `Executor`."""
        ray = self._connected()
        try:
            running = dict[Any, int]()
            remote = ray.remote(_attempt).options(num_cpus=1, max_retries=1)
            most = _AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
            shared = ray.put(function)
            waiting = list(range(len(items)))[::-1]
            while waiting or running:
                while waiting and len(running) < most:
                    index = waiting.pop()
                    running[remote.remote(shared, index, items[index])] = index
                for reference in ray.wait(list(running), num_returns=1)[0]:
                    index = running.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        outcome = Outcome(index, None, f"{_DIED}: {_first_line(error)}")
                    yield outcome
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=_UNWINDING)
            ray.shutdown()

    def _connected(self) -> Any:
        if self._address != "local" and _has_token():
            # Ray's clusters ask for a token, but its clients send theirs only when told to, before the import.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray  # noqa: PLC0415 - only who has a cluster has it
        except ImportError as error:
            raise UsageError("--ray needs Ray: pip install 'cdrl[cluster]'") from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        environment = {"env_vars": dict.fromkeys(_THREADS, "1")}
        try:
            self._knock()
            if self._address == "local":
                ray.init(
                    address="local",
                    num_cpus=self._workers,
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    runtime_env=environment,
                    **quiet,
                )
            else:
                ray.init(address=self._address, runtime_env=environment, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"--ray {self._address}: no Ray cluster can be reached there ({_first_line(error)}): give HOST:PORT of "
                "its head and, in RAY_AUTH_TOKEN, its token (`ray get-auth-token` there); or local"
            ) from error
        return ray

    def _knock(self) -> None:
        """Ray itself would try for minutes to reach a port that nobody listens at."""
        host, _, port = self._address.rpartition(":")
        if host and port.isdecimal():
            socket.create_connection((host, int(port)), timeout=5).close()


def _has_token() -> bool:
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").is_file()


def executor(workers: int, ray: str | None = None) -> Executor:
    """What runs with `workers` processes, or on the Ray cluster at address `ray`. UsageError for fewer than 1."""
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed")
    if ray is not None:
        return RayCluster(ray, workers)
    return Inline() if workers == 1 else Processes(workers)


def _attempt(function: Callable[[Item], Result], index: int, item: Item) -> Outcome[Result]:
    try:
        return Outcome(index, function(item))
    except Exception as error:  # noqa: BLE001 - one item must not end the work on the others
        return Outcome(index, None, f"unexpected {type(error).__name__}: {_first_line(error)}")


def _attempt_in_pool(function: Callable[[Item], Result], index: int, item: Item) -> Outcome[Result]:
    try:
        _WORKING.set()
        return Outcome(index, None, _STOPPED) if _STOPPING.is_set() else _attempt(function, index, item)
    except SystemExit:
        # Not passed on: a pool kills its other processes when one ends, and they have to unwind, too.
        return Outcome(index, None, _STOPPED)
    finally:
        _WORKING.clear()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _begin(told: Any) -> None:
    """In a new process: one thread each, and an end with the process that began it, however that one ends.

    Ctrl-C reaches every process of a terminal; the one that began us decides, and closes its end of `told`.
    """
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(1) if _WORKING.is_set() else None)
    threading.Thread(target=_obey, args=(told,), daemon=True).start()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _obey(told: Any) -> None:
    told.poll(None)
    _STOPPING.set()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)  # a real one: it also ends a wait
    time.sleep(_UNWINDING)
    os._exit(1)


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(1)
