"""Every item ends exactly once, as done or failed, whatever happens to the processes that work on it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from worker_functions import behave, die_or_name, hold, square

from cdrl import parallel
from cdrl.errors import UsageError
from cdrl.executors import make_executor
from cdrl.parallel import ProcessExecutor, SerialExecutor

HISTORIES = int(os.environ.get("CDRL_HISTORIES", "15"))


def test_outcomes(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    found = {outcome.index: outcome for outcome in SerialExecutor().run(square, [1, 2, 4])}
    assert (found[0].result, found[2].result) == (1, 16)
    assert found[1].result is None and found[1].error == "unexpected ValueError: two"


def test_a_process_that_dies_costs_its_item_alone():
    found = {outcome.index: outcome for outcome in ProcessExecutor(2).run(square, [1, 2, 3, 4, 5])}
    assert {index: outcome.result for index, outcome in found.items()} == {0: 1, 1: None, 2: None, 3: 16, 4: 25}
    assert "process that worked on it died" in found[2].error


def test_at_least_one_worker():
    with pytest.raises(UsageError, match="--workers 0"):
        make_executor(0)


class HandedOutLate(list):
    """Items of which the second is handed out only when the process of the first has died."""

    def __getitem__(self, index):
        if index == 1:
            end = time.monotonic() + 20
            while not (Path(super().__getitem__(0)[1]) / "dies").exists() and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(0.5)
        return super().__getitem__(index)


def test_a_process_that_dies_while_the_next_item_is_handed_out_loses_none(tmp_path):
    items = HandedOutLate((name, str(tmp_path)) for name in ("dies", *"bcdefgh"))
    outcomes = sorted(ProcessExecutor(1).run(die_or_name, items), key=lambda outcome: outcome.index)
    assert [outcome.index for outcome in outcomes] == list(range(8))
    assert [outcome.result for outcome in outcomes] == [None, *"bcdefgh"]


def test_who_stops_listening_ends_what_is_at_work(tmp_path):
    paths = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c")]
    outcomes = ProcessExecutor(2).run(hold, [*paths[:1], "", *paths[1:]])
    assert next(outcomes).index == 1
    while not (tmp_path / "a").exists():
        time.sleep(0.01)
    begin = time.monotonic()
    outcomes.close()
    assert time.monotonic() - begin < 9
    assert list(tmp_path.iterdir()) == []


def processes_of_this_one() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:  # it has just ended
            continue
    return found


def test_who_stops_listening_is_not_kept_by_processes_that_died_or_hang(monkeypatch):
    monkeypatch.setattr(parallel, "UNWINDING", 1.0)
    outcomes = ProcessExecutor(2).run(time.sleep, [0, *[60] * 5])
    next(outcomes)
    time.sleep(0.3)
    first, second = processes_of_this_one()
    first.kill()
    second.suspend()
    begin = time.monotonic()
    outcomes.close()
    assert time.monotonic() - begin < 15
    assert processes_of_this_one() == []


ENDS_WELL = ("works", "is large")
BEHAVIORS = (*ENDS_WELL, *ENDS_WELL, "raises", "exits", "dies", "is killed", "hangs", "cannot be sent")


class ExecutorHistory(RuleBasedStateMachine):
    """One run of items that behave as they like, while its processes are killed and stopped at any moment."""

    @initialize(
        behaviors=st.lists(st.sampled_from(BEHAVIORS), min_size=1, max_size=6),
        unsendable=st.lists(st.integers(0, 5), max_size=1),
        workers=st.integers(1, 3),
    )
    def begin(self, behaviors: list[str], unsendable: list[int], workers: int) -> None:
        self.items = [threading.Lock() if n in unsendable else name for n, name in enumerate(behaviors)]
        self.outcomes = ProcessExecutor(workers, stall_limit=0.6).run(behave, self.items)
        self.ended: list[int] = []
        self.disturbed = self.over = False

    @precondition(lambda self: not self.over)
    @rule()
    def take_an_outcome(self) -> None:
        outcome = next(self.outcomes, None)
        if outcome is None:
            self.over = True
            return
        self.ended.append(outcome.index)
        assert (outcome.result is None) == bool(outcome.error)
        behavior = self.items[outcome.index]
        if behavior not in ENDS_WELL:
            assert outcome.error and "\n" not in outcome.error
        elif not self.disturbed and "no progress" not in outcome.error:
            assert not outcome.error

    @rule(which=st.integers(0, 2), how=st.sampled_from(["kill", "suspend", "terminate"]))
    def disturb_a_process(self, which: int, how: str) -> None:
        running = processes_of_this_one()
        if running:
            self.disturbed = True
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(running[which % len(running)], how)()

    @rule(seconds=st.sampled_from([0.01, 0.1]))
    def let_time_pass(self, seconds: float) -> None:
        time.sleep(seconds)

    def teardown(self) -> None:
        while not self.over:
            self.take_an_outcome()
        assert sorted(self.ended) == list(range(len(self.items)))
        assert processes_of_this_one() == []


def test_every_item_ends_exactly_once_in_any_history():
    run_state_machine_as_test(
        ExecutorHistory, settings=settings(max_examples=HISTORIES, stateful_step_count=8, deadline=None, database=None)
    )


class StoppedHistory(ExecutorHistory):
    """The same, stopped by whoever listens."""

    def teardown(self) -> None:
        self.outcomes.close()
        assert len(set(self.ended)) == len(self.ended)
        assert processes_of_this_one() == []


def test_a_run_that_is_stopped_leaves_no_process_in_any_history():
    run_state_machine_as_test(
        StoppedHistory,
        settings=settings(max_examples=max(HISTORIES // 5, 3), stateful_step_count=5, deadline=None, database=None),
    )


def count_threads(item: int, array: object) -> int:
    return psutil.Process().num_threads()


def test_libraries_start_no_threads_of_their_own_also_when_the_function_brings_them():
    work = partial(count_threads, array=np.zeros(1))  # reading it imports numpy, whose algebra starts threads
    outcomes = list(ProcessExecutor(2).run(work, [0, 1]))
    assert [outcome.result for outcome in outcomes] == [2, 2]  # the work, and what watches the parent
