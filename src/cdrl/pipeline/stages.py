"""The stages track, manipulate and render, as clips, cameras, previews and exports compose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.person import Person
from cdrl.media import Frame
from cdrl.pipeline.frame_editor import EditedFrame, FaceEdit, FrameEditor

PersonFinder = Callable[[Frame, Track], Person | None]
"""Who is seen in a frame, by the face that is followed; None for a stranger."""

WeightsAt = Callable[[Fraction], Mapping[str, float]]
"""Emotion → amount at a time, in seconds from the first frame; empty where nothing is to be edited."""


@dataclass(frozen=True)
class TrackedFrame:
    """A frame with all that its edit needs."""

    frame: Frame
    track: Track | None
    """The face; None where none is followed."""
    weights: Mapping[str, float]
    """Emotion → amount to show."""
    person: Person | None


class EditStages:
    """The stages of one clip or camera. Frames pass `track` in order; the later stages remember nothing."""

    def __init__(
        self, tracker: FaceTracker | None, weights_at: WeightsAt, find_person: PersonFinder, frame_editor: FrameEditor
    ) -> None:
        """Compose the stages.

        Args:
            tracker: Follows the face; None where no frame is to be changed, so that no face is looked for.
            weights_at: What is to be shown.
            find_person: Who is seen; asked for each face before `weights_at`.
            frame_editor: Manipulates and renders.
        """
        self._tracker = tracker
        self._weights_at = weights_at
        self._find_person = find_person
        self._frame_editor = frame_editor

    def track(self, frame: Frame) -> TrackedFrame:
        """Find the face in the next frame, who it is, and what it is to show."""
        track = None if self._tracker is None else self._tracker.step(frame)
        person = None if track is None else self._find_person(frame, track)
        return TrackedFrame(frame, track, self._weights_at(frame.time), person)

    def manipulate(self, tracked: TrackedFrame) -> FaceEdit | None:
        """Decide where the points of the face go; None where nothing is to be changed, or can be."""
        if tracked.track is None or not tracked.weights:
            return None
        return self._frame_editor.compute_edit(tracked.track, tracked.weights, tracked.person)

    def edit(self, tracked: TrackedFrame) -> EditedFrame:
        """Manipulate the face and render the frame."""
        return self._frame_editor.edit(tracked.frame, tracked.track, tracked.weights, tracked.person)
