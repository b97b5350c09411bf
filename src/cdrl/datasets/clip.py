"""One clip of a data set, and what can be wrong with one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One talking clip of one person.

    `id` is unique in its data set and made of letters, digits, `_` and `-`. `emotion` is one of
    `cdrl.emotions.EMOTIONS`, or empty where it is unknown or outside the seven. `intensity` counts from 1, the weakest.
    """

    id: str
    path: Path
    dataset: str
    actor: str
    """Who is seen; the clip's own id where the data set names nobody."""
    emotion: str = ""
    intensity: int | None = None
    sentence: str = ""
    """The words, where they are known."""
    sentence_id: str = ""
    """Equal within a data set for the same words; empty where unknown."""
    view: str = "front"
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
    """A clip that cannot be used: which, and why, in a few words."""

    clip: str
    reason: str

    def __str__(self) -> str:
        return f"{self.clip}: {self.reason}"
