"""Faces in words: descriptions of each emotion, and captions written from measured blendshapes.

What a vision-language model learns from: not the name of a class alone, but what the face does. Captions name only
what stands out, compared with what is usual among people (percentiles of each measure over the faces at hand).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.emotions import DESCRIPTORS, EMOTIONS
from cdrl.errors import UsageError
from cdrl.face.landmarks import BLENDSHAPES

_SYNONYMS = {
    "neutral": ("neutral", "calm", "expressionless"),
    "angry": ("angry", "furious", "irritated"),
    "disgusted": ("disgusted", "revolted", "repelled"),
    "fear": ("afraid", "fearful", "scared"),
    "happy": ("happy", "joyful", "smiling"),
    "sad": ("sad", "sorrowful", "unhappy"),
    "surprised": ("surprised", "astonished", "amazed"),
}
_FRAMES = ("a {} face", "a person who looks {}", "a {} person talking", "someone is {}")


def describe_emotion(emotion: str) -> tuple[str, ...]:
    """Return sentences about a face that shows the emotion: its name and synonyms, what the face does, and both."""
    features = DESCRIPTORS[emotion]
    named = [frame.format(word) for word in _SYNONYMS[emotion] for frame in _FRAMES]
    joined = ", ".join(features)
    return (*named, *(f"a face with {feature}" for feature in features), *(f"{frame}, {joined}" for frame in named[:1]))


@dataclass(frozen=True)
class FacialTrait:
    """Something a face may do: the blendshapes whose mean measures it, words for a high and for a low value."""

    units: tuple[str, ...]
    high: str
    low: str = ""
    least: float = 0.05
    """Below it nothing is called high, whatever is usual."""


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("Left", "Right"))


TRAITS = (
    FacialTrait(_sides("browDown"), "brows drawn down and together"),
    FacialTrait(("browInnerUp",), "inner brows raised"),
    FacialTrait(_sides("browOuterUp"), "outer brows raised"),
    FacialTrait(_sides("eyeWide"), "eyes wide open"),
    FacialTrait(_sides("eyeSquint"), "eyes narrowed"),
    FacialTrait(_sides("eyeBlink"), "eyes closed", least=0.35),
    FacialTrait(_sides("eyeLookDown"), "gaze lowered", least=0.3),
    FacialTrait(_sides("noseSneer"), "nose wrinkled", least=0.01),
    FacialTrait(_sides("mouthSmile"), "lip corners drawn up in a smile", least=0.15),
    FacialTrait(_sides("mouthFrown"), "lip corners pulled down", least=0.02),
    FacialTrait(_sides("mouthStretch"), "lips stretched sideways"),
    FacialTrait(("mouthPucker", "mouthFunnel"), "lips pursed and rounded", least=0.1),
    FacialTrait(_sides("mouthPress"), "lips pressed together"),
    FacialTrait(_sides("mouthUpperUp"), "upper lip raised, upper teeth showing", least=0.1),
    FacialTrait(_sides("mouthLowerDown"), "lower lip pulled down", least=0.1),
    FacialTrait(("jawOpen",), "jaw dropped, mouth wide open", "mouth closed", 0.15),
)
_HIGH, _LOW = 75, 25  # percentiles of what is usual
_MAX_TRAITS = 4  # traits named in one caption
_PLAIN = "nothing in the face stands out"


@dataclass(frozen=True)
class Captioner:
    """Writes captions.

    `low`, `high` [traits]: values below and above which a trait is worth a word; `spread` [traits]: how far above is
    much.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def fit(cls, blendshapes: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> Captioner:
        """Fit what is usual among faces.

        Args:
            blendshapes: [n, 52].
            weights: Weights [n] that make people or classes count alike.

        Raises:
            UsageError: There are no faces.
        """
        if len(blendshapes) == 0:
            raise UsageError("no face with measured blendshapes: captions need some")
        values = measure_traits(blendshapes)
        order = np.argsort(values, 0)
        share = np.ones(len(values)) if weights is None else weights
        result = []
        for trait in range(values.shape[1]):
            total = np.cumsum(share[order[:, trait]]) / share.sum()
            at = np.searchsorted(total, np.array([_LOW, _HIGH, 95]) / 100).clip(0, len(values) - 1)
            result.append(values[order[at, trait], trait])
        low, high, most = np.array(result, np.float32).T
        high = np.maximum(high, np.array([trait.least for trait in TRAITS], np.float32))
        return cls(low, high, np.maximum(most - high, 0.02))

    def __call__(self, blendshapes: NDArray[np.float32]) -> str:
        """Write the caption of one face [52]: the four traits that stand out most, from the brows down."""
        values = measure_traits(blendshapes[None])[0]
        above = (values - self.high) / self.spread
        scored = [(float(above[i]), trait.high) for i, trait in enumerate(TRAITS) if above[i] > 0]
        scored += [(0.0, trait.low) for i, trait in enumerate(TRAITS) if trait.low and values[i] <= self.low[i]]
        words = [word for _, word in sorted(scored, key=lambda item: -item[0])[:_MAX_TRAITS]]
        return ", ".join(sorted(words, key=_trait_index)) if words else _PLAIN


def _trait_index(word: str) -> int:
    """From the brows down, so that equal faces get equal captions."""
    return next(i for i, trait in enumerate(TRAITS) if word in (trait.high, trait.low))


def measure_traits(blendshapes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Measure the traits [n, traits] of blendshapes [n, 52]."""
    columns = [[BLENDSHAPES.index(unit) for unit in trait.units] for trait in TRAITS]
    return np.stack([blendshapes[:, column].mean(1) for column in columns], 1).astype(np.float32)


def list_descriptions() -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return every description of every emotion, and the number of its emotion."""
    pairs: Sequence[tuple[str, int]] = [(s, k) for k, name in enumerate(EMOTIONS) for s in describe_emotion(name)]
    return tuple(s for s, _ in pairs), tuple(k for _, k in pairs)
