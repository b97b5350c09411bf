"""Who is seen and what they already show, estimated from a short stretch of a clip, a reference or a photo.

A shape alone can't tell who somebody is from what they show. What is shown is read from the mean shape of the stretch
and from its mean blendshapes, by a linear map that was learned on people whose neutral faces are known
(`EmotionPrior.read_expression`); the neutral shape is what remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from cdrl.face.apertures import lips
from cdrl.face.bundle import Floats
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import Track
from cdrl.manipulation.expression_change import mouth_freedom
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.media import Frame
from cdrl.plan import smoothstep
from cdrl.rendering.mouth_patch import MouthPatch, extract_mouth_patch
from cdrl.rendering.teeth import Teeth, combine_teeth, measure_teeth
from cdrl.rendering.texture import measure_relief, measure_texture

OBSERVED_SECONDS = Fraction(4)
"""How much of a clip is looked at to estimate who is in it."""
OBSERVATION_INTERVAL = Fraction(1, 8)
"""Seconds between two frames that are looked at."""
RECENT_SECONDS = 0.5
"""How long a face is remembered to tell what it shows by now."""
PAUSE_SECONDS = (0.3, 0.7)
"""How long lips stay closed, over which they are taken to say nothing: a bilabial closes them for less."""
PARTING_SECONDS = 0.15
"""Within which a pause ends when lips part."""
_RELIEF_INTERVAL = 8  # frames looked at between two measurements of shading
_TRACE = 0.02  # amount of an emotion below which it is not counted as seen
_RECOGNIZED = (0.0, 0.25)  # largest amount of an emotion from which, and up to which, an expression is one
_FRONTAL = 35.0  # degrees of yaw within which a shape is trusted
_CLOSED_PERCENTILE = 10  # of lip opening: stands for closed lips
_CLOSED_SLACK = 0.15  # cm above it that lips still count as closed: pressed, pursed or badly seen ones measure as much
SPEAKING_NEUTRAL_NOTE = (
    "shows a mouth that speaks: a clip, or a photo with the mouth at rest, tells the neutral face better"
)
"""Ends a remark on a photo that `is_speaking`."""

MIN_CLOSED_OPENING, MAX_CLOSED_OPENING = 0.3, 0.5
"""cm, bounds of `Person.closed_opening`: who never opens less has not closed the lips in what was seen."""
TYPICAL_OPENING = 0.9
"""cm: mean opening in neutral talk, where nothing is known of the person."""


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
    mean_opening: float
    """cm: mean opening of the inner lips in talk."""
    mouth_freedom: float
    """Mean of `cdrl.manipulation.expression_change.mouth_freedom`, and of pauses, over what was seen."""
    mouth_patch: MouthPatch | None
    """The clearest mouth, if any shows teeth."""
    relief: float
    """How much shading the face shows by itself; see `measure_relief`."""
    neutral_is_given: bool = False
    """Whether the neutral shape was seen in a photo or clip of the person's neutral face, not estimated."""
    teeth: Teeth | None = None
    """The upper teeth, if enough frames show their edges."""


class PersonEstimator:
    """Estimates the person in each shot from frames: the more frames, the better."""

    def __init__(self, prior: EmotionPrior) -> None:
        self._prior = prior
        self._shapes: dict[int, list[Floats]] = {}
        self._blendshapes: dict[int, list[Floats]] = {}
        self._mouth_patches: dict[int, MouthPatch] = {}
        self._reliefs: dict[int, list[float]] = {}
        self._teeth: dict[int, list[Teeth]] = {}

    def add_frame(self, frame: Frame, track: Track, estimate_blendshapes: Callable[[Floats], Floats]) -> None:
        """Take in a frame and the face in it; a face that is turned too far is passed over."""
        pose = estimate_pose(track.points)
        if abs(pose.yaw) > _FRONTAL:
            return
        shapes = self._shapes.setdefault(track.shot, [])
        shapes.append(pose.normalize(track.points))
        self._blendshapes.setdefault(track.shot, []).append(estimate_blendshapes(track.points))
        if len(shapes) % _RELIEF_INTERVAL == 1:
            self._reliefs.setdefault(track.shot, []).append(measure_relief(measure_texture(frame, track.points)))
        teeth = measure_teeth(frame, track.points, pose)
        if teeth is not None:
            self._teeth.setdefault(track.shot, []).append(teeth)
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
        patch, interval = self._mouth_patches.get(shot), float(OBSERVATION_INTERVAL)
        person = estimate_person(shapes, blendshapes, self._prior, relief, patch, interval)
        return replace(person, teeth=combine_teeth(self._teeth.get(shot, ())))


def estimate_person(
    shapes: Floats,
    blendshapes: Floats,
    prior: EmotionPrior,
    relief: float,
    mouth_patch: MouthPatch | None = None,
    interval: float | None = None,
) -> Person:
    """Return the person behind a stretch of talk.

    Args:
        shapes: [n, 478, 3] cm, pose-free.
        blendshapes: [52], mean over the stretch.
        prior: Says how people and emotions differ.
        relief: How much shading the face shows.
        mouth_patch: The clearest mouth, if any shows teeth.
        interval: Seconds between two shapes, whose pauses then count; None where they are of talk alone.
    """
    mean = shapes.mean(0)
    amounts, shown = prior.read_expression(mean, blendshapes)
    closed = estimate_closed_opening(shapes)
    opening = lips().opening(shapes)
    pauses = np.zeros(len(opening)) if interval is None else _find_pauses(opening, closed, interval)
    freedom = float(mouth_freedom(opening, closed, pauses).mean())
    return Person(mean, mean - shown, _named(amounts), closed, float(opening.mean()), freedom, mouth_patch, relief)


