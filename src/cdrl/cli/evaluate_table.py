"""`cdrl evaluate table`: every method on the clips of a data folder, as one table."""

from __future__ import annotations

from cdrl.evaluation.table import TableConfig as Options
from cdrl.evaluation.table import evaluate

__all__ = ["Options", "run"]


def run(options: Options) -> int:
    """Judge them all and write what the options ask for; the table goes to stdout where no file is named."""
    evaluate(options)
    return 0
