"""Progress of a command's steps on the screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Step = Callable[[str, int], Callable[[int], None]]
"""Begins a step of a name and a number of things to do; returns what to call with the number that is done."""


@contextmanager
def step_progress(console: Console) -> Iterator[Step]:
    """One line a step: how much is done, for how long already, and how long still."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:

        def step(name: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(name, total=max(total, 1))
            return lambda count: progress.advance(task, count)

        yield step


@contextmanager
def job_progress(
    console: Console, doing: str, things: str, failed: str
) -> Iterator[Callable[[int, int, str, str], None]]:
    """Counts things that end, in any order: a bar on a terminal, a line now and then elsewhere.

    What it yields takes how many have ended, of how many, the last one's name, and its failure, which is said at once
    after the word `failed`.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        said = time.monotonic()

        def report(done: int, total: int, name: str, failure: str) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total, description=f"{doing} {name[-40:]}".strip())
            if failure:
                console.print(f"{failed}: {failure}")
            if not console.is_terminal and (time.monotonic() - said > 20 or done == total):
                said = time.monotonic()
                console.print(f"{done} of {total} {things}")

        yield report
