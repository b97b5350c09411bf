"""Makes a table of `docs/results.md` anew, each by one command.

`python -m experiments.make_results TABLE` says which data the table needs, prepares what can be prepared, and runs the
commands that make it. Where the data are not named, it makes a small version on the CREMA-D clips in `examples/`, whose
files say so: one person in six emotions shows that everything runs, and no number of the table. What is there already
from a run before is not made again.
"""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from cdrl.datasets.table import read_dataset
from cdrl.errors import InputNotFoundError, OutputError, UsageError
from cdrl.evaluation.clip_tables import read_clips
from cdrl.evaluation.json_numbers import encode_report
from cdrl.files import atomic_write
from experiments.commands import run_command

PROGRAM = "python -m experiments.make_results"
ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
_FOLDS = (("M003", "1001"), ("M009",), ("M030",))
"""People who share what is trained without them, as far as the data hold them."""
_SUPERVISION = {"none": (0, 0), "content": (None, 0), "emotion": (0, None), "both": (None, None)}
"""Name → weights of content and emotion; None is the command's own."""
_SMALL = (
    "Small version, on the CREMA-D clips that ship (one person): it shows that the table can be made, and no result."
)


@dataclass(frozen=True)
class Options:
    """Make one table of docs/results.md; without its data a small version of it."""

    table: Annotated[
        Positional[Literal["edit", "supervision", "prior", "representation", "sync", "speed", "landmarks"]],
        arg(metavar="TABLE"),
    ]
    """edit, supervision, prior, representation, sync, speed or landmarks."""
    data: Path | None = None
    """Data set with clips.csv and, for published methods, peers.csv (edit, supervision, prior)."""
    prepared: tuple[Path, ...] = ()
    """Folders of `cdrl data prepare`, synthetic and real (supervision, representation, sync)."""
    fer: Path | None = None
    """FER-2013 images (.npz), whose test split is recognized, too (representation)."""
    output: Path = Path("runs/results")
    """Folder of all that is made: TABLE.md, TABLE.json, what was prepared and trained."""
    dry_run: bool = False
    """Only print the commands."""


@dataclass(frozen=True)
class Command:
    """A program that a table needs, run in the repository's root."""

    words: tuple[str, ...]
    """Of the command line: `cdrl …`, or `python …`."""
    makes: Path | None = None
    """File that is there once it has ended well; it is not run again then."""
    folder: Path | None = None
    """Folder that must be there before."""

    def __str__(self) -> str:
        return shlex.join(self.words)

    def run(self) -> int:
        """Run it; returns its exit code."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        program, *words = self.words
        python = [sys.executable, "-m", "cdrl"] if program == "cdrl" else [sys.executable]
        return subprocess.run([*python, *words], cwd=ROOT, check=False).returncode


@dataclass(frozen=True)
class Copy:
    """A file that is needed under a second name."""

    source: Path
    makes: Path

    def __str__(self) -> str:
        return shlex.join(["cp", str(self.source), str(self.makes)])

    def run(self) -> int:
        """Copy it; returns 0."""
        self.makes.parent.mkdir(parents=True, exist_ok=True)
        copyfile(self.source, self.makes)
        return 0


Step = Command | Copy
Plan = Callable[[Options], list[Step]]


@dataclass(frozen=True)
class Table:
    """How a table is made."""

    needs: str
    """The data, in words; empty where it needs none."""
    ready: Callable[[Options], bool]
    """Whether the data were named."""
    plan: Plan
    small: Plan | None = None
    """The plan of the small version; None where one person makes none."""


def run(options: Options) -> int:
    """Make the table, or print how; returns the exit code of the command that failed, else 0."""
    options = resolve_paths(options)
    steps, small = plan_table(options)
    if options.dry_run:
        sys.stdout.write("".join(f"{step}\n" for step in steps))
        return 0
    if small:
        sys.stderr.write(f"{_SMALL} The table itself needs {TABLES[options.table].needs}.\n")
        _write_example_table(options)
    options.output.mkdir(parents=True, exist_ok=True)
    for step in steps:
        if step.makes is not None and step.makes.is_file():
            sys.stderr.write(f"there already: {step.makes}\n")
            continue
        sys.stderr.write(f"{step}\n")
        if code := step.run():
            return code
    return _mark_small(options) if small else 0


def resolve_paths(options: Options) -> Options:
    """Return the options with absolute paths, for commands run in the repository's root."""
    data, fer = (path if path is None else path.resolve() for path in (options.data, options.fer))
    prepared = tuple(path.resolve() for path in options.prepared)
    return replace(options, data=data, prepared=prepared, fer=fer, output=options.output.resolve())


