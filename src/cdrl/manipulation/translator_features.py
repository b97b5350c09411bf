"""What the translator reads of a person and what its outputs mean, as plain arrays: editing needs no torch."""

from __future__ import annotations

import numpy as np

from cdrl.arrays import Array
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.expression_change import REFERENCE_RELIEF
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EXPRESSIVE, Adaptation, EmotionPrior

N_REGIONS = len(region_weights())
N_EXTRA_OUTPUTS = N_REGIONS + 3
"""Numbers of an emotion's adaptation beside its code: strengths by region, lip opening, lids, shading."""
_MAX_DEVIATIONS = 3.0  # beyond it a feature says no more


def person_features(person: Person, prior: EmotionPrior) -> Floats:
    """Return what a person looks like.

    Returns:
        [i + e + 2]: the identity code in deviations, the amounts of emotion shown already, the opening of closed lips
        in cm, and the relief over the reference relief.
    """
    modes = prior.identity.reshape(len(prior.identity), -1)
    code = modes @ (person.neutral_shape - prior.mean).ravel() / np.maximum(np.square(modes).sum(1), 1e-9)
    emotions = [person.emotions.get(name, 0.0) for name in EXPRESSIVE]
    further = [person.closed_opening, person.relief / REFERENCE_RELIEF]
    return np.concatenate([np.clip(code, -_MAX_DEVIATIONS, _MAX_DEVIATIONS), emotions, further]).astype(np.float32)


def encode_offset(offset: Floats, prior: EmotionPrior) -> Floats:
    """Return the code [..., c] of an offset [..., 478, 3], in deviations of the expression modes."""
    modes = prior.expression.reshape(len(prior.expression), -1)
    code: Floats = offset.reshape(*offset.shape[:-2], -1) @ modes.T / np.maximum(prior.expression_deviation, 1e-6)
    return code.astype(np.float32)


def split_outputs(outputs: Array) -> Adaptation:
    """Return the translator's outputs [..., e, c + N_EXTRA_OUTPUTS] as an adaptation of the prior."""
    return Adaptation(
        outputs[..., :-N_EXTRA_OUTPUTS],
        outputs[..., -N_EXTRA_OUTPUTS:-3],
        outputs[..., -3],
        outputs[..., -2],
        outputs[..., -1],
    )
