"""Any set of finished files, evaluated by the code that evaluates our own: whoever made them, on any data set there is.

A table of comma-separated values names them: `method,output,source,emotion` and, where they are known, `reference` (the
clip the emotion was taken from), `person`, `lag` (frames the output is behind its source; `auto` estimates it). Blocks:
*intra-ID*, the reference shows the source's person, and *cross-ID*, all others, those without a reference among them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from cdrl.csv_tables import read_rows
from cdrl.datasets.clip import Clip, ClipTable
from cdrl.datasets.table import read_dataset
from cdrl.emotions import parse_emotion
from cdrl.errors import InputError, InputNotFoundError, UsageError
from cdrl.evaluation.benchmark import BenchmarkRun
from cdrl.evaluation.benchmark_config import ResultsConfig
from cdrl.evaluation.clip_features import ClipFeatures
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.clips import read_frames
from cdrl.evaluation.comparison_videos import MAXIMUM_LAG, estimate_lag, measure_motion
from cdrl.files import file_sha256

Row = dict[str, Any]

INTRA, CROSS = "intra-ID", "cross-ID"
_COLUMNS = ("method", "output", "source", "emotion")
_NAMED = 8  # missing files that an error names; the others are counted


@dataclass(frozen=True)
class EditedFile:
    """One row of a table of results: a finished file and where it is from."""

    method: str
    output: Path
    source: Path
    emotion: str
    reference: Path | None = None
    person: str = ""
    """Empty where the row names nobody."""
    lag: int | None = 0
    """Frames the output is behind its source; None: to be estimated."""


def read_results(table: Path) -> list[EditedFile]:
    """Read a table of results, and make sure of its files before any is opened.

    Raises:
        InputNotFoundError: Files that it names, or itself, are not there.
        InputError: It is no table of comma-separated values.
        UsageError: What it says makes no sense.
    """
    if not table.is_file():
        raise InputNotFoundError(f"{table}: no such table of results")
    results = [_parse_result(table, number, row) for number, row in read_rows(table, _COLUMNS, UsageError)]
    if not results:
        raise UsageError(f"{table}: holds no results, only the names of its columns")
    files = dict.fromkeys(p for r in results for p in (r.output, r.source, r.reference) if p is not None)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise InputNotFoundError(f"{table}: names files that are not there: {', '.join(missing[:_NAMED])}{more}")
    return results


def _parse_result(table: Path, number: int, row: dict[str, str]) -> EditedFile:
    where = f"{table} line {number}"
    if absent := [name for name in _COLUMNS if not row[name]]:
        raise UsageError(f"{where}: no {', '.join(absent)}")
    try:
        emotion = parse_emotion(row["emotion"])
        lag = None if row.get("lag") == "auto" else int(row.get("lag") or 0)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{where}: lag {row['lag']!r} is neither a whole number of frames nor auto") from error
    reference = table.parent / row["reference"] if row.get("reference") else None
    output, source = table.parent / row["output"], table.parent / row["source"]
    return EditedFile(row["method"], output, source, emotion, reference, row.get("person", ""), lag)


def evaluate_results(config: ResultsConfig) -> Row:
    """Evaluate finished files; write the files asked for.

    A result that cannot be evaluated (unreadable, no face, another number of frames than its source) is a failed row
    that says why; the others are evaluated all the same.

    Args:
        config: What to evaluate and where to write.

    Returns:
        What the files hold, see `BenchmarkRun.finish`.

    Raises:
        ModelFileError: A model is missing.
        InputError: The table of results, or a file that it names, is missing, or is no table.
        UsageError: An option or a row makes no sense.
    """
    if config.real_clips < 0:
        raise UsageError(f"--real-clips is {config.real_clips}: give 0 or more")
    results = read_results(config.results)
    methods = list(dict.fromkeys(result.method for result in results))
    if config.baseline and config.baseline not in methods:
        raise UsageError(f"--baseline {config.baseline!r} is no method of {config.results}: {', '.join(methods)}")
    run = BenchmarkRun(config)
    folder = config.data
    if folder.is_file():
        if folder.name != "clips.csv":
            raise UsageError(f"--data {folder}: name a data set's folder, or the clips.csv in it")
        folder = folder.parent
    dataset = read_dataset(folder, config.layout)
    origins = _Origins(dataset, results, config.real_clips)
    run.set_references(origins.neutral, origins.real, origins.everybody)
    for number, result in enumerate(results, 1):
        sys.stderr.write(f"{number}/{len(results)} {result.method}: {result.output.name}\n")
        _evaluate_result(run, result, origins)
    pairs = [(name, config.baseline) for name in methods if name != config.baseline] if config.baseline else []
    title = f"Results of {config.results.name}, on {dataset.folder.resolve().name}"
    return run.finish({"set": config.results.name, "title": title, "remarks": origins.remarks}, pairs)


class _Origins:
    """What the data set knows of results: who is seen in a file, what is said in it, real clips to compare with."""

    def __init__(self, table: ClipTable, results: Sequence[EditedFile], most: int) -> None:
        self._known = {clip.path.resolve(): clip for clip in table.clips}
        self._sizes = group_by_size(table.clips)
        sources = [self.find_source(result) for result in results]
        people, words = {clip.person for clip in sources}, {(clip.person, clip.words) for clip in sources}
        emotions, datasets = {result.emotion for result in results}, {clip.dataset for clip in sources}
        views = {clip.view for r in results if (clip := self._find_clip(r.source)) is not None} or {"front"}
        # Another collection's person of that name, or its labels, are not what these were filmed beside.
        candidates = [clip for clip in table.clips if "" in datasets or clip.dataset in datasets]
        rows = [_make_record(clip) for clip in candidates if clip.actor in people and clip.view in views]
        known = [clip for clip in table.clips if clip.view in views and clip.actor != clip.id]  # who it is
        self.everybody = [_make_record(clip) for clip in known]
        self.neutral = _sample_clips([clip for clip in rows if clip.emotion == "neutral"], most, set())
        self.real = _sample_clips([clip for clip in rows if clip.emotion in emotions], most, words)
        self.remarks = sorted({text for result in results if (text := self._describe_source(result))})

    def _describe_source(self, result: EditedFile) -> str:
        """What to know of a source that is not a file of the data set; empty of one that is."""
        source, known = result.source, self._find_clip(result.source)
        if known is None:
            return "" if result.person else f"{source.name} is not in the data set: counted as a person of its own"
        same = known.path.resolve() == source.resolve()
        return "" if same else f"{source.name} is a copy of {known.path.name} of the data set, and counts as that clip"

    def _find_clip(self, path: Path) -> Clip | None:
        """The clip of the data set that a file is, or is a copy of byte by byte."""
        if (known := self._known.get(path.resolve())) is not None:
            return known
        alike = self._sizes.get(path.stat().st_size, ())
        return next((clip for clip in alike if _hash_file(clip.path) == _hash_file(path)), None)

    def find_source(self, result: EditedFile) -> ClipRecord:
        """The source's clip. Who is in it: as the row says, else the data set, else nobody else's."""
        known = self._find_clip(result.source)
        if known is None:
            return ClipRecord(result.source, "", result.person or result.source.stem, "", "")
        return replace(_make_record(known), path=result.source, person=result.person or known.actor)

    def find_block(self, result: EditedFile) -> str:
        """Whether the emotion was taken from the source's own person."""
        known = self._find_clip(result.reference) if result.reference is not None else None
        return INTRA if known is not None and known.actor == self.find_source(result).person else CROSS


