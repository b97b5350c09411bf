"""Edits frames as they come: who is seen is learned in the first seconds, and the edit fades in meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker, Track
from cdrl.live.controls import EmotionControl
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.person import OBSERVATION_INTERVAL, Person, PersonEstimator, interpolate
from cdrl.manipulation.prior import EmotionPrior
from cdrl.media import Frame
from cdrl.pipeline.stages import EditedFrame, EditStages
from cdrl.plan import smoothstep

REFINE_AT = (8, 16, 32)
"""Looks after which the person is described (anew): one, two and four seconds of them, as many as a clip gets."""
FADE_IN = Fraction(1)  # seconds over which the edit comes, once the person is known
RESET_AFTER = Fraction(2)  # seconds without a face after which the next one may be somebody else's
_PASSING = 8  # steps, a frame each, in which one description passes into the next: no jump is seen


@dataclass(frozen=True)
class _PersonState:
    """A person who is known: since when (s), as whom, and the steps left until that is `target`."""

    since: Fraction
    person: Person
    target: Person
    left: int = 0


class LiveEditor:
    """Edits frames that come in order, some of which may be missing."""

    def __init__(
        self, prior: EmotionPrior, manipulator: Manipulator, control: EmotionControl, face: str = "largest"
    ) -> None:
        """Compose the stages.

        Args:
            prior: Says how people and emotions differ.
            manipulator: Turns amounts of emotion into changes of expression.
            control: Says what is to be shown.
            face: Which of several faces is edited; see `cdrl.face.selection`.
        """
        self.control = control
        self._prior = prior
        self._detector = BundleDetector()
        tracker = FaceTracker(self._detector, face)
        self._stages = EditStages(manipulator, tracker, self._weights_at, self._update_person)
        self._reset_person(0)
        self._seen = Fraction(0)
        self._due = Fraction(0)

    def step(self, frame: Frame) -> EditedFrame:
        """Edit the next frame as the control says at its time."""
        tracked = self._stages.track(frame)
        if tracked.track is not None and self._state is None:
            tracked = replace(tracked, weights={})  # a stranger stays as they are
        return self._stages.edit(tracked)

    def _weights_at(self, time: Fraction) -> dict[str, float]:
        weights, state = self.control.weights(time), self._state
        if state is None:
            return weights
        share = smoothstep(time, state.since, state.since + FADE_IN)
        return {name: share * amount for name, amount in weights.items() if share > 0}

    def _reset_person(self, shot: int) -> None:
        """Forget who was seen: who comes now is a stranger."""
        self._shot = shot
        self._estimator = PersonEstimator(self._prior)
        self._state: _PersonState | None = None

    def _update_person(self, frame: Frame, track: Track) -> Person | None:
        """Who is seen, as far as is known after a look at this frame; None for a stranger."""
        if track.shot != self._shot or frame.time - self._seen > RESET_AFTER:
            self._reset_person(track.shot)
        self._seen = frame.time
        state = self._state
        if state is not None and state.left:
            passing = interpolate(state.person, state.target, 1 / state.left) if state.left > 1 else state.target
            state = replace(state, person=passing, left=state.left - 1)
        before = self._estimator.n_frames(self._shot)
        if frame.time >= self._due and before < REFINE_AT[-1]:
            self._due = frame.time + OBSERVATION_INTERVAL
            self._estimator.add_frame(frame, track, self._detector.estimate_blendshapes)
            if self._estimator.n_frames(self._shot) > before and before + 1 in REFINE_AT:
                person = self._estimator.estimate(self._shot)
                if state is None:
                    state = _PersonState(frame.time, person, person)
                else:
                    state = replace(state, target=person, left=_PASSING)
        self._state = state
        return None if state is None else state.person
