"""One frame's edit: where its points go, and the picture with them there. What clips and cameras have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import Track
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.person import MAX_CLOSED_OPENING, Person
from cdrl.media import Frame
from cdrl.pipeline.report import INACTIVE, NO_FACE, OUTSIDE, PROFILE, UNCHANGED
from cdrl.rendering.render import render

_SLIGHT = (0.5, 0.02)  # pixels, and log of luma, up to which an edit may come to nothing once it is rounded
_PROFILE = (35.0, 50.0)  # degrees of yaw over which the edit fades out


@dataclass(frozen=True)
class Edited:
    """One frame before and after (the same object where nothing was changed), and the face in it."""

    source: Frame
    frame: Frame
    track: Track | None
    skipped: str | None


@dataclass(frozen=True)
class Move:
    """What an edit does to a face: `displacement` [478, 3] in pixels, and `gain` [SIZE, SIZE], log of luma."""

    displacement: Floats
    gain: Floats


class FrameEditor:
    """Edits frames one by one, in any order; it remembers nothing of the frames before."""

    def __init__(self, manipulator: Manipulator) -> None:
        self._manipulator = manipulator

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know about the files that the edit was made ready with."""
        return self._manipulator.remarks

    def move(self, track: Track, weights: Mapping[str, float], person: Person | None) -> Move | None:
        """What `weights` (emotion → amount) do to the face; None where it is turned too far to be edited."""
        pose = estimate_pose(track.points)
        seen = 1 - float(np.clip((abs(pose.yaw) - _PROFILE[0]) / (_PROFILE[1] - _PROFILE[0]), 0, 1))
        if seen == 0:
            return None
        change = self._manipulator.compute_change(weights, person)
        closed_opening = person.closed_opening if person else MAX_CLOSED_OPENING
        displacement = change.compute_displacement(pose.normalize(track.points), closed_opening)
        return Move(pose.to_image(displacement) * seen, change.gain * seen)

    def edit(self, frame: Frame, track: Track | None, weights: Mapping[str, float], person: Person | None) -> Edited:
        """The frame with what `weights` ask for; `skipped` says why nothing was done."""
        if not weights:
            return Edited(frame, frame, track, INACTIVE)
        if track is None:
            return Edited(frame, frame, None, NO_FACE)
        move = self.move(track, weights, person)
        if move is None:
            return Edited(frame, frame, track, PROFILE)
        result = frame.copy()
        moved = move.displacement[:, :2].astype(np.float32)
        if not render(result, track.points[:, :2], moved, move.gain, person.mouth_patch if person else None):
            return Edited(frame, frame, track, OUTSIDE)
        if _is_slight(move) and all(map(np.array_equal, frame.planes, result.planes)):
            return Edited(frame, frame, track, UNCHANGED)
        return Edited(frame, result, track, None)


def _is_slight(move: Move) -> bool:
    return bool(np.abs(move.displacement).max() < _SLIGHT[0] and np.abs(move.gain).max() < _SLIGHT[1])
