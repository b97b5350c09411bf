"""`cdrl evaluate representation`: what the content and emotion representations know of people they never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from tyro.conf import arg

from cdrl.cli.progress import step_progress
from cdrl.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from cdrl.evaluation.representation.report import Results


@dataclass(frozen=True)
class Options:
    """Measure the representations on the people of the test split, real and synthetic people apart.

    Numbers are means over people with 95 % intervals; what is asked of them stands beside them.
    """

    data: Annotated[tuple[Path, ...], arg(metavar="PREPARED...")]
    """Folders that `cdrl data prepare` made; real and synthetic ones together."""
    json: Annotated[Path, arg(metavar="FILE")]
    """File for all numbers."""
    markdown: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write the tables as Markdown."""
    content: Annotated[Path | None, arg(metavar="FILE")] = None
    """A content checkpoint; the one that ships where none is given."""
    emotion: Annotated[Path | None, arg(metavar="FILE")] = None
    """An emotion checkpoint; the one that ships where none is given."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    only: Literal["both", "content", "emotion"] = "both"
    """Measure one of the two alone."""
    fer: Annotated[Path | None, arg(metavar="FILE")] = None
    """FER-2013 images (.npz with image, emotion, split), whose test split is recognized, too."""
    ablation: Annotated[tuple[str, ...], arg(metavar="NAME=FILE...")] = ()
    """Further checkpoints, of content or emotion, to be shown in one table beside those."""
    frames: int = 75
    """Frames of each clip that are looked at."""
    moments: int = 4000
    """Frames in all, about, of each group of people; whole sentences of a person are left out beyond it."""
    threads: int = 0
    """Threads of the networks; 0 takes all cores of this process."""
    seed: int = 0
    """Seed of all draws."""


def run(options: Options) -> int:
    """Measure, print the table, and write what was asked for."""
    check(options)
    models, sources = load_models(options)
    from cdrl.datasets.prepared import PreparedDataset
    from cdrl.evaluation.representation.emotion import read_fer_test
    from cdrl.evaluation.representation.report import ReportSettings, build_report
    from cdrl.representations.checkpoints import refuse_trained_people

    prepared = PreparedDataset.open(options.data, options.split)
    reported = {clip.metadata.actor for clip in prepared.select("test", synthetic=False)}
    for path in list_checkpoints(options):
        refuse_trained_people(path, reported)
    fer = read_fer_test(options.fer) if options.fer else None
    settings = ReportSettings(options.frames, options.moments, seed=options.seed)
    console = Console()
    with step_progress(console) as step:
        results = build_report(prepared, models["content"], models["emotion"], settings, step, fer)
    show(console, results)
    write(options, results, sources)
    return 0


def check(options: Options) -> None:
    """Refuse before any work what could not end well.

    Raises:
        UsageError: An option's value makes no sense.
        OutputError: A result has no place.
    """
    for name, value in (("--frames", options.frames), ("--moments", options.moments)):
        if value < 1:
            raise UsageError(f"{name} is {value}: give a number of at least 1")
    if options.threads < 0:
        raise UsageError("--threads cannot be negative")
    for path in (options.json, options.markdown):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise OutputError(f"{path}: not a place for a file; name one in a folder that exists")
    names = {"content", "emotion", "shipped"}
    for text in options.ablation:
        name, _, file = text.partition("=")
        if not name or not file or name in names:
            raise UsageError(f"--ablation {text!r}: write NAME=FILE, with a name of its own")
        names.add(name)


def list_checkpoints(options: Options) -> list[Path]:
    """List the checkpoints that are given."""
    files = [Path(text.partition("=")[2]) for text in options.ablation]
    return [path for path in (options.content, options.emotion) if path is not None] + files


def load_models(options: Options) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Load the models on the wanted number of threads.

    Returns:
        Kind ("content", "emotion") → name → model, what is measured first; and name → SHA-256 of its file.

    Raises:
        InputError: An ablation's checkpoint is of neither kind.
        UsageError: It is of a kind that is left out.
    """
    import torch

    from cdrl.media.threads import available_cores
    from cdrl.representations.checkpoints import read_tensors
    from cdrl.representations.content import load_content
    from cdrl.representations.emotion import load_emotion

    torch.set_num_threads(options.threads or available_cores())
    loaders: dict[str, Any] = {"content": load_content, "emotion": load_emotion}
    models: dict[str, dict[str, Any]] = {"content": {}, "emotion": {}}
    sources = {}
    for kind, path in (("content", options.content), ("emotion", options.emotion)):
        if options.only in {"both", kind}:
            models[kind][kind] = loaders[kind](path)
            sources[kind] = _describe_source(path)
    for text in options.ablation:
        name, _, file = text.partition("=")
        kind = str(read_tensors(Path(file))[1].get("architecture"))
        if kind not in loaders:
            raise InputError(f"{file}: neither a content nor an emotion checkpoint")
        if not models[kind]:
            raise UsageError(f"--ablation {text!r}: of {kind}, which --only {options.only} leaves out")
        models[kind][name] = loaders[kind](Path(file))
        sources[name] = _describe_source(Path(file))
    return models, sources


def _describe_source(path: Path | None) -> str:
    from cdrl.files import file_sha256

    return "the one that ships" if path is None else f"{path.name}, SHA-256 {file_sha256(path)}"


def show(console: Console, results: Results) -> None:
    """Print the tables, and how many thresholds were passed."""
    from cdrl.evaluation.representation.report import screen_tables

    for table in screen_tables(results):
        console.print(table)
    verdicts = ", ".join(f"{count} {name}" for name, count in results.verdicts().items())
    console.print(f"thresholds: {verdicts}; {results.details['seconds']:.0f} s")


def write(options: Options, results: Results, sources: Mapping[str, str]) -> None:
    """Write the numbers and, where asked for, the tables as Markdown."""
    from cdrl.evaluation.json_numbers import encode_report
    from cdrl.evaluation.representation.report import write_markdown
    from cdrl.files import atomic_write

    atomic_write(options.json, [encode_report({"checkpoints": dict(sources), **results.to_json()})])
    if options.markdown is not None:
        atomic_write(options.markdown, [write_markdown(results).encode()])
