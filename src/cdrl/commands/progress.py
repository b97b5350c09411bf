"""Progress of a command's steps on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Step = Callable[[str, int], Callable[[int], None]]
"""Begins a step of a name and a number of things to do; returns what to call with the number that is done."""


@contextmanager
def steps(console: Console) -> Iterator[Step]:
    """One line a step: how much is done, for how long already, and how long still."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:

        def step(name: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(name, total=max(total, 1))
            return lambda count: progress.advance(task, count)

        yield step
