"""`cdrl train sync`: trains the lip-sync network."""

from __future__ import annotations

from cdrl.training.options import SyncOptions as Options

__all__ = ["Options", "run"]


def run(options: Options) -> int:
    """Run the recipe and return the exit code."""
    from cdrl.training.sync import train_sync

    train_sync(options)
    return 0
