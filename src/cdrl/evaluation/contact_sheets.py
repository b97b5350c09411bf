"""Faces for the contact sheets, taken while a benchmark runs, for the edited files are deleted one by one.

A person's row in the sheet of an emotion is one moment of one source clip: the frame in the middle half of the clip
where the landmarks show the source's lips farthest apart, since an open mouth shows most of what an edit gets
wrong. Every method is shown at that time, in the same square of the picture, so that what differs is the edit.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import InputError
from cdrl.evaluation.clip_features import ClipFeatures
from cdrl.evaluation.clips import Frames, Image
from cdrl.evaluation.geometry import sample_square
from cdrl.evaluation.measures import lip_opening
from cdrl.files import atomic_write

FILE = "faces.json"
"""What a folder of kept edits holds of them."""
SIDE = 160
"""Pixels of a face on the sheet."""
_QUALITY = 80  # of the JPEG: about 6 kB a face
_MARGIN = 1.35  # side of the square over the longer side of the landmarks' box

Square = tuple[float, float, float]
"""Center x, center y, side, in shares of the picture's width."""


@dataclass
class SheetRow:
    """One person in one emotion: a frame of a source clip, and what each method made of it."""

    person: str
    emotion: str
    source: str
    frame: int
    """Counted from 0."""
    square: Square
    original: str
    """JPEG of `SIDE` x `SIDE` pixels in base64, like the other pictures."""
    methods: dict[str, str] = field(default_factory=dict)
    """Method → its picture."""
    real: str = ""
    """A frame of the person who really shows the emotion; empty where there is no such clip."""


def find_widest_opening(points: NDArray[np.float64]) -> int:
    """Return the frame of the middle half whose lips are farthest apart, of the whole clip if that half has no face.

    Args:
        points: [T,468,2] landmarks, NaN without a face; one frame must have one.
    """
    opening = lip_opening(points)
    quarter = len(opening) // 4
    middle = opening[quarter : len(opening) - quarter]
    return int(np.nanargmax(opening)) if np.isnan(middle).all() else quarter + int(np.nanargmax(middle))


def _encode_face(rgb: Image, square: Square) -> str:
    x, y, side = (value * rgb.shape[1] for value in square)
    crop = sample_square(rgb, np.array([x, y]), side / 2, SIDE)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(data.tobytes()).decode("ascii")


def _read_frame(frames: Frames, index: int) -> Image | None:
    return next(islice(frames(), index, None), None) if index >= 0 else None


def _cut_widest_opening(frames: Frames, points: NDArray[np.float64]) -> tuple[int, Square, str] | None:
    """Number, square and picture of the frame; None where the file ends before it."""
    index = find_widest_opening(points)
    rgb = _read_frame(frames, index)
    if rgb is None:
        return None
    low, high, width = points[index].min(0), points[index].max(0), rgb.shape[1]
    x, y = (low + high) / 2 / width
    square = float(x), float(y), float((high - low).max()) * _MARGIN / width
    return index, square, _encode_face(rgb, square)


class ContactSheets:
    """A small store of cropped faces, about 2 MB for eleven methods, four people and six emotions."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], SheetRow] = {}
        """By person and emotion."""

    def add_source(self, person: str, emotion: str, name: str, frames: Frames, features: ClipFeatures) -> None:
        """Choose the moment in a source clip; the first clip of a person and emotion stays, others are ignored."""
        if (person, emotion) not in self.rows and (face := _cut_widest_opening(frames, features.points)) is not None:
            self.rows[person, emotion] = SheetRow(person, emotion, name, *face)

    def add_edit(self, row: dict[str, Any], frames: Frames) -> None:
        """Add the face that a method made of the chosen moment; `row` is the report's, its lag is taken out.

        A clip that was not chosen is ignored, and so is an output that ends before that moment.
        """
        sheet = self.rows.get((row["person"], row["emotion"]))
        if sheet and sheet.source == row["source"]:
            rgb = _read_frame(frames, sheet.frame + row["lag"])
            if rgb is not None:
                sheet.methods[row["method"]] = _encode_face(rgb, sheet.square)

    def add_real(self, person: str, emotion: str, frames: Frames, features: ClipFeatures) -> None:
        """Add a real clip of the emotion, for a person who is on that sheet; the first one stays."""
        sheet = self.rows.get((person, emotion))
        if sheet and not sheet.real and (face := _cut_widest_opening(frames, features.points)) is not None:
            sheet.real = face[2]

    def save(self, folder: Path) -> None:
        """Write them beside the edited files that are kept. Raises OutputError."""
        atomic_write(folder / FILE, [json.dumps([asdict(row) for row in self.rows.values()]).encode()])

    @classmethod
    def load(cls, folder: Path) -> ContactSheets:
        """Read what `save` wrote; none where the folder has none. Raises InputError."""
        sheets, path = cls(), folder / FILE
        if path.is_file():
            try:
                rows = [SheetRow(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
            except (OSError, TypeError, ValueError) as error:
                raise InputError(f"{path} is not what `--keep` writes ({error}): make the table again") from error
            sheets.rows = {(row.person, row.emotion): row for row in rows}
        return sheets
