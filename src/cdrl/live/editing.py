"""Edits frames as they come: who is seen is learned in the first seconds, and the edit fades in meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from cdrl.editor import Editor
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker, Track
from cdrl.frame_editor import Edited, FrameEditor
from cdrl.live.asking import Asked
from cdrl.manipulation.edit import Manipulator
from cdrl.manipulation.person import LOOK_EVERY, Person, Survey, between
from cdrl.manipulation.plan import smoothstep
from cdrl.media import Frame

DESCRIBED = (8, 16, 32)
"""Looks after which the person is described (anew): one, two and four seconds of them, as many as a clip gets."""
FADE_IN = Fraction(1)  # seconds over which the edit comes, once the person is known
_PASSING = 8  # steps, a frame each, in which one description passes into the next: no jump is seen


@dataclass(frozen=True)
class _Met:
    """Somebody who is known: since when (s), as whom, and the steps left until that is `target`."""

    since: Fraction
    person: Person
    target: Person
    left: int = 0


class LiveEditor:
    """Feeds on frames in order, some of which may be missing."""

    def __init__(self, editor: Editor, manipulator: Manipulator, asked: Asked, face: str = "largest") -> None:
        self.asked = asked
        self._frame_editor = FrameEditor(manipulator)
        self._detector = BundleDetector()
        self._tracker = FaceTracker(self._detector, face)
        self._survey = Survey(editor.model)
        self._met: dict[int, _Met] = {}
        self._due = Fraction(0)

    def step(self, frame: Frame) -> Edited:
        """The frame edited as is asked for at its time."""
        track = self._tracker.step(frame)
        weights = self.asked.weights(frame.time)
        if track is None:
            return self._frame_editor.edit(frame, None, weights, None)
        met = self._meet(frame, track)
        if met is None:
            return self._frame_editor.edit(frame, track, {}, None)
        share = smoothstep(frame.time, met.since, met.since + FADE_IN)
        faded = {name: share * amount for name, amount in weights.items() if share > 0}
        return self._frame_editor.edit(frame, track, faded, met.person)

    def _meet(self, frame: Frame, track: Track) -> _Met | None:
        """Who is seen, as far as is known after a look at this frame; None for a stranger."""
        shot = track.shot
        met = self._met.get(shot)
        if met is not None and met.left:
            passing = between(met.person, met.target, 1 / met.left) if met.left > 1 else met.target
            met = replace(met, person=passing, left=met.left - 1)
        if frame.time >= self._due and self._survey.looks(shot) < DESCRIBED[-1]:
            self._due = frame.time + LOOK_EVERY
            before = self._survey.looks(shot)
            self._survey.look(frame, track, self._detector.blendshapes)
            if self._survey.looks(shot) > before and before + 1 in DESCRIBED:
                person = self._survey.person(shot)
                met = _Met(frame.time, person, person) if met is None else replace(met, target=person, left=_PASSING)
        if met is not None:
            self._met = {shot: met}  # a shot that is over does not come again
        return met
