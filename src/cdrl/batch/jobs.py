"""The jobs of a batch: rows of a list, or clips of a folder, all checked before any work begins."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdrl.emotions import parse_amount
from cdrl.errors import CdrlError, InputError, LimitError, UsageError
from cdrl.files import small_text
from cdrl.media.encoding import (
    CONTAINERS,
    FILM_PROFILES,
    LAYER_PROFILES,
    PICTURES,
    EncoderOptions,
    check_layer,
    codec_of,
    container_of,
)
from cdrl.media.numbering import NumberPattern
from cdrl.project import local_path, read_project
from cdrl.request import REQUEST_FIELDS, TARGET_FIELDS, EditRequest, names_file, parse_enrollment

CLIPS = frozenset((
    *(".3gp", ".asf", ".avi", ".dv", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts", ".webm", ".wmv"),
))  # fmt: skip
"""Endings of the files in a folder that are taken for clips."""

COLUMNS = ("source", "output", "project", *REQUEST_FIELDS[1:])
"""Columns of a list of jobs."""
MAX_LIST_BYTES = 16 << 20
MAX_JOBS = 100_000


@dataclass(frozen=True)
class BatchJob:
    """One edit of a batch."""

    name: str
    """For people."""
    request: EditRequest
    output: Path
    """Where the result goes: absolute, no symbolic link in it."""


@dataclass(frozen=True)
class BatchDefaults:
    """What holds for every job of a batch unless its row says otherwise."""

    fields: Mapping[str, Any]
    """Fields of the request that the command gives."""
    project: Path | None
    """A project file for jobs that say nothing themselves."""
    output_folder: Path | None
    """Where relative outputs go, and none leads out of; without it they are relative to the list's folder."""
    ending: str
    """Ending of outputs that have no name of their own, as in `.mp4`."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """How results are written."""
    layer: bool = False
    """Whether results are layers over their sources."""


def jobs_from_csv(path: Path, defaults: BatchDefaults) -> list[BatchJob]:
    """Read the jobs of a CSV file, whose first row names columns of `COLUMNS`.

    Relative names of sources, references and so on begin at the list's folder and stay in it, as a project's do.

    Raises:
        InputNotFoundError: There is no such file.
        InputError: It is no CSV, or lists no job.
        LimitError: It is too long.
        UsageError: A row makes no sense; the message names its line.
    """
    text = small_text(path, MAX_LIST_BYTES, "list of jobs")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    jobs = []
    try:
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            if any(value for value in row.values()):
                jobs.append(_job_of_line(f"{path}, line {reader.line_num}", row, path.absolute().parent, defaults))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: no comma-separated values ({error})") from None
    return _check_jobs(jobs, f"{path} lists no job: give each clip a line", defaults)


def jobs_from_folder(folder: Path, defaults: BatchDefaults) -> list[BatchJob]:
    """Make a job of each clip in a folder, in order of their names; hidden files and subfolders are left alone.

    Raises:
        InputError: The folder cannot be read, or holds no clip.
        UsageError: The results have no folder of their own.
    """
    if defaults.output_folder is None:
        raise UsageError(f"{folder} is a folder: say where the results go with --output-folder")
    if defaults.output_folder.resolve() == folder.resolve():
        raise UsageError(f"--output-folder {folder} is the folder of the sources: give another one")
    try:
        names = sorted(path.name for path in folder.iterdir() if _is_clip(path))
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); check its permissions") from None
    jobs = [_job({"source": f"./{name}"}, folder.absolute(), defaults) for name in names]
    return _check_jobs(jobs, f"{folder} holds no clip ({', '.join(sorted(CLIPS))})", defaults)


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


def _job_of_line(
    where: str, row: Mapping[str | None, str | list[str] | None], folder: Path, defaults: BatchDefaults
) -> BatchJob:
    if None in row:
        raise UsageError(f"{where} has more values than there are columns: put a value that has commas in quotes")
    texts = {str(name): str(value or "").strip() for name, value in row.items()}
    try:
        return _job(texts, folder, defaults)
    except CdrlError as error:
        raise type(error)(f"{where}: {error}") from None


def _job(row: Mapping[str, str], folder: Path, defaults: BatchDefaults) -> BatchJob:
    texts = {name: text for name, text in row.items() if text}
    request = _request(texts, folder, defaults)
    if request.profile is not None and request.profile not in FILM_PROFILES:
        raise UsageError(f"the profile {request.profile} is for cdrl edit, one clip at a time: choose another profile")
    output = texts.pop("output", None)
    if output is None and defaults.output_folder is None:
        raise UsageError("no output is named: fill that column, or give --output-folder")
    encoder = defaults.encoder.with_profile(request.profile)
    endings = encoder.settings.suffixes
    ending = endings[0] if endings and defaults.ending not in endings else defaults.ending
    pattern = NumberPattern.parse(request.source)
    stem = (request.source.stem if pattern is None else pattern.name) + "_layer" * defaults.layer
    begin, name = defaults.output_folder or folder, output or f"./{stem}{ending}"
    path = local_path(name, begin, defaults.output_folder).resolve()
    if container_of(path) is PICTURES:
        raise UsageError(f"{path}: a batch writes no pictures; end the name in {', '.join(CONTAINERS)}")
    if defaults.layer:
        check_layer(encoder, profiles=[profile for profile in LAYER_PROFILES if profile in FILM_PROFILES])
    codec_of(encoder, container_of(path), path)
    return BatchJob(texts.get("source", str(request.source)).removeprefix("./"), request, path)


def _request(texts: Mapping[str, str], folder: Path, defaults: BatchDefaults) -> EditRequest:
    """The request of a row, whether it names a project or spells it out."""
    row = {name: text for name, text in texts.items() if name in REQUEST_FIELDS and name != "source"}
    source = local_path(texts["source"], folder) if "source" in texts else None
    own_target = "project" in texts or any(name in row for name in TARGET_FIELDS)
    inherited = {name: value for name, value in defaults.fields.items() if not (own_target and name in TARGET_FIELDS)}
    project = defaults.project if not own_target else None
    if "project" in texts:
        project = local_path(texts["project"], folder)
    if project is not None:
        if beside := [name for name in REQUEST_FIELDS if name in {**row, **inherited}]:
            raise UsageError(f"project and {beside[0]} are both given: a project says all but source and output")
        request = read_project(project)
        return request if source is None else request.with_source(source)
    if source is None:
        raise UsageError("no source is named")
    own = {name: locate(name, _read_text(name, text), folder) for name, text in row.items()}
    return EditRequest(source, **{**inherited, **own})


def _read_text(name: str, text: str) -> Any:
    """The value of a column as the request's field of that name takes it."""
    if name == "intensity":
        try:
            return parse_amount(text)
        except ValueError as error:
            raise UsageError(f"intensity {str(error)[:100]}") from None
    if name == "handles":
        return int(text) if text.isascii() and text.isdigit() else text
    if name == "regions":
        return tuple(word for word in re.split(r"[,;\s]+", text) if word)
    if name == "enroll":
        return parse_enrollment(pair for pair in text.split(";") if pair.strip())
    return text


