"""Runs one input of `fuzz.py` in a process of its own, under limits, and says how it ended."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 60  # seconds for one input
GUARD = 3 << 30  # bytes of addresses beyond those in use, so that a bomb does not take the machine with it


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    code: int
    """Exit code; negative for the signal that ended it."""
    hung: bool
    seconds: float
    """Of the processor's time."""
    memory: int
    """MiB beyond what was loaded already."""
    printed: str
    """What it wrote on its output."""
    said: str
    """What it wrote on its error output."""


def in_child(work: Callable[[], None], folder: Path) -> Ended:
    """Fork, limit, do the work with both outputs in files of `folder`, which are removed again, and wait."""
    pages, resident = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split()[:2])
    logs = folder / "printed.log", folder / "said.log"
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _limit(pages * resource.getpagesize(), logs)
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    end, hung = time.monotonic() + TIMEOUT, False
    while (found := os.wait4(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end and not hung:
            hung = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.002)
    _, status, usage = found
    memory = usage.ru_maxrss // 1024 - resident * resource.getpagesize() // 2**20
    texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs]
    for log in logs:
        log.unlink()
    return Ended(os.waitstatus_to_exitcode(status), hung, usage.ru_utime + usage.ru_stime, max(0, memory), *texts)


def _limit(addresses: int, logs: tuple[Path, Path]) -> None:
    """In the child: a session, limits and outputs of its own."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (addresses + GUARD, addresses + GUARD))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, log in enumerate(logs, 1):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", 1, "utf-8", "backslashreplace", closefd=False) for number in (1, 2)
    )
