"""`cdrl train emotion`: trains the emotion representation (CERL)."""

from __future__ import annotations

from cdrl.training.options import EmotionOptions as Options

__all__ = ["Options", "run"]


def run(options: Options) -> int:
    """Run the recipe and return the exit code."""
    from cdrl.training.emotion import train_emotion

    train_emotion(options)
    return 0
