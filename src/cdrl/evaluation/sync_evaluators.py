"""Loads a lip-sync evaluator by its specification; each brings torch, which is imported only then."""

from __future__ import annotations

from pathlib import Path

from cdrl.errors import CdrlError, UsageError
from cdrl.evaluation.sync_metrics import SyncEvaluator


def load_sync_evaluator(spec: str = "cdrl") -> SyncEvaluator:
    """Load the lip-sync evaluator that a specification names.

    Args:
        spec: "cdrl" (the one that ships), "cdrl:FILE" (from `cdrl train sync`), or "syncnet:FILE".

    Raises:
        UsageError: The specification names no evaluator.
        ModelFileError: A file that the package brings is missing.
        InputError: The checkpoint does not fit.
    """
    kind, _, file = spec.partition(":")
    if kind == "cdrl":
        from cdrl.evaluation.lip_clips import LipSyncEvaluator  # noqa: PLC0415

        return LipSyncEvaluator.load(Path(file) if file else None)
    if kind == "syncnet" and file:
        from cdrl.evaluation.syncnet import SyncNetEvaluator  # noqa: PLC0415

        return SyncNetEvaluator.load(Path(file))
    raise UsageError(f"no lip-sync evaluator {spec!r}: choose cdrl, cdrl:FILE or syncnet:FILE")


def find_sync_evaluator(spec: str = "cdrl") -> tuple[SyncEvaluator | None, str]:
    """Load an evaluator, or return None and why there is none: for tables, whose column then stays empty.

    Raises:
        UsageError: The specification names no evaluator.
    """
    try:
        return load_sync_evaluator(spec), ""
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed"
    except UsageError:
        raise
    except CdrlError as error:
        return None, str(error)
