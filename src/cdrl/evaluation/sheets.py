"""Faces for the contact sheets, taken while the table runs, for the edited files are deleted one by one.

A person's row in the sheet of an emotion is one moment of one source clip: the frame in the middle half of the clip
where the judge's landmarks see the source's lips farthest apart, since an open mouth shows most of what an edit gets
wrong. Every method is shown at that time, in the same square of the picture, so that what differs is the edit.
"""

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
from cdrl.evaluation.clips import Frames, Image
from cdrl.evaluation.geometry import sample
from cdrl.evaluation.measures import lip_opening
from cdrl.evaluation.observe import Observation
from cdrl.files import atomic_write

FILE = "faces.json"  # what a folder of kept edits holds of them
SIDE = 160  # pixels of a face on the sheet
_QUALITY = 80  # of the JPEG: about 6 kB a face
_MARGIN = 1.35  # side of the square over the longer side of the landmarks' box

Square = tuple[float, float, float]  # centre x, centre y, side, in shares of the picture's width


@dataclass
class Moment:
    """One person in one emotion: a frame of a source clip, and what each method made of it.

    `frame` counts from 0. Pictures are JPEG of `SIDE` x `SIDE` pixels in base64; `real`, a frame of the person who
    really shows the emotion, is empty where there is no such clip.
    """

    person: str
    emotion: str
    source: str
    frame: int
    square: Square
    original: str
    methods: dict[str, str] = field(default_factory=dict)
    real: str = ""


def most_open(points: NDArray[np.float64]) -> int:
    """The frame of the middle half whose lips are farthest apart, of the whole clip where that half has no face.

    `points` [T,468,2], NaN without a face; one frame must have one.
    """
    opening = lip_opening(points)
    quarter = len(opening) // 4
    middle = opening[quarter : len(opening) - quarter]
    return int(np.nanargmax(opening)) if np.isnan(middle).all() else quarter + int(np.nanargmax(middle))


def _square(points: NDArray[np.float64], width: int) -> Square:
    low, high = points.min(0), points.max(0)
    x, y = (low + high) / 2 / width
    return float(x), float(y), float((high - low).max()) * _MARGIN / width


def _picture(rgb: Image, square: Square) -> str:
    x, y, side = (value * rgb.shape[1] for value in square)
    scale = side / SIDE
    crop = sample(rgb, np.array([[scale, 0, x - side / 2], [0, scale, y - side / 2]]), (SIDE, SIDE))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(data.tobytes()).decode("ascii")


def _frame(frames: Frames, index: int) -> Image | None:
    return next(islice(frames(), index, None), None) if index >= 0 else None


class Faces:
    """A small store of cropped faces, about 2 MB for eleven methods, four people and six emotions."""

    def __init__(self) -> None:
        self.moments: dict[tuple[str, str], Moment] = {}

    def add_source(self, person: str, emotion: str, name: str, frames: Frames, seen: Observation) -> None:
        """Choose the moment in a source clip; the first clip of a person and emotion stays, others are ignored."""
        if (person, emotion) in self.moments:
            return
        index = most_open(seen.points)
        rgb = _frame(frames, index)
        if rgb is not None:
            square = _square(seen.points[index], rgb.shape[1])
            moment = Moment(person, emotion, name, index, square, _picture(rgb, square))
            self.moments[person, emotion] = moment

    def add_edit(self, row: dict[str, Any], frames: Frames) -> None:
        """The face that a method made of the chosen moment; `row` is the table's, its lag is taken out.

        A clip that was not chosen is ignored, and so is an output that ends before that moment.
        """
        moment = self.moments.get((row["person"], row["emotion"]))
        if moment is None or moment.source != row["source"]:
            return
        rgb = _frame(frames, moment.frame + row["lag"])
        if rgb is not None:
            moment.methods[row["method"]] = _picture(rgb, moment.square)

    def add_real(self, person: str, emotion: str, frames: Frames, seen: Observation) -> None:
        """A real clip of the emotion, for a person who is on that sheet; the first one stays."""
        moment = self.moments.get((person, emotion))
        if moment is None or moment.real:
            return
        index = most_open(seen.points)
        rgb = _frame(frames, index)
        if rgb is not None:
            moment.real = _picture(rgb, _square(seen.points[index], rgb.shape[1]))

    def save(self, folder: Path) -> None:
        """Write them beside the edited files that are kept. Raises OutputError."""
        text = json.dumps([asdict(moment) for moment in self.moments.values()])
        atomic_write(folder / FILE, [text.encode()])

    @classmethod
    def load(cls, folder: Path) -> "Faces":
        """Read what `save` wrote; none where the folder has none. Raises InputError."""
        faces, path = cls(), folder / FILE
        if path.is_file():
            try:
                for entry in json.loads(path.read_text(encoding="utf-8")):
                    moment = Moment(**entry)
                    faces.moments[moment.person, moment.emotion] = moment
            except (OSError, TypeError, ValueError) as error:
                raise InputError(f"{path} is not what `--keep` writes ({error}): make the table again") from error
        return faces
