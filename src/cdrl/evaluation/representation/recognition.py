"""Recognising the emotion of people not trained on: clips, single frames, and grey pictures of the FER kind.

A clip's class is that of the mean of its frames' logits. The number is balanced accuracy: the mean over the emotions of
the share of their clips that is recognised, so that a frequent emotion counts no more than a rare one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cdrl.datasets.fer import FerImages, read_fer
from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError
from cdrl.evaluation.representation.estimates import UNKNOWN, Estimate, accuracy_estimate, missing
from cdrl.evaluation.representation.features import BATCH, EmotionFeatures, EmotionModel, emotion_of
from cdrl.evaluation.representation.moments import Moments, person_of
from cdrl.representations.encoders import as_images

_CROP = 224


@dataclass(frozen=True)
class Recognition:
    """Balanced accuracy `found`, and the counts [7, 7], true emotion by row, in the order of `EMOTIONS`."""

    found: Estimate
    confusion: NDArray[np.int64]

    @property
    def recall(self) -> dict[str, float | None]:
        """Share recognised of each emotion; None where none was shown."""
        cases = self.confusion.sum(1)
        return {name: float(self.confusion[k, k] / cases[k]) if cases[k] else None for k, name in enumerate(EMOTIONS)}


def recognise(moments: Moments, seen: EmotionFeatures, whole_clips: bool) -> Recognition:
    """The labelled clips of a block, one verdict a clip or one a frame."""
    counts: dict[str, dict[str, NDArray[np.int64]]] = defaultdict(dict)
    for number, clip in enumerate(moments.clips):
        inside = moments.clip[seen.rows] == number
        if clip.metadata.emotion not in EMOTIONS or not inside.any():
            continue
        logits = seen.logits[inside]
        verdicts = (logits.mean(0, keepdims=True) if whole_clips else logits).argmax(1)
        confusion = np.zeros((7, 7), np.int64)
        np.add.at(confusion, (EMOTIONS.index(clip.metadata.emotion), verdicts), 1)
        counts[person_of(clip)][clip.metadata.id] = confusion
    if not counts:
        return Recognition(missing("no clip of them is labelled with one of the seven emotions"), np.zeros((7, 7), int))
    total = np.sum([matrix for clips in counts.values() for matrix in clips.values()], axis=0)
    return Recognition(accuracy_estimate(counts), total)


def grey_test(path: Path) -> FerImages:
    """The test split of a file of grey faces. Raises like `read_fer`, and InputError where there is none."""
    found = read_fer(path).select("test")
    if not len(found.images):
        raise InputError(f"{path}: holds no grey test pictures (split: test)")
    return found


@torch.inference_mode()
def recognise_fer(model: EmotionModel, faces: FerImages, advance: Callable[[int], None]) -> Recognition:
    """Grey faces, enlarged to the size of a crop."""
    confusion = np.zeros((7, 7), np.int64)
    each: dict[str, NDArray[np.int64]] = {}
    for start in range(0, len(faces.images), BATCH):
        large = [enlarge(picture) for picture in faces.images[start : start + BATCH]]
        verdicts = emotion_of(model, as_images(np.stack(large)))[2].argmax(1).tolist()
        for place, (emotion, verdict) in enumerate(zip(faces.emotion[start : start + BATCH], verdicts, strict=True)):
            single = np.zeros((7, 7), np.int64)
            single[emotion, verdict] = 1
            each[str(start + place)] = single
            confusion += single
        advance(len(large))
    return Recognition(accuracy_estimate({UNKNOWN: each}, "pictures"), confusion)


def enlarge(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey face [h, w] as RGB [224, 224, 3]."""
    large = cv2.resize(picture, (_CROP, _CROP), interpolation=cv2.INTER_CUBIC)
    return np.repeat(large[..., None], 3, 2)
