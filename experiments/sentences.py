"""Twenty free sentences about faces, none of them in the words of a prompt, and the emotion each of them means.

The table shows what the text side of the emotion model makes of plain language: the class whose learned prompt is
nearest to the sentence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl.evaluation.estimates import Estimate, Measurement
from cdrl.representations.emotion import EmotionModel

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
"""A sentence, and the emotion that it means."""

MEASURE = f"{len(SENTENCES)} free sentences about faces, nearest prompt right"


def classify_sentences(model: EmotionModel) -> pd.DataFrame:
    """Classify the sentences by the model's text encoder and prompts; see `find_nearest`."""
    with torch.inference_mode():
        vectors = model.sentences([sentence for sentence, _ in SENTENCES])
        return find_nearest(vectors.numpy(), model.prompts.numpy())


def find_nearest(vectors: NDArray[np.float32], prompts: NDArray[np.float32]) -> pd.DataFrame:
    """Find the class nearest to each sentence and the runner-up, from unit vectors [20, W] and prompts [7, W].

    Returns:
        A sentence a line: its `label`, the `nearest` class and the `runner-up`, each with its cosine.
    """
    cosine = vectors @ prompts.T
    first, second = np.argsort(-cosine, axis=1)[:, :2].T
    names, rows = np.array(EMOTIONS), np.arange(len(cosine))
    columns = ["nearest", "cosine", "runner-up", "its cosine"]
    found = zip(columns, (names[first], cosine[rows, first], names[second], cosine[rows, second]), strict=True)
    return pd.DataFrame(SENTENCES, columns=["sentence", "label"]).assign(**dict(found))


def measure_sentences(table: pd.DataFrame) -> Measurement:
    """Measure the share of sentences that are nearest to the emotion that they mean."""
    share = Estimate(float((table["nearest"] == table["label"]).mean()), count=len(table))
    return Measurement("emotion", MEASURE, "sentences", "nearest class", share, None, 1 / len(EMOTIONS))
