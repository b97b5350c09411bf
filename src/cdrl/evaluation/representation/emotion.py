"""All that is measured of an emotion model, as rows of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.fer import FerImages
from cdrl.evaluation.representation import leakage
from cdrl.evaluation.representation.estimates import Bar, Row, missing
from cdrl.evaluation.representation.features import EmotionFeatures, EmotionModel
from cdrl.evaluation.representation.moments import REAL, SYNTHETIC, Moments
from cdrl.evaluation.representation.probes import KINDS, Kind
from cdrl.evaluation.representation.recognition import Recognition, recognise, recognise_fer

RECOGNISED = "emotion recognised, balanced over the seven"
VISEME_READ, RAW_VISEME = "viseme read from emotion", "viseme read from the raw image tower"
OPENING_READ, RAW_OPENING = "mouth's opening read from emotion", "mouth's opening read from the raw image tower"
EMOTION_READ = "emotion read from emotion"
CLIPS, FRAMES, PICTURES = "whole clips", "single frames", "single pictures"
FER = "FER, test split"

BARS = {(REAL, CLIPS): Bar("at least", 0.50), (FER, PICTURES): Bar("at least", 0.58)}
_CHANCE = 1 / 7


@dataclass(frozen=True)
class Tasks:
    """What probes are asked to read from the frames of a block that the emotion models saw."""

    emotion: leakage.Task
    viseme: leakage.Task
    opening: leakage.Task

    @classmethod
    def of(cls, moments: Moments, rows: NDArray[np.intp], seed: int) -> Tasks:
        """Of the rows that were seen."""
        return cls(
            leakage.emotion_task(moments, rows, seed),
            leakage.viseme_task(moments, rows, seed),
            leakage.opening_task(moments, rows, seed),
        )


def recognition_rows(
    name: str, moments: Moments, seen: EmotionFeatures
) -> tuple[list[Row], dict[tuple[str, str], Recognition]]:
    """How well the emotion of a block's labelled clips is recognised, clip by clip and frame by frame."""
    rows, found = [], {}
    for condition in (CLIPS, FRAMES):
        result = found[moments.block, condition] = recognise(moments, seen, condition == CLIPS)
        bar = BARS.get((moments.block, condition))
        rows.append(Row(name, RECOGNISED, moments.block, condition, result.found, bar, _CHANCE))
    return rows, found


def fer_row(
    name: str,
    model: EmotionModel,
    test: FerImages | None,
    advance: Callable[[int], None],
) -> tuple[Row, Recognition | None]:
    """How well the grey test pictures are recognised; an empty row where no file of them was given."""
    bar = BARS[FER, PICTURES]
    if test is None:
        return Row(name, RECOGNISED, FER, PICTURES, missing("no --fer file was given"), bar, _CHANCE), None
    found = recognise_fer(model, test, advance)
    return Row(name, RECOGNISED, FER, PICTURES, found.found, bar, _CHANCE), found


def leakage_rows(name: str, moments: Moments, tasks: Tasks, seen: EmotionFeatures, raw: bool, seed: int) -> list[Row]:
    """What probes read from the emotion representation; with `raw` also from the image tower beneath it."""
    place = np.full(len(moments), -1, np.intp)
    place[seen.rows] = np.arange(len(seen.rows))

    def rows_of(task: leakage.Task, measure: str, values: NDArray[np.float32], bars: Mapping[Kind, Bar]) -> list[Row]:
        chosen = values[place[task.rows]]
        return [
            Row(name, measure, moments.block, kind, leakage.read(task, chosen, kind, seed), bars.get(kind), task.chance)
            for kind in KINDS
        ]

    rows = rows_of(tasks.emotion, EMOTION_READ, seen.features, {}) if not tasks.emotion.reason else []
    if moments.block == SYNTHETIC:
        task, measure, below = tasks.viseme, VISEME_READ, RAW_VISEME
        allowed = dict.fromkeys(KINDS, Bar("at most", task.chance + leakage.MARGIN))
        needed = dict.fromkeys(KINDS, Bar("at least", task.chance + leakage.GAIN))
    else:
        # No truth is known of real mouths; thirds of the opening are shown, and no bar is laid on them.
        task, measure, below, allowed, needed = tasks.opening, OPENING_READ, RAW_OPENING, {}, {}
    rows += rows_of(task, measure, seen.features, allowed)
    return rows + (rows_of(task, below, seen.tower, needed) if raw else [])
