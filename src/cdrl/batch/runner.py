"""A batch from beginning to end, however often it is stopped in between.

A result is put in place in this order: whole in a folder of its own (`work`), noted in the journal, renamed. Wherever a
machine stops, the next run knows from these three which jobs are done, which only have to be put in place, and which
have to be done; it redoes none of the former and loses none of the latter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from cdrl.batch.jobs import BatchJob, identity
from cdrl.batch.journal import Journal
from cdrl.batch.work import STAGING, RenderSettings, Result, Task, discard, run_job
from cdrl.errors import CdrlError, OutputError, OutputExistsError, UsageError
from cdrl.media import Limits
from cdrl.media.numbering import list_sha256
from cdrl.parallel import Executor
from cdrl.provenance import sidecar_path
from cdrl.request import REQUEST_FIELDS, EditRequest

Progress = Callable[[int, int, str, str], None]
"""Called with the number of jobs that have ended, of all jobs, the last one's name, and "" or how it failed."""

DONE, ALREADY, FAILED, PENDING = "done", "already there", "failed", "not done"


@dataclass
class Summary:
    """What became of each job, in the order in which they were asked for."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count(self, state: str) -> int:
        """How many jobs ended so."""
        return sum(entry["state"] == state for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """For `--report`."""
        counts = {state: self.count(state) for state in (DONE, ALREADY, FAILED, PENDING)}
        return {"counts": counts, "jobs": self.entries, "notes": self.notes}


class Batch:
    """Jobs with the journal that says what is done of them. `summary` is right at any time."""

    def __init__(self, jobs: Sequence[BatchJob], journal: Path, settings: RenderSettings) -> None:
        self.summary = Summary([
            {"name": job.name, "source": str(job.request.source), "output": str(job.output), "state": PENDING}
            for job in jobs
        ])  # fmt: skip
        self._jobs = jobs
        self._journal = Journal(journal)
        self._settings = settings
        self._tasks: list[Task] = []
        self._ended = 0
        self._overwrite = False
        self._progress: Progress = lambda ended, total, name, failure: None

    def run(self, executor: Callable[[int], Executor], overwrite: bool, progress: Progress) -> Summary:
        """Do what is not done. `executor` is asked for one that suits that number of jobs.

        Raises OutputExistsError before any work where an output exists that no batch of this journal has written and
        `overwrite` is not wanted; a job's own failure is in the summary, and the others go on.
        """
        if any(identity(self._journal.path) in (identity(job.output), job.output) for job in self._jobs):
            raise UsageError(f"{self._journal.path} is the journal and an output: name another one")
        self._progress, self._overwrite = progress, overwrite
        with self._journal as journal:
            self._make_tasks()
            self._refuse_foreign()
            todo = [index for index in range(len(self._tasks)) if not self._settle(index)]
            progress(self._ended, len(self._tasks), "", "")
            if todo:
                self._make_folders(todo)
                journal.queue(self._tasks[index] for index in todo)
                with self._cleaned(todo):
                    self._work(todo, executor(len(todo)))
            for folder, _ in journal.folders():
                if not folder.exists():
                    journal.forget_folder(folder)
        return self.summary

    def _make_tasks(self) -> None:
        """A task for each job, with the folder of a run that was stopped where that holds a finished result."""
        known = self._journal.folders()
        token = uuid4().hex[:8]
        for job in self._jobs:
            self._progress(0, len(self._jobs), job.name, "")  # long films take a while to read
            key = job_key(job, self._settings, self._hash)
            folders = [folder for folder, owner in known if owner == key]
            tasks = [Task(key, job.name, job.request, job.output, folder) for folder in folders]
            finished = [task for task in tasks if task.finished() is not None]
            fresh = job.output.parent / f"{STAGING}{key[:16]}-{token}"
            self._tasks.append(finished[0] if finished else Task(key, job.name, job.request, job.output, fresh))
        for folder in {folder for folder, _ in known} - {task.staging for task in self._tasks}:
            discard(folder)  # of a run that was killed

    def _work(self, todo: list[int], executor: Executor) -> None:
        outcomes = executor.run(partial(run_job, settings=self._settings), [self._tasks[index] for index in todo])
        with closing(outcomes):  # type: ignore[type-var]  # a generator, whatever it is declared as
            for outcome in outcomes:
                self._conclude(todo[outcome.index], outcome.result or Result(outcome.error))

    def _conclude(self, index: int, result: Result) -> None:
        """Put a result in place, or note why there is none."""
        task = self._tasks[index]
        try:
            if not result.error:
                replaces = task.output.exists() and self._is_own(task.output)
                own_sidecar = replaces or self._journal.has_output(task.output)
                if self._journal.done_sha256(task.key) != result.sha256:  # else stopped between this and the next line
                    self._journal.note_done(task.key, task.output, result.sha256, result.seconds)
                task.put_in_place(
                    result, overwrite=self._overwrite or replaces, overwrite_sidecar=self._overwrite or own_sidecar
                )
                self._record(index, DONE, result)
                return
        except CdrlError as error:
            result = Result(str(error), seconds=result.seconds)
        task.discard()
        try:
            self._journal.note_failed(task.key, result.error)
        except CdrlError as error:  # that a job failed may be forgotten: it is tried again either way
            if str(error) not in self.summary.notes:
                self.summary.notes.append(str(error))
        self._record(index, FAILED, result)

    def _settle(self, index: int) -> bool:
        """Whether a job needs no work: its result is there, or is whole and can be put in place now."""
        task = self._tasks[index]
        finished = task.finished()
        if finished is not None:
            self._conclude(index, finished)
            return True
        sha256 = self._journal.done_sha256(task.key)
        if sha256 is None or sha256 != self._hash(task.output):
            return False
        task.discard()
        self._record(index, ALREADY, Result(sha256=sha256))
        return True

    @contextmanager
    def _cleaned(self, todo: list[int]) -> Iterator[None]:
        """However the block ends: what is whole is put in place, of all else nothing is left."""
        try:
            yield
        finally:
            for index in todo:
                if self.summary.entries[index]["state"] == PENDING and not self._settle(index):
                    self._tasks[index].discard()

    def _make_folders(self, todo: list[int]) -> None:
        for index in todo:
            folder = self._tasks[index].output.parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{folder} cannot be made ({error.strerror}); choose another folder") from None

    def _refuse_foreign(self) -> None:
        foreign = [] if self._overwrite else [task for task in self._tasks if self._is_foreign(task.output)]
        if foreign:
            more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
            raise OutputExistsError(
                f"{foreign[0].output}{more} exists already and is not of this batch: move it, or add --overwrite"
            )

    def _is_foreign(self, output: Path) -> bool:
        """Whether something is in the output's place that no job of this journal has left there."""
        if not (output.exists() or output.is_symlink()):
            return sidecar_path(output).exists() and not self._journal.has_output(output)
        return not self._is_own(output)

    def _is_own(self, output: Path) -> bool:
        return self._journal.has_result(output, self._hash(output))

    def _hash(self, path: Path) -> str:
        return self._journal.hash_file(path, self._settings.limits.max_bytes)

    def _record(self, index: int, state: str, result: Result) -> None:
        told = {name: value for name, value in asdict(result).items() if value and name not in ("error", "sidecar")}
        reason = {"reason": result.error} if result.error else {}
        entry = self.summary.entries[index]
        entry |= {"state": state, **reason, **told}
        self._ended += 1
        failure = f"{entry['name']} → {entry['output']}: {result.error}" if result.error else ""
        self._progress(self._ended, len(self._tasks), self._tasks[index].name, failure)


