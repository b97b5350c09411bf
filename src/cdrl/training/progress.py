"""Progress of what is gone through: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""

Thing = TypeVar("Thing")


def track(
    things: Iterable[Thing],
    doing: str,
    console: Console,
    total: int | None = None,
    done: int = 0,
    worth: Callable[[Thing], int] = lambda thing: 1,
) -> Iterator[Thing]:
    """Hand on `things` and say how many of `total` (their number by default) were gone through.

    Args:
        things: What is gone through.
        doing: What is done with them, as in "encoding frames".
        console: Where it is said; a quiet one says nothing.
        total: How many there are, with those that were done before; needed where `things` has no length.
        done: How many were done before.
        worth: For how many a thing counts: a batch for as many as are in it.
    """
    if total is None:
        total = done + len(things) if isinstance(things, Sized) else None
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task, said = bar.add_task(doing, total=total, completed=done), time.monotonic()
        for thing in things:
            yield thing
            done += worth(thing)
            bar.update(task, completed=done)
            if not console.is_terminal and time.monotonic() - said > EVERY:
                said = time.monotonic()
                console.print(f"{doing}: {done:,}{'' if total is None else f' of {total:,}'}", highlight=False)
