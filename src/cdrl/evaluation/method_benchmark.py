"""Every method on the right clips, evaluated on the files it wrote, beside real and published ones.

Two blocks. *peers*: the cross-identity comparison videos (neutral source, one emotion each), where published methods'
tiles are evaluated by the same code as ours. *neutral*: further neutral clips of the set's people, in every emotion.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cdrl.datasets.splits import load_split
from cdrl.errors import UsageError
from cdrl.evaluation import clip_tables, comparison_videos
from cdrl.evaluation.benchmark import BenchmarkRun
from cdrl.evaluation.benchmark_config import TableConfig
from cdrl.evaluation.evaluators import CLASSES
from cdrl.evaluation.measure_registry import DEFAULT_TARGETS
from cdrl.evaluation.methods import Edit, Method, NoEdit, PlainCopy, name_output
from cdrl.evaluation.summary import parse_pairs
from cdrl.provenance import sidecar_path

Row = dict[str, Any]
SHIPPED_NAME = "cdrl (as it ships, may hold these people)"
"""The row of edits with the prior that ships."""


@dataclass(frozen=True)
class BenchmarkTask:
    """One source file and the emotions asked of it."""

    clip: clip_tables.ClipRecord
    block: str
    """Where its rows go."""
    emotions: tuple[str, ...]
    video: comparison_videos.ComparisonVideo | None = None
    """The comparison video that it was cut out of."""

    @property
    def person(self) -> str:
        """Who is seen."""
        return self.clip.person

    @property
    def name(self) -> str:
        """The source's name in the rows."""
        return (self.video or self.clip).path.name


ChooseMethods = Callable[[TableConfig, Sequence[BenchmarkTask]], Sequence[Method]]
"""Returns the methods that are compared on the tasks of a table."""


def evaluate_methods(config: TableConfig, methods: Sequence[Method] | ChooseMethods | None = None) -> Row:
    """Let every method edit every clip and evaluate what it wrote; write the files asked for.

    Args:
        config: What to edit and where to write.
        methods: The methods, or what chooses them once the clips are known; `default_methods` by default. One that
            raises a `CdrlError` on a clip has a failed row there.

    Returns:
        What the files hold, see `BenchmarkRun.finish`.

    Raises:
        ModelFileError: A model is missing.
        InputError: The data folder is not what it should be.
        UsageError: An option makes no sense.
    """
    if strange := set(config.targets) - set(CLASSES):
        raise UsageError(f"unknown emotion {', '.join(sorted(strange))}: the evaluators know {', '.join(CLASSES)}")
    pairs = parse_pairs(config.pairs)
    run = BenchmarkRun(config, keep_faces=config.keep is not None)
    clips = clip_tables.read_clips(config.data)
    run.set_references(clips, clip_tables.select_real_clips(clips, {*DEFAULT_TARGETS, *config.targets}))
    with open_output_folder(config.keep) as folder:
        tasks = list(_list_tasks(config, clips, folder))
        if methods is None or callable(methods):
            methods = (methods or default_methods)(config, tasks)
        names = {method.name for method in methods}.union(*(t.video.methods for t in tasks if t.video))
        if unknown := {name for pair in pairs for name in pair} - names:
            known = ", ".join(sorted(names))
            raise UsageError(f"--pairs: no method {', '.join(sorted(unknown))}; the table has {known}")
        for task in tasks:
            for method in methods:
                for emotion in task.emotions:
                    output = _evaluate_method(run, task, method, emotion, folder)
                    if config.keep is None:
                        remove_video(output)
            if task.video is not None:
                _evaluate_tiles(run, task, task.video)
    result = run.finish({"set": config.set}, pairs or None)
    if config.keep is not None and run.sheets is not None:
        run.sheets.save(config.keep)
    return result


