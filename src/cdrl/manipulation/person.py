"""Who is seen and what they already show, estimated from a short stretch of a clip, a reference or a photo.

The neutral shape and the emotion already shown come from the mean shape of the stretch by a linear model with Gaussian
priors (identity modes, emotion offsets around the amounts that blendshapes give, expression modes), solved for its
maximum a posteriori. A shape alone can't tell who somebody is from what they show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.face.apertures import lips, remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import Track
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.media import Frame
from cdrl.rendering.mouth import MouthPatch, extract_mouth_patch
from cdrl.rendering.texture import log_texture, measure_relief

OBSERVED_SECONDS = Fraction(4)
"""How much of a clip is looked at to estimate who is in it."""
OBSERVATION_INTERVAL = Fraction(1, 8)
"""Seconds between two frames that are looked at."""
_RELIEF_INTERVAL = 8  # frames looked at between two measurements of shading
_FRONTAL = 35.0  # degrees of yaw within which a shape is trusted
_CLOSED_PERCENTILE = 10  # of lip opening: stands for closed lips
_CLOSED_SLACK = 0.15  # cm above it that lips still count as closed: pressed, pursed or badly seen ones measure as much
_NOISE = 0.19  # cm: per coordinate, times the root of how many neighboring coordinates repeat one another
_AMOUNT_ERROR = 0.2  # standard deviation of the amounts that blendshapes give
_EXPRESSION_SHARE = 0.5  # of the deviation of single frames: what is left of it in a mean over talk
_NEUTRAL_BIAS = 0.2  # amount that blendshapes give for neutral talk; amounts are counted from here
SPEAKING_NEUTRAL_NOTE = (
    "shows a mouth that speaks: a clip, or a photo with the mouth at rest, tells the neutral face better"
)
"""Ends a remark on a photo that `is_speaking`."""

MIN_CLOSED_OPENING, MAX_CLOSED_OPENING = 0.3, 0.5
"""cm, bounds of `Person.closed_opening`: who never opens less has not closed the lips in what was seen."""


@dataclass(frozen=True, eq=False)  # one person is another object
class Person:
    """Who was seen, and what they showed."""

    mean_shape: Floats
    """[478, 3] cm: mean pose-free shape of the stretch seen."""
    neutral_shape: Floats
    """[478, 3] cm: the shape behind it, without emotion."""
    emotions: dict[str, float]
    """Amount, in 0..1, of each emotion in it; only those that were seen."""
    closed_opening: float
    """cm: opening of the inner lips up to which they count as closed."""
    mouth_patch: MouthPatch | None
    """The clearest mouth, if any shows teeth."""
    relief: float
    """How much shading the face shows by itself; see `measure_relief`."""
    neutral_is_given: bool = False
    """Whether the neutral shape was seen in a photo or clip of the person's neutral face, not estimated."""


class PersonEstimator:
    """Estimates the person in each shot from frames: the more frames, the better."""

    def __init__(self, prior: EmotionPrior) -> None:
        self._prior = prior
        self._shapes: dict[int, list[Floats]] = {}
        self._blendshapes: dict[int, list[Floats]] = {}
        self._mouth_patches: dict[int, MouthPatch] = {}
        self._reliefs: dict[int, list[float]] = {}

    def add_frame(self, frame: Frame, track: Track, estimate_blendshapes: Callable[[Floats], Floats]) -> None:
        """Take in a frame and the face in it; a face that is turned too far is passed over."""
        pose = estimate_pose(track.points)
        if abs(pose.yaw) > _FRONTAL:
            return
        shapes = self._shapes.setdefault(track.shot, [])
        shapes.append(pose.normalize(track.points))
        self._blendshapes.setdefault(track.shot, []).append(estimate_blendshapes(track.points))
        if len(shapes) % _RELIEF_INTERVAL == 1:
            self._reliefs.setdefault(track.shot, []).append(_measure_relief(frame, track.points))
        patch, best = extract_mouth_patch(frame, track.points[:, :2]), self._mouth_patches.get(track.shot)
        if patch is not None and (best is None or patch.score > best.score):
            self._mouth_patches[track.shot] = patch

    def n_frames(self, shot: int) -> int:
        """Return how many frames of a shot have counted."""
        return len(self._shapes.get(shot, ()))

    def estimate(self, shot: int) -> Person:
        """Return the person of a shot of which a frame has counted, as far as is known by now."""
        shapes, blendshapes = np.array(self._shapes[shot]), np.mean(self._blendshapes[shot], 0)
        relief = float(np.median(self._reliefs[shot]))
        return estimate_person(shapes, blendshapes, self._prior, relief, self._mouth_patches.get(shot))


def _measure_relief(frame: Frame, points: Floats) -> float:
    black, white = frame.format.black, frame.format.white
    luma = (frame.planes[0].astype(np.float32) - black) * (255 / (white - black))
    return measure_relief(log_texture(luma, points))


def estimate_person(
    shapes: Floats,
    blendshapes: Floats,
    prior: EmotionPrior,
    relief: float,
    mouth_patch: MouthPatch | None = None,
) -> Person:
    """Return the person behind a stretch of talk.

    Args:
        shapes: [n, 478, 3] cm, pose-free.
        blendshapes: [52], mean over the stretch.
        prior: Says how people and emotions differ.
        relief: How much shading the face shows.
        mouth_patch: The clearest mouth, if any shows teeth.
    """
    mean = shapes.mean(0)
    amounts, neutral = estimate_emotions(mean, blendshapes, prior)
    return Person(mean, neutral, _named(amounts), estimate_closed_opening(shapes), mouth_patch, relief)


