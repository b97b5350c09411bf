"""What is measured of an emotion model, as rows of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.estimates import Measurement, Threshold
from cdrl.evaluation.representation import leakage
from cdrl.evaluation.representation.features import EmotionFeatures
from cdrl.evaluation.representation.frame_index import REAL, SYNTHETIC, FrameIndex, Ints
from cdrl.evaluation.representation.probes import KINDS, Kind

RECOGNIZED = "emotion recognized, balanced over the seven"
VISEME_READ, RAW_VISEME = "viseme read from emotion", "viseme read from the raw image tower"
OPENING_READ, RAW_OPENING = "mouth's opening read from emotion", "mouth's opening read from the raw image tower"
EMOTION_READ = "emotion read from emotion"
CLIPS, FRAMES, PICTURES = "whole clips", "single frames", "single pictures"
FER = "FER, test split"

THRESHOLDS = {(REAL, CLIPS): Threshold("at least", 0.50), (FER, PICTURES): Threshold("at least", 0.58)}
CHANCE = 1 / 7


@dataclass(frozen=True)
class ProbeTasks:
    """What probes read from the frames of a block that the emotion models saw."""

    emotion: leakage.ProbeTask
    """The emotion."""
    viseme: leakage.ProbeTask
    """The viseme, of synthetic people."""
    opening: leakage.ProbeTask
    """The mouth's opening in thirds."""

    @classmethod
    def draw(cls, index: FrameIndex, rows: Ints, seed: int) -> ProbeTasks:
        """Draw the tasks from rows that the models saw."""
        return cls(
            leakage.make_emotion_task(index, rows, seed),
            leakage.make_viseme_task(index, rows, seed),
            leakage.make_opening_task(index, rows, seed),
        )


def measure_leakage(
    name: str, index: FrameIndex, tasks: ProbeTasks, features: EmotionFeatures, raw: bool, seed: int
) -> Iterator[Measurement]:
    """Measure what probes read from the emotion representation; with `raw` also from the image tower beneath it."""
    place = np.full(len(index), -1, np.intp)
    place[features.rows] = np.arange(len(features.rows))

    def probe(
        task: leakage.ProbeTask, measure: str, values: NDArray[np.float32], thresholds: Mapping[Kind, Threshold]
    ) -> Iterator[Measurement]:
        for kind in KINDS:
            accuracy = leakage.probe_accuracy(task, values[place[task.rows]], kind, seed)
            yield Measurement(name, measure, index.block, kind, accuracy, thresholds.get(kind), task.chance)

    if not tasks.emotion.reason:
        yield from probe(tasks.emotion, EMOTION_READ, features.features, {})
    if index.block == SYNTHETIC:
        task, measure, below = tasks.viseme, VISEME_READ, RAW_VISEME
        limit = dict.fromkeys(KINDS, Threshold("at most", task.chance + leakage.MARGIN))
        needed = dict.fromkeys(KINDS, Threshold("at least", task.chance + leakage.GAIN))
    else:
        # No truth is known of real mouths; thirds of the opening are shown, without a threshold.
        task, measure, below, limit, needed = tasks.opening, OPENING_READ, RAW_OPENING, {}, {}
    yield from probe(task, measure, features.features, limit)
    if raw:
        yield from probe(task, below, features.tower, needed)
