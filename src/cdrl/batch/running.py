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

from cdrl.batch.jobs import Job, identity
from cdrl.batch.journal import Journal
from cdrl.batch.work import Result, Task, carry_out, discard
from cdrl.datasets.executor import Executor
from cdrl.errors import CdrlError, OutputError, OutputExistsError, UsageError
from cdrl.media.encoding import EncoderOptions
from cdrl.media.limits import Limits
from cdrl.project import MODELS

Progress = Callable[[int, int, str, str], None]
"""Called with the number of jobs that have ended, their number, the last one's name, and its failure if it failed."""

DONE, ALREADY, FAILED, LEFT = "done", "already there", "failed", "not done"


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
        counts = {state: self.count(state) for state in (DONE, ALREADY, FAILED, LEFT)}
        return {"counts": counts, "jobs": self.entries, "notes": self.notes}


class Batch:
    """Jobs with the journal that says what is done of them. `summary` is right at any time."""

    def __init__(self, jobs: Sequence[Job], journal: Path, encoder: EncoderOptions, limits: Limits) -> None:
        self.summary = Summary([
            {"name": job.name, "source": str(job.project.source), "output": str(job.output), "state": LEFT}
            for job in jobs
        ])  # fmt: skip
        self._jobs = jobs
        self._journal = Journal(journal)
        self._encoder = encoder
        self._limits = limits
        self._tasks: list[Task] = []

    def run(self, executor: Callable[[int], Executor], overwrite: bool, progress: Progress) -> Summary:
        """Do what is not done. `executor` is asked for one that suits that number of jobs.

        Raises OutputExistsError before any work where an output exists that no batch of this journal has written and
        `overwrite` is not wanted; a job's own failure is in the summary, and the others go on.
        """
        if any(identity(self._journal.path) in (identity(job.output), job.output) for job in self._jobs):
            raise UsageError(f"{self._journal.path} is the journal and an output: name another one")
        with self._journal as journal:
            if journal.damaged:
                self.summary.notes.append(f"{journal.path}: {journal.damaged} damaged lines were passed over")
            for job in self._jobs:
                progress(0, len(self._jobs), job.name, "")  # long films take a while to read
                key = key_of(job, self._encoder, self._sha256)
                self._tasks.append(Task(key, job.name, job.project, job.output))
            for staging in {*journal.begun()} - {task.staging for task in self._tasks}:
                discard(staging)  # asked for by an earlier list, killed, and not asked for any more
            self._refuse_foreign(overwrite)
            todo = [index for index in range(len(self._tasks)) if not self._settled(index)]
            ended = len(self._tasks) - len(todo)
            progress(ended, len(self._tasks), "", "")
            if todo:
                self._make_folders(todo)
                journal.append(*(_event("asked", self._tasks[index]) for index in todo))
                with self._cleaned(todo):
                    self._work(todo, executor(len(todo)), overwrite, progress)
        return self.summary

    def _work(self, todo: list[int], executor: Executor, overwrite: bool, progress: Progress) -> None:
        work = partial(carry_out, encoder=self._encoder, limits=self._limits)
        outcomes = executor.run(work, [self._tasks[index] for index in todo])
        ended = len(self._tasks) - len(todo)
        with closing(outcomes):  # type: ignore[type-var]  # a generator, whatever it is declared as
            for outcome in outcomes:
                index = todo[outcome.index]
                self._conclude(index, outcome.result or Result(outcome.error), overwrite)
                ended += 1
                entry = self.summary.entries[index]
                progress(ended, len(self._tasks), self._tasks[index].name, entry.get("reason", ""))

    def _conclude(self, index: int, result: Result, overwrite: bool) -> None:
        """Put a result in place, or note why there is none."""
        task = self._tasks[index]
        try:
            if not result.error:
                if not overwrite and self._foreign(task):
                    raise OutputExistsError(f"{task.output} has appeared meanwhile: move it, or allow --overwrite")
                noted = self._journal.done(task.key)
                if noted is None or noted["sha256"] != result.sha256:  # else stopped between this line and the next
                    self._journal.append(_event("done", task, sha256=result.sha256, seconds=result.seconds))
                task.put_in_place()
                self._said(index, DONE, result)
                return
        except CdrlError as error:
            result = Result(str(error), seconds=result.seconds)
        self._said(index, FAILED, result)
        task.discard()
        self._journal_failure(task, result.error)

    def _journal_failure(self, task: Task, reason: str) -> None:
        try:
            self._journal.append(_event("failed", task, reason=reason))
        except CdrlError as error:  # that a job failed may be forgotten: it is tried again either way
            if str(error) not in self.summary.notes:
                self.summary.notes.append(str(error))

    def _settled(self, index: int) -> bool:
        """Whether a job needs no work: its result is there, or is whole and can be put in place now."""
        task = self._tasks[index]
        finished = task.finished()
        if finished is not None:
            self._conclude(index, finished, overwrite=True)  # foreign files have been refused already
            return bool(self.summary.entries[index]["state"] == DONE)
        done = self._journal.done(task.key)
        if done is None or done["sha256"] != self._sha256(task.output):
            return False
        task.discard()
        self._said(index, ALREADY, Result(sha256=done["sha256"]))
        return True

    @contextmanager
    def _cleaned(self, todo: list[int]) -> Iterator[None]:
        """However the block ends: what is whole is put in place, of all else nothing is left."""
        try:
            yield
        finally:
            for index in todo:
                if self.summary.entries[index]["state"] == LEFT and not self._settled(index):
                    self._tasks[index].discard()

    def _make_folders(self, todo: list[int]) -> None:
        for index in todo:
            folder = self._tasks[index].output.parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{folder} cannot be made ({error.strerror}); choose another folder") from None

    def _refuse_foreign(self, overwrite: bool) -> None:
        foreign = [] if overwrite else [task for task in self._tasks if self._foreign(task)]
        if foreign:
            more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
            raise OutputExistsError(
                f"{foreign[0].output}{more} exists already and is not of this batch: move it, or add --overwrite"
            )

    def _foreign(self, task: Task) -> bool:
        """Whether something is in the output's place that no job of this journal has left there."""
        path = task.output
        return (path.exists() or path.is_symlink()) and not self._journal.ours(path, self._sha256(path))

    def _sha256(self, path: Path) -> str:
        return self._journal.sha256(path, self._limits.max_bytes)

    def _said(self, index: int, state: str, result: Result) -> None:
        told = {name: value for name, value in asdict(result).items() if value and name != "error"}
        reason = {"reason": result.error} if result.error else {}
        self.summary.entries[index] |= {"state": state, **reason, **told}


def key_of(job: Job, encoder: EncoderOptions, sha256: Callable[[Path], str]) -> str:
    """64 hexadecimal digits of all that decides what a job's output holds, and of the output's name.

    Files count by their content, so that a source that was moved or touched is the same, and one that was changed is
    not; those that cannot be read count as empty.
    """
    project = job.project
    compressed = {name: value for name, value in asdict(encoder).items() if name != "threads"}
    asked = {
        "wish": {name: value for name, value in project.wish.items() if name not in ("reference", "enroll")},
        "source": sha256(project.source),
        "reference": project.reference and sha256(project.reference),
        "prior": project.prior and sha256(project.prior),
        "model": project.model if project.model in (None, *MODELS) else sha256(Path(str(project.model))),
        "enroll": {name: sha256(path) for name, path in project.enroll.items()},
        "encoder": compressed,
        "output": str(job.output),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode("utf-8", "replace")).hexdigest()


def _event(event: str, task: Task, **more: Any) -> dict[str, Any]:
    place = {"staging": str(task.staging)} if event == "asked" else {"output": str(task.output)}
    return {"event": event, "key": task.key, "name": task.name, **place, **more}
