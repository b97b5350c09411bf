"""The benchmark: every method on the right clips, judged on the files it wrote, beside real and published ones.

`python -m cdrl.evaluation.table --data DIR --set tune --priors DIR --json FILE --markdown FILE`

Two blocks. *peers*: the cross-identity comparison clips (neutral source, one emotion each), where published methods'
tiles are judged by the same code as ours. *neutral*: further neutral clips of the set's people, in every emotion.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from cdrl.datasets.splits import load_held_out_people
from cdrl.errors import AssetError, CdrlError, Interrupted, UsageError
from cdrl.evaluation import html, report
from cdrl.evaluation.clips import frames_of
from cdrl.evaluation.columns import MISS
from cdrl.evaluation.judges import EMOTIONS as CLASSES
from cdrl.evaluation.judging import judged, judged_row, write_report
from cdrl.evaluation.methods import Edit, Method, NoEdit, PlainCopy
from cdrl.evaluation.networks import read_networks
from cdrl.evaluation.observe import Observation
from cdrl.evaluation.people import (
    APART,
    EMOTIONS,
    ClipRow,
    SetName,
    neutral_clips,
    read_clips,
    real_clips,
    sentence_number,
)
from cdrl.evaluation.sheets import Faces
from cdrl.evaluation.store import Store
from cdrl.evaluation.sync_evaluators import find_sync_evaluator
from cdrl.evaluation.sync_metrics import SyncEvaluator
from cdrl.evaluation.targets import Cells, Targets
from cdrl.evaluation.tiles import TiledClip, estimate_lag, motion, read_peers, tile_frames, write_source
from cdrl.pretrained import cache_folder, find_model, missing_models
from cdrl.provenance import sidecar_path

Row = dict[str, Any]


@dataclass(frozen=True)
class TableConfig:
    """What to judge and where to write it."""

    data: Path
    """Folder with clips.csv and peers.csv, and the files they name."""
    set: SetName = "tune"
    """tune: people an edit may be tuned on. report: people for the final table only."""
    priors: Path | None = None
    """Folder of prior_without_PERSON.npz; without it what ships is used and the row says so."""
    translators: tuple[str, ...] = ()
    """NAME=DIR: a row of that name, with translator_without_PERSON.onnx of DIR on those priors."""
    json: Path | None = None
    """Where every number goes."""
    markdown: Path | None = None
    """Where the table goes (standard output when neither is given)."""
    cache: Path | None = None
    """Folder for what the judges saw of files that do not change; the user's cache by default."""
    keep: Path | None = None
    """Folder that keeps the edited files, to be looked at."""
    emotions: tuple[str, ...] = (*EMOTIONS, *APART)
    """Emotions to ask for."""
    intensity: float = 1.0
    """Amount of emotion asked of cdrl."""
    clips_per_person: int = 0
    """At most so many neutral clips a person; 0 takes all."""
    wild: bool = False
    """Tune set: add the clips of unnamed people in the wild."""
    edit: bool = True
    """Judge cdrl's own edits; without it only copies, published and real clips."""
    pairs: tuple[str, ...] = ()
    """NAME:NAME: paired differences, the first less the second; by default cdrl's row less each other."""
    recognition: Path | None = None
    """ONNX file of a face recognition network for FAD and identity; dlib's by default."""
    expression: Path | None = None
    """ONNX file of an expression network for CSIM; the emotion judge's features by default."""
    sync: str = "cdrl"
    """Judge of lips and sound: cdrl, cdrl:FILE or syncnet:FILE."""
    html: Path | None = None
    """Where the report with plots and contact sheets goes."""


@dataclass(frozen=True)
class Task:
    """One source file and the emotions asked of it; `clip` is what is known of it, `block` where its rows go."""

    clip: ClipRow
    person: str
    block: str
    emotions: tuple[str, ...]
    peer: TiledClip | None = None

    @property
    def source(self) -> Path:
        """The file that is edited."""
        return self.clip.path


ChooseMethods = Callable[[TableConfig, Sequence[Task]], Sequence[Method]]
"""Returns the methods that are compared on the tasks of a table."""


