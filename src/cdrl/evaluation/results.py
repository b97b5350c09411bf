"""Any set of finished files, judged by the code that judges our own: whoever made them, on any data set there is.

A table of comma-separated values names them: `method,output,source,emotion` and, where they are known, `reference` (the
clip the emotion was taken from), `person`, `lag` (frames the output is behind its source; `auto` estimates it). Blocks:
*intra-ID*, the reference shows the source's person, and *cross-ID*, all others, those without a reference among them.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from cdrl.datasets.clip import Clip
from cdrl.datasets.table import ClipTable, read_dataset
from cdrl.emotions import parse_emotion
from cdrl.errors import AssetError, CdrlError, InputError, InputNotFoundError, Interrupted, UsageError
from cdrl.evaluation import html
from cdrl.evaluation.clips import frames_of
from cdrl.evaluation.columns import MISS
from cdrl.evaluation.judging import judged, judged_row, write_report
from cdrl.evaluation.networks import read_networks
from cdrl.evaluation.observe import Observation
from cdrl.evaluation.people import ClipRow
from cdrl.evaluation.sheets import Faces
from cdrl.evaluation.store import Store
from cdrl.evaluation.sync_evaluators import find_sync_evaluator
from cdrl.evaluation.sync_metrics import SyncEvaluator
from cdrl.evaluation.targets import Cells, Targets
from cdrl.evaluation.tiles import MAXIMUM_LAG, estimate_lag, motion
from cdrl.pretrained import cache_folder, find_model, missing_models

Row = dict[str, Any]

INTRA, CROSS = "intra-ID", "cross-ID"
_COLUMNS = ("method", "output", "source", "emotion")
_NAMED = 8  # missing files that an error names; the others are counted
AUTO = None
"""The lag of a result whose lag is to be estimated."""


@dataclass(frozen=True)
class ResultsConfig:
    """What to judge, beside whose real clips, and where to write it."""

    results: Path
    """The table of results; relative paths in it are relative to it."""
    data: Path
    """Folder (or its clips.csv) of the data set that the sources are from: MEAD, RAVDESS, CREMA-D or clips.csv."""
    json: Path | None = None
    """Write all numbers here."""
    markdown: Path | None = None
    """Write the tables here; without either they go to stdout."""
    baseline: str = ""
    """Method that every other one is compared with, clip by clip."""
    layout: str = "auto"
    """Layout of the data set: auto, plain, mead, ravdess or crema-d."""
    real_clips: int = 8
    """At most so many real clips of a person and emotion, beside those of the sources' words; 0 takes all."""
    recognition: Path | None = None
    """ONNX file of a face recognition network for FAD and identity; dlib's by default."""
    expression: Path | None = None
    """ONNX file of an expression network for CSIM; the emotion judge's features by default."""
    sync: str = "cdrl"
    """Judge of lips and sound: cdrl, cdrl:FILE or syncnet:FILE."""
    html: Path | None = None
    """Where the report with plots and contact sheets goes."""
    cache: Path | None = None
    """Folder for what the judges saw; the user's cache by default."""


@dataclass(frozen=True)
class Result:
    """One row: a finished file and where it is from. `person` is empty where the row names nobody."""

    method: str
    output: Path
    source: Path
    emotion: str
    reference: Path | None = None
    person: str = ""
    lag: int | None = 0


def read_results(table: Path) -> list[Result]:
    """The rows of a table of results. UsageError for what makes no sense, InputNotFoundError naming the files that are
    not there, both before anything is opened."""
    if not table.is_file():
        raise InputNotFoundError(f"{table}: no such table of results")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            rows = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not a table of comma-separated values in UTF-8 ({error})") from error
    if missing := [name for name in _COLUMNS if name not in columns]:
        raise UsageError(f"{table}: no column {', '.join(missing)}; begin it with a line {','.join(_COLUMNS)}")
    results = [_result(table, number, row) for number, row in rows if any(row.values())]
    if not results:
        raise UsageError(f"{table}: holds no results, only the names of its columns")
    files = dict.fromkeys(p for r in results for p in (r.output, r.source, r.reference) if p is not None)
    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        raise InputNotFoundError(f"{table}: names files that are not there: {', '.join(absent[:_NAMED])}{more}")
    return results


