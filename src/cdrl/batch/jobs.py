"""What a batch is to do: the rows of a list, or the clips of a folder, all checked before any work is begun."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cdrl.emotions import parse_amount
from cdrl.errors import CdrlError, InputError, LimitError, UsageError
from cdrl.files import small_text
from cdrl.media.encoding import container_of
from cdrl.project import MODELS, Project, local_path

CLIPS = frozenset((
    *(".3gp", ".asf", ".avi", ".dv", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts", ".webm", ".wmv"),
))  # fmt: skip
"""Endings of the files in a folder that are taken for clips."""

SAYS_WHAT = ("emotion", "reference", "segments", "project")
"""Columns that say what to show; a row that fills none takes what the command says."""

COLUMNS = ("source", "output", *SAYS_WHAT, "intensity", "regions", "face", "enroll", "model", "prior")
MAX_LIST_BYTES = 16 << 20
MAX_JOBS = 100_000


@dataclass(frozen=True)
class Job:
    """One edit of a batch."""

    name: str
    """For people."""
    project: Project
    output: Path
    """Where the result goes: absolute, no symbolic link in it."""


@dataclass(frozen=True)
class Desk:
    """What holds for every job of a batch."""

    defaults: Mapping[str, str]
    """Column → text, for rows that leave it empty."""
    output_folder: Path | None
    """Where relative outputs go, and none leads out of; without it they are relative to the list's folder."""
    ending: str
    """Of outputs that have no name of their own, as in `.mp4`."""


def listed(path: Path, desk: Desk) -> list[Job]:
    """The jobs of a CSV file; its first row names columns out of `COLUMNS`.

    Relative names of sources, references, ... begin at the list's folder and stay in it, as a project's do. Raises
    InputNotFoundError, InputError, LimitError, and UsageError with the line's number.
    """
    text = small_text(path, MAX_LIST_BYTES, "list of jobs")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    jobs = []
    try:
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            if any(value for value in row.values()):
                jobs.append(_job_of_line(f"{path}, line {reader.line_num}", row, path.absolute().parent, desk))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: no comma-separated values ({error})") from None
    return _checked(jobs, f"{path} lists no job: give each clip a line", desk)


def found(folder: Path, desk: Desk) -> list[Job]:
    """A job for each clip of a folder, in order of their names; hidden files and subfolders are left alone."""
    if desk.output_folder is None:
        raise UsageError(f"{folder} is a folder: say where the results go with --output-folder")
    if desk.output_folder.resolve() == folder.resolve():
        raise UsageError(f"--output-folder {folder} is the folder of the sources: give another one")
    try:
        names = sorted(path.name for path in folder.iterdir() if _is_clip(path))
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); check its permissions") from None
    jobs = [_job({"source": f"./{name}"}, folder.absolute(), desk) for name in names]
    return _checked(jobs, f"{folder} holds no clip ({', '.join(sorted(CLIPS))})", desk)


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in CLIPS and not path.name.startswith(".") and path.is_file()


def _check_columns(path: Path, names: Iterable[str]) -> None:
    names = list(names)
    for name in names:
        if name not in COLUMNS:
            raise UsageError(
                f"{path}: unknown column {name[:40]!r}; the first row names columns of {', '.join(COLUMNS)}"
            )
    if len(set(names)) < len(names):
        raise UsageError(f"{path}: a column is named twice")
    if not {"source", "project"} & set(names):
        raise UsageError(f"{path}: no column is called source or project, so there is nothing to edit")


def _job_of_line(where: str, row: Mapping[str | None, str | list[str] | None], folder: Path, desk: Desk) -> Job:
    if None in row:
        raise UsageError(f"{where} has more values than there are columns: put a value that has commas in quotes")
    texts = {str(name): str(value or "").strip() for name, value in row.items()}
    try:
        return _job(texts, folder, desk)
    except CdrlError as error:
        raise type(error)(f"{where}: {error}") from None


