"""`cdrl batch`: edit many videos, from a list or a folder, and go on where a run was stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from cdrl.batch.jobs import BatchDefaults, BatchJob, jobs_from_csv, jobs_from_folder, locate
from cdrl.batch.memory import available_memory
from cdrl.cli.consent import ConsentGiven, require_consent
from cdrl.cli.edit import Provenance
from cdrl.cli.edit_options import TimedEmotionOptions
from cdrl.errors import JobsFailedError, OutputError, OutputExistsError, UsageError, one_line
from cdrl.files import atomic_write
from cdrl.media.encoding import CONTAINERS, EncoderOptions, codec_of
from cdrl.media.limits import Limits
from cdrl.media.threads import available_cores
from cdrl.request import TARGET_FIELDS

if TYPE_CHECKING:
    from cdrl.batch.runner import Summary
    from cdrl.parallel import Executor

MEMORY = 300_000_000
"""Bytes of memory that one more process is expected to take."""


@dataclass(frozen=True)
class Options:
    """Edit many videos: those that a list names, or those in a folder.

    What to show is said by a list's rows, and by the options for rows that say nothing. A run that was stopped, by
    whatever, goes on when the same command is given again: what is done is not redone, what has changed is. A job that
    fails does not hold up the others.
    """

    jobs_from: Annotated[Positional[Path], arg(metavar="JOBS.CSV|FOLDER")]
    """A folder of clips, or a list as CSV, whose first row names columns; see docs/guides/batch.md."""
    output_folder: Annotated[Path | None, arg(aliases=["-o"], metavar="DIR", help_behavior_hint="")] = None
    """Where the results go, and none leads out of; for a list that names outputs it may be left out."""
    project: Annotated[Path | None, arg(metavar="JSON", help_behavior_hint="")] = None
    """A project that cdrl edit --save-project wrote, for all clips."""
    ending: str = ".mp4"
    """Of results that have no name of their own; it chooses the container."""
    jobs: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: by cores and free memory)")] = None
    """Processes that work side by side."""
    ray: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Work on the Ray cluster at HOST:PORT, whose machines see the same files; local starts one of --jobs here."""
    stall_limit: float = 600.0
    """Seconds without progress after which a clip is given up and counts as failed."""
    journal: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: beside the results)")] = None
    """What has been done is kept in this database."""
    report: Annotated[Path | None, arg(metavar="JSON", help_behavior_hint="")] = None
    """Also write what became of each job; replaced where it exists."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace results that exist and that no run with this journal has written."""
    layer: FlagCreatePairsOff[bool] = False
    """Show only what the edits change, on transparent ground, to be put over the sources: with --profile prores."""
    i_have_consent: ConsentGiven = False
    shown: TimedEmotionOptions = field(default_factory=TimedEmotionOptions)
    provenance: Provenance = field(default_factory=Provenance)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    limits: Limits = field(default_factory=Limits)


