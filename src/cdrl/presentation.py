"""Pictures for people: source beside edited, and a contact sheet."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import OutputError
from cdrl.media import Frame

_THUMBNAIL = 320  # pixels, the longer side of a picture on the sheet
_PICTURES = 6


def side_by_side(source: Frame, edited: Frame) -> Frame:
    """One frame twice as wide: the source on the left, the edited one on the right."""
    planes: list[Any] = [np.hstack(pair) for pair in zip(source.planes, edited.planes, strict=True)]
    return replace(edited, planes=tuple(planes))


class ContactSheet:
    """Keeps a few pairs of pictures spread over a clip of unknown length: every time it is full, it drops every
    second one and looks half as often."""

    def __init__(self) -> None:
        self._pairs: list[NDArray[np.uint8]] = []
        self._every = 1
        self._seen = 0

    def add(self, source: Frame, edited: Frame) -> None:
        """Offers the next pair."""
        if self._seen % self._every == 0:
            self._pairs.append(np.vstack([_thumbnail(source), _thumbnail(edited)]))
            if len(self._pairs) > 2 * _PICTURES:
                self._pairs = self._pairs[::2]
                self._every *= 2
        self._seen += 1

    def save(self, path: Path) -> None:
        """Writes the sheet, source above edited, as a picture; the ending of the name chooses the format."""
        pick = np.unique(np.linspace(0, len(self._pairs) - 1, min(_PICTURES, len(self._pairs))).round().astype(int))
        sheet = np.hstack([self._pairs[index] for index in pick])
        try:
            written, data = cv2.imencode(path.suffix or ".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        except cv2.error:
            written = False
        if not written:
            raise OutputError(f"{path}: no picture format has this ending; name it .png or .jpg")
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            partial.write_bytes(data.tobytes())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"cannot write the picture {path} ({error.strerror}): choose another place") from error


def _thumbnail(frame: Frame) -> NDArray[np.uint8]:
    scale = max(frame.width, frame.height) / _THUMBNAIL
    size = (max(round(frame.width / scale), 1), max(round(frame.height / scale), 1))
    small: NDArray[np.uint8] = cv2.resize(frame.rgb(), size, interpolation=cv2.INTER_AREA)
    return small
