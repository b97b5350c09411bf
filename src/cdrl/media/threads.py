"""How many threads are worth starting."""

import os

MOST = 8  # more threads hold more frames in memory and bring little below 4K


def available_cores() -> int:
    """Cores this process may use, at least 1 and at most 8."""
    return max(1, min(MOST, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