def _result(table: Path, number: int, row: dict[str, str]) -> Result:
    where = f"{table} line {number}"
    if lacking := [name for name in _COLUMNS if not row[name]]:
        raise UsageError(f"{where}: no {', '.join(lacking)}")
    try:
        emotion = parse_emotion(row["emotion"])
        lag = AUTO if row.get("lag") == "auto" else int(row.get("lag") or 0)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{where}: lag {row['lag']!r} is neither a whole number of frames nor auto") from error
    reference = table.parent / row["reference"] if row.get("reference") else None
    output, source = table.parent / row["output"], table.parent / row["source"]
    return Result(row["method"], output, source, emotion, reference, row.get("person", ""), lag)


def evaluate_results(config: ResultsConfig) -> dict[str, Any]:
    """Judge every result; writes the files asked for and returns what they say, see `table.judged`.

    A result that cannot be judged (unreadable, no face, another number of frames than its source) is a failed row that
    says why; the others are judged all the same.
    """
    if config.real_clips < 0:
        raise UsageError(f"--real-clips is {config.real_clips}: give 0 or more")
    results = read_results(config.results)
    methods = list(dict.fromkeys(result.method for result in results))
    if config.baseline and config.baseline not in methods:
        raise UsageError(f"--baseline {config.baseline!r} is no method of {config.results}: {', '.join(methods)}")
    if missing := missing_models("judging"):
        find_model(missing[0])  # raises, and says how to get it
    networks = read_networks(config.recognition, config.expression)
    sync = find_sync_evaluator(config.sync)
    if config.html is not None:
        html.check(config.html)
    faces = Faces() if config.html is not None else None
    dataset = _dataset(config)
    data = _Data(dataset, results, config.real_clips)
    store = Store(config.cache if config.cache is not None else cache_folder() / "observations", networks)
    targets = Targets(data.neutral, data.real, store)
    cells = Cells(targets)
    rows = []
    for number, result in enumerate(results, 1):
        sys.stderr.write(f"{number}/{len(results)} {result.method}: {result.output.name}\n")
        rows.append(_judged(result, data, targets, cells, sync[0], faces))
    cells.fill()
    pairs = [(name, config.baseline) for name in methods if name != config.baseline] if config.baseline else []
    title = f"Results of {config.results.name}, on {dataset.folder.resolve().name}"
    facts = {"set": config.results.name, "title": title, "remarks": data.remarks}
    found = {**facts, **judged(targets, networks, sync, rows, pairs)}
    write_report(found, config.json, config.markdown, config.html, faces)
    return found


def _dataset(config: ResultsConfig) -> ClipTable:
    folder = config.data
    if folder.is_file():
        if folder.name != "clips.csv":
            raise UsageError(f"--data {folder}: name a data set's folder, or the clips.csv in it")
        folder = folder.parent
    return read_dataset(folder, config.layout)