def _find_pauses(opening: Floats, closed_opening: float, interval: float) -> Floats:
    """Return the share [n] to which talk pauses in shapes with openings [n] cm, `interval` seconds apart."""
    tracker = PauseTracker()
    shares = [tracker.update(float(value), closed_opening, number * interval) for number, value in enumerate(opening)]
    return np.array(shares, np.float32)


def with_neutral(person: Person, neutral_shape: Floats) -> Person:
    """Return the person with a neutral shape [478, 3] that was seen; what they show is their difference to it."""
    return replace(person, neutral_shape=neutral_shape, neutral_is_given=True)


def recognized_share(amounts: Iterable[float]) -> float:
    """Return the share in 0..1 of an expression with these amounts of emotion that counts as one in a source."""
    return smoothstep(max(amounts, default=0.0), *_RECOGNIZED)


def discount_expression(person: Person) -> Person:
    """Return the person of a source, of whose expression counts what is recognized as an emotion.

    Of a face that is unlike those of the fit much is read as expression, but as no emotion: high brows are no surprise.
    A reference, which is given for what it shows, is not discounted.
    """
    share = recognized_share(person.emotions.values())
    neutral = person.mean_shape + share * (person.neutral_shape - person.mean_shape)
    return replace(person, neutral_shape=neutral, emotions=discount_emotions(person.emotions))


def discount_emotions(emotions: Mapping[str, float]) -> dict[str, float]:
    """Return the amounts of the emotions in a source that count, of those read in it; see `discount_expression`."""
    share = recognized_share(emotions.values())
    return {name: share * amount for name, amount in emotions.items() if share * amount > _TRACE}


def _named(amounts: Floats) -> dict[str, float]:
    return {name: float(amount) for name, amount in zip(EXPRESSIVE, amounts, strict=True) if amount > _TRACE}


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
    for name in ("mean_shape", "neutral_shape", "closed_opening", "mean_opening", "mouth_freedom", "relief"):
        start, end = getattr(first, name), getattr(second, name)
        moved[name] = start + share * (end - start)
    names = first.emotions.keys() | second.emotions.keys()
    blend = {
        name: (1 - share) * first.emotions.get(name, 0.0) + share * second.emotions.get(name, 0.0) for name in names
    }
    return replace(second, emotions=blend, **moved)


class PauseTracker:
    """Follows how far talk pauses, in 0..1: lips that stay closed say nothing, and an emotion shows on them in full."""

    def __init__(self) -> None:
        self._share = 0.0
        self._closed_since = 0.0
        self._last: float | None = None

    def update(self, opening: float, closed_opening: float, time: float) -> float:
        """Take in the lips of the next frame.

        Args:
            opening: cm, of the inner lips.
            closed_opening: cm, up to which they count as closed.
            time: Seconds; where it leaps, closed lips are taken to have been closed before.

        Returns:
            The share: it rises over `PAUSE_SECONDS` and falls within `PARTING_SECONDS`.
        """
        step = np.inf if self._last is None else time - self._last
        self._last = time
        if not 0 <= step < 1:
            self._share, self._closed_since, step = 0.0, -np.inf, 0.0
        if opening > closed_opening:
            self._share, self._closed_since = max(self._share - step / PARTING_SECONDS, 0.0), time
        self._share = max(self._share, smoothstep(time - self._closed_since, *PAUSE_SECONDS))
        return self._share


class RecentShape:
    """Mean of a face's last pose-free shapes: what it shows by now, with most of the speech averaged out.

    The mean is exponential with `RECENT_SECONDS`. It begins as the person's mean shape, anew with another shot, and
    where the face was not seen for as long.
    """

    def __init__(self) -> None:
        self.pause = 0.0
        """Share in 0..1 to which the talk pauses (`PauseTracker`)."""
        self._pauses = PauseTracker()
        self._mean: Floats | None = None
        self._shot = -1
        self._last = 0.0

    def update(self, track: Track, time: Fraction, person: Person | None) -> Floats | None:
        """Take in a face, and return the mean [478, 3] cm; None where nothing is known of the person.

        Args:
            track: The face.
            time: Seconds from the first frame.
            person: Whose face it is.
        """
        now = float(time)
        step = now - self._last
        if self._mean is None or track.shot != self._shot or not 0 <= step <= RECENT_SECONDS:
            self._mean, step = person.mean_shape if person else None, 0.0
            self._pauses = PauseTracker()
        self._shot, self._last = track.shot, now
        pose = estimate_pose(track.points)
        if self._mean is not None and abs(pose.yaw) <= _FRONTAL:
            shape = pose.normalize(track.points)
            self._mean = self._mean + step / (step + RECENT_SECONDS) * (shape - self._mean)
            closed = person.closed_opening if person else MAX_CLOSED_OPENING
            self.pause = self._pauses.update(float(lips().opening(shape)), closed, now)
        return self._mean
