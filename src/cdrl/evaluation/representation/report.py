"""The report: from prepared clips and checkpoints to a table with a verdict a line, as text, Markdown and JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
from rich.table import Table

from cdrl.datasets.fer import FerImages
from cdrl.datasets.prepared import PreparedDataset
from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError
from cdrl.evaluation.estimates import Measurement, Threshold, missing
from cdrl.evaluation.representation import content, emotion
from cdrl.evaluation.representation.features import (
    FIXED,
    OWN,
    SHUFFLED,
    SILENT,
    Progress,
    choose_fixed_sound,
    compute_content_features,
    compute_emotion_features,
)
from cdrl.evaluation.representation.frame_index import REAL, SYNTHETIC, TUNED, FrameIndex, index_blocks, name_person
from cdrl.evaluation.representation.leakage import KINDS, MARGIN
from cdrl.representations.content import ContentModel
from cdrl.representations.emotion import EmotionModel

Step = Callable[[str, int], Progress]
"""Begins a step of a name and a number of things to do; returns what to call with the number that is done."""
Blocks = Mapping[str, FrameIndex]
Key = tuple[str, str, str]
"""Measure, people and condition."""

MODELS = ("content", "emotion")
"""The names of what is measured; every other name is an ablation's."""
HEADINGS = ("measure", "people", "with", "value", "95 % interval, over", "n", "threshold", "verdict")
_ANY = "any sound, or none"
_COMPARED = (
    (content.SAME, SYNTHETIC, OWN),
    (content.OTHER, SYNTHETIC, OWN),
    *((content.RETRIEVAL, SYNTHETIC, sound) for sound in (OWN, FIXED, SHUFFLED, SILENT)),
    *((content.EMOTION_READ, SYNTHETIC, f"{kind}, {OWN}") for kind in KINDS),
    (emotion.RECOGNIZED, REAL, emotion.CLIPS),
    (emotion.RECOGNIZED, emotion.FER, emotion.PICTURES),
    (emotion.RECOGNIZED, SYNTHETIC, emotion.CLIPS),
    *((emotion.VISEME_READ, SYNTHETIC, kind) for kind in KINDS),
)
"""What ablations are compared by, beside retrieval on each real data set."""


@dataclass(frozen=True)
class ReportSettings:
    """How much is looked at."""

    frames: int = 75
    """Frames of each clip."""
    moments: int = 4000
    """Frames of each block, about."""
    every: int = 2
    """Emotion models see each clip's every second frame, or whatever this says."""
    seed: int = 0
    """Seed of all draws."""


@dataclass
class Results:
    """What has been measured so far, and in the end the report."""

    rows: list[Measurement] = field(default_factory=list)
    """Measurements of the models and of their ablations."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else the JSON file holds."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Further tables of texts in the Markdown file, by their titles."""
    compared: tuple[Key, ...] = ()
    """What ablations are compared by."""

    @property
    def shipped(self) -> list[Measurement]:
        """The rows of what is measured, without ablations."""
        return [row for row in self.rows if row.model in MODELS]

    def verdicts(self) -> dict[str, int]:
        """Count the thresholds that were passed, failed, and could not be measured."""
        verdicts = [row.verdict for row in self.shipped]
        return {name: verdicts.count(name) for name in ("pass", "fail", "not measured")}

    def to_json(self) -> dict[str, Any]:
        """Return everything."""
        return {
            "verdicts": self.verdicts(),
            "rows": [row.to_json() for row in self.shipped],
            "ablations": [row.to_json() for row in self.rows if row.model not in MODELS],
            **self.details,
        }

    def ablations(self) -> pd.DataFrame:
        """Compare the ablations: a measure a line, a model a column; no line where there are no ablations."""
        rows: dict[Key, dict[str, Measurement]] = {key: {} for key in self.compared}
        for row in self.rows:
            rows.setdefault(row.key, {})["shipped" if row.model in MODELS else row.model] = row
        names = list(dict.fromkeys(row.model for row in self.rows if row.model not in MODELS))
        lines = []
        for measure, people, condition in self.compared:
            found = rows[measure, people, condition]
            if found.keys() - {"shipped"}:
                values = {name: format_number(row.estimate.value) for name, row in found.items()}
                asked = str(found["shipped"].threshold or "") if "shipped" in found else ""
                lines.append({"measure": measure, "people": people, "with": condition, **values, "threshold": asked})
        return pd.DataFrame(lines, columns=["measure", "people", "with", "shipped", *names, "threshold"]).fillna("")

    def table(self) -> pd.DataFrame:
        """Tabulate the rows of what is measured as `HEADINGS`, every cell as text."""
        lines = [[*row.key, *_describe(row), str(row.threshold or ""), row.verdict] for row in self.shipped]
        return pd.DataFrame(lines, columns=list(HEADINGS))


