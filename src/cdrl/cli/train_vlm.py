"""`cdrl train vlm`: trains the embedded vision-language model of faces."""

from __future__ import annotations

from cdrl.training.options import VlmOptions as Options

__all__ = ["Options", "run"]


def run(options: Options) -> int:
    """Run the recipe and return the exit code."""
    from cdrl.training.vlm import train_vlm

    train_vlm(options)
    return 0
