"""`cdrl evaluate results`: any finished files, of any method, evaluated beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cdrl.evaluation.benchmark_config import ResultsConfig


@dataclass(frozen=True, kw_only=True)
class Options(ResultsConfig):
    """Evaluate finished files of any method on any data set: lips, emotion, identity, FAD, CSIM, flicker, sharpness.

    RESULTS is a table of comma-separated values with the columns method, output, source, emotion; and, where they are
    known, reference, person, lag (a number of frames, or auto).
    """

    results: Annotated[Positional[Path], arg(metavar="RESULTS.csv")]
    """The table of results; relative paths in it are relative to it."""


def run(options: Options) -> int:
    """Evaluate them all and write what the options ask for.

    Raises:
        OutputError: A file that is to be written has no place.
        JobsFailedError: A result could not be evaluated.
    """
    from cdrl.evaluation.benchmark import check_rows
    from cdrl.evaluation.results_benchmark import evaluate_results

    options.check_places()
    check_rows(evaluate_results(options)["rows"])
    return 0