@contextmanager
def open_output_folder(keep: Path | None) -> Iterator[Path]:
    """Make the folder that edited files are kept in; without one, a folder that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="cdrl-table-") as work:
        folder = keep if keep is not None else Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def default_methods(config: TableConfig, tasks: Sequence[BenchmarkTask]) -> list[Method]:
    """Return no edit, plain copy and cdrl; every model that will be needed is looked for before hours are spent.

    Raises:
        ModelFileError: A folder lacks the model that was trained without a person.
    """
    copies: list[Method] = [NoEdit(), PlainCopy()]
    request = {"renderer": config.renderer}
    if not config.edit:
        return copies
    if config.priors is None:
        return [*copies, Edit(SHIPPED_NAME, None, None, config.intensity, request=request)]
    named = {clip.person for clip in clip_tables.select_real_clips(clip_tables.read_clips(config.data))}
    strangers = frozenset(task.person for task in tasks) - named
    folders = [("prior", None), *parse_folders("--translators", config.translators)]
    edits = [
        Edit(name, config.priors, folder, config.intensity, strangers, request=request) for name, folder in folders
    ]
    for edit in edits:
        for task in tasks:
            edit.find_models(task.person)
    return [*copies, *edits]


def parse_folders(flag: str, texts: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Split each NAME=DIR of an option `flag`; raises UsageError where one is written otherwise."""
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise UsageError(f"{flag} {text!r}: write NAME=DIR")
        yield name, Path(folder)


def _list_tasks(config: TableConfig, clips: Sequence[clip_tables.ClipRecord], folder: Path) -> Iterator[BenchmarkTask]:
    people = load_split("shipped")
    chosen = people.test if config.set == "report" else people.validation
    shown: set[tuple[str, str]] = set()
    for video in comparison_videos.read_comparison_videos(config.data):
        if video.setting != "Cross-ID" or video.person not in chosen or video.emotion not in config.targets:
            continue
        source = folder / f"{video.path.stem}__source.mp4"
        comparison_videos.write_source(video, source)
        sentence = clip_tables.parse_sentence_number(video.path.name)
        shown.add((video.person, sentence))
        clip = clip_tables.ClipRecord(source, "mead", video.person, "", sentence)
        yield BenchmarkTask(clip, "peers", (video.emotion,), video)
    for person in chosen:
        neutral = clip_tables.select_neutral_clips(clips, person)
        further = [clip for clip in neutral if (person, clip.sentence) not in shown]
        for clip in further[: config.clips_per_person or None]:
            yield BenchmarkTask(clip, "neutral", config.targets)
    if config.set == "tune" and config.wild:
        for clip in clips:
            if clip.dataset in people.validation_datasets:
                unnamed = replace(clip, person=f"{clip.dataset} {clip.person}")
                yield BenchmarkTask(unnamed, "wild", config.targets)


def _make_facts(task: BenchmarkTask, method: str, emotion: str, lag: int = 0) -> Row:
    facts = {"method": method, "block": task.block, "person": task.person, "emotion": emotion, "source": task.name}
    return {**facts, "failed": None, "lag": lag}


def _evaluate_method(run: BenchmarkRun, task: BenchmarkTask, method: Method, emotion: str, folder: Path) -> Path:
    """Add the row of one edit; returns the edited file."""
    output = folder / name_output(task.clip.path.stem, emotion, method.name)
    remove_video(output)
    sys.stderr.write(f"{method.name}: {task.clip.path.name} → {emotion}\n")

    def write_output() -> Path:
        method(task.clip.path, emotion, output, task.person)
        return output

    run.evaluate_file(task.clip, _make_facts(task, method.name, emotion), write_output)
    return output


def _evaluate_tiles(run: BenchmarkRun, task: BenchmarkTask, video: comparison_videos.ComparisonVideo) -> None:
    """Add a row for each published method."""
    source = run.cache.extract(video.path, tile="source", frames=comparison_videos.read_tile(video, "source"))
    motion = comparison_videos.measure_motion(comparison_videos.read_tile(video, "source"))
    for name in video.methods:
        frames = comparison_videos.read_tile(video, name)
        output = run.cache.extract(video.path, source.layout, tile=name, frames=frames)
        lag = comparison_videos.estimate_lag(motion, comparison_videos.measure_motion(frames))
        facts = _make_facts(task, name, task.emotions[0], lag)
        run.add_row(task.clip, facts, source, output, frames, video.path)


def remove_video(video: Path) -> None:
    """Remove a video, if it is there, with the sidecar that an edit has put beside it."""
    video.unlink(missing_ok=True)
    sidecar_path(video).unlink(missing_ok=True)
