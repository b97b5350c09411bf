"""Runs an experiment as a program, with options as those of `cdrl` and every expected error in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from cdrl.cli.arguments import parse_options
from cdrl.errors import CdrlError, one_line


def run_command(options: type[Any], run: Callable[[Any], int], program: str, words: Sequence[str] | None = None) -> int:
    """Parse the command line, run the experiment, and return the exit code.

    Args:
        options: Dataclass whose fields are the options, as in the commands of `cdrl`.
        run: The experiment; it returns the exit code.
        program: How the experiment is called, as in `python -m experiments.train_ned`.
        words: Words of the command line; those of this process where None.

    Returns:
        The exit code of the experiment, or of the error that is printed; see `cdrl.errors`.
    """
    try:
        return run(parse_options(options, list(sys.argv[1:] if words is None else words), program))
    except CdrlError as error:
        sys.stderr.write(f"{program}: error: {one_line(str(error))}\n")
        return error.exit_code
