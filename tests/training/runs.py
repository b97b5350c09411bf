"""What is asked of every recipe's runs: their losses, two processes at once, an interruption."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest


def losses(folder) -> dict[int, float]:
    """Step → loss, from a run's log."""
    records = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return {record["step"]: record["loss"] for record in records if record["kind"] == "train"}


def two_processes(script, *words) -> None:
    """Run a test file as a script in two processes that meet as torchrun's do."""
    assert [worker.wait(400) for worker in started_together(script, *words)] == [0, 0]


def started_together(*words, **given) -> list[subprocess.Popen]:
    """Two processes of Python that meet as torchrun's do."""
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + os.getpid() % 20000)}
    # One thread each, as torchrun has it: two processes whose threads wait for one another spin for minutes.
    meeting |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    return [subprocess.Popen(command, env={**os.environ, **meeting, "RANK": str(rank)}, **given) for rank in range(2)]


@contextmanager
def stopped_at(step, task, monkeypatch):
    """What runs inside is interrupted (Ctrl-C) in step number `step` of the recipe `task`."""

    def loss(self, number, world, whole=task.loss):
        if number == step:
            raise KeyboardInterrupt
        return whole(self, number, world)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(task, "loss", loss)
        yield


def same(one, two) -> bool:
    """Whether two runs computed the same losses, to 1e-5 (of those above 1, as float32 rounds by their size)."""
    first, second = losses(one), losses(two)
    return first.keys() == second.keys() and all(
        abs(first[step] - second[step]) < 1e-5 * max(abs(first[step]), 1.0) for step in first
    )