@dataclass
class Bench:
    """The state of one run: where observations come from, what outputs are compared with, where files go."""

    config: TableConfig
    folder: Path
    targets: Targets
    cells: Cells
    sync: SyncEvaluator | None = None
    faces: Faces | None = None
    """Where faces for the report are kept; None where nobody asked for one."""

    @property
    def store(self) -> Store:
        """Where files are looked at."""
        return self.targets.store


def evaluate(config: TableConfig, methods: Sequence[Method] | ChooseMethods | None = None) -> dict[str, Any]:
    """Judge every method; writes the files asked for and returns what they say, see `judged`.

    `methods`, or what chooses them once the clips are known, replaces `default_methods`. A method that raises a
    `CdrlError` on a clip scores 0 there in what counts up (lip r, closures, p) and is left out of the ratios; the
    reason is kept in the row.
    """
    if missing := missing_models("judging"):
        find_model(missing[0])  # raises, and says how to get it
    unknown = set(config.emotions) - set(CLASSES)
    if unknown:
        raise UsageError(f"unknown emotion {', '.join(sorted(unknown))}: the judge knows {', '.join(CLASSES)}")
    pairs = report.pair_names(config.pairs)
    networks = read_networks(config.recognition, config.expression)
    sync = find_sync_evaluator(config.sync)
    if config.html is not None:
        html.check(config.html)
    clips = read_clips(config.data)
    store = Store(config.cache if config.cache is not None else cache_folder() / "observations", networks)
    targets = Targets(clips, real_clips(clips), store)
    with tempfile.TemporaryDirectory(prefix="cdrl-table-") as work:
        folder = config.keep if config.keep is not None else Path(work)
        faces = Faces() if config.html is not None or config.keep is not None else None
        bench = Bench(config, folder, targets, Cells(targets), sync[0], faces)
        bench.folder.mkdir(parents=True, exist_ok=True)
        tasks = list(_tasks(bench))
        if methods is None or callable(methods):
            methods = (methods or default_methods)(config, tasks)
        _check_pairs(pairs, {*(method.name for method in methods), *_published(tasks)})
        rows = [row for task in tasks for row in _judge_task(bench, task, methods)]
    bench.cells.fill()
    result = {"set": config.set, **judged(targets, networks, sync, rows, pairs or None)}
    if faces is not None:
        _add_real(bench, faces)
        if config.keep is not None:
            faces.save(config.keep)
    write_report(result, config.json, config.markdown, config.html, faces)
    return result


def _add_real(bench: Bench, faces: Faces) -> None:
    for clip in bench.targets.real:
        seen = bench.targets.look(clip)
        if seen is not None:
            faces.add_real(clip.person, clip.emotion, frames_of(clip.path), seen)


def _published(tasks: Sequence[Task]) -> set[str]:
    return {name for task in tasks if task.peer is not None for name in task.peer.methods}


def _check_pairs(pairs: Sequence[tuple[str, str]], names: set[str]) -> None:
    if unknown := {name for pair in pairs for name in pair} - names:
        raise UsageError(f"--pairs: no method {', '.join(sorted(unknown))}; the table has {', '.join(sorted(names))}")


def default_methods(config: TableConfig, tasks: Sequence[Task]) -> list[Method]:
    """No edit, plain copy and cdrl; every prior that will be needed is looked for before hours are spent."""
    copies: list[Method] = [NoEdit(), PlainCopy()]
    if not config.edit:
        return copies
    named = {clip.person for clip in real_clips(read_clips(config.data))}
    strangers = frozenset(task.person for task in tasks) - named
    if config.priors is None:
        return [*copies, Edit("cdrl (as it ships, may hold these people)", None, None, config.intensity)]
    edits = [Edit("prior", config.priors, None, config.intensity, strangers)]
    for name, folder in named_folders("--translators", config.translators):
        edits.append(Edit(name, config.priors, folder, config.intensity, strangers))
    for edit in edits:
        for task in tasks:
            edit.models(task.person)
    return [*copies, *edits]


