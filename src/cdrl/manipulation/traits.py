"""What the translator is told of a person, and what it answers, as plain arrays: editing needs no torch."""

from __future__ import annotations

import numpy as np

from cdrl.face.apertures import lips, without_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.person import RELIEF, Person
from cdrl.manipulation.prior import EXPRESSIVE, Adaptation, EmotionPrior

REGIONS = len(region_weights())
FURTHER = REGIONS + 3
"""Numbers that an adaptation holds beside its code: strengths by region, lip opening, lids, shading."""
OPENING = 0.4
"""cm of lip opening that count as one in a code."""
_FAR = 3.0  # deviations beyond which a trait says no more


def traits(person: Person, prior: EmotionPrior) -> Floats:
    """What a person looks like, [i + e + 2]: identity code in deviations, amounts of emotion shown already, how far
    closed lips seem open (cm), and the relief."""
    modes = prior.identity.reshape(len(prior.identity), -1)
    code = modes @ (person.neutral - prior.mean).ravel() / np.maximum(np.square(modes).sum(1), 1e-9)
    shown = [person.shown.get(name, 0.0) for name in EXPRESSIVE]
    found: Floats = np.concatenate([np.clip(code, -_FAR, _FAR), shown, [person.closed, person.relief / RELIEF]])
    return found.astype(np.float32)


def code_of(offset: Floats, prior: EmotionPrior) -> Floats:
    """An offset [..., 478, 3] in deviations of the expression modes, [..., c]."""
    modes = prior.expression.reshape(len(prior.expression), -1)
    code: Floats = offset.reshape(*offset.shape[:-2], -1) @ modes.T / np.maximum(prior.expression_deviation, 1e-6)
    return code.astype(np.float32)


def codes(shapes: Floats, neutral: Floats, prior: EmotionPrior) -> Floats:
    """Pose-free shapes [T, 478, 3] of somebody with that neutral shape → [T, c + 1]: what the face does, in deviations
    of the expression modes, without apertures, and the opening of the lips in units of `OPENING`."""
    moved = code_of(np.array([without_apertures(shape - neutral) for shape in shapes]), prior)
    found: Floats = np.concatenate([moved, lips().opening(shapes)[:, None] / OPENING], 1)
    return found.astype(np.float32)


def adaptation(change: Floats) -> Adaptation:
    """The translator's answer [e, c + FURTHER] by name."""
    return Adaptation(change[:, :-FURTHER], change[:, -FURTHER:-3], change[:, -3], change[:, -2], change[:, -1])
