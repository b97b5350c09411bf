"""Who is seen, and what they already show: a first short look at a clip, a reference or a photo."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from cdrl.face.apertures import lips, without_apertures
from cdrl.face.bundle import Floats
from cdrl.face.expression import ExpressionModel
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.media import Frame
from cdrl.rendering.mouth import Donor, donor
from cdrl.rendering.texture import log_texture, relief

SURVEY = Fraction(4)  # seconds of a clip that are looked at
LOOK_EVERY = Fraction(1, 8)  # seconds between two looks
_RELIEF_EVERY = 8  # looks between two measurements of shading
_FRONTAL = 35.0  # degrees of yaw within which a shape is trusted
RELIEF = 0.155
"""Relief of the people the shading was fitted on, at least."""

_CLOSED = 10  # percentile of lip opening that stands for closed lips
_SLACK = 0.15  # cm above it that lips still count as closed: pressed, pursed or badly seen ones measure as much
SPEAKING_NEUTRAL = "shows a mouth that speaks: a clip, or a photo with the mouth at rest, tells the neutral face better"
"""Ends a remark on a photo that `is_speaking`."""

LEAST_CLOSED, MOST_CLOSED = 0.3, 0.5  # cm: who never opens less has not closed the lips in what was seen


@dataclass(frozen=True, eq=False)  # one person is another object
class Person:
    """`mean` [478, 3]: mean pose-free shape of the stretch seen; `neutral` [478, 3]: the shape behind it, without
    emotion; `shown`: amount of each emotion in it, only those that are seen; `closed`: opening of closed lips, cm;
    `teeth`: the clearest mouth, if any shows teeth; `relief`: how much shading the face shows by itself."""

    mean: Floats
    neutral: Floats
    shown: dict[str, float]
    closed: float
    teeth: Donor | None
    relief: float
    neutral_is_given: bool = False
    """Whether `neutral` was seen in a photo or clip of the person's neutral face, not estimated."""


def expression_model(prior: EmotionPrior) -> ExpressionModel:
    """The model that tells the emotion already shown, from the fitted prior."""
    return ExpressionModel(
        prior.mean, prior.identity, prior.expression, prior.expression_deviation, prior.offset, prior.reading
    )


class Survey:
    """Looks at people, a few times a second, and says who they are: the more looks, the better it knows."""

    def __init__(self, model: ExpressionModel) -> None:
        self._model = model
        self._shapes: dict[int, list[Floats]] = {}
        self._shown: dict[int, list[Floats]] = {}
        self._teeth: dict[int, Donor] = {}
        self._reliefs: dict[int, list[float]] = {}

    def look(self, frame: Frame, track: Track, blendshapes: Callable[[Floats], Floats]) -> None:
        """Take in a frame and the face in it; one that is turned too far tells nothing."""
        pose = estimate_pose(track.points)
        if abs(pose.yaw) > _FRONTAL:
            return
        shapes = self._shapes.setdefault(track.shot, [])
        shapes.append(pose.normalise(track.points))
        self._shown.setdefault(track.shot, []).append(blendshapes(track.points))
        if len(shapes) % _RELIEF_EVERY == 1:
            self._reliefs.setdefault(track.shot, []).append(_relief(frame, track.points))
        found = donor(frame, track.points[:, :2])
        if found is not None and (track.shot not in self._teeth or found.score > self._teeth[track.shot].score):
            self._teeth[track.shot] = found

    def looks(self, shot: int) -> int:
        """How many looks at the person of a shot have told something."""
        return len(self._shapes.get(shot, ()))

    def person(self, shot: int) -> Person:
        """The person of a shot that was looked at, as far as is known by now."""
        shapes, shown = np.array(self._shapes[shot]), np.mean(self._shown[shot], 0)
        return describe(shapes, shown, self._model, float(np.median(self._reliefs[shot])), self._teeth.get(shot))

    def people(self) -> dict[int, Person]:
        """The person of each shot, by the shot's number."""
        return {shot: self.person(shot) for shot in self._shapes}


def survey(frames: Iterable[Frame], tracker: FaceTracker, model: ExpressionModel) -> dict[int, Person]:
    """The person in each shot of a clip's first seconds, by the shot's number. Shots without a face are missing."""
    found = Survey(model)
    due = Fraction(0)
    for frame in frames:
        if frame.time < due:
            tracker.skip(frame)
            continue
        due = frame.time + LOOK_EVERY
        track = tracker.step(frame)
        if track is not None:
            found.look(frame, track, tracker.detector.blendshapes)
    return found.people()


def _relief(frame: Frame, points: Floats) -> float:
    black, white = frame.format.black, frame.format.white
    return relief(log_texture((frame.planes[0].astype(np.float32) - black) * (255 / (white - black)), points))


def describe(
    shapes: Floats, blendshapes: Floats, model: ExpressionModel, shading: float, teeth: Donor | None = None
) -> Person:
    """The person behind pose-free shapes [n, 478, 3] of a stretch of talk, its mean blendshapes [52] and the relief."""
    mean = shapes.mean(0)
    amounts, neutral = model.explain(mean, blendshapes)
    shown = {name: float(amount) for name, amount in zip(EXPRESSIVE, amounts, strict=True) if amount > 0}
    return Person(mean, neutral, shown, closed_opening(shapes), teeth, shading)


def with_neutral(person: Person, neutral: Floats, model: ExpressionModel) -> Person:
    """The person with that neutral shape [478, 3], as it was seen; what they show is their difference to it."""
    expected = np.array([person.shown.get(name, 0.0) for name in EXPRESSIVE], np.float32)
    amounts = model.refine(without_apertures(person.mean - neutral), expected)
    shown = {name: float(amount) for name, amount in zip(EXPRESSIVE, amounts, strict=True) if amount > 0}
    return replace(person, neutral=neutral, shown=shown, neutral_is_given=True)


def is_speaking(person: Person) -> bool:
    """Whether the lips of what was seen are parted, as in a photo taken within a word."""
    return float(lips().opening(person.mean)) > MOST_CLOSED


def closed_opening(shapes: Floats) -> float:
    """The opening, cm, up to which lips count as closed in pose-free shapes [n, 478, 3] of a stretch of talk."""
    closed = float(np.percentile(lips().opening(shapes), _CLOSED)) + _SLACK
    return float(np.clip(closed, LEAST_CLOSED, MOST_CLOSED))


def between(first: Person, second: Person, share: float) -> Person:
    """One person as known first, and better later: `share` 0..1 of the way from the one description to the other."""
    names = first.shown.keys() | second.shown.keys()
    return Person(
        first.mean + share * (second.mean - first.mean),
        first.neutral + share * (second.neutral - first.neutral),
        {name: (1 - share) * first.shown.get(name, 0.0) + share * second.shown.get(name, 0.0) for name in names},
        first.closed + share * (second.closed - first.closed),
        second.teeth,
        first.relief + share * (second.relief - first.relief),
    )
