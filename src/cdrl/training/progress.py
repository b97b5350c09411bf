"""Progress of what is iterated over: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

LINE_INTERVAL = 30.0
"""Seconds between two lines where there is no terminal."""

Item = TypeVar("Item")


def track(
    items: Iterable[Item],
    activity: str,
    console: Console,
    total: int | None = None,
    done: int = 0,
    weigh: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Item]:
    """Yield items and show how many of them are done.

    Args:
        items: What is iterated over.
        activity: What is done with the items, as in "encoding frames".
        console: Where progress is printed; a quiet one prints nothing.
        total: Number of items, with those that were done before; needed where `items` has no length.
        done: How many were done before.
        weigh: For how many an item counts: a batch for as many as are in it.

    Yields:
        The items.
    """
    if total is None:
        total = done + len(items) if isinstance(items, Sized) else None
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task, printed = bar.add_task(activity, total=total, completed=done), time.monotonic()
        for item in items:
            yield item
            done += weigh(item)
            bar.update(task, completed=done)
            if not console.is_terminal and time.monotonic() - printed > LINE_INTERVAL:
                printed = time.monotonic()
                console.print(f"{activity}: {done:,}{'' if total is None else f' of {total:,}'}", highlight=False)
