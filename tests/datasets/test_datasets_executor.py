"""An item that fails, or kills its process, costs only itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from cdrl.datasets.executor import Inline, Processes, executor
from cdrl.errors import UsageError


def square(number: int) -> int:
    if number == 2:
        raise ValueError("two\nis not liked")
    if number == 3 and os.environ.get("OMP_NUM_THREADS") == "1" and os.getppid() != 1:
        os._exit(9)
    return number * number


def test_outcomes(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    found = {outcome.index: outcome for outcome in Inline().run(square, [1, 2, 4])}
    assert (found[0].result, found[2].result) == (1, 16)
    assert found[1].result is None and found[1].error == "unexpected ValueError: two"


def test_a_process_that_dies():
    found = {outcome.index: outcome for outcome in Processes(2).run(square, [1, 2, 3, 4, 5])}
    assert {index: outcome.result for index, outcome in found.items()} == {0: 1, 1: None, 2: None, 3: 16, 4: 25}
    assert "process that worked on it died" in found[2].error


def test_at_least_one_worker():
    with pytest.raises(UsageError, match="--workers 0"):
        executor(0)


def hold(path: str) -> None:
    if path:
        try:
            Path(path).write_text("half")
            time.sleep(60)
        finally:
            Path(path).unlink(missing_ok=True)


def test_who_stops_listening_ends_what_is_at_work(tmp_path):
    paths = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c")]
    outcomes = Processes(2).run(hold, [*paths[:1], "", *paths[1:]])
    assert next(outcomes).index == 1
    while not (tmp_path / "a").exists():
        time.sleep(0.01)
    begin = time.monotonic()
    outcomes.close()
    assert time.monotonic() - begin < 9
    assert list(tmp_path.iterdir()) == []


def killer(path: str) -> int:
    """Kills the process beside it, when that one is at work."""
    if path == "kill":
        time.sleep(0.5)
        beside = [one for one in psutil.Process(os.getppid()).children() if "spawn_main" in " ".join(one.cmdline())]
        next(one for one in beside if one.pid != os.getpid()).kill()
        time.sleep(60)
    return 0


def test_who_stops_listening_is_not_kept_by_a_process_that_was_killed():
    outcomes = Processes(2).run(killer, ["", "kill", "", *["kill"] * 3])
    begin = time.monotonic()
    assert next(outcomes).result == 0
    time.sleep(1.5)  # one of the two is gone, and nobody has noticed yet
    outcomes.close()
    assert time.monotonic() - begin < 30
