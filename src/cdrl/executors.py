"""What runs a function on many items, as the options of a command say: here, or on a Ray cluster (extra `cluster`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cdrl.errors import UsageError
from cdrl.parallel import DIED, Executor, Outcome, ProcessExecutor, SerialExecutor
from cdrl.worker import THREADS, UNWINDING, attempt, first_line

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items handed out per core: one at work, one waiting


class RayExecutor:
    """On a Ray cluster, whose machines must see the same files and have cdrl installed.

    `address` is HOST:PORT of its head; "local" starts one of `workers` on this machine, stopped at the end.
    """

    def __init__(self, address: str, workers: int) -> None:
        self._address = address
        self._workers = workers

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """See `cdrl.parallel.Executor`. An item whose process dies is tried once more."""
        ray = self._connected()
        try:
            running = dict[Any, int]()
            remote = ray.remote(attempt).options(num_cpus=1, max_retries=1)
            most = _AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
            shared = ray.put(function)
            waiting = list(range(len(items)))[::-1]
            while waiting or running:
                while waiting and len(running) < most:
                    reference = remote.remote(shared, items[waiting[-1]])
                    running[reference] = waiting.pop()
                for reference in ray.wait(list(running), num_returns=1)[0]:
                    try:
                        outcome = Outcome(running[reference], *ray.get(reference))
                    except ray.exceptions.RayError as error:
                        outcome = Outcome(running[reference], None, f"{DIED}: {first_line(error)}")
                    del running[reference]
                    yield outcome
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=UNWINDING)
            ray.shutdown()

    def _connected(self) -> Any:
        named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
        if self._address != "local" and (named or (Path.home() / ".ray" / "auth_token").is_file()):
            # Ray's clusters ask for a token, but its clients send theirs only when told to, before the import.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray  # noqa: PLC0415 - only who has a cluster has it
        except ImportError as error:
            raise UsageError("--ray needs Ray: pip install 'cdrl[cluster]'") from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        quiet["runtime_env"] = {"env_vars": dict.fromkeys(THREADS, "1")}
        host, _, port = self._address.rpartition(":")
        try:
            if host and port.isdecimal():  # Ray itself would try for minutes to reach a port that nobody listens at
                socket.create_connection((host, int(port)), timeout=5).close()
            if self._address == "local":
                alone: dict[str, Any] = {
                    "num_cpus": self._workers,
                    "include_dashboard": False,
                    "_node_ip_address": "127.0.0.1",
                }
                ray.init(address="local", **alone, **quiet)
            else:
                ray.init(address=self._address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"--ray {self._address}: no Ray cluster can be reached there ({first_line(error)}): give HOST:PORT of "
                "its head and, in RAY_AUTH_TOKEN, its token (`ray get-auth-token` there); or local"
            ) from error
        return ray


def make_executor(workers: int, ray: str | None = None, stall_limit: float | None = None) -> Executor:
    """What runs with `workers` processes, or on the Ray cluster at address `ray`.

    Raises:
        UsageError: `workers` is less than 1.
    """
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed")
    if ray is not None:
        return RayExecutor(ray, workers)
    return SerialExecutor() if workers == 1 else ProcessExecutor(workers, stall_limit)
