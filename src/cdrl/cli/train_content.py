"""`cdrl train content`: trains the content representation (CCRL)."""

from __future__ import annotations

from cdrl.training.options import ContentOptions as Options

__all__ = ["Options", "run"]


def run(options: Options) -> int:
    """Run the recipe and return the exit code."""
    from cdrl.training.content import train_content

    train_content(options)
    return 0
