"""What is measured of an emotion model, as rows of the report: the emotion recognized, and the mouth that leaks.

Emotion is recognized of people not trained on: of clips, single frames, and FER-2013 images. A clip's class is that of
the mean of its frames' logits. The number is balanced accuracy: the mean over the emotions of the share of their clips
that is recognized, so that a frequent emotion counts no more than a rare one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cdrl.datasets.fer import FerImages, read_fer
from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError
from cdrl.evaluation.estimates import (
    UNKNOWN,
    Estimate,
    Measurement,
    Threshold,
    accuracy_estimate,
    count_confusions,
    missing,
)
from cdrl.evaluation.representation import leakage
from cdrl.evaluation.representation.features import BATCH, EmotionFeatures, Progress, represent_emotion
from cdrl.evaluation.representation.frame_index import REAL, SYNTHETIC, FrameIndex
from cdrl.representations.emotion import EmotionModel
from cdrl.representations.encoders import images_to_tensor

RECOGNIZED = "emotion recognized, balanced over the seven"
VISEME_READ, RAW_VISEME = "viseme read from emotion", "viseme read from the raw image tower"
OPENING_READ, RAW_OPENING = "mouth's opening read from emotion", "mouth's opening read from the raw image tower"
EMOTION_READ = "emotion read from emotion"
CLIPS, FRAMES, PICTURES = "whole clips", "single frames", "single pictures"
FER = "FER, test split"

THRESHOLDS = {(REAL, CLIPS): Threshold("at least", 0.50), (FER, PICTURES): Threshold("at least", 0.58)}
CHANCE = 1 / 7
_CROP = 224


@dataclass(frozen=True)
class Recognition:
    """How well emotions are recognized."""

    estimate: Estimate
    """Balanced accuracy."""
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((7, 7), np.int64))
    """Counts [7, 7], true emotion by row, in the order of `EMOTIONS`."""

    @classmethod
    def from_cases(cls, cases: pd.DataFrame, what: str) -> Recognition:
        """Count cases: columns `person`, `clip` (or another `what`), `label` and `predicted`."""
        whole = count_confusions(cases, np.zeros(len(cases), np.intp), len(EMOTIONS))[0]
        return cls(accuracy_estimate(cases, len(EMOTIONS), what), whole)

    @property
    def recall(self) -> dict[str, float | None]:
        """Share recognized of each emotion; None where none was shown."""
        cases = self.confusion.sum(1)
        return {name: float(self.confusion[k, k] / cases[k]) if cases[k] else None for k, name in enumerate(EMOTIONS)}


def recognize(index: FrameIndex, features: EmotionFeatures, whole_clips: bool) -> Recognition:
    """Recognize the emotion of a block's labeled clips, clip by clip or frame by frame."""
    rows, logits = features.rows, features.logits
    if whole_clips:
        numbers, first = np.unique(index.clip[rows], return_index=True)
        logits = np.stack([logits[index.clip[rows] == number].mean(0) for number in numbers])
        rows = rows[first]
    cases = index.table(rows, label=leakage.label_emotions(index)[index.clip[rows]], predicted=logits.argmax(1))
    labeled = cases[cases["label"] >= 0]
    if labeled.empty:
        return Recognition(missing("no clip of them is labeled with one of the seven emotions"))
    return Recognition.from_cases(labeled, "clips")


def read_fer_test(path: Path) -> FerImages:
    """Read the test split of a file of FER-2013 images.

    Raises:
        InputError: There is no such split, or what `read_fer` raises.
    """
    test = read_fer(path).select("test")
    if not len(test.images):
        raise InputError(f"{path}: holds no FER test images (split: test)")
    return test


@torch.inference_mode()
def recognize_fer(model: EmotionModel, faces: FerImages, advance: Progress) -> Recognition:
    """Recognize the emotion of gray faces [h, w], enlarged to the size of a crop, in RGB."""
    predicted: list[int] = []
    for start in range(0, len(faces.images), BATCH):
        small = faces.images[start : start + BATCH]
        gray = np.stack([cv2.resize(image, (_CROP, _CROP), interpolation=cv2.INTER_CUBIC) for image in small])
        images = np.repeat(gray[..., None], 3, axis=3)
        predicted += represent_emotion(model, images_to_tensor(images))[2].argmax(1).tolist()
        advance(len(images))
    columns = {"clip": range(len(predicted)), "label": faces.emotion, "predicted": predicted}
    return Recognition.from_cases(pd.DataFrame({"person": UNKNOWN, **columns}), "pictures")


def measure_leakage(
    name: str, index: FrameIndex, features: EmotionFeatures, raw: bool, seed: int
) -> Iterator[Measurement]:
    """Measure what probes read from the emotion representation; with `raw` also from the image tower beneath it.

    Of synthetic people the viseme is read. No truth is known of real mouths; thirds of the opening are shown, without a
    threshold.
    """
    seen, synthetic = features.rows, index.block == SYNTHETIC
    place = np.full(len(index), -1, np.intp)
    place[seen] = np.arange(len(seen))
    emotions = leakage.make_emotion_task(index, seen, seed)
    mouths = (leakage.make_viseme_task if synthetic else leakage.make_opening_task)(index, seen, seed)
    limit = Threshold("at most", mouths.chance + leakage.MARGIN) if synthetic else None
    needed = Threshold("at least", mouths.chance + leakage.GAIN) if synthetic else None
    probed = [(VISEME_READ if synthetic else OPENING_READ, mouths, features.features, limit)]
    if not emotions.reason:
        probed.insert(0, (EMOTION_READ, emotions, features.features, None))
    if raw:
        probed.append((RAW_VISEME if synthetic else RAW_OPENING, mouths, features.tower, needed))
    for measure, task, values, threshold in probed:
        for kind in leakage.KINDS:
            accuracy = leakage.probe_accuracy(task, values[place[task.rows]], kind, seed)
            yield Measurement(name, measure, index.block, kind, accuracy, threshold, task.chance)
