"""`cdrl evaluate representation`: what the content and emotion representations know of people they never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import arg

from cdrl.cli.progress import steps
from cdrl.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from cdrl.evaluation.representation.report import Report


@dataclass(frozen=True)
class Options:
    """Judge the representations on the people of the part "test", real and made people apart.

    Numbers are means over people with 95 % intervals; what a bar asks for stands beside them.
    """

    data: Annotated[tuple[Path, ...], arg(metavar="PREPARED...")]
    """Folders that `cdrl data prepare` made; real and synthetic ones together."""
    json: Annotated[Path, arg(metavar="FILE")]
    """Where all numbers go."""
    markdown: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write the tables as Markdown."""
    pictures: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Also draw attention, retrieval, shut lips, the gradient's way and confusions, of made people and CREMA-D."""
    content: Annotated[Path | None, arg(metavar="FILE")] = None
    """A content checkpoint; the one that ships where none is given."""
    emotion: Annotated[Path | None, arg(metavar="FILE")] = None
    """An emotion checkpoint; the one that ships where none is given."""
    only: Literal["both", "content", "emotion"] = "both"
    """Judge one of the two alone."""
    fer: Annotated[Path | None, arg(metavar="FILE")] = None
    """Grey 48x48 faces (.npz with image, emotion, split), whose test split is recognised too."""
    ablation: Annotated[tuple[str, ...], arg(metavar="NAME=FILE...")] = ()
    """Further checkpoints, of content or emotion, to be shown in one table beside the judged ones."""
    frames: int = 75
    """Frames of each clip that are looked at."""
    moments: int = 4000
    """Frames in all, about, of each group of people; whole sentences of a person are left out beyond it."""
    gradient: int = 32
    """Frames whose mouth a gradient opens or shuts; 0 leaves that out."""
    threads: int = 0
    """Threads of the networks; 0 takes all cores of this process."""
    seed: int = 0
    """Of everything that is drawn."""


def run(options: Options) -> int:
    """Judge, print the table, and write what was asked for."""
    _check(options)
    import torch

    from cdrl.datasets.prepared import PreparedDataset
    from cdrl.evaluation.representation.judge import Settings, judge
    from cdrl.evaluation.representation.recognition import grey_test
    from cdrl.media.threads import available_cores

    torch.set_num_threads(options.threads or available_cores())
    prepared = PreparedDataset.open(options.data)
    models, sources = _models(options)
    fer = grey_test(options.fer) if options.fer else None
    settings = Settings(options.frames, options.moments, gradient=options.gradient, seed=options.seed)
    console = Console()
    with steps(console) as step:
        report = judge(prepared, models["content"], models["emotion"], settings, step, fer)
    _show(console, report)
    _write(options, report, sources)
    return 0


def _check(options: Options) -> None:
    """Refuse before any work what could not end well."""
    for name, value in (("--frames", options.frames), ("--moments", options.moments)):
        if value < 1:
            raise UsageError(f"{name} is {value}: give a number of at least 1")
    if options.gradient < 0 or options.threads < 0:
        raise UsageError("--gradient and --threads cannot be negative")
    for path in (options.json, options.markdown):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise OutputError(f"{path}: not a place for a file; name one in a folder that exists")
    if options.pictures is not None and options.pictures.exists() and not options.pictures.is_dir():
        raise OutputError(f"{options.pictures}: a file; --pictures takes a folder")
    taken = {"content", "emotion", "shipped"}
    for text in options.ablation:
        name, _, file = text.partition("=")
        if not name or not file or name in taken:
            raise UsageError(f"--ablation {text!r}: write NAME=FILE, with a name of its own")
        taken.add(name)


def _models(options: Options) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Kind → name → model, what is judged first; and name → SHA-256 of its file, for the report."""
    from cdrl.representations.checkpoints import read_tensors
    from cdrl.representations.content import load_content

    models: dict[str, dict[str, Any]] = {"content": {}, "emotion": {}}
    loaders: dict[str, Callable[[Path | None], Any]] = {"content": load_content}
    if options.only != "content" or options.ablation:
        from cdrl.representations.emotion import load_emotion

        loaders["emotion"] = load_emotion
    sources = {}
    for kind, path in (("content", options.content), ("emotion", options.emotion)):
        if options.only in {"both", kind}:
            models[kind][kind] = loaders[kind](path)
            sources[kind] = _source(path)
    for text in options.ablation:
        name, _, file = text.partition("=")
        kind = str(read_tensors(Path(file))[1].get("architecture"))
        if kind not in loaders:
            raise InputError(f"{file}: neither a content nor an emotion checkpoint")
        if not models[kind]:
            raise UsageError(f"--ablation {text!r}: of {kind}, which --only {options.only} leaves out")
        models[kind][name] = loaders[kind](Path(file))
        sources[name] = _source(Path(file))
    return models, sources


def _source(path: Path | None) -> str:
    from cdrl.files import file_sha256

    if path is None:
        return "the one that ships"
    return f"{path.name}, SHA-256 {file_sha256(path)}"


def _show(console: Console, report: Report) -> None:
    from cdrl.evaluation.representation import report as tables

    console.print(tables.screen(report))
    headings, lines = tables.ablations(report)
    if lines:
        table = Table(title="Ablations", title_justify="left")
        for heading in headings:
            table.add_column(heading)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for line in report.details.get("sentences", ()):
        mark = "" if line["right"] else f"  (meant: {line['meant']})"
        console.print(f"{line['cosine']:.2f} {line['nearest']:<10} {line['sentence']}{mark}", highlight=False)
    said = ", ".join(f"{count} {name}" for name, count in report.verdicts().items())
    console.print(f"bars: {said}; {report.details['seconds']:.0f} s")


def _write(options: Options, report: Report, sources: Mapping[str, str]) -> None:
    from cdrl.evaluation.finite import report_json
    from cdrl.evaluation.representation.pictures import encode
    from cdrl.evaluation.representation.report import markdown
    from cdrl.files import atomic_write

    facts = {"checkpoints": dict(sources), **report.to_json()}
    atomic_write(options.json, [report_json(facts)])
    if options.markdown is not None:
        atomic_write(options.markdown, [markdown(report).encode()])
    if options.pictures is not None:
        try:
            options.pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{options.pictures}: cannot be made ({error.strerror}): choose another place") from error
        for name, picture in report.pictures.items():
            atomic_write(options.pictures / f"{name}.png", [encode(picture)])
