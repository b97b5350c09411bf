"""`cdrl evaluate table`: every method on the clips of a data folder, as one table."""

from __future__ import annotations

from dataclasses import dataclass

from cdrl.evaluation.benchmark_config import TableConfig


@dataclass(frozen=True, kw_only=True)
class Options(TableConfig):
    """Evaluate edits of many clips, by cdrl and by other methods, as one table.

    The table goes to standard output where no file is named.
    """


def run(options: Options) -> int:
    """Evaluate every method and write what the options ask for. Raises JobsFailedError where a row failed."""
    from cdrl.evaluation.benchmark import check_rows
    from cdrl.evaluation.method_benchmark import evaluate_methods

    check_rows(evaluate_methods(options)["rows"])
    return 0
