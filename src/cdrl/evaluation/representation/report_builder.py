"""Builds the report: from prepared clips and checkpoints to its rows, block by block."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from cdrl.datasets.fer import FerImages
from cdrl.datasets.prepared import PreparedDataset
from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError
from cdrl.evaluation.estimates import Measurement, Threshold, missing
from cdrl.evaluation.representation import content, emotion, leakage
from cdrl.evaluation.representation.features import (
    FIXED,
    OWN,
    SHUFFLED,
    SILENT,
    EmotionClassifier,
    choose_fixed_sound,
    compute_content_features,
    compute_emotion_features,
)
from cdrl.evaluation.representation.frame_index import REAL, SYNTHETIC, TUNED, FrameIndex, index_blocks, name_person
from cdrl.evaluation.representation.probes import KINDS
from cdrl.evaluation.representation.recognition import Recognition, recognize, recognize_fer
from cdrl.evaluation.representation.report import MODELS, Results, format_number
from cdrl.representations.content import ContentModel

Step = Callable[[str, int], Callable[[int], None]]
"""Begins a step of a name and a number of things to do; returns what to call with the number that is done."""

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
_ANY = "any sound, or none"
_NO_FER = Recognition(missing("no --fer file was given"), np.zeros((7, 7), np.int64))


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


def build_report(
    prepared: PreparedDataset,
    content_models: Mapping[str, ContentModel],
    emotion_models: Mapping[str, EmotionClassifier],
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
    real = (
        row for row in results.shipped if row.threshold == content.ABOVE_CHANCE and row.people.startswith(f"{REAL}:")
    )
    results.compared = (*_COMPARED, *(row.key for row in real))
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


def describe_data(prepared: PreparedDataset, blocks: Mapping[str, FrameIndex]) -> dict[str, str]:
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
    models: Mapping[str, ContentModel],
    blocks: Mapping[str, FrameIndex],
    settings: ReportSettings,
    step: Step,
    results: Results,
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
    models: Mapping[str, EmotionClassifier],
    blocks: Mapping[str, FrameIndex],
    settings: ReportSettings,
    step: Step,
    results: Results,
    fer: FerImages | None,
) -> None:
    recognized: dict[str, Recognition] = {}

    def add(name: str, people: str, condition: str, found: Recognition) -> None:
        threshold = emotion.THRESHOLDS.get((people, condition))
        measured = Measurement(name, emotion.RECOGNIZED, people, condition, found.estimate, threshold, emotion.CHANCE)
        results.rows.append(measured)
        if name in MODELS and found.confusion.any():
            recognized[f"{people}, {condition}"] = found

    for block, index in blocks.items():
        frames = len(index) // settings.every
        features = compute_emotion_features(models, index, settings.every, step(f"emotion, {block}", frames))
        advance = step(f"emotion measures, {block}", len(models))
        tasks = emotion.ProbeTasks.draw(index, next(iter(features.values())).rows, settings.seed)
        for name, seen in features.items():
            for condition in (emotion.CLIPS, emotion.FRAMES):
                add(name, block, condition, recognize(index, seen, condition == emotion.CLIPS))
            if block != TUNED:
                results.rows += emotion.measure_leakage(name, index, tasks, seen, name in MODELS, settings.seed)
            advance(1)
    for name, model in models.items():
        found = _NO_FER if fer is None else recognize_fer(model, fer, step(f"FER, {name}", len(fer.images)))
        add(name, emotion.FER, emotion.PICTURES, found)
    recall = {name: found.recall for name, found in recognized.items()}
    results.details |= {
        "confusion": {name: found.confusion.tolist() for name, found in recognized.items()},
        "recall": recall,
    }
    table = pd.DataFrame.from_dict(recall, orient="index", columns=list(EMOTIONS)).map(format_number)
    results.tables["Share recognized of each emotion"] = table.reset_index(names="")


def _list_missing(
    rows: Sequence[Measurement], blocks: Mapping[str, FrameIndex], models: Sequence[str]
) -> Iterator[Measurement]:
    """Yield an empty row, with the reason, for everything that must be shown and could not be measured."""
    there = {(row.model, row.measure, row.people.split(":")[0], row.condition) for row in rows}
    there |= {(*key[:3], _ANY) for key in there}
    for model, measure, people, condition, threshold in _list_required():
        if model in models and (model, measure, people, condition) not in there:
            reason = (
                "the clips do not allow it: sound, or the same words in several emotions, are missing"
                if people in blocks
                else f"no clip of {people} people of the test split in the data"
            )
            yield Measurement(model, measure, people, condition, missing(reason), threshold)


def _list_required() -> Iterator[tuple[str, str, str, str, Threshold]]:
    """Yield model, measure, people, condition and threshold of what must be shown."""
    limit = Threshold("at most", emotion.CHANCE + leakage.MARGIN)
    for (measure, sound), threshold in content.THRESHOLDS.items():
        yield "content", measure, SYNTHETIC, sound, threshold
    for kind in KINDS:
        yield "content", content.EMOTION_READ, SYNTHETIC, f"{kind}, {OWN}", limit
        yield "emotion", emotion.VISEME_READ, SYNTHETIC, kind, limit
    yield "content", content.RETRIEVAL, REAL, _ANY, content.ABOVE_CHANCE
    yield "emotion", emotion.RECOGNIZED, REAL, emotion.CLIPS, emotion.THRESHOLDS[REAL, emotion.CLIPS]