class _Data:
    """What the data set knows of results: who is seen in a file, what is said in it, and real clips to compare with."""

    def __init__(self, table: ClipTable, results: Sequence[Result], most: int) -> None:
        self._known = {clip.path.resolve(): clip for clip in table.clips}
        sources = [self.source(result) for result in results]
        people, words = {clip.person for clip in sources}, {(clip.person, clip.words) for clip in sources}
        emotions, datasets = {result.emotion for result in results}, {clip.dataset for clip in sources}
        views = {clip.view for r in results if (clip := self._known.get(r.source.resolve())) is not None} or {"front"}
        # Another collection's person of that name, or its labels, are not what these were filmed beside.
        near = [clip for clip in table.clips if "" in datasets or clip.dataset in datasets]
        rows = [_row(clip) for clip in near if clip.actor in people and clip.view in views]
        self.neutral = _some([clip for clip in rows if clip.emotion == "neutral"], most, set())
        self.real = _some([clip for clip in rows if clip.emotion in emotions - {"neutral"}], most, words)
        strange = sorted({r.source.name for r in results if not r.person and r.source.resolve() not in self._known})
        self.remarks = [f"{name} is not in the data set: counted as a person of its own" for name in strange]

    def source(self, result: Result) -> ClipRow:
        """The source's clip. Who is in it: as the row says, else the data set, else nobody else's."""
        known = self._known.get(result.source.resolve())
        if known is not None:
            clip = _row(known)
            return replace(clip, person=result.person or clip.person)
        return ClipRow(result.source, "", result.person or result.source.stem, "", "")

    def block(self, result: Result) -> str:
        """Whether the emotion was taken from the source's own person."""
        known = self._known.get(result.reference.resolve()) if result.reference is not None else None
        return INTRA if known is not None and known.actor == self.source(result).person else CROSS


def _row(clip: Clip) -> ClipRow:
    # The same words seen from another side are no truth for a mouth.
    words = f"{clip.sentence_id} {clip.view}" if clip.sentence_id else ""
    return ClipRow(clip.path, clip.dataset, clip.actor, clip.emotion, clip.sentence_id, words, clip.sound)


def _some(clips: Iterable[ClipRow], most: int, words: set[tuple[str, str]]) -> list[ClipRow]:
    """At most so many clips of each person and emotion, spread over all there are, and those of the given words."""
    groups: dict[tuple[str, str], list[ClipRow]] = {}
    for clip in clips:
        groups.setdefault((clip.person, clip.emotion), []).append(clip)
    kept = []
    for group in groups.values():
        chosen = {k * len(group) // most for k in range(most)} if most else set(range(len(group)))
        kept += [c for k, c in enumerate(group) if k in chosen or (c.words and (c.person, c.words) in words)]
    return kept


@lru_cache(maxsize=32)
def _motion(path: Path) -> Any:
    return motion(frames_of(path))


def _judged(
    result: Result, data: _Data, targets: Targets, cells: Cells, sync: SyncEvaluator | None, faces: Faces | None
) -> Row:
    clip = data.source(result)
    facts: Row = {
        "method": result.method,
        "block": data.block(result),
        "person": clip.person,
        "emotion": result.emotion,
        "source": str(result.source),  # names alone repeat: MEAD has a 001.mp4 in every folder
        "reference": str(result.reference) if result.reference is not None else None,
        "output": result.output.name,
        "failed": None,
        "lag": result.lag or 0,
    }
    try:
        source = targets.store.file(result.source)
        output = targets.store.file(result.output, source.layout)
        facts["lag"] = _lag(result, source, output)
        row = judged_row(targets, clip, facts, source, output, result.output, sync)
    except (AssetError, Interrupted):
        raise
    except CdrlError as error:
        return {**facts, "failed": str(error), "measures": dict(MISS)}
    cells.add(row, result.source, output)
    if faces is not None:
        faces.add_source(clip.person, result.emotion, row["source"], frames_of(result.source), source)
        faces.add_edit(row, frames_of(result.output))
    return row


def _lag(result: Result, source: Observation, output: Observation) -> int:
    """Frames the output is behind its source. InputError where their counts differ by more than that."""
    ours, theirs = len(output.points), len(source.points)
    allowed = MAXIMUM_LAG if result.lag is AUTO else abs(result.lag)
    if abs(ours - theirs) > allowed:
        raise InputError(
            f"{result.output.name} has {ours} frames, its source {theirs}: more apart than a lag of {allowed} allows; "
            "give the source it was made of, or its lag"
        )
    if result.lag is not AUTO:
        return result.lag
    return estimate_lag(_motion(result.source), motion(frames_of(result.output)))
