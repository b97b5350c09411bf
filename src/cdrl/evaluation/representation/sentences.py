"""Twenty free sentences about faces, none of them in the words of a prompt, and the emotion each of them means.

The table shows what the text side of the emotion model makes of plain language: the class whose learned prompt is
nearest to the sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl.evaluation.representation.features import EmotionModel

SENTENCES = (
    ("She has just been told a joke and cannot stop grinning.", "happy"),
    ("His eyes crinkle as he beams at an old friend.", "happy"),
    ("A broad smile lights up her whole face.", "happy"),
    ("He glares at the man who insulted him.", "angry"),
    ("She clenches her jaw and scowls.", "angry"),
    ("His face is red with rage and he looks ready to shout.", "angry"),
    ("Tears well up and the corners of her mouth turn down.", "sad"),
    ("He looks as if he had lost someone he loved.", "sad"),
    ("A gloomy, sorrowful look with drooping eyelids.", "sad"),
    ("She smells something rotten and wrinkles her nose.", "disgusted"),
    ("He curls his lip as if the food had gone bad.", "disgusted"),
    ("A revolted grimace.", "disgusted"),
    ("Her eyes are wide with terror.", "fear"),
    ("He looks like someone who hears footsteps behind him in the dark.", "fear"),
    ("A frightened face, brows pulled up and together.", "fear"),
    ("His mouth falls open at the unexpected news.", "surprised"),
    ("She raises her eyebrows in astonishment.", "surprised"),
    ("A passport photo of a person who shows no feeling at all.", "neutral"),
    ("He listens calmly with a relaxed face.", "neutral"),
    ("She waits for the bus, thinking of nothing in particular.", "neutral"),
)
"""Sentence, and the emotion that it means."""

MEASURE = f"{len(SENTENCES)} free sentences about faces, nearest prompt right"


def nearest_classes(model: EmotionModel) -> list[dict[str, Any]]:
    """The table of what the model's text encoder and prompts make of the sentences."""
    with torch.inference_mode():
        vectors = model.sentences([sentence for sentence, _ in SENTENCES])
        return nearest(vectors.numpy(), model.prompts.numpy())


def nearest(vectors: NDArray[np.float32], prompts: NDArray[np.float32]) -> list[dict[str, Any]]:
    """For each sentence the nearest class and the runner-up, from unit vectors [20, W] and unit prompts [7, W]."""
    cosine = vectors @ prompts.T
    table = []
    for (sentence, meant), row in zip(SENTENCES, cosine, strict=True):
        first, second = np.argsort(-row)[:2]
        table.append(
            {
                "sentence": sentence,
                "meant": meant,
                "nearest": EMOTIONS[first],
                "cosine": float(row[first]),
                "then": EMOTIONS[second],
                "its cosine": float(row[second]),
                "right": EMOTIONS[first] == meant,
            }
        )
    return table


def right(table: Sequence[dict[str, Any]]) -> int:
    """How many sentences are nearest to the emotion they mean."""
    return sum(bool(line["right"]) for line in table)
