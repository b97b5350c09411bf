"""`cdrl train translator`: trains how people show emotions."""

from __future__ import annotations

from cdrl.training.options import TranslatorOptions as Options

__all__ = ["Options", "run"]


def run(options: Options) -> int:
    """Run the recipe and return the exit code."""
    from cdrl.training.translator import train_translator

    train_translator(options)
    return 0
