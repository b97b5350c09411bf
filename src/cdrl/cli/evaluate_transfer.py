"""`cdrl evaluate transfer`: edits of real takes to each other emotion, beside the real takes of the same words."""

from __future__ import annotations

from dataclasses import dataclass

from cdrl.evaluation.benchmark_config import TransferConfig


@dataclass(frozen=True, kw_only=True)
class Options(TransferConfig):
    """Take every emotion out of real takes and put every other on, beside the person's real take of the same words.

    The table goes to standard output where no file is named.
    """


def run(options: Options) -> int:
    """Edit, compare and write what the options ask for.

    Raises:
        OutputError: A file that is to be written has no place.
        JobsFailedError: An edit failed, or could not be evaluated.
    """
    from cdrl.evaluation.benchmark import check_rows
    from cdrl.evaluation.transfer import evaluate_transfer

    options.check_places()
    check_rows(evaluate_transfer(options)["rows"])
    return 0
