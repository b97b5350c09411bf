"""Edits frames as they come: who is seen is learned in the first seconds, and the edit fades in meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from cdrl.editor import Editor
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker, Track
from cdrl.pipeline.frame_editor import Edited, FrameEditor
from cdrl.live.asking import Asked
from cdrl.manipulation.edit import Manipulator
from cdrl.manipulation.person import LOOK_EVERY, Person, Survey, between
from cdrl.media import Frame
from cdrl.plan import smoothstep

DESCRIBED = (8, 16, 32)
"""Looks after which the person is described (anew): one, two and four seconds of them, as many as a clip gets."""
FADE_IN = Fraction(1)  # seconds over which the edit comes, once the person is known
FORGOTTEN = Fraction(2)  # seconds without a face after which the next one may be somebody else's
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
        self._model = editor.model
        self._forget(0)
        self._seen = Fraction(0)
        self._due = Fraction(0)

    def _forget(self, shot: int) -> None:
        """Who comes now is a stranger."""
        self._shot = shot
        self._survey = Survey(self._model)
        self._met: _Met | None = None

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
        if track.shot != self._shot or frame.time - self._seen > FORGOTTEN:
            self._forget(track.shot)
        self._seen = frame.time
        met = self._met
        if met is not None and met.left:
            passing = between(met.person, met.target, 1 / met.left) if met.left > 1 else met.target
            met = replace(met, person=passing, left=met.left - 1)
        before = self._survey.looks(self._shot)
        if frame.time >= self._due and before < DESCRIBED[-1]:
            self._due = frame.time + LOOK_EVERY
            self._survey.look(frame, track, self._detector.blendshapes)
            if self._survey.looks(self._shot) > before and before + 1 in DESCRIBED:
                person = self._survey.person(self._shot)
                met = _Met(frame.time, person, person) if met is None else replace(met, target=person, left=_PASSING)
        self._met = met
        return met
