"""One job, as a process of its own carries it out: into a folder beside its output, from where it is put in place.

A name in that folder appears when its file is whole, and the mark appears last: what has a mark is finished, what has
none is begun anew. So a process may be killed at any moment. Each run has folders of its own, so that a process that
outlives its run for a moment meets no other.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cdrl.errors import CdrlError, InterruptedByUser, OutputError, OutputExistsError
from cdrl.files import atomic_write, file_sha256, loads_untrusted, small_bytes, take_name
from cdrl.media.encoding import EncoderOptions
from cdrl.media.limits import Limits
from cdrl.provenance import remove_sidecar, sidecar_path
from cdrl.request import EditRequest
from cdrl.worker import report_progress

if TYPE_CHECKING:
    from cdrl.pipeline.editor import Editor
    from cdrl.provenance import Credentials

STAGING, DONE_FILE = ".cdrl-batch-", "finished.json"
_MAX_DONE_BYTES = 1 << 20  # bytes


@dataclass(frozen=True)
class RenderSettings:
    """How every result of a batch is made."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    limits: Limits = field(default_factory=Limits)
    provenance: bool = True
    """Whether a result says, inside and beside it, that it was edited."""
    c2pa: Credentials | None = None
    """Who signs it."""
    layer: bool = False
    """Whether it is only what the edit changes, on transparent ground."""


@dataclass(frozen=True)
class Result:
    """What came of a job: an `error` in one line, or a file of that SHA-256."""

    error: str = ""
    sha256: str = ""
    frames: int = 0
    edited: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    sidecar: bool = False
    """Whether a sidecar belongs to the file."""


@dataclass(frozen=True)
class Task:
    """A job under its key: 64 hexadecimal digits that tell it from every other that could be asked for."""

    key: str
    name: str
    request: EditRequest
    output: Path
    staging: Path
    """The folder of its work, beside the output, so that putting it in place is one step."""

    @property
    def staged(self) -> Path:
        """The result before it is put in place."""
        return self.staging / self.output.name

    def finished(self) -> Result | None:
        """What came of it where it is whole and only has to be put in place."""
        try:
            said = loads_untrusted(small_bytes(self.staging / DONE_FILE, _MAX_DONE_BYTES, "mark"))
            result = Result(**said | {"warnings": tuple(said["warnings"])})
            return result if self.staged.is_file() and file_sha256(self.staged) == result.sha256 else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put_in_place(self, result: Result, *, overwrite: bool, overwrite_sidecar: bool) -> None:
        """Give the finished result its name, after its sidecar has got its own: no video is there without it.

        Raises:
            OutputExistsError: One of the names is taken and may not be overwritten.
            OutputError: The folder cannot be written.
        """
        staged, sidecar = sidecar_path(self.staged), sidecar_path(self.output)
        placed = False
        try:
            if result.sidecar and staged.exists():  # else a run that was killed has placed it
                new = not sidecar.exists()
                take_name(staged, sidecar, overwrite=overwrite_sidecar)
                placed = new
            take_name(self.staged, self.output, overwrite=overwrite)
            if not result.sidecar:
                remove_sidecar(self.output)
        except FileExistsError as error:
            if placed:
                sidecar.unlink(missing_ok=True)
            raise OutputExistsError(f"{self.output} has appeared meanwhile: move it, or add --overwrite") from error
        except OSError as error:
            raise OutputError(f"{self.output} cannot be put in place ({error.strerror}); check its folder") from None
        self.discard()

    def discard(self) -> None:
        """Leave nothing of the work."""
        discard(self.staging)


def discard(staging: Path) -> None:
    """Remove a folder of work; never what a link in its place leads to."""
    if staging.name.startswith(STAGING):
        with suppress(OSError):
            staging.unlink() if staging.is_symlink() else shutil.rmtree(staging)


def run_job(task: Task, settings: RenderSettings) -> Result:
    """Edit, up to the mark; an error of ours is a result, too. What another process began is not used."""
    finished = task.finished()
    if finished is not None:
        return finished
    task.discard()
    begin = time.monotonic()
    whole = False
    try:
        try:
            task.staging.mkdir()
        except OSError as error:
            raise OutputError(f"{task.output} cannot be written ({error.strerror}); check the folder") from None
        job = _load_editor(task.request.prior, task.request.model).edit(task.request, limits=settings.limits)
        report = job.save(
            task.staged,
            encoder=settings.encoder,
            provenance=settings.provenance,
            c2pa=settings.c2pa,
            layer=settings.layer,
            progress=lambda done, total: report_progress(),
        )
        result = Result(
            sha256=file_sha256(task.staged),
            frames=report.total,
            edited=report.edited,
            seconds=round(time.monotonic() - begin, 2),
            warnings=tuple(_of_output(warning, task) for warning in report.warnings),
            sidecar=report.sidecar is not None,
        )
        atomic_write(task.staging / DONE_FILE, [json.dumps(asdict(result)).encode("utf-8", "replace")])
        whole = True
        return result
    except InterruptedByUser:
        raise
    except CdrlError as error:
        return Result(_of_output(str(error), task), seconds=round(time.monotonic() - begin, 2))
    finally:
        if not whole:
            task.discard()


def _of_output(message: str, task: Task) -> str:
    """One line that names the result as it was asked for, not where it is made."""
    return " ".join(message.split()).replace(str(task.staged), str(task.output))


@lru_cache(maxsize=1)
def _load_editor(prior: Path | None, model: str | None) -> Editor:
    """The networks, kept from job to job."""
    from cdrl.pipeline.editor import load_editor  # noqa: PLC0415 - the networks' runtime; handing out work needs none

    return load_editor(prior, model)