def locate(name: str, value: Any, folder: Path, *, stays: bool = True) -> Any:
    """The value of a request's field, with the files that it names in `folder`; see `cdrl.project.local_path`."""
    if name in ("reference", "prior") or names_file(name, str(value)):
        return str(local_path(str(value), folder, stays=stays))
    if name == "enroll":
        return {emotion: local_path(str(path), folder, stays=stays) for emotion, path in value.items()}
    return value


def _check_jobs(jobs: list[BatchJob], otherwise: str, defaults: BatchDefaults) -> list[BatchJob]:
    """`jobs`, none of which writes what another one writes or reads."""
    if not jobs:
        raise InputError(otherwise)
    if len(jobs) > MAX_JOBS:
        raise LimitError(f"{len(jobs):,} jobs are too many for one batch: at most {MAX_JOBS:,}; split the list")
    inputs = {identity(path): job for job in jobs for path in job.request.inputs}
    outputs: dict[object, BatchJob] = {}
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
        allowed = defaults.output_folder is not None and job.output.is_relative_to(defaults.output_folder.resolve())
        if not (allowed or job.output.parent.is_dir()):
            raise UsageError(f"{job.output}: there is no folder {job.output.parent}; make it first")
    return jobs


def identity(path: Path) -> object:
    """What two names of one file have in common, be they hard or symbolic links."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return path.resolve()
    return status.st_dev, status.st_ino