def _hash_source(request: EditRequest, limits: Limits, sha256: Callable[[Path], str]) -> str:
    """The hash of a source, of a sequence that of its pictures' hashes; empty where it cannot be read."""
    try:
        source = request.find_source(limits)
    except CdrlError:
        return ""
    return sha256(source) if isinstance(source, Path) else list_sha256(map(sha256, source.files()))


def job_key(job: BatchJob, settings: RenderSettings, sha256: Callable[[Path], str]) -> str:
    """Hash all that decides what a job's output holds, and the output's name.

    Args:
        job: The job.
        settings: How its result is made.
        sha256: Hashes a file. Files count by their content, so that a source that was moved or touched is the same,
            and one that was changed is not; those that cannot be read count as empty.

    Returns:
        64 hexadecimal digits.
    """
    request = job.request
    asked = {name: getattr(request, name) for name in REQUEST_FIELDS if name != "source"} | {
        "enroll": {name: sha256(path) for name, path in request.enroll.items()},
        **request.files,
    }
    asked = {name: sha256(value) if isinstance(value, Path) else value for name, value in asked.items()} | {
        "source": _hash_source(request, settings.limits, sha256),
        "encoder": {name: value for name, value in asdict(settings.encoder).items() if name != "threads"},
        "provenance": settings.provenance,
        "c2pa": settings.c2pa and sha256(settings.c2pa.certificate),
        "output": str(job.output),
        **({"layer": True} if settings.layer else {}),  # else keys are those of journals before there were layers
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode("utf-8", "replace")).hexdigest()