def plan_table(options: Options) -> tuple[list[Step], bool]:
    """Return the steps of a table, and whether they make its small version.

    Raises:
        UsageError: The table cannot be made without its data.
        InputNotFoundError: Data that are named are not there.
    """
    check_data(options)
    table = TABLES[options.table]
    if table.ready(options):
        return table.plan(options), False
    if table.small is None:
        raise UsageError(f"the table {options.table} needs {table.needs}; one person, as in examples/, makes none")
    return table.small(options), True


def check_data(options: Options) -> None:
    """Make sure of the data that are named, before hours are spent.

    Raises:
        InputNotFoundError: A folder does not hold what it should.
        OutputError: The results have no place.
    """
    if options.data is not None and not (options.data / "clips.csv").is_file():
        raise InputNotFoundError(f"--data {options.data}: holds no clips.csv; see docs/guides/data.md")
    for folder in options.prepared:
        if not (folder / "manifest.json").is_file():
            raise InputNotFoundError(f"--prepared {folder}: no folder of cdrl data prepare; it holds no manifest.json")
    if options.fer is not None and not options.fer.is_file():
        raise InputNotFoundError(f"--fer {options.fer}: no such file")
    if options.output.exists() and not options.output.is_dir():
        raise OutputError(f"--output {options.output}: a file; name a folder")


def _files(options: Options, small: bool = False) -> list[str]:
    """Options for the files of a table."""
    stem = _stem(options, small)
    return ["--json", f"{stem}.json", "--markdown", f"{stem}.md"]


def _stem(options: Options, small: bool) -> Path:
    return options.output / f"{options.table}{'-small' if small else ''}"


def plan_edit(options: Options) -> list[Step]:
    """A prior without each person, then every method on the people who are reported on."""
    priors, data = options.output / "priors", str(options.data)
    prior = ["cdrl", "train", "prior", "--data", data, "--exclude", "each", "--output", str(priors / "prior.npz")]
    prior += ["--no-validate", "--overwrite"]  # again takes seconds: what was measured is kept
    table = ["cdrl", "evaluate", "table", "--data", data, "--set", "report", "--priors", str(priors)]
    table += ["--clips-per-person", "2"]
    html = ["--html", str(options.output / "edit.html")]
    return [Command((*prior,), folder=priors), Command((*table, *_files(options), *html))]


def plan_small_edit(options: Options) -> list[Step]:
    """What ships, on the neutral sample clip, in every emotion."""
    table = ["cdrl", "evaluate", "table", "--data", str(options.output / "examples"), "--set", "report"]
    return [Command((*table, *_files(options, small=True)))]


