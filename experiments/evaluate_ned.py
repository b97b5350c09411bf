"""Judges NED's networks beside all methods of `cdrl evaluate table`.

`python -m experiments.evaluate_ned --neds NAME=DIR... --priors DIR` and the options of `cdrl evaluate table`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cdrl.errors import UsageError
from cdrl.evaluation.benchmark_config import TableConfig
from cdrl.evaluation.method_benchmark import BenchmarkTask, default_methods, evaluate_methods, parse_folders
from cdrl.evaluation.methods import Edit, Method
from experiments.commands import run_command
from experiments.ned_method import NedEdit

PROGRAM = "python -m experiments.evaluate_ned"


@dataclass(frozen=True)
class Options(TableConfig):
    """Judge edits of many clips by NED's networks, by cdrl and by other methods, as one table."""

    neds: tuple[str, ...] = ()
    """NAME=DIR: a row of that name, with ned_without_PERSON.safetensors of DIR on the priors of --priors."""


def run(options: Options) -> int:
    """Judge all methods and write what the options ask for."""
    if not options.neds or options.priors is None or not options.edit:
        raise UsageError("--neds and --priors are needed, without --no-edit: NED is judged on cdrl's priors")
    evaluate_methods(options, lambda _, tasks: choose_methods(options, tasks))
    return 0


def choose_methods(options: Options, tasks: Sequence[BenchmarkTask]) -> list[Method]:
    """Return the default methods of the table with NED's right behind cdrl's prior.

    Raises:
        ModelFileError: A folder lacks the model that was trained without a judged person.
    """
    methods = default_methods(options, tasks)
    place = next(place for place, method in enumerate(methods) if isinstance(method, Edit))
    prior = methods[place]
    assert isinstance(prior, Edit) and prior.priors is not None
    neds = [
        NedEdit(name, prior.priors, folder, prior.strangers) for name, folder in parse_folders("--neds", options.neds)
    ]
    for ned in neds:
        for task in tasks:
            ned.find_models(task.person)
    return [*methods[: place + 1], *neds, *methods[place + 1 :]]


if __name__ == "__main__":
    sys.exit(run_command(Options, run, PROGRAM))