def group_by_size(clips: Iterable[Clip]) -> dict[int, list[Clip]]:
    """Group clips by how many bytes their files have: only those of one size can be copies."""
    sizes: dict[int, list[Clip]] = defaultdict(list)
    for clip in clips:
        sizes[clip.path.stat().st_size].append(clip)
    return sizes


_hash_file = lru_cache(maxsize=4096)(file_sha256)


def _make_record(clip: Clip) -> ClipRecord:
    # The same words seen from another side are no truth for a mouth.
    words = f"{clip.sentence_id} {clip.view}" if clip.sentence_id else ""
    return ClipRecord(clip.path, clip.dataset, clip.actor, clip.emotion, clip.sentence_id, words, clip.sound)


def _sample_clips(clips: Iterable[ClipRecord], most: int, words: set[tuple[str, str]]) -> list[ClipRecord]:
    """At most so many clips of each person and emotion, spread over all there are, and those of the given words."""
    groups: dict[tuple[str, str], list[ClipRecord]] = defaultdict(list)
    for clip in clips:
        groups[clip.person, clip.emotion].append(clip)
    sampled = []
    for group in groups.values():
        chosen = {k * len(group) // most for k in range(most)} if most else set(range(len(group)))
        sampled += [c for k, c in enumerate(group) if k in chosen or (c.words and (c.person, c.words) in words)]
    return sampled


def _evaluate_result(run: BenchmarkRun, result: EditedFile, origins: _Origins) -> None:
    clip = origins.find_source(result)
    facts: Row = {
        "method": result.method,
        "block": origins.find_block(result),
        "person": clip.person,
        "emotion": result.emotion,
        "source": str(result.source),  # names alone repeat: MEAD has a 001.mp4 in every folder
        "reference": str(result.reference) if result.reference is not None else None,
        "output": result.output.name,
        "lag": result.lag or 0,
    }
    run.evaluate_file(clip, facts, lambda: result.output, partial(_find_lag, result))


@lru_cache(maxsize=32)
def _measure_source(path: Path) -> Any:
    return measure_motion(read_frames(path))


def _find_lag(result: EditedFile, source: ClipFeatures, output: ClipFeatures) -> int:
    """Frames the output is behind its source. InputError where their counts differ by more than that."""
    ours, theirs = len(output.points), len(source.points)
    allowed = MAXIMUM_LAG if result.lag is None else abs(result.lag)
    if abs(ours - theirs) > allowed:
        raise InputError(
            f"{result.output.name} has {ours} frames, its source {theirs}: more apart than a lag of {allowed} allows; "
            "give the source it was made of, or its lag"
        )
    if result.lag is None:
        return estimate_lag(_measure_source(result.source), measure_motion(read_frames(result.output)))
    return result.lag
