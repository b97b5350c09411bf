"""From a plan's amounts at a moment to a displacement and a shading for one face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from cdrl.face.apertures import lids, without_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.person import RELIEF, Person, expression_model, with_neutral
from cdrl.manipulation.prior import EmotionPrior, Pattern, of_the_mouth
from cdrl.plan import REFERENCE, REGIONS, EditPlan
from cdrl.rendering.texture import SIZE, texture_coverage

MOST_LIGHT = 0.16  # log of luma by which skin is lit at most: more looks wet
LEAST_SHADING = 0.3  # share of the shading that a face without any relief gets
_CLEAR = 0.3  # sum of amounts from which on somebody is sure to show emotion
_UNSHADE = 0.35  # share of the shading of an emotion that is taken out with it
# Of a mouth's measured difference: where lips are shut or wide open less of it is taken, and the picture shows less
# than the warp asks for. Chosen on W009 and W011; at twice the difference mouths look squeezed.
_MOUTH_TAKEN = 1.3
_LEAST_LIDS, _LID_RATIOS = 0.1, (0.6, 1.7)  # cm, and bounds on a ratio: a photo may have caught a blink
CAUTION = 2.0  # how much larger an expression is than the cautious estimate of it


class Manipulator:
    """Turns amounts of emotion into a pattern, less what the person shows already, on the regions asked for."""

    def __init__(
        self,
        prior: EmotionPrior,
        plan: EditPlan,
        reference: Pattern | None = None,
        personal: Callable[[Person], EmotionPrior] | None = None,
        neutral: Floats | None = None,
    ) -> None:
        """`personal`: what makes a person's own prior of the fitted one; without it everybody has the fitted one.
        `neutral`: the neutral shape [478, 3] of who is edited, in cm; without it each person's is estimated."""
        self._prior = prior
        self._personal = personal
        self._reference = reference
        self._neutral = neutral
        self._model = expression_model(prior)
        self._regions = plan.regions
        self.remarks: tuple[str, ...] = ()
        """What a user should know about the files that were given."""
        self._cached = lru_cache(maxsize=64)(self._pattern)

    def pattern(self, weights: Mapping[str, float], person: Person | None) -> Pattern:
        """What to lay over the face of `person` when the plan asks for `weights` (emotion → amount)."""
        return self._cached(tuple(sorted(weights.items())), person)

    def _pattern(self, weights: tuple[tuple[str, float], ...], person: Person | None) -> Pattern:
        if person is not None and self._neutral is not None:
            person = with_neutral(person, self._neutral, self._model)
        amounts = dict(weights)
        removed = min(sum(amounts.values()), 1.0)
        referred = amounts.pop(REFERENCE, 0.0)
        own = self._prior if person is None or self._personal is None else self._personal(person)
        pattern = own.pattern(amounts)
        if referred and self._reference is not None:
            pattern = pattern.plus(self._reference, referred)
        if person is not None and (person.shown or person.neutral_is_given):
            shown = shown_pattern(person, self._prior)
            share = 1 - removed * _agreement(pattern, shown) if person.neutral_is_given else 1.0
            pattern = own.pattern({}).plus(pattern, share).plus(shown, -removed * share)
        # On a face in flat light, or softened by compression, the folds of others look like bruises.
        depth = 1.0 if person is None else float(np.clip(person.relief / RELIEF, LEAST_SHADING, 1))
        light = np.maximum(depth * pattern.gain, 0)
        gain = np.minimum(depth * pattern.gain, 0) + MOST_LIGHT * np.tanh(light / MOST_LIGHT)
        return self._regional(replace(pattern, gain=gain))

    def _regional(self, pattern: Pattern) -> Pattern:
        if self._regions == frozenset(REGIONS):
            return pattern
        points: Floats = np.array([region_weights()[name] for name in self._regions]).sum(0)
        texels = np.zeros(SIZE * SIZE, np.float32)
        texels[texture_coverage().nodes] = texture_coverage().interpolate(points[:, None])[:, 0]
        return Pattern(
            pattern.offset * points[:, None],
            pattern.eased * points[:, None],
            pattern.lip_opening if "mouth" in self._regions else 0.0,
            pattern.lid_ratio if "eyes" in self._regions else 1.0,
            pattern.gain * texels.reshape(SIZE, SIZE),
        )


def shown_pattern(person: Person, prior: EmotionPrior) -> Pattern:
    """The emotion that a person shows: their own offset, and what goes with the blend of emotions it amounts to.

    Of the shading only a part: what is a fold in one face is a beauty spot in another, and taking out too much of it
    leaves lights where there were folds.
    """
    blend = prior.pattern(person.shown)
    if person.neutral_is_given:
        return _difference_pattern(person, prior, blend)
    total = sum(person.shown.values())
    # Of a face that is read as all but neutral, most of what differs from the estimated neutral one is the person.
    strength = min(CAUTION, 1 / max(total, _CLEAR)) * min(total / _CLEAR, 1)
    own = (strength * without_apertures(person.mean - person.neutral)).astype(np.float32)
    eased = of_the_mouth(prior.eased(person.shown) * own)
    return Pattern(own, eased, strength * blend.lip_opening, blend.lid_ratio**strength, _UNSHADE * blend.gain)


def _agreement(asked: Pattern, shown: Pattern) -> float:
    """How far what is asked for is what the face shows already, 0..1: the squared cosine of the two offsets.

    That share of the face stays as it is: how a person smiles is known better from their smile than from others', and
    two smiles, one taken out and one laid on, would differ where lips part.
    """
    norms = float(np.linalg.norm(asked.offset) * np.linalg.norm(shown.offset))
    return max(float((asked.offset * shown.offset).sum()) / norms, 0.0) ** 2 if norms else 0.0


def _difference_pattern(person: Person, prior: EmotionPrior, blend: Pattern) -> Pattern:
    """What a person shows beside a neutral shape that is known: all of the difference, as it was measured."""
    own = without_apertures(person.mean - person.neutral)
    own += (_MOUTH_TAKEN - 1) * of_the_mouth(own)
    eased = of_the_mouth(prior.eased(person.shown) * own)
    ratio = float(lids().opening(person.mean)) / max(float(lids().opening(person.neutral)), _LEAST_LIDS)
    return Pattern(own, eased, blend.lip_opening, float(np.clip(ratio, *_LID_RATIOS)), _UNSHADE * blend.gain)
