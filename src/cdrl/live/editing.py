"""Edits frames as they come, as words ask for: who is seen is learned in the first seconds, then the edit fades in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from cdrl.emotions import MAX_INTENSITY, parse_blend
from cdrl.errors import UsageError
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.person import OBSERVATION_INTERVAL, Person, PersonEstimator, interpolate
from cdrl.manipulation.prior import EmotionPrior
from cdrl.media import Frame
from cdrl.pipeline.stages import EditedFrame, EditStages
from cdrl.pipeline.survey import RESET_AFTER
from cdrl.plan import CROSS_FADE, smoothstep
from cdrl.rendering.neural import NeuralRenderer

OFF, QUIT = "off", "quit"
STEP = 0.1  # of intensity, for + and -
REFINE_AT = (8, 16, 32)
"""Looks after which the person is described (anew): one, two and four seconds of them, as many as a clip gets."""
FADE_IN = Fraction(1)  # seconds over which the edit comes, once the person is known
_PASSING = 8  # steps, a frame each, in which one description passes into the next: no jump is seen


class EmotionControl:
    """Amounts of emotion over time, changed by words; one emotion passes into another as in a clip.

    Not to be used by two threads at once.
    """

    def __init__(self, amounts: Mapping[str, float], intensity: float = 1.0, extra: tuple[str, ...] = ()) -> None:
        """`amounts`: emotion → amount, nothing for an unchanged face; `extra`: further names that may be asked for."""
        self.intensity = intensity
        self.over = False
        self.text = "+".join(amounts) or OFF
        self._extra = extra
        self._amounts = dict(amounts)
        self._from: dict[str, float] = {}
        self._shown = self._to = self._scaled(self._amounts, intensity)
        self._since: Fraction | None = None
        self._changed = False

    def command(self, line: str) -> None:
        """A blend such as `happy` or `happy:0.6+sad:0.4`; `intensity 0.8`, `+`, `-`; `off`; `quit`.

        Raises UsageError for anything else, and then goes on as before.
        """
        words = line.split()
        amounts, intensity, text = self._amounts, self.intensity, self.text
        if not words:
            return
        if words == [QUIT]:
            self.over = True
            return
        if words == [OFF]:
            amounts, text = {}, OFF
        elif words in (["+"], ["-"]):
            step = STEP if words == ["+"] else -STEP
            intensity = round(min(max(intensity + step, 0), MAX_INTENSITY / max(sum(amounts.values()), 1)), 6)
        elif words[0] == "intensity":
            intensity = _number(words[1:])
        else:
            text = " ".join(words)
            amounts = parse_blend(text, self._extra)
        to = self._scaled(amounts, intensity)
        self._amounts, self.intensity, self.text = amounts, intensity, text
        self._from, self._to, self._changed = self._shown, to, True

    def weights(self, time: Fraction) -> dict[str, float]:
        """Amount per emotion at `time`, in seconds, which never runs back; only those above 0."""
        if self._changed:
            self._since, self._changed = time, False
        share = 1.0 if self._since is None else smoothstep(time, self._since, self._since + CROSS_FADE)
        mixed = {
            name: (1 - share) * self._from.get(name, 0.0) + share * self._to.get(name, 0.0)
            for name in self._from.keys() | self._to.keys()
        }
        self._shown = {name: amount for name, amount in mixed.items() if amount > 0}
        return self._shown

    @staticmethod
    def _scaled(amounts: Mapping[str, float], intensity: float) -> dict[str, float]:
        total = intensity * sum(amounts.values())
        if not total <= MAX_INTENSITY + 1e-9:
            raise UsageError(f"emotion times intensity comes to {total:g}: keep the product within {MAX_INTENSITY:g}")
        return {name: intensity * amount for name, amount in amounts.items() if intensity * amount > 0}


def _number(words: list[str]) -> float:
    try:
        (word,) = words
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number <= MAX_INTENSITY:
        raise UsageError(f"intensity {' '.join(words)!r}: give one number from 0 to {MAX_INTENSITY:g}")
    return number


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
        self,
        prior: EmotionPrior,
        manipulator: Manipulator,
        control: EmotionControl,
        face: str = "largest",
        neural: NeuralRenderer | None = None,
    ) -> None:
        """Compose the stages.

        Args:
            prior: Says how people and emotions differ.
            manipulator: Turns amounts of emotion into changes of expression.
            control: Says what is to be shown.
            face: Which of several faces is edited; see `cdrl.face.selection`.
            neural: Corrects what the warp renders; None for the warp alone.
        """
        self.control = control
        self._prior = prior
        self._detector = BundleDetector()
        tracker = FaceTracker(self._detector, face)
        self._stages = EditStages(manipulator, tracker, self._weights_at, self._update_person, neural=neural)
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
