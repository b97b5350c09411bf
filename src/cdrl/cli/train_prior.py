"""`cdrl train prior`: fits the emotion prior."""

from __future__ import annotations

from cdrl.training.options import PriorOptions as Options

__all__ = ["Options", "run"]


def run(options: Options) -> int:
    """Run the recipe and return the exit code."""
    from cdrl.training.prior import fit_priors

    fit_priors(options)
    return 0
