"""Pictures for people: source beside edited, and a contact sheet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import OutputError, UsageError
from cdrl.face.bundle import Floats
from cdrl.files import atomic_write
from cdrl.media import ColorTags, Frame
from cdrl.media.outputs import check_output
from cdrl.media.tone import map_tones

_THUMBNAIL = 320  # pixels, side of a picture on the sheet
_HEAD = 2.0  # side of what is shown, over the face's own height
_PICTURES = 6


def side_by_side(source: Frame, edited: Frame) -> Frame:
    """One frame twice as wide: the source on the left, the edited one on the right."""
    planes: list[Any] = [np.hstack(pair) for pair in zip(source.planes, edited.planes, strict=True)]
    alpha: Any = None if source.alpha is None else np.hstack([source.alpha, source.alpha])
    return replace(edited, planes=tuple(planes), alpha=alpha)


class ContactSheet:
    """Keeps a few pairs of pictures spread over a clip of unknown length, for a picture file.

    Every time it is full, it drops every second pair and looks half as often.
    """

    def __init__(self, path: Path, color: ColorTags) -> None:
        self._path = path
        self._color = color
        self._pairs: list[NDArray[np.uint8]] = []
        self._every = 1
        self._seen = 0

    def add(self, source: Frame, edited: Frame, points: Floats | None) -> None:
        """Offers the next pair; `points` [478, 3] of the face in both, whose head is shown (else the whole frame)."""
        if self._seen % self._every == 0:
            pair = [_thumbnail(frame, points, self._color) for frame in (source, edited)]
            self._pairs.append(np.vstack(pair))
            if len(self._pairs) > 2 * _PICTURES:
                self._pairs = self._pairs[::2]
                self._every *= 2
        self._seen += 1

    def save(self) -> None:
        """Writes the sheet, source above edited, as a picture; the ending of the name chooses the format."""
        path = self._path
        pick = np.unique(np.linspace(0, len(self._pairs) - 1, min(_PICTURES, len(self._pairs))).round().astype(int))
        sheet = np.hstack([self._pairs[index] for index in pick])
        try:
            written, data = cv2.imencode(path.suffix or ".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        except cv2.error:
            written = False
        if not written:
            raise OutputError(f"{path}: no picture format has this ending; name it .png or .jpg")
        atomic_write(path, [data.tobytes()])


def _thumbnail(frame: Frame, points: Floats | None, color: ColorTags) -> NDArray[np.uint8]:
    """A square RGB picture of the head, or of the whole frame."""
    if points is None:
        center, side = np.array([frame.width, frame.height]) / 2, float(max(frame.width, frame.height))
    else:
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        center, side = (low + high) / 2, _HEAD * float((high - low).max())
    # Twice the size first: a bilinear crop that shrinks more than that would flicker.
    scale = side / (2 * _THUMBNAIL)
    matrix = np.array([[scale, 0, center[0] - side / 2], [0, scale, center[1] - side / 2]])
    size = (2 * _THUMBNAIL, 2 * _THUMBNAIL)
    large = map_tones(frame.rgb_crop_exact(matrix, size), color) if color.hdr else frame.rgb_crop(matrix, size)
    small: NDArray[np.uint8] = cv2.resize(large, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return small


def check_picture(path: Path, source: Path, output: Path, overwrite: bool) -> None:
    """Refuses, before any work is done, a name for a picture that could not be written or would hit another file."""
    if not cv2.haveImageWriter(str(path)):
        raise OutputError(f"{path}: no picture format has this ending; name it .png or .jpg")
    if path.resolve() in (source.resolve(), output.resolve()):
        raise UsageError(f"the preview {path} is the name of a video: give it a name of its own")
    check_output(path, path.resolve(), source, overwrite)
