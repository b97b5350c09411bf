"""Progress of a command's steps on the screen. Rich is loaded where something is shown: a pipe need not wait for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Step = Callable[[str, int], Callable[[int], None]]
"""Begins a step of a name and a number of things to do; returns what to call with the number that is done."""


def _make_bars(*, elapsed: bool = False, **options: Any) -> Progress:
    """Bars that say what is done, how much of it, and for how long still; with `elapsed`, for how long already."""
    from rich import progress as rich

    columns = [rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()]
    times = [rich.TimeElapsedColumn()] if elapsed else []
    return rich.Progress(*columns, *times, rich.TimeRemainingColumn(), **options)


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on a terminal, moved by the numbers done and in all; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with _make_bars(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(doing, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def step_progress(console: Console) -> Iterator[Step]:
    """One line a step: how much is done, for how long already, and how long still."""
    with _make_bars(elapsed=True, console=console) as bars:

        def step(name: str, total: int) -> Callable[[int], None]:
            task = bars.add_task(name, total=max(total, 1))
            return lambda count: bars.advance(task, count)

        yield step


@contextmanager
def job_progress(
    console: Console, doing: str, things: str, failed: str
) -> Iterator[Callable[[int, int, str, str], None]]:
    """Counts things that end, in any order: a bar on a terminal, a line now and then elsewhere.

    What it yields takes how many have ended, of how many, the last one's name, and its failure, which is said at once
    after the word `failed`.
    """
    with _make_bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(doing, total=None)
        said = time.monotonic()

        def report(done: int, total: int, name: str, failure: str) -> None:
            nonlocal said
            bars.update(task, completed=done, total=total, description=f"{doing} {name[-40:]}".strip())
            if failure:
                console.print(f"{failed}: {failure}")
            if not console.is_terminal and (time.monotonic() - said > 20 or done == total):
                said = time.monotonic()
                console.print(f"{done} of {total} {things}")

        yield report
