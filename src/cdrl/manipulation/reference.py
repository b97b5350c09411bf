"""The expression of a reference: a clip or photo of anyone, of whom nothing else is known."""

from __future__ import annotations

import numpy as np

from cdrl.face.apertures import without_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.edit import CAUTION
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EmotionPrior, Pattern, of_the_mouth, region_table

_MOST = 1.0  # largest sum of amounts of a reference's emotions
_STRONGEST = 1.3  # times what others show of the emotions: one clip is no reason for a grimace


def reference_pattern(person: Person, prior: EmotionPrior) -> Pattern:
    """The expression of a reference, at full strength.

    The estimate of one clip or photo is cautious: it takes half of an expression for the person's own face. That is
    made up for, up to what people usually show. The offset is made up of `reference_parts`, region by region;
    apertures and shading, which a photo or other words can't give, are those of the emotions it is read as.
    """
    blend = prior.pattern(_amounts(person))
    weights = prior.following @ region_table()
    offset = (weights[:, :, None] * reference_parts(person, prior)).sum(0)
    size = float(np.linalg.norm(offset))
    offset *= min(1.0, _STRONGEST * float(np.linalg.norm(blend.offset)) / max(size, 1e-6))
    offset = offset.astype(np.float32)
    eased = of_the_mouth(prior.eased(person.shown) * offset)
    return Pattern(offset, eased, blend.lip_opening, blend.lid_ratio, blend.gain)


def reference_parts(person: Person, prior: EmotionPrior) -> Floats:
    """[3, 478, 3] cm, without apertures: how the person differs from their own estimated neutral shape, the offset of
    the emotions they are read as, and how they differ from a mean neutral face, as far as they show any; all three as
    strong as these emotions are laid on."""
    own = _strength(person) * without_apertures(person.mean - person.neutral)
    unlike = min(sum(person.shown.values()), 1.0) * without_apertures(person.mean - prior.mean)
    own, unlike = (prior.emphasised(person.shown, part) for part in (own, unlike))
    return np.array([own, prior.pattern(_amounts(person)).offset, unlike])


def _strength(person: Person) -> float:
    total = sum(person.shown.values())
    return min(CAUTION, _MOST / total) if total > 0 else 1.0


def _amounts(person: Person) -> dict[str, float]:
    return {name: _strength(person) * amount for name, amount in person.shown.items()}
