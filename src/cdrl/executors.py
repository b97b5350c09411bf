"""What runs a function on many items, as the options of a command say."""

from __future__ import annotations

from cdrl.cluster import RayExecutor
from cdrl.errors import UsageError
from cdrl.parallel import Executor, ProcessExecutor, SerialExecutor


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
