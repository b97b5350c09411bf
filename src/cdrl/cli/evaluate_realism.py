"""`cdrl evaluate realism`: how well edits can be told from real footage of people whom the detector never saw."""

from __future__ import annotations

from dataclasses import dataclass

from cdrl.evaluation.benchmark_config import RealismConfig


@dataclass(frozen=True, kw_only=True)
class Options(RealismConfig):
    """Train a detector of edits for every person, without that person, and tell that person's edits from real footage.

    The tables go to standard output where no file is named.
    """


def run(options: Options) -> int:
    """Edit, train, compare and write what the options ask for.

    Raises:
        OutputError: A file that is to be written has no place.
        JobsFailedError: An edit failed.
    """
    from cdrl.evaluation.benchmark import check_rows
    from cdrl.evaluation.realism.benchmark import evaluate_realism

    options.check_places()
    check_rows(evaluate_realism(options)["rows"])
    return 0
