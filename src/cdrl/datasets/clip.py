"""One clip of a data set, and what can be wrong with one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One talking clip of one person."""

    id: str
    """Unique in its data set; letters, digits, `_` and `-`."""
    path: Path
    """The video."""
    dataset: str
    """The data set's name."""
    actor: str
    """Who is seen; the clip's own id where the data set names nobody."""
    emotion: str = ""
    """One of `cdrl.emotions.EMOTIONS`, or empty where it is unknown or none of them."""
    intensity: int | None = None
    """Strength of the emotion, from 1, the weakest; None where it is unknown."""
    sentence: str = ""
    """The words, where they are known."""
    sentence_id: str = ""
    """Equal within a data set for the same words; empty where unknown."""
    view: str = "front"
    """The side that the person is seen from."""
    has_sound: bool | None = None
    """None: not known before the file is opened."""
    rate: Fraction | None = None
    """Frames a second; None: not known before the file is opened."""
    truth: Path | None = None
    """Exact frame map and visemes of a synthetic clip (.npz)."""
    sound: Path | None = None
    """Where the sound lies when it is not in the clip itself (MEAD)."""


@dataclass(frozen=True)
class Problem:
    """A clip that cannot be used."""

    clip: str
    """Which, as a path relative to the data set."""
    reason: str
    """Why, in a few words."""

    def __str__(self) -> str:
        return f"{self.clip}: {self.reason}"