def plan_supervision(options: Options) -> list[Step]:
    """For each fold a prior, NED and the translator under four kinds of supervision; then all of them in one table."""
    assert options.data is not None
    known = {clip.person: f"{clip.dataset}/{clip.person}" for clip in read_clips(options.data)}
    folds = [[person for person in people if person in known] for people in _FOLDS]
    if not any(folds):
        raise UsageError(f"--data {options.data}: holds none of {', '.join(sum(_FOLDS, ()))}, who are reported on")
    steps: list[Step] = []
    for people in filter(None, folds):
        steps += _plan_fold(options, people, [known[person] for person in people])
    names = {"none": "", "content": " + content", "emotion": " + emotion", "both": " + both"}
    neds = [f"NED here{name}={options.output / 'ned' / kind}" for kind, name in names.items()]
    ours = [f"ours{name or ' - both'}={options.output / 'translators' / kind}" for kind, name in names.items()]
    pairs = [f"NED here{name}:NED here" for name in names.values() if name]
    pairs += [f"ours{name}:ours - both" for name in names.values() if name]
    table = ["python", "-m", "experiments.evaluate_ned", "--data", str(options.data), "--set", "report"]
    table += ["--priors", str(options.output / "fold-priors"), "--clips-per-person", "2", *_files(options)]
    return [*steps, Command((*table, "--neds", *neds, "--translators", *ours, "--pairs", *pairs))]


def _plan_fold(options: Options, people: Sequence[str], excluded: Sequence[str]) -> list[Step]:
    out, fold = options.output, "+".join(people)
    prior = out / "folds" / fold / "prior.npz"
    data = ["--data", *map(str, options.prepared), "--exclude", *excluded, "--prior", str(prior)]
    fit = ["cdrl", "train", "prior", "--data", str(options.data), "--exclude", ",".join(people), "--output", str(prior)]
    steps: list[Step] = [Command((*fit,), prior, prior.parent)]
    ned, folder = ["python", "-m", "experiments.train_ned", *data, "--cache", str(out / "cache")], out / "folds" / fold
    base = folder / "ned-base"
    plain = ["--content-weight", "0", "--emotion-weight", "0", "--steps", "2500", "--learning-rate", "1e-3"]
    steps.append(Command((*ned, *plain, "--output", str(base)), base / "best.safetensors"))
    for kind, (content, emotion) in _SUPERVISION.items():
        weights = [] if content is None else ["--content-weight", str(content)]
        weights += [] if emotion is None else ["--emotion-weight", str(emotion)]
        run = folder / f"ned-{kind}"
        start = ["--start", str(base / "best.safetensors"), "--steps", "100", "--learning-rate", "3e-4"]
        steps.append(Command((*ned, *weights, *start, "--output", str(run)), run / "best.safetensors"))
        model = folder / f"translator-{kind}.onnx"
        train = ["cdrl", "train", "translator", *data, "--cache", str(out / "cache"), *weights]
        train += ["--output", str(folder / f"translator-{kind}"), "--publish", str(model)]
        steps.append(Command((*train,), model))
        for person in people:
            named = out / "ned" / kind / f"ned_without_{person}.safetensors"
            steps.append(Copy(run / "best.safetensors", named))
            steps.append(Copy(model, out / "translators" / kind / f"translator_without_{person}.onnx"))
    return [*steps, *(Copy(prior, out / "fold-priors" / f"prior_without_{person}.npz") for person in people)]


def plan_prior(options: Options) -> list[Step]:
    """Fit the prior, whose command prints the validation without one person at a time."""
    fitted = str(options.output / "prior.npz")
    return [Command(("cdrl", "train", "prior", "--data", str(options.data), "--output", fitted, "--overwrite"))]


def plan_representation(options: Options) -> list[Step]:
    """Both commands whose tables stand in one page."""
    fer = [] if options.fer is None else ["--fer", str(options.fer)]
    return _plan_representation(options, options.prepared, fer, small=False)


def plan_small_representation(options: Options) -> list[Step]:
    """The same on the prepared sample clips, whose person is one of the test people."""
    prepare, prepared = _prepare_examples(options)
    return [prepare, *_plan_representation(options, (prepared,), ["--split", "shipped"], small=True)]