def _job(row: Mapping[str, str], folder: Path, desk: Desk) -> Job:
    texts = {name: text for name, text in row.items() if text}
    own = any(texts.get(name) for name in SAYS_WHAT)
    defaults = {name: text for name, text in desk.defaults.items() if not (own and name in SAYS_WHAT)}
    project = _project(texts, defaults, folder)
    begin = desk.output_folder or folder
    said = texts.get("output")
    if said is None and desk.output_folder is None:
        raise UsageError("no output is named: fill that column, or give --output-folder")
    output = local_path(said or f"./{project.source.stem}{desk.ending}", begin, desk.output_folder).resolve()
    container_of(output)
    return Job(texts.get("source", str(project.source)).removeprefix("./"), project, output)


def _project(texts: Mapping[str, str], defaults: Mapping[str, str], folder: Path) -> Project:
    """The project of a row, be it named or spelt out."""
    source = local_path(texts["source"], folder) if "source" in texts else None
    if "project" in texts or "project" in defaults:
        beside = [name for name in COLUMNS[2:] if name in {**texts, **defaults} and name != "project"]
        if beside:
            raise UsageError(f"project and {beside[0]} are both given: a project says all but source and output")
        own = "project" in texts
        begin = folder if own else Path.cwd()
        project = Project.read(local_path({**defaults, **texts}["project"], begin, stays=own))
        return project if source is None else project.of(source)
    if source is None:
        raise UsageError("no source is named")
    here = {name: text for name, text in defaults.items() if name not in texts}
    wish = _wish(here, Path.cwd(), stays=False) | _wish(texts, folder, stays=True)
    return Project(source, **wish)  # type: ignore[arg-type]


def _wish(texts: Mapping[str, str], folder: Path, stays: bool) -> dict[str, object]:
    """Texts of columns as `Project` takes them; relative names begin at `folder`, and stay in it where a list says
    them: what the command says is the user's own choice."""
    wish: dict[str, object] = {name: texts[name] for name in ("emotion", "segments", "face", "model") if name in texts}
    if "intensity" in texts:
        wish["intensity"] = _number(texts["intensity"])
    if "regions" in texts:
        wish["regions"] = tuple(word for word in re.split(r"[,;\s]+", texts["regions"]) if word)
    for name in ("reference", "prior"):
        if name in texts:
            wish[name] = local_path(texts[name], folder, stays=stays)
    if "model" in texts and texts["model"] not in MODELS:
        wish["model"] = str(local_path(texts["model"], folder, stays=stays))
    if "enroll" in texts:
        wish["enroll"] = _enrolled(texts["enroll"], folder, stays)
    return wish


def _number(text: str) -> float:
    try:
        return parse_amount(text)
    except ValueError as error:
        raise UsageError(f"intensity {str(error)[:100]}") from None


def _enrolled(text: str, folder: Path, stays: bool) -> dict[str, Path]:
    pairs = [pair.strip().partition("=") for pair in text.split(";") if pair.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise UsageError(f"enroll {text!r:.60}: write EMOTION=FILE, several with ; between them")
    return {name: local_path(path, folder, stays=stays) for name, _, path in pairs}


def _checked(jobs: list[Job], otherwise: str, desk: Desk) -> list[Job]:
    """`jobs`, none of which writes what another one writes or reads."""
    if not jobs:
        raise InputError(otherwise)
    if len(jobs) > MAX_JOBS:
        raise LimitError(f"{len(jobs):,} jobs are too many for one batch: at most {MAX_JOBS:,}; split the list")
    inputs = {identity(path): job for job in jobs for path in job.project.inputs}
    outputs: dict[object, Job] = {}
    for job in jobs:
        for one in {job.output, identity(job.output)}:
            if one in inputs:
                raise UsageError(
                    f"{job.output} is to be written and is an input of {inputs[one].name}: name another one"
                )
            if one in outputs:
                both = f"{outputs[one].name} and {job.name}"
                raise UsageError(f"{both} would both be written to {job.output}: give each an output of its own")
        outputs |= {job.output: job, identity(job.output): job}
        allowed = desk.output_folder is not None and job.output.is_relative_to(desk.output_folder.resolve())
        if not (allowed or job.output.parent.is_dir()):
            raise UsageError(f"{job.output}: there is no folder {job.output.parent}; make it first")
    return jobs


def identity(path: Path) -> object:
    """What two names of one file have in common: hard links, symbolic links."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return path.resolve()
    return status.st_dev, status.st_ino