def named_folders(flag: str, texts: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Split each NAME=DIR of an option `flag`; raises UsageError where one is written otherwise."""
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise UsageError(f"{flag} {text!r}: write NAME=DIR")
        yield name, Path(folder)


def _tasks(bench: Bench) -> Iterator[Task]:
    config, people = bench.config, load_held_out_people()
    chosen = people.test if config.set == "report" else people.validation
    shown: set[tuple[str, str]] = set()
    for peer in read_peers(config.data):
        if peer.setting != "Cross-ID" or peer.person not in chosen or peer.emotion not in config.emotions:
            continue
        source = bench.folder / f"{peer.path.stem}__source.mp4"
        write_source(peer, source)
        sentence = sentence_number(peer.path.name)
        shown.add((peer.person, sentence))
        shown_clip = ClipRow(source, "mead", peer.person, "", sentence)
        yield Task(shown_clip, peer.person, "peers", (peer.emotion,), peer)
    for person in chosen:
        clips = [clip for clip in neutral_clips(bench.targets.clips, person) if (person, clip.sentence) not in shown]
        for clip in clips[: config.clips_per_person or None]:
            yield Task(clip, person, "neutral", config.emotions)
    if config.set == "tune" and config.wild:
        for clip in bench.targets.clips:
            if clip.dataset in people.validation_datasets:
                yield Task(clip, f"{clip.dataset} {clip.person}", "wild", config.emotions)


def _judge_task(bench: Bench, task: Task, methods: Sequence[Method]) -> Iterator[Row]:
    source = bench.store.file(task.source)
    if bench.faces is not None:
        for emotion in task.emotions:
            bench.faces.add_source(task.person, emotion, _name(task), frames_of(task.source), source)
    for method in methods:
        for emotion in task.emotions:
            yield _judge_method(bench, task, source, method, emotion)
    if task.peer is None:
        return
    peer, emotion = task.peer, task.emotions[0]
    own = bench.store.tile(peer.path, "source", tile_frames(peer, "source"))
    moves = motion(tile_frames(peer, "source"))
    for name in peer.methods:
        lag = estimate_lag(moves, motion(tile_frames(peer, name)))
        output = bench.store.tile(peer.path, name, tile_frames(peer, name), own.layout)
        facts = _facts(task, name, emotion, lag)
        if bench.faces is not None:
            bench.faces.add_edit(facts, tile_frames(peer, name))
        yield _row(bench, task, facts, own, output, peer.path)


def _judge_method(bench: Bench, task: Task, source: Observation, method: Method, emotion: str) -> Row:
    output = bench.folder / kept_name(task.source.stem, emotion, method.name)
    _drop(output)
    sys.stderr.write(f"{method.name}: {task.source.name} → {emotion}\n")
    try:
        method(task.source, emotion, output, task.person)
        seen = bench.store.file(output, source.layout)
    except (AssetError, Interrupted):
        raise
    except CdrlError as error:
        return {**_facts(task, method.name, emotion, 0), "failed": str(error), "measures": dict(MISS)}
    facts = _facts(task, method.name, emotion, 0)
    row = _row(bench, task, facts, source, seen, output)
    if bench.faces is not None:
        bench.faces.add_edit(row, frames_of(output))
    if bench.config.keep is None:
        _drop(output)
    return row


def kept_name(source: str, emotion: str, method: str) -> str:
    """Name of the edited file that is kept; "ours - x" and "ours + x" are two."""
    safe = "".join(letter if letter.isalnum() or letter in "+-" else "_" for letter in f"{source} {emotion} {method}")
    return f"{safe}.mp4"


def _drop(video: Path) -> None:
    """Remove a video and the sidecar that an edit has put beside it."""
    video.unlink(missing_ok=True)
    sidecar_path(video).unlink(missing_ok=True)


def _name(task: Task) -> str:
    return task.peer.path.name if task.peer is not None else task.source.name


def _facts(task: Task, method: str, emotion: str, lag: int) -> Row:
    return {
        "method": method,
        "block": task.block,
        "person": task.person,
        "emotion": emotion,
        "source": _name(task),
        "failed": None,
        "lag": lag,
    }


def _row(bench: Bench, task: Task, facts: Row, source: Observation, output: Observation, heard: Path) -> Row:
    clip = replace(task.clip, person=task.person)
    row = judged_row(bench.targets, clip, facts, source, output, heard, bench.sync)
    bench.cells.add(row, task.source, output)
    return row


def main() -> int:
    """The command line; a `CdrlError` is one line and its exit code."""
    try:
        evaluate(tyro.cli(TableConfig, description=__doc__))
    except CdrlError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