def _plan_representation(options: Options, data: Sequence[Path], more: Sequence[str], small: bool) -> list[Step]:
    measured = ["--data", *map(str, data)]
    standing = ["cdrl", "evaluate", "representation", *measured, *more, *_files(options, small)]
    stem = f"{_stem(options, small)}-studies"
    files = ["--json", f"{stem}.json", "--markdown", f"{stem}.md"]
    gradient = ["--gradient", "2"] if small else ["--pictures", str(options.output / "pictures")]
    studies = ["python", "-m", "experiments.representation_studies", *measured, *files, *gradient]
    return [Command((*standing,)), Command((*studies,))]


def plan_sync(options: Options) -> list[Step]:
    """The lip-sync network on the test people who are heard."""
    return [_evaluate_sync(options, options.prepared, [], small=False)]


def plan_small_sync(options: Options) -> list[Step]:
    """The same on the prepared sample clips."""
    prepare, prepared = _prepare_examples(options)
    return [prepare, _evaluate_sync(options, (prepared,), ["--split", "shipped"], small=True)]


def _evaluate_sync(options: Options, data: Sequence[Path], more: Sequence[str], small: bool) -> Command:
    file = f"{_stem(options, small)}.json"
    return Command(("cdrl", "evaluate", "sync", "--data", *map(str, data), *more, "--json", file))


def _prepare_examples(options: Options) -> tuple[Command, Path]:
    folder = options.output / "prepared-examples"
    prepare = ("cdrl", "data", "prepare", str(EXAMPLES), "--output", str(folder), "--layout", "crema-d")
    return Command(prepare, folder / "manifest.json"), folder


def _plan_benchmark(*words: str) -> Plan:
    """A table that needs no data."""
    return lambda _: [Command(("python", *words))]


def _write_example_table(options: Options) -> None:
    """Write the sample clips' table as `cdrl evaluate table` reads it; the clips stay where they are."""
    rows = [["path", "dataset", "actor", "emotion", "content_id", "sentence"]]
    for clip in read_dataset(EXAMPLES, "crema-d").clips:
        rows.append([str(clip.path), clip.dataset, clip.actor, clip.emotion, clip.sentence_id, clip.sentence])
    folder = options.output / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _mark_small(options: Options) -> int:
    """Say in every file of a small version that it is one; returns 0."""
    for path in sorted(options.output.glob(f"{options.table}-small*.json")):
        numbers = json.loads(path.read_text(encoding="utf-8"))
        atomic_write(path, [encode_report({"note": _SMALL, **numbers})])
    for path in sorted(options.output.glob(f"{options.table}-small*.md")):
        text = path.read_text(encoding="utf-8")
        if not text.startswith(f"> {_SMALL}"):
            atomic_write(path, [f"> {_SMALL}\n\n{text}".encode()])
    return 0


_DATA = "--data DIR, a data set with clips.csv of several people, MEAD's or like it (docs/guides/data.md)"
_PREPARED = "--prepared FOLDER..., synthetic and real people (cdrl data synth, cdrl data prepare; docs/guides/data.md)"


def _has_data(options: Options) -> bool:
    return options.data is not None


def _has_prepared(options: Options) -> bool:
    return bool(options.prepared)


TABLES = {
    "edit": Table(_DATA, _has_data, plan_edit, plan_small_edit),
    "supervision": Table(f"{_DATA} and {_PREPARED}", lambda o: _has_data(o) and _has_prepared(o), plan_supervision),
    "prior": Table(_DATA, _has_data, plan_prior),
    "representation": Table(_PREPARED, _has_prepared, plan_representation, plan_small_representation),
    "sync": Table(_PREPARED, _has_prepared, plan_sync, plan_small_sync),
    "speed": Table("", lambda _: True, _plan_benchmark("benchmarks/speed.py")),
    "landmarks": Table("", lambda _: True, _plan_benchmark("benchmarks/landmark_parity.py", "compare")),
}
"""Name → table."""


if __name__ == "__main__":
    sys.exit(run_command(Options, run, PROGRAM))