def with_neutral(person: Person, neutral_shape: Floats, prior: EmotionPrior) -> Person:
    """Return the person with a neutral shape [478, 3] that was seen; what they show is their difference to it."""
    expected = np.array([person.emotions.get(name, 0.0) for name in EXPRESSIVE], np.float32)
    amounts = refine_emotions(remove_apertures(person.mean_shape - neutral_shape), expected, prior)
    return replace(person, neutral_shape=neutral_shape, emotions=_named(amounts), neutral_is_given=True)


def _named(amounts: Floats) -> dict[str, float]:
    return {name: float(amount) for name, amount in zip(EXPRESSIVE, amounts, strict=True) if amount > 0}


def is_speaking(person: Person) -> bool:
    """Return whether the lips of what was seen are parted, as in a photo taken within a word."""
    return float(lips().opening(person.mean_shape)) > MAX_CLOSED_OPENING


def estimate_closed_opening(shapes: Floats) -> float:
    """Return the opening, cm, up to which lips count as closed in pose-free shapes [n, 478, 3] of a stretch of talk."""
    closed = float(np.percentile(lips().opening(shapes), _CLOSED_PERCENTILE)) + _CLOSED_SLACK
    return float(np.clip(closed, MIN_CLOSED_OPENING, MAX_CLOSED_OPENING))


def interpolate(first: Person, second: Person, share: float) -> Person:
    """Return a person `share` (0..1) of the way from an early estimate of them to a better one."""
    moved: dict[str, Any] = {}
    for name in ("mean_shape", "neutral_shape", "closed_opening", "relief"):
        start, end = getattr(first, name), getattr(second, name)
        moved[name] = start + share * (end - start)
    names = first.emotions.keys() | second.emotions.keys()
    blend = {
        name: (1 - share) * first.emotions.get(name, 0.0) + share * second.emotions.get(name, 0.0) for name in names
    }
    return replace(second, emotions=blend, **moved)


def refine_emotions(displacement: Floats, amounts: Floats, prior: EmotionPrior) -> Floats:
    """Estimate how much of each emotion is in the difference to a neutral shape that is known.

    Args:
        displacement: [478, 3] cm from the neutral shape.
        amounts: [e] expected from blendshapes.
        prior: Says how people and emotions differ.

    Returns:
        [e] in 0..1; how the face moves by itself is told apart from what the emotions add.
    """
    emotion = prior.offset.reshape(len(prior.offset), -1)
    talk = _talk_modes(prior)
    solution = _solve([talk, emotion * _AMOUNT_ERROR], displacement.ravel() - amounts @ emotion)
    return np.clip(amounts + solution[len(talk) :] * _AMOUNT_ERROR, 0, 1).astype(np.float32)


def estimate_emotions(shape: Floats, blendshapes: Floats, prior: EmotionPrior) -> tuple[Floats, Floats]:
    """Estimate the emotions in a stretch of talk, and the neutral shape behind it.

    Blendshapes come from a network that has seen many people and say what is shown; the shape says how far it goes in
    this face.

    Args:
        shape: [478, 3] cm, mean pose-free shape.
        blendshapes: [52], mean ARKit coefficients.
        prior: Says how people and emotions differ.

    Returns:
        Amounts [e] in 0..1 and the neutral shape [478, 3].
    """
    expected = np.maximum(blendshapes @ prior.blendshape_to_emotion[:-1] + prior.blendshape_to_emotion[-1], 0)
    emotion = prior.offset.reshape(len(prior.offset), -1)
    identity = prior.identity.reshape(len(prior.identity), -1)
    modes = [identity, _talk_modes(prior), emotion * _AMOUNT_ERROR]
    solution = _solve(modes, (shape - prior.mean).ravel() - expected @ emotion)
    amounts = expected + solution[-len(emotion) :] * _AMOUNT_ERROR
    amounts = np.clip((amounts - _NEUTRAL_BIAS) / (1 - _NEUTRAL_BIAS), 0, 1)
    if not amounts.any():
        return amounts.astype(np.float32), shape  # talk without emotion is as neutral as it gets
    neutral = prior.mean + (solution[: len(identity)] @ identity).reshape(POINTS, 3)
    return amounts.astype(np.float32), neutral.astype(np.float32)


def _talk_modes(prior: EmotionPrior) -> Floats:
    """Return what the mean over a stretch of talk keeps of single frames' expressions: [c, 1434], one deviation."""
    modes: Floats = prior.expression * prior.expression_deviation[:, None, None] * _EXPRESSION_SHARE
    return modes.reshape(len(modes), -1)


def _solve(modes: list[Floats], target: Floats) -> NDArray[np.float64]:
    """Return the maximum a posteriori [m] of how much of each mode, [m, n] in all, is in `target` [n].

    Standard normal beforehand.
    """
    stacked = np.concatenate(modes).astype(np.float64)
    precision = stacked @ stacked.T / _NOISE**2 + np.eye(len(stacked))
    return np.asarray(np.linalg.solve(precision, stacked @ target / _NOISE**2), np.float64)