def run(options: Options) -> int:
    """Check every job, do what is not done, list what failed. Raises JobsFailedError where something did."""
    jobs, folder = _read_jobs(options), options.output_folder
    beside = options.jobs_from.with_suffix(".journal.sqlite") if folder is None else folder / "batch.journal.sqlite"
    journal = options.journal or beside
    _check_names(options, jobs, journal)
    workers = _workers(options, len(jobs))
    if not 1 <= options.stall_limit <= 1e6:
        raise UsageError(f"--stall-limit {options.stall_limit:g}: give seconds, from 1 to 1000000")
    require_consent(options.i_have_consent)

    from rich.console import Console

    from cdrl.batch.runner import FAILED, PENDING, Batch
    from cdrl.batch.work import RenderSettings
    from cdrl.cli.progress import job_progress

    threads = options.encoder.threads or max(1, available_cores() // workers)
    marked = not options.provenance.no_provenance
    encoder = replace(options.encoder, threads=threads)
    settings = RenderSettings(encoder, options.limits, marked, options.provenance.make_credentials(), options.layer)
    batch = Batch(jobs, journal, settings)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        with job_progress(console, "editing", "clips", "failed") as progress:
            batch.run(_executor(options, workers), options.overwrite, progress)
    finally:
        _print_summary(batch.summary, options)
    counts = batch.summary.to_json()["counts"]
    if unfinished := counts[FAILED] + counts[PENDING]:
        said = f"{counts[FAILED]} failed" + (f" and {counts[PENDING]} not done" if counts[PENDING] else "")
        raise JobsFailedError(
            f"{unfinished} of {len(jobs)} jobs have no result ({said}); the others are done. Run the same command "
            "again to try them anew"
        )
    return 0


def _read_jobs(options: Options) -> list[BatchJob]:
    if options.encoder.is_sequence:
        raise UsageError("--profile sequence is for cdrl edit, one clip at a time: choose another profile")
    if options.ending.lower() not in CONTAINERS:
        raise UsageError(f"--ending {options.ending}: choose of {', '.join(CONTAINERS)}")
    codec_of(options.encoder, CONTAINERS[options.ending.lower()], Path(f"--ending {options.ending}"))
    # Absolute, for processes elsewhere may work in another folder.
    given = {name: locate(name, value, Path.cwd(), stays=False) for name, value in options.shown.given.items()}
    targets = [name for name in TARGET_FIELDS if name in given] + ["project"] * (options.project is not None)
    if len(targets) > 1 and targets != ["reference", "segments"]:
        raise UsageError(f"--{targets[0]} and --{targets[1]} are both given: choose one")
    defaults = BatchDefaults(
        given, options.project, options.output_folder, options.ending, options.encoder, options.layer
    )
    if not options.jobs_from.is_dir():
        return jobs_from_csv(options.jobs_from, defaults)
    if not targets:
        raise UsageError("nothing is asked for: give --emotion, --reference, --segments or --project")
    return jobs_from_folder(options.jobs_from, defaults)


def _check_names(options: Options, jobs: list[BatchJob], journal: Path) -> None:
    """Refuse a report that would hit another file, before the work; make the folder of the results."""
    if options.report is not None:
        taken = {path.resolve() for job in jobs for path in (job.output, *job.request.inputs)}
        if options.report.resolve() in {*taken, journal.resolve(), options.jobs_from.resolve()}:
            raise UsageError(f"--report {options.report} is a file of another use: give it a name of its own")
        if options.report.suffix.lower() != ".json":
            raise UsageError(f"--report {options.report}: end its name in .json")
        if not options.report.absolute().parent.is_dir():
            raise OutputError(f"--report {options.report}: there is no folder {options.report.parent}; make it first")
    if options.output_folder is None:
        return
    try:
        options.output_folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputExistsError(f"--output-folder {options.output_folder} is a file: name a folder") from None
    except OSError as error:
        raise OutputError(f"--output-folder {options.output_folder} cannot be made ({error.strerror})") from None


def _workers(options: Options, jobs: int) -> int:
    """Processes: no more than asked for, or than cores and free memory are there for."""
    if options.jobs is not None:
        if options.jobs < 1:
            raise UsageError(f"--jobs {options.jobs}: at least one is needed")
        return min(options.jobs, jobs)
    return max(1, min(jobs, available_cores(), available_memory() // MEMORY))


def _executor(options: Options, workers: int) -> Callable[[int], Executor]:
    from cdrl.executors import make_executor
    from cdrl.parallel import ProcessExecutor

    if options.ray is not None:
        return lambda count: make_executor(workers, options.ray)
    # One is a process of its own, too: a crash in a codec is to cost one clip.
    return lambda count: ProcessExecutor(min(workers, count), options.stall_limit)


def _print_summary(summary: Summary, options: Options) -> None:
    """Warnings and counts on stderr, where each failure was said when it happened; the report in its file."""
    warnings = [warning for entry in summary.entries for warning in entry.get("warnings", ())]
    for warning in [*warnings, *summary.notes]:
        print("cdrl: warning:", one_line(warning), file=sys.stderr)
    counts = summary.to_json()["counts"].items()
    print(", ".join(f"{count} {state}" for state, count in counts if count), file=sys.stderr)
    if options.report is not None:
        text = json.dumps(summary.to_json(), indent=2, ensure_ascii=False) + "\n"
        atomic_write(options.report, [text.encode("utf-8", "replace")])
