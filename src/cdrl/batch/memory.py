"""How much memory there is to work in."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def available_memory(group: Path = _GROUP) -> int:
    """Bytes that are free on this machine and, where the process runs in a container, within the container's bound.

    `group` is the folder of the process's control group (version 2); what its files take that can be dropped is free.
    """
    free = int(psutil.virtual_memory().available)
    try:
        bound = int((group / "memory.max").read_text())  # the word "max" where there is none
        used = int((group / "memory.current").read_text())
        dropped = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return free
    return min(free, max(0, bound - used + (int(dropped[1]) if dropped else 0)))
