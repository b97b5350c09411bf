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


def descriptions(emotion: str) -> tuple[str, ...]:
    """Sentences about a face that shows the emotion: its name and synonyms, what the face does, and both."""
    features = DESCRIPTORS[emotion]
    named = [frame.format(word) for word in _SYNONYMS[emotion] for frame in _FRAMES]
    joined = ", ".join(features)
    return (*named, *(f"a face with {feature}" for feature in features), *(f"{frame}, {joined}" for frame in named[:1]))


@dataclass(frozen=True)
class Trait:
    """Something a face may do: the blendshapes whose mean measures it, words for a high and for a low value."""

    units: tuple[str, ...]
    high: str
    low: str = ""
    least: float = 0.05
    """Below it nothing is called high, whatever is usual."""


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("Left", "Right"))


TRAITS = (
    Trait(_sides("browDown"), "brows drawn down and together"),
    Trait(("browInnerUp",), "inner brows raised"),
    Trait(_sides("browOuterUp"), "outer brows raised"),
    Trait(_sides("eyeWide"), "eyes wide open"),
    Trait(_sides("eyeSquint"), "eyes narrowed"),
    Trait(_sides("eyeBlink"), "eyes closed", least=0.35),
    Trait(_sides("eyeLookDown"), "gaze lowered", least=0.3),
    Trait(_sides("noseSneer"), "nose wrinkled", least=0.01),
    Trait(_sides("mouthSmile"), "lip corners drawn up in a smile", least=0.15),
    Trait(_sides("mouthFrown"), "lip corners pulled down", least=0.02),
    Trait(_sides("mouthStretch"), "lips stretched sideways"),
    Trait(("mouthPucker", "mouthFunnel"), "lips pursed and rounded", least=0.1),
    Trait(_sides("mouthPress"), "lips pressed together"),
    Trait(_sides("mouthUpperUp"), "upper lip raised, upper teeth showing", least=0.1),
    Trait(_sides("mouthLowerDown"), "lower lip pulled down", least=0.1),
    Trait(("jawOpen",), "jaw dropped, mouth wide open", "mouth closed", 0.15),
)
_HIGH, _LOW = 75, 25  # percentiles of what is usual
_MOST = 4  # traits named in one caption
_PLAIN = "nothing in the face stands out"


@dataclass(frozen=True)
class Captioner:
    """Writes captions. `low`, `high` [traits]: values below and above which a trait is worth a word; `spread`
    [traits]: how far above is much."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, blendshapes: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> Captioner:
        """What is usual among faces [n, 52]; `weights` [n] make people or classes count alike."""
        if len(blendshapes) == 0:
            raise UsageError("no face with measured blendshapes: captions need some")
        values = measures(blendshapes)
        order = np.argsort(values, 0)
        share = np.ones(len(values)) if weights is None else weights
        found = []
        for trait in range(values.shape[1]):
            total = np.cumsum(share[order[:, trait]]) / share.sum()
            at = np.searchsorted(total, np.array([_LOW, _HIGH, 95]) / 100).clip(0, len(values) - 1)
            found.append(values[order[at, trait], trait])
        low, high, most = np.array(found, np.float32).T
        high = np.maximum(high, np.array([trait.least for trait in TRAITS], np.float32))
        return cls(low, high, np.maximum(most - high, 0.02))

    def __call__(self, blendshapes: NDArray[np.float32]) -> str:
        """The caption of one face [52]: what stands out most comes first, four things at most."""
        values = measures(blendshapes[None])[0]
        above = (values - self.high) / self.spread
        said = [(float(above[i]), trait.high) for i, trait in enumerate(TRAITS) if above[i] > 0]
        said += [(0.0, trait.low) for i, trait in enumerate(TRAITS) if trait.low and values[i] <= self.low[i]]
        words = [word for _, word in sorted(said, key=lambda item: -item[0])[:_MOST]]
        return ", ".join(sorted(words, key=_place)) if words else _PLAIN


def _place(word: str) -> int:
    """From the brows down, so that equal faces get equal captions."""
    return next(i for i, trait in enumerate(TRAITS) if word in (trait.high, trait.low))


def measures(blendshapes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blendshapes [n, 52] → the value of each trait [n, traits]."""
    columns = [[BLENDSHAPES.index(unit) for unit in trait.units] for trait in TRAITS]
    return np.stack([blendshapes[:, column].mean(1) for column in columns], 1).astype(np.float32)


def all_descriptions() -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Every description of every emotion, and the number of its emotion."""
    pairs: Sequence[tuple[str, int]] = [(s, k) for k, name in enumerate(EMOTIONS) for s in descriptions(name)]
    return tuple(s for s, _ in pairs), tuple(k for _, k in pairs)
