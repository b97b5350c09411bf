"""One frame's edit: where its points go, and the picture with them there. Clips and cameras share it."""

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

_NEGLIGIBLE = (0.5, 0.02)  # pixels, and log of luma, up to which an edit may come to nothing once it is rounded
_PROFILE = (35.0, 50.0)  # degrees of yaw over which the edit fades out


@dataclass(frozen=True)
class EditedFrame:
    """One frame before and after an edit."""

    source: Frame
    """The frame before."""
    frame: Frame
    """The frame after; the same object where nothing was changed."""
    track: Track | None
    """The face in it, if one was seen."""
    skipped: str | None
    """Why nothing was changed, one of the reasons of `cdrl.pipeline.report`; None where something was."""


@dataclass(frozen=True)
class FaceEdit:
    """What an edit does to one face."""

    displacement: Floats
    """[478, 3] pixels."""
    gain: Floats
    """[SIZE, SIZE] log of luma, in texture space."""


class FrameEditor:
    """Edits frames one by one, in any order; it keeps nothing of the frames before."""

    def __init__(self, manipulator: Manipulator) -> None:
        self._manipulator = manipulator

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know about the files that the edit was prepared with."""
        return self._manipulator.remarks

    def compute_edit(self, track: Track, weights: Mapping[str, float], person: Person | None) -> FaceEdit | None:
        """Compute what an edit does to a face.

        Args:
            track: The face.
            weights: Amount of each emotion that the plan asks for.
            person: Whose face it is; None where nothing is known of them.

        Returns:
            The edit, fading out as the head turns; None where it is turned too far.
        """
        pose = estimate_pose(track.points)
        share = 1 - float(np.clip((abs(pose.yaw) - _PROFILE[0]) / (_PROFILE[1] - _PROFILE[0]), 0, 1))
        if share == 0:
            return None
        change = self._manipulator.compute_change(weights, person)
        closed_opening = person.closed_opening if person else MAX_CLOSED_OPENING
        displacement = change.compute_displacement(pose.normalize(track.points), closed_opening)
        return FaceEdit(pose.to_image(displacement) * share, change.gain * share)

    def edit(
        self, frame: Frame, track: Track | None, weights: Mapping[str, float], person: Person | None
    ) -> EditedFrame:
        """Edit a frame, which is not changed itself.

        Args:
            frame: The frame.
            track: The face in it, if one is seen.
            weights: Amount of each emotion that the plan asks for.
            person: Whose face it is; None where nothing is known of them.
        """
        if not weights:
            return EditedFrame(frame, frame, track, INACTIVE)
        if track is None:
            return EditedFrame(frame, frame, None, NO_FACE)
        edit = self.compute_edit(track, weights, person)
        if edit is None:
            return EditedFrame(frame, frame, track, PROFILE)
        result = frame.copy()
        displacement = edit.displacement[:, :2].astype(np.float32)
        patch = person.mouth_patch if person else None
        if not render(result, track.points[:, :2], displacement, edit.gain, patch):
            return EditedFrame(frame, frame, track, OUTSIDE)
        if _is_negligible(edit) and all(map(np.array_equal, frame.planes, result.planes)):
            return EditedFrame(frame, frame, track, UNCHANGED)
        return EditedFrame(frame, result, track, None)


def _is_negligible(edit: FaceEdit) -> bool:
    pixels, luma = _NEGLIGIBLE
    return bool(np.abs(edit.displacement).max() < pixels and np.abs(edit.gain).max() < luma)
