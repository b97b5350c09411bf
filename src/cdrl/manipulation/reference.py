"""The expression of a reference: a clip or photo of anyone, of whom nothing else is known."""

from __future__ import annotations

import numpy as np

from cdrl.face.apertures import remove_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.expression_change import ExpressionChange
from cdrl.manipulation.manipulator import SHRINKAGE_GAIN, closed_lip_reduction
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EmotionPrior, region_matrix

_MAX_TOTAL = 1.0  # largest sum of amounts of a reference's emotions
_MAX_SIZE = 1.3  # times what others show of the emotions: one clip is no reason for a grimace


def reference_expression(person: Person, prior: EmotionPrior) -> ExpressionChange:
    """Return the expression of a reference at full strength.

    The estimate of one clip or photo shrinks: it takes half of an expression for the person's own face. That is made up
    for, up to what people usually show. The offset is the sum of `reference_parts`, weighted region by region;
    apertures and shading, which a photo or other words can't give, are those of the emotions it is read as.
    """
    blend = prior.blend_emotions(_amounts(person))
    weights = prior.reference_weights @ region_matrix()
    offset = (weights[:, :, None] * reference_parts(person, prior)).sum(0)
    size = float(np.linalg.norm(offset))
    offset *= min(1.0, _MAX_SIZE * float(np.linalg.norm(blend.offset)) / max(size, 1e-6))
    offset = offset.astype(np.float32)
    reduction = closed_lip_reduction(offset, person, prior)
    return ExpressionChange(offset, reduction, blend.lip_opening, blend.lid_ratio, blend.gain)


def reference_parts(person: Person, prior: EmotionPrior) -> Floats:
    """Return the three candidates for a reference's offset, all as strong as their emotions are rendered.

    Returns:
        [3, 478, 3] cm, without apertures: how the person differs from their own estimated neutral shape; the offset of
        the emotions they are read as; how they differ from a mean neutral face, as far as they show any emotion.
    """
    own = _strength(person) * remove_apertures(person.mean_shape - person.neutral_shape)
    unlike = min(sum(person.emotions.values()), 1.0) * remove_apertures(person.mean_shape - prior.mean)
    own, unlike = (prior.apply_emphasis(person.emotions, part) for part in (own, unlike))
    return np.array([own, prior.blend_emotions(_amounts(person)).offset, unlike])


def _strength(person: Person) -> float:
    total = sum(person.emotions.values())
    return min(SHRINKAGE_GAIN, _MAX_TOTAL / total) if total > 0 else 1.0


def _amounts(person: Person) -> dict[str, float]:
    return {name: _strength(person) * amount for name, amount in person.emotions.items()}
