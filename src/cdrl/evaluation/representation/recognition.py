"""Recognizing the emotion of people not trained on: clips, single frames, and FER-2013 images.

A clip's class is that of the mean of its frames' logits. The number is balanced accuracy: the mean over the emotions of
the share of their clips that is recognized, so that a frequent emotion counts no more than a rare one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cdrl.datasets.fer import FerImages, read_fer
from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError
from cdrl.evaluation.estimates import UNKNOWN, Estimate, accuracy_estimate, count_confusions, missing
from cdrl.evaluation.representation.features import BATCH, EmotionClassifier, EmotionFeatures, represent_emotion
from cdrl.evaluation.representation.frame_index import FrameIndex
from cdrl.evaluation.representation.leakage import label_emotions
from cdrl.representations.encoders import images_to_tensor

_CROP = 224


@dataclass(frozen=True)
class Recognition:
    """How well emotions are recognized."""

    estimate: Estimate
    """Balanced accuracy."""
    confusion: NDArray[np.int64]
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
    """Recognize the emotion of a block's labelled clips, clip by clip or frame by frame."""
    rows, logits = features.rows, features.logits
    if whole_clips:
        numbers, first = np.unique(index.clip[rows], return_index=True)
        logits = np.stack([logits[index.clip[rows] == number].mean(0) for number in numbers])
        rows = rows[first]
    cases = index.table(rows, label=label_emotions(index)[index.clip[rows]], predicted=logits.argmax(1))
    labelled = cases[cases["label"] >= 0]
    if labelled.empty:
        reason = "no clip of them is labelled with one of the seven emotions"
        return Recognition(missing(reason), np.zeros((len(EMOTIONS),) * 2, np.int64))
    return Recognition.from_cases(labelled, "clips")


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
def recognize_fer(model: EmotionClassifier, faces: FerImages, advance: Callable[[int], None]) -> Recognition:
    """Recognize the emotion of gray faces, enlarged to the size of a crop."""
    predicted: list[int] = []
    for start in range(0, len(faces.images), BATCH):
        images = np.stack([enlarge(image) for image in faces.images[start : start + BATCH]])
        predicted += represent_emotion(model, images_to_tensor(images))[2].argmax(1).tolist()
        advance(len(images))
    columns = {"clip": range(len(predicted)), "label": faces.emotion, "predicted": predicted}
    return Recognition.from_cases(pd.DataFrame({"person": UNKNOWN, **columns}), "pictures")


def enlarge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge a gray face [h, w] to RGB [224, 224, 3]."""
    large = cv2.resize(image, (_CROP, _CROP), interpolation=cv2.INTER_CUBIC)
    return np.repeat(large[..., None], 3, 2)
