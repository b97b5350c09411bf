"""Recognising the emotion of people not trained on: clips, single frames, and grey pictures of the FER kind.

A clip's class is that of the mean of its frames' logits. The number is balanced accuracy: the mean over the emotions of
the share of their clips that is recognised, so that a frequent emotion counts no more than a rare one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError, InputNotFoundError
from cdrl.evaluation.representation.estimates import Estimate, accuracy_estimate, missing
from cdrl.evaluation.representation.features import BATCH, EmotionFeatures, EmotionModel, as_images, emotion_of
from cdrl.evaluation.representation.moments import Moments, person_of

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
        if clip.facts.emotion not in EMOTIONS or not inside.any():
            continue
        logits = seen.logits[inside]
        verdicts = (logits.mean(0, keepdims=True) if whole_clips else logits).argmax(1)
        confusion = np.zeros((7, 7), np.int64)
        np.add.at(confusion, (EMOTIONS.index(clip.facts.emotion), verdicts), 1)
        counts[person_of(clip)][clip.facts.id] = confusion
    if not counts:
        return Recognition(missing("no clip of them is labelled with one of the seven emotions"), np.zeros((7, 7), int))
    total = np.sum([matrix for clips in counts.values() for matrix in clips.values()], axis=0)
    return Recognition(accuracy_estimate(counts), total)


def read_fer(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """The test pictures [n, 48, 48] and their emotions [n] of a file with `image`, `emotion` and `split`.

    Raises InputNotFoundError, or InputError where the file is something else or has no test pictures.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file; --fer takes the .npz of grey faces")
    try:
        with np.load(path, allow_pickle=False) as file:
            images, emotions, split = file["image"], file["emotion"], file["split"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: not a .npz with the arrays image, emotion and split ({error})") from error
    test = (split == "test") & np.isin(emotions, EMOTIONS)
    if images.ndim != 3 or images.dtype != np.uint8 or len(images) != len(test) or not test.any():
        raise InputError(f"{path}: holds no grey test pictures of the seven emotions (image must be uint8 [n, h, w])")
    return images[test], emotions[test]


@torch.inference_mode()
def recognise_fer(
    model: EmotionModel, pictures: NDArray[np.uint8], emotions: NDArray[np.str_], advance: Callable[[int], None]
) -> Recognition:
    """Grey faces [n, h, w], enlarged to the size of a crop; every picture is a person of its own."""
    confusion = np.zeros((7, 7), np.int64)
    each: dict[str, NDArray[np.int64]] = {}
    for start in range(0, len(pictures), BATCH):
        large = [enlarge(picture) for picture in pictures[start : start + BATCH]]
        verdicts = emotion_of(model, as_images(np.stack(large)))[2].argmax(1).tolist()
        for place, (emotion, verdict) in enumerate(zip(emotions[start : start + BATCH], verdicts, strict=True)):
            single = np.zeros((7, 7), np.int64)
            single[EMOTIONS.index(str(emotion)), verdict] = 1
            each[str(start + place)] = single
            confusion += single
        advance(len(large))
    return Recognition(accuracy_estimate({"FER": each}, "pictures"), confusion)


def enlarge(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey face [h, w] as RGB [224, 224, 3]."""
    large = cv2.resize(picture, (_CROP, _CROP), interpolation=cv2.INTER_CUBIC)
    return np.repeat(large[..., None], 3, 2)
