"""`cdrl data prepare`: faces found, aligned and packed with their speech, ready for training."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from cdrl.errors import InputError


@dataclass(frozen=True)
class Options:
    """Find the face in every clip of a data set, align it, read off the speech, and pack it all for training.

    The result is WebDataset shards with a manifest. A run that was stopped goes on when the same command is given
    again. A clip that fails is reported and left out; the exit code is 3 then.
    """

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """The data set's folder."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Where the shards go."""
    layout: Literal["auto", "plain", "mead", "ravdess", "crema-d"] = "auto"
    """How DIR is laid out; see cdrl data check."""
    speech: str = "whisper"
    """Speech features: whisper, mel, or xlsr:PATH of a local XLSR-53 (or its name on the hub)."""
    workers: int = 1
    """Processes that work side by side, one thread each."""
    ray: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Work on the Ray cluster at HOST:PORT, whose machines see the same DIR; local starts one of --workers here."""
    every: int = 1
    """Keep only every N-th frame."""
    max_rate: int = 30
    """Keep no more frames a second than this."""
    max_seconds: float = 60.0
    """Leave out what comes later in a clip."""
    restart: FlagCreatePairsOff[bool] = False
    """Forget what FOLDER holds and begin anew."""


def run(options: Options) -> int:
    """Prepare a data set and print what became of it; returns the exit code."""
    from rich.console import Console

    from cdrl.cli.progress import job_progress
    from cdrl.datasets.packing import prepare
    from cdrl.datasets.preparation import PreparationSettings
    from cdrl.datasets.table import read_dataset
    from cdrl.executors import make_executor
    from cdrl.media.decoding import pluralize

    begin = time.monotonic()
    settings = PreparationSettings(options.speech, options.every, options.max_rate, options.max_seconds)
    workers = make_executor(options.workers, options.ray)
    table = read_dataset(options.folder, options.layout)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with job_progress(console, "preparing", "clips", "left out") as report_progress:

        def progress(done: int, total: int, failure: str) -> None:
            report_progress(done, total, "", failure)

        summary = prepare(table, options.output, settings, workers, progress, options.restart)
    seconds = time.monotonic() - begin
    for remark, count in summary.remarks.items():
        print(f"{remark}: {count}")
    missing = {problem.clip: str(problem) for problem in table.problems}
    for line in (*missing.values(), *(f"{clip}: {reason}" for clip, reason in summary.faults.items())):
        print(line, file=sys.stderr)
    already = f" ({summary.already} were there already)" if summary.already else ""
    print(
        f"{options.output}: {pluralize(summary.clips, 'clip')}{already}, {summary.silent} without sound; a face in "
        f"{summary.frames:,} of {summary.frames_seen:,} frames; {pluralize(len(summary.failures), 'clip')} failed; "
        f"{seconds:.0f} s"
    )
    return InputError.exit_code if summary.failures or summary.faults else 0
