"""Functions that worker processes run in the tests of executors.

Every worker imports the module of its function as it starts; that of the tests would bring NumPy and pytest.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path


def square(number: int) -> int:
    if number == 2:
        raise ValueError("two\nis not liked")
    if number == 3 and os.environ.get("OMP_NUM_THREADS") == "1" and os.getppid() != 1:
        os._exit(9)
    return number * number


def die_or_name(item: tuple[str, str]) -> str:
    name, folder = item
    (Path(folder) / name).write_text("")
    if name == "dies":
        os._exit(9)
    return name


def hold(path: str) -> None:
    if path:
        try:
            Path(path).write_text("half")
            time.sleep(60)
        finally:
            Path(path).unlink(missing_ok=True)


def behave(behavior: str) -> str | object:
    match behavior:
        case "raises":
            raise ValueError("not liked")
        case "exits":
            raise SystemExit(3)
        case "dies":
            os._exit(9)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs":
            time.sleep(600)
        case "is large":
            return "x" * 300_000
        case "cannot be sent":
            return threading.Lock()
    return behavior
