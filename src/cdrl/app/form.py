"""From the page's fields to a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdrl.app.sessions import Session
from cdrl.errors import UsageError
from cdrl.plan import REGIONS
from cdrl.request import EditRequest

EMOTION, BLEND, REFERENCE, OVER_TIME = "Emotion", "Blend", "Reference", "Over time"
MODES = (EMOTION, BLEND, REFERENCE, OVER_TIME)
"""How a user says what is to be shown."""

COLUMNS = ("From (s)", "To (s)", "Emotion", "Strength")


@dataclass(frozen=True)
class Form:
    """The fields, in the order in which the page lists them."""

    mode: str
    emotion: str
    first: str
    second: str
    share: float
    """Of `second` in the blend, 0..1."""
    rows: Sequence[Sequence[Any]]
    """Segments: from, to, emotion, strength."""
    intensity: float
    regions: Sequence[str]
    renderer: str
    profile: str
    face: str

    def request(self, session: Session) -> EditRequest:
        """Make the request of a session's clip. Raises UsageError."""
        if not self.regions:
            raise UsageError("no part of the face is chosen: tick at least one")
        emotion, segments, reference = None, None, None
        if self.mode == OVER_TIME:
            segments = segments_of(self.rows)
            reference = session.reference if "reference" in segments else None
        elif self.mode == REFERENCE:
            reference = session.reference
            if reference is None:
                raise UsageError("no reference is given: upload a clip or photo of anyone who shows the emotion")
        else:
            emotion = self.emotion if self.mode == EMOTION else blend_of(self.first, self.second, self.share)
        return session.request(
            session.neutral,
            emotion=emotion,
            reference=reference,
            segments=segments,
            intensity=float(self.intensity),
            regions=() if set(self.regions) == set(REGIONS) else tuple(self.regions),
            renderer=self.renderer,
            profile=self.profile,
            face=str(self.face or "largest"),
        )


def blend_of(first: str, second: str, share: float) -> str:
    """`first` and `second`, the second with that share.

    >>> blend_of("happy", "surprised", 0.4)
    'happy:0.6+surprised:0.4'
    """
    if first == second or share <= 0:
        return first
    return second if share >= 1 else f"{first}:{round(1 - share, 2):g}+{second}:{round(share, 2):g}"


def segments_of(rows: Sequence[Sequence[Any]]) -> str:
    """The table's rows as `cdrl.plan` reads them; rows without an emotion do not count.

    Raises UsageError where none is left, or a number is missing.
    """
    segments = []
    for number, row in enumerate(rows, 1):
        start, end, emotion, strength = [str("" if cell is None else cell).strip() for cell in [*row, *4 * [""]][:4]]
        if not emotion:
            continue
        if not start:
            raise UsageError(f"row {number} of the table has no time to begin: give seconds, as in 0 or 2.5")
        segments.append(f"{start}-{end}:{emotion}" + (f":{strength}" if strength else ""))
    if not segments:
        raise UsageError("the table names no emotion: fill in a row, as in 0, 2.5, happy, 1")
    return ", ".join(segments)
