"""The typed table of a data set's clips, and what can be wrong with one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from cdrl.emotions import parse_emotion
from cdrl.errors import UsageError

LABELS = ("dataset", "actor", "emotion", "intensity", "sentence", "sentence_id", "view")
"""Fields of a clip that its prepared sample records."""

_STRENGTHS = {"lo": 1, "md": 2, "hi": 3, "normal": 1, "strong": 2, "xx": None, "": None}


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
    count: int = 1
    """How many clips it stands for."""

    def __str__(self) -> str:
        more = f"; {self.count - 1} more like it" if self.count > 1 else ""
        return f"{self.clip}: {self.reason}{more}"


@dataclass
class ClipTable:
    """The clips of a data set."""

    folder: Path
    layout: str
    """A key of `cdrl.datasets.layouts.READERS`."""
    clips: list[Clip] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Clips that are missing or broken."""
    remarks: Counter[str] = field(default_factory=Counter)
    """What is true of clips, and of how many."""

    def parse_emotion(self, name: str) -> str:
        """One of the seven emotions; empty, with a remark, for any other (contempt)."""
        if not name.strip():
            return ""
        try:
            return parse_emotion(name)
        except UsageError:
            self.remarks[f"clips of {name.strip().lower()}, outside the seven emotions, kept without a label"] += 1
            return ""

    def parse_intensity(self, text: str) -> int | None:
        """A strength as a number from 1; None, with a remark, where it is none."""
        if text.lower() in _STRENGTHS:
            return _STRENGTHS[text.lower()]
        try:
            return round(float(text))
        except ValueError:
            self.remarks[f"clips of intensity {text!r}, which is no number, kept without one"] += 1
            return None

    def shorten(self, path: Path) -> str:
        """A path as it is shown to users: relative to the data set."""
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)

    def add_remark(self, what: str, items: Sequence[Path | str]) -> None:
        """Remark how many items there are, if any, and name the first."""
        names = [item if isinstance(item, str) else self.shorten(item) for item in items]
        if names:
            self.remarks[f"{what} (the first: {min(names)})"] = len(names)

    def add_problem(self, path: Path, reason: str) -> None:
        """Note why a file cannot be used."""
        self.problems.append(Problem(self.shorten(path), reason))

    def add_problems(self, paths: Sequence[Path], reason: str) -> None:
        """Note in one line why files cannot be used: the first by name, the others counted."""
        if paths:
            self.problems.append(Problem(self.shorten(min(paths)), reason, len(paths)))
