"""The people of a clip: who comes back in a later shot keeps what earlier shots told of them.

A face is recognized by its neutral shape, the mouth apart, whose estimate depends on the words most. What each shot
tells of the neutral shape counts by how little it shows: a calm face tells it best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cdrl.face.apertures import remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.expression_change import rms_millimeters
from cdrl.manipulation.person import Person
from cdrl.rendering.mouth_patch import MouthPatch
from cdrl.rendering.teeth import Teeth

_SAME_PERSON = 1.1
"""mm between two neutral shapes up to which they are one person's: three of 10,000 pairs of different people, and 73 %
of pairs of clips of one person in different emotions. Measured by hand with the prior that ships, which was fitted on
most of them, without the people who are reported on."""
_CALM_VARIANCE = 0.5
"""mm²: of a neutral shape that is estimated from a face which shows nothing."""
_MAX_SHIFT = 0.08
"""cm by which a point of a shot's own neutral shape moves at most: a shot is edited as it is alone, within 1 % of the
distance of the eyes."""
_MOST_PEOPLE = 32


@dataclass
class _Known:
    """What is known of a person by now."""

    neutral_shape: Floats
    weight: float
    mouth_patch: MouthPatch | None
    teeth: Teeth | None


class PeopleSeen:
    """Recognizes who was seen before. Memory is bounded: of many people the first are forgotten."""

    def __init__(self) -> None:
        self._known: list[_Known] = []

    def recognize(self, person: Person) -> Person:
        """Take in who is seen in another shot.

        Returns:
            The person with a neutral shape nearer to what all their shots tell, and with teeth of an earlier shot where
            this one shows none; the same object where they were not seen before.
        """
        shown = rms_millimeters(remove_apertures(person.mean_shape - person.neutral_shape))
        weight = 1 / (_CALM_VARIANCE + shown**2)
        distances = [_distance(known.neutral_shape, person.neutral_shape) for known in self._known]
        if not distances or min(distances) > _SAME_PERSON:
            latest = self._known[-_MOST_PEOPLE + 1 :]
            self._known = [*latest, _Known(person.neutral_shape, weight, person.mouth_patch, person.teeth)]
            return person
        known = self._known[int(np.argmin(distances))]
        known.weight += weight
        share = weight / known.weight
        known.neutral_shape = known.neutral_shape + share * (person.neutral_shape - known.neutral_shape)
        known.mouth_patch, known.teeth = person.mouth_patch or known.mouth_patch, person.teeth or known.teeth
        shift = known.neutral_shape - person.neutral_shape
        shift *= _MAX_SHIFT / max(float(np.linalg.norm(shift, axis=1).max()), _MAX_SHIFT)
        moved = person.neutral_shape + shift
        return replace(person, neutral_shape=moved, mouth_patch=known.mouth_patch, teeth=known.teeth)


def _distance(first: Floats, second: Floats) -> float:
    """The root mean square distance, mm, of two shapes [478, 3] cm, lips' and lids' opening and the mouth apart."""
    weights = 1 - region_weights()["mouth"]
    difference = remove_apertures(second - first)
    return rms_millimeters(np.sqrt(weights / weights.mean())[:, None] * difference)
