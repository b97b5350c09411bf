"""The whole judgement: from prepared clips and checkpoints to the report, block by block."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cdrl.datasets.fer import FerImages
from cdrl.datasets.prepared import PreparedDataset
from cdrl.errors import InputError
from cdrl.evaluation.representation import (
    closing,
    content,
    emotion,
    gradient,
    leakage,
    pictures,
    retrieval,
    sentences,
)
from cdrl.evaluation.representation.content import Questions
from cdrl.evaluation.representation.estimates import Bar, Estimate, Row, missing
from cdrl.evaluation.representation.features import (
    OWN,
    SILENT,
    ContentFeatures,
    EmotionModel,
    content_features,
    emotion_features,
    one_sound,
)
from cdrl.evaluation.representation.moments import REAL, SYNTHETIC, TUNED, Moments, judged, person_of
from cdrl.evaluation.representation.pictures import Picture
from cdrl.evaluation.representation.probes import KINDS
from cdrl.evaluation.representation.recognition import Recognition
from cdrl.evaluation.representation.report import MODELS, Report
from cdrl.representations.content import ContentModel

Step = Callable[[str, int], Callable[[int], None]]
"""Begins a step of a name and a number of things to do; returns what to call with the number that is done."""


@dataclass(frozen=True)
class Settings:
    """How much is looked at. `frames`: of each clip. `moments`: of each block, about. `every`: of the frames, which the
    emotion models see. `gradient`: frames whose mouth a gradient opens or shuts. `seed` of all draws."""

    frames: int = 75
    moments: int = 4000
    every: int = 2
    gradient: int = 32
    seed: int = 0


@dataclass
class Findings:
    """What has been found so far."""

    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)

    def show(self, name: str, picture: Picture | None) -> None:
        """Keep a picture, where there is one."""
        if picture is not None:
            self.pictures[name] = picture


def judge(
    prepared: PreparedDataset,
    content_models: Mapping[str, ContentModel],
    emotion_models: Mapping[str, EmotionModel],
    settings: Settings,
    step: Step,
    fer: FerImages | None = None,
) -> Report:
    """Judge models by name: "content" and "emotion" are what is judged, the others are ablations of them.

    Raises UsageError where nobody in the data may be judged, InputError where a content model was trained on other
    speech features than the data hold.
    """
    began = time.monotonic()
    _check_speech(content_models, prepared)
    blocks = judged(prepared.clips, settings.frames, settings.moments, settings.seed)
    found = Findings()
    found.details |= {"data": _data(prepared, blocks), "settings": vars(settings)}
    if content_models:
        _judge_content(content_models, blocks, settings, step, found)
    if emotion_models:
        _judge_emotion(emotion_models, blocks, settings, step, found, fer)
    found.rows += _absent(found.rows, blocks, [name for name in MODELS if name in {*content_models, *emotion_models}])
    found.details["seconds"] = round(time.monotonic() - began, 1)
    return Report(tuple(found.rows), found.details, found.pictures)


def _check_speech(models: Mapping[str, ContentModel], prepared: PreparedDataset) -> None:
    for name, model in models.items():
        if model.config.audio and model.config.speech != prepared.speech:
            raise InputError(
                f"the checkpoint {name!r} hears {model.config.speech}, but the data hold {prepared.speech}: prepare "
                "the data again with its --speech, or take another checkpoint"
            )


def _data(prepared: PreparedDataset, blocks: Mapping[str, Moments]) -> dict[str, Any]:
    """Who and how much was looked at."""
    facts: dict[str, Any] = {"digest of the prepared data": prepared.digest, "speech features": prepared.speech}
    for name, moments in blocks.items():
        people = sorted({person_of(clip) for clip in moments.clips})
        silent = sum(clip.speech is None for clip in moments.clips)
        facts[name] = (
            f"{len(people)} people ({', '.join(people[:12])}{', ...' if len(people) > 12 else ''}), "
            f"{len(moments.clips)} clips, {silent} of them without sound, {len(moments)} moments"
        )
    return facts


def _judge_content(
    models: Mapping[str, ContentModel], blocks: Mapping[str, Moments], settings: Settings, step: Step, found: Findings
) -> None:
    fixed = one_sound(blocks)
    offsets = sorted({offset for model in models.values() for offset in model.config.offsets})
    found.details["content"] = {}
    for block, moments in blocks.items():
        seen = content_features(models, moments, fixed, step(f"content, {block}", len(moments)), settings.seed)
        done = step(f"content measures, {block}", len(models) + 2)
        asked = Questions.of(moments, offsets, settings.seed)
        details: dict[str, Any] = asked.to_json()
        closed, openings = content.closing_rows(models, moments, asked)
        found.rows += closed
        details |= openings
        done(1)
        for name in models:
            found.rows += content.similarity_rows(name, moments, asked, seen[name])
            found.rows += _attention(name, moments, seen[name], found, details)
            if block != TUNED:
                found.rows += content.leakage_rows(name, moments, asked, seen[name], name in MODELS, settings.seed)
            done(1)
        if "content" in models and block != TUNED:
            model = models["content"]
            paths = gradient.follow(model, moments, gradient.starts(moments, settings.gradient))
            found.rows += content.gradient_rows("content", moments, paths)
            details["gradient"] = gradient.summary(paths)
            found.show(f"gradient_{block}", pictures.gradient_paths(moments, paths))
            found.show(f"retrieval_{block}", pictures.retrieval_strips(moments, asked.queries, seen["content"]))
            found.show(f"lips_shut_{block}", _shut_picture(model, moments, asked.shut))
        done(1)
        found.details["content"][block] = details


def _attention(
    name: str, moments: Moments, seen: ContentFeatures, found: Findings, details: dict[str, Any]
) -> list[Row]:
    """The rows of attention; the map and its picture are kept of what is judged."""
    rows, maps = content.attention_rows(name, moments, seen)
    if name in MODELS:
        details["mean attention"] = {condition: got.mean_map.round(6).tolist() for condition, got in maps.items()}
        talking = np.flatnonzero(moments.speaking)
        found.show(f"attention_{moments.block}", pictures.attention_maps(moments, maps, talking))
    return rows


def _shut_picture(model: ContentModel, moments: Moments, pairs: Sequence[closing.ShutPair]) -> Picture | None:
    if not pairs:
        return None
    lost = closing.drops({"content": model}, moments, pairs)["content"]
    condition = OWN if OWN in lost and np.isfinite(lost[OWN][0]).any() else SILENT
    closed, control = lost[condition]
    falls = {k: (float(closed[k]), float(control[k])) for k in range(len(pairs)) if np.isfinite(closed[k])}
    return pictures.shut_lips(moments, pairs, falls)


def _judge_emotion(
    models: Mapping[str, EmotionModel],
    blocks: Mapping[str, Moments],
    settings: Settings,
    step: Step,
    found: Findings,
    fer: FerImages | None,
) -> None:
    confusions: dict[tuple[str, str], Recognition] = {}
    for block, moments in blocks.items():
        frames = sum(-(-len(moments.rows(number)) // settings.every) for number in range(len(moments.clips)))
        seen = emotion_features(models, moments, settings.every, step(f"emotion, {block}", frames))
        done = step(f"emotion measures, {block}", len(models))
        tasks = emotion.Tasks.of(moments, next(iter(seen.values())).rows, settings.seed)
        for name in models:
            rows, recognised = emotion.recognition_rows(name, moments, seen[name])
            found.rows += rows
            if name in MODELS:
                confusions |= recognised
            if block != TUNED:
                found.rows += emotion.leakage_rows(name, moments, tasks, seen[name], name in MODELS, settings.seed)
            done(1)
    for name, model in models.items():
        row, result = emotion.fer_row(name, model, fer, step(f"FER, {name}", len(fer.images) if fer else 0))
        found.rows.append(row)
        if result is not None and name in MODELS:
            confusions[emotion.FER, emotion.PICTURES] = result
    _keep_confusions(confusions, found)
    if "emotion" in models:
        found.details["sentences"] = table = sentences.nearest_classes(models["emotion"])
        share = Estimate(sentences.right(table) / len(table), count=len(table))
        found.rows.append(Row("emotion", sentences.MEASURE, "sentences", "nearest class", share, None, 1 / 7))


def _keep_confusions(confusions: Mapping[tuple[str, str], Recognition], found: Findings) -> None:
    shown = {f"{people}, {condition}": got for (people, condition), got in confusions.items() if got.confusion.any()}
    found.details["confusion"] = {name: got.confusion.tolist() for name, got in shown.items()}
    found.details["recall"] = {name: got.recall for name, got in shown.items()}
    for name, got in shown.items():
        if "frames" not in name:
            short = name.split(", ")[0].replace(" ", "_").lower()
            title = f"{name}: balanced accuracy {got.found.value:.2f}"
            found.pictures[f"confusion_{short}"] = pictures.confusion(got.confusion, title)


def _absent(rows: Sequence[Row], blocks: Mapping[str, Moments], models: Sequence[str]) -> list[Row]:
    """An empty row, with the reason, for everything that must be shown and could not be measured."""
    there = {(row.model, row.measure, row.people.split(":")[0], row.condition) for row in rows}
    there |= {(*key[:3], _ANY) for key in there}
    found = []
    for model, measure, people, condition, bar in _expected():
        if model in models and (model, measure, people, condition) not in there:
            reason = (
                "the clips do not allow it: sound, or the same words in several emotions, are missing"
                if people in blocks
                else f"no clip of {people} people of the part test in the data"
            )
            found.append(Row(model, measure, people, condition, missing(reason), bar))
    return found


def _expected() -> list[tuple[str, str, str, str, Bar]]:
    """Model, measure, people, condition and bar of what must be shown."""
    allowed = Bar("at most", 1 / 7 + leakage.MARGIN)
    wanted = [("content", measure, SYNTHETIC, sound, bar) for (measure, sound), bar in content.BARS.items()]
    wanted += [("content", content.EMOTION_READ, SYNTHETIC, f"{kind}, {OWN}", allowed) for kind in KINDS]
    wanted += [("content", content.RETRIEVAL, REAL, _ANY, Bar("interval above", 1 / retrieval.CANDIDATES))]
    wanted += [("emotion", emotion.VISEME_READ, SYNTHETIC, kind, allowed) for kind in KINDS]
    return wanted + [("emotion", emotion.RECOGNISED, REAL, emotion.CLIPS, emotion.BARS[REAL, emotion.CLIPS])]


_ANY = "any sound, or none"