def _describe(row: Measurement) -> tuple[str, str, str]:
    """Value, interval and count."""
    estimate = row.estimate
    if estimate.value is None:
        return "–", estimate.reason, ""
    chance = f" (chance {format_number(row.chance)})" if row.chance is not None else ""
    low, high = format_number(estimate.low), format_number(estimate.high)
    interval = f"[{low}, {high}] {estimate.unit}" if estimate.low is not None else "–"
    return format_number(estimate.value) + chance, interval, f"{estimate.count} of {len(estimate.people)}"


def format_number(value: float | None) -> str:
    """Write a number with three decimals; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def screen_tables(results: Results) -> list[Table]:
    """Return the tables for the terminal: the measures, and the ablations where there are any."""
    styles = {"pass": "green", "fail": "red", "not measured": "yellow", "": "dim"}
    tables = {"The representations, on people they never saw": results.table(), "Ablations": results.ablations()}
    shown = []
    for title, frame in tables.items():
        if len(frame):
            table = Table(*frame.columns, title=title, title_justify="left")
            for cells in frame.itertuples(index=False):
                table.add_row(*cells, style=styles[cells[-1]] if "verdict" in frame else None)
            shown.append(table)
    return shown


def write_markdown(results: Results) -> str:
    """Write the report as Markdown: the verdicts, every row, ablations, and further tables."""
    verdicts = ", ".join(f"{count} {name}" for name, count in results.verdicts().items())
    text = ["# The representations, on people they never saw", "", f"Thresholds: {verdicts}.", ""]
    text += [f"- {name}: {value}" for name, value in results.details.get("data", {}).items()]
    text += ["", *_write_table(results.table())]
    for title, frame in {"Ablations": results.ablations(), **results.tables}.items():
        if len(frame):
            text += [f"## {title}", "", *_write_table(frame)]
    return "\n".join(text).rstrip() + "\n"


def _write_table(frame: pd.DataFrame) -> list[str]:
    rows = [frame.columns, *frame.itertuples(index=False)]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(frame.columns), *lines[1:], ""]


def build_report(
    prepared: PreparedDataset,
    content_models: Mapping[str, ContentModel],
    emotion_models: Mapping[str, EmotionModel],
    settings: ReportSettings,
    step: Step,
    fer: FerImages | None = None,
) -> Results:
    """Measure models by name: "content" and "emotion" are what is measured, the others are ablations of them.

    Args:
        prepared: The data.
        content_models: Content models by name.
        emotion_models: Emotion models by name.
        settings: How much is looked at.
        step: Shows progress.
        fer: FER-2013 images whose emotion is recognized, too.

    Raises:
        UsageError: No person in the data may be measured.
        InputError: A content model was trained on other speech features than the data hold.
    """
    began = time.monotonic()
    check_speech(content_models, prepared)
    blocks = index_blocks(prepared.clips, settings.frames, settings.moments, settings.seed)
    results = Results(details={"data": describe_data(prepared, blocks), "settings": asdict(settings)})
    if content_models:
        _measure_content(content_models, blocks, settings, step, results)
    if emotion_models:
        _measure_emotion(emotion_models, blocks, settings, step, results, fer)
    models = [name for name in MODELS if name in {*content_models, *emotion_models}]
    results.rows += _list_missing(results.rows, blocks, models)
    by_dataset = [row for row in results.shipped if row.people.startswith(f"{REAL}:")]
    asked = (row.key for row in by_dataset if row.threshold == content.ABOVE_CHANCE)
    results.compared = (*_COMPARED, *asked)
    results.details["seconds"] = round(time.monotonic() - began, 1)
    return results


def check_speech(models: Mapping[str, ContentModel], prepared: PreparedDataset) -> None:
    """Raise InputError where a model was trained on other speech features than the data hold."""
    for name, model in models.items():
        if model.config.audio and model.config.speech != prepared.speech:
            raise InputError(
                f"the checkpoint {name!r} hears {model.config.speech}, but the data hold {prepared.speech}: prepare "
                "the data again with its --speech, or take another checkpoint"
            )


def describe_data(prepared: PreparedDataset, blocks: Blocks) -> dict[str, str]:
    """Describe who and how much is looked at."""
    facts = {"digest of the prepared data": prepared.digest, "speech features": prepared.speech}
    for name, index in blocks.items():
        people = sorted({name_person(clip) for clip in index.clips})
        silent = sum(clip.speech is None for clip in index.clips)
        facts[name] = (
            f"{len(people)} people ({', '.join(people[:12])}{', ...' if len(people) > 12 else ''}), "
            f"{len(index.clips)} clips, {silent} of them without sound, {len(index)} moments"
        )
    return facts


def _measure_content(
    models: Mapping[str, ContentModel], blocks: Blocks, settings: ReportSettings, step: Step, results: Results
) -> None:
    fixed, seed = choose_fixed_sound(blocks), settings.seed
    details: dict[str, Any] = {}
    for block, index in blocks.items():
        features = compute_content_features(models, index, fixed, step(f"content, {block}", len(index)), seed)
        advance = step(f"content measures, {block}", len(models) + 1)
        pairs = content.TestPairs.draw(index, seed)
        details[block] = pairs.to_json()
        advance(1)
        for name in models:
            results.rows += content.measure_similarity(name, index, pairs, features[name])
            if block != TUNED:
                results.rows += content.measure_leakage(name, index, pairs, features[name], name in MODELS, seed)
            advance(1)
    results.details["content"] = details


def _measure_emotion(
    models: Mapping[str, EmotionModel],
    blocks: Blocks,
    settings: ReportSettings,
    step: Step,
    results: Results,
    fer: FerImages | None,
) -> None:
    recognized: dict[str, emotion.Recognition] = {}

    def add(name: str, people: str, condition: str, found: emotion.Recognition) -> None:
        threshold = emotion.THRESHOLDS.get((people, condition))
        measured = Measurement(name, emotion.RECOGNIZED, people, condition, found.estimate, threshold, emotion.CHANCE)
        results.rows.append(measured)
        if name in MODELS and found.confusion.any():
            recognized[f"{people}, {condition}"] = found

    for block, index in blocks.items():
        frames = len(index) // settings.every
        features = compute_emotion_features(models, index, settings.every, step(f"emotion, {block}", frames))
        advance = step(f"emotion measures, {block}", len(models))
        for name, seen in features.items():
            for condition in (emotion.CLIPS, emotion.FRAMES):
                add(name, block, condition, emotion.recognize(index, seen, condition == emotion.CLIPS))
            if block != TUNED:
                results.rows += emotion.measure_leakage(name, index, seen, name in MODELS, settings.seed)
            advance(1)
    for name, model in models.items():
        found = emotion.Recognition(missing("no --fer file was given"))
        if fer is not None:
            found = emotion.recognize_fer(model, fer, step(f"FER, {name}", len(fer.images)))
        add(name, emotion.FER, emotion.PICTURES, found)
    recall = {name: found.recall for name, found in recognized.items()}
    confusion = {name: found.confusion.tolist() for name, found in recognized.items()}
    results.details |= {"confusion": confusion, "recall": recall}
    table = pd.DataFrame.from_dict(recall, orient="index", columns=list(EMOTIONS)).map(format_number)
    results.tables["Share recognized of each emotion"] = table.reset_index(names="")


def _list_missing(rows: Sequence[Measurement], blocks: Blocks, models: Sequence[str]) -> Iterator[Measurement]:
    """Yield an empty row, with the reason, for everything that must be shown and could not be measured."""
    there = {(row.model, row.measure, row.people.split(":")[0], row.condition) for row in rows}
    there |= {(*key[:3], _ANY) for key in there}
    for model, measure, people, condition, threshold in _list_required():
        if model in models and (model, measure, people, condition) not in there:
            reason = f"no clip of {people} people of the test split in the data"
            if people in blocks:
                reason = "the clips do not allow it: sound, or the same words in several emotions, are missing"
            yield Measurement(model, measure, people, condition, missing(reason), threshold)


def _list_required() -> Iterator[tuple[str, str, str, str, Threshold]]:
    """Yield model, measure, people, condition and threshold of what must be shown."""
    limit = Threshold("at most", emotion.CHANCE + MARGIN)
    for (measure, sound), threshold in content.THRESHOLDS.items():
        yield "content", measure, SYNTHETIC, sound, threshold
    for kind in KINDS:
        yield "content", content.EMOTION_READ, SYNTHETIC, f"{kind}, {OWN}", limit
        yield "emotion", emotion.VISEME_READ, SYNTHETIC, kind, limit
    yield "content", content.RETRIEVAL, REAL, _ANY, content.ABOVE_CHANCE
    yield "emotion", emotion.RECOGNIZED, REAL, emotion.CLIPS, emotion.THRESHOLDS[REAL, emotion.CLIPS]
