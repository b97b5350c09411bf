"""From a plan's amounts at a moment to the change of one face's expression, and the expression of a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from cdrl.face.apertures import lids, remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.expression_change import REFERENCE_RELIEF, ExpressionChange, apply_shading, mouth_component
from cdrl.manipulation.person import Person, with_neutral
from cdrl.manipulation.prior import EmotionPrior, region_matrix
from cdrl.plan import REFERENCE, REGIONS, EditPlan
from cdrl.rendering.texture import texture_coverage

SHRINKAGE_GAIN = 2.0
"""How much larger an expression is, at most, than the estimate of it, which shrinks towards a neutral face."""
_CLEAR = 0.3  # sum of amounts from which on somebody is sure to show emotion
_SHADING_REMOVED = 0.35  # share of the shading of an emotion that is taken out with it
# Of a mouth's measured difference: where lips are closed or wide open less of it is taken, and the picture shows less
# than the warp asks for. Chosen on W009 and W011; at twice the difference mouths look squeezed.
_MOUTH_REMOVED = 1.3
_MIN_LID_OPENING, _LID_RATIOS = 0.1, (0.6, 1.7)  # cm, and bounds on a ratio: a photo may have caught a blink
_MAX_TOTAL = 1.0  # largest sum of amounts of a reference's emotions
_MAX_SIZE = 1.3  # times what others show of the emotions: one clip is no reason for a grimace


class Manipulator:
    """Turns amounts of emotion into an expression change, less what the person shows already, in a plan's regions."""

    def __init__(
        self,
        prior: EmotionPrior,
        plan: EditPlan,
        reference: ExpressionChange | None = None,
        personalize: Callable[[Person], EmotionPrior] | None = None,
        neutral_shape: Floats | None = None,
    ) -> None:
        """Prepare the edits of a plan.

        Args:
            prior: The fitted prior.
            plan: Which regions are edited.
            reference: The expression that the plan's reference shows, if it has one.
            personalize: Returns the prior of a person; by default everybody has the fitted one.
            neutral_shape: [478, 3] cm, the neutral shape of who is edited; by default each person's is estimated.
        """
        self._prior = prior
        self._personalize = personalize
        self._reference = reference
        self._neutral_shape = neutral_shape
        self._regions = plan.regions
        self.remarks: tuple[str, ...] = ()
        """What a user should know about the files that were given."""
        self._cached = lru_cache(maxsize=64)(self._compute_change)

    def compute_change(self, weights: Mapping[str, float], person: Person | None) -> ExpressionChange:
        """Compute what to apply to a face; results are kept, so a second call costs nothing.

        Args:
            weights: Amount of each emotion (or of `REFERENCE`) that the plan asks for.
            person: Whose face it is; None where nothing is known of them.
        """
        return self._cached(tuple(sorted(weights.items())), person)

    def _compute_change(self, weights: tuple[tuple[str, float], ...], person: Person | None) -> ExpressionChange:
        if person is not None and self._neutral_shape is not None:
            person = with_neutral(person, self._neutral_shape, self._prior)
        amounts = dict(weights)
        removed = min(sum(amounts.values()), 1.0)
        reference_amount = amounts.pop(REFERENCE, 0.0)
        own = self._prior if person is None or self._personalize is None else self._personalize(person)
        change = own.blend_emotions(amounts)
        if reference_amount and self._reference is not None:
            change = change.add(self._reference, reference_amount)
        if person is not None and (person.emotions or person.neutral_is_given):
            shown = shown_expression(person, self._prior)
            share = 1 - removed * _agreement(change, shown) if person.neutral_is_given else 1.0
            change = own.blend_emotions({}).add(change, share).add(shown, -removed * share)
        relief = REFERENCE_RELIEF if person is None else person.relief
        return self._restrict_to_regions(replace(change, gain=apply_shading(change.gain, relief)))

    def _restrict_to_regions(self, change: ExpressionChange) -> ExpressionChange:
        if self._regions == frozenset(REGIONS):
            return change
        points: Floats = np.array([region_weights()[name] for name in self._regions]).sum(0)
        texels = texture_coverage().scatter(texture_coverage().interpolate(points[:, None]))[..., 0]
        return ExpressionChange(
            change.offset * points[:, None],
            change.closed_lip_reduction * points[:, None],
            change.lip_opening if "mouth" in self._regions else 0.0,
            change.lid_ratio if "eyes" in self._regions else 1.0,
            change.gain * texels,
        )


def shown_expression(person: Person, prior: EmotionPrior) -> ExpressionChange:
    """Return the emotion that a person shows: their own offset, and what goes with the blend of emotions it amounts to.

    Of the shading only a part: what is a fold in one face is a beauty spot in another, and taking out too much of it
    leaves lights where there were folds.
    """
    blend = prior.blend_emotions(person.emotions)
    if person.neutral_is_given:
        return _measured_expression(person, prior, blend)
    total = sum(person.emotions.values())
    # Of a face that is read as all but neutral, most of what differs from the estimated neutral one is the person.
    strength = min(SHRINKAGE_GAIN, 1 / max(total, _CLEAR)) * min(total / _CLEAR, 1)
    own = (strength * remove_apertures(person.mean_shape - person.neutral_shape)).astype(np.float32)
    return ExpressionChange(
        own,
        closed_lip_reduction(own, person, prior),
        strength * blend.lip_opening,
        blend.lid_ratio**strength,
        _SHADING_REMOVED * blend.gain,
    )


def closed_lip_reduction(offset: Floats, person: Person, prior: EmotionPrior) -> Floats:
    """Return the part of a person's offset [478, 3] that faces with these emotions do not show with closed lips."""
    reduction: Floats = mouth_component(prior.closed_lip_suppression(person.emotions) * offset)
    return reduction


def _agreement(wanted: ExpressionChange, shown: ExpressionChange) -> float:
    """Return how far a face shows already what is asked for, 0..1: the squared cosine of the two offsets.

    That share of the face stays as it is: how a person smiles is known better from their smile than from others', and
    two smiles, one taken out and one applied, would differ where lips part.
    """
    norms = float(np.linalg.norm(wanted.offset) * np.linalg.norm(shown.offset))
    return max(float((wanted.offset * shown.offset).sum()) / norms, 0.0) ** 2 if norms else 0.0


def _measured_expression(person: Person, prior: EmotionPrior, blend: ExpressionChange) -> ExpressionChange:
    """Return what a person shows beside a neutral shape that is known: all of the difference, as it was measured."""
    own = remove_apertures(person.mean_shape - person.neutral_shape)
    own += (_MOUTH_REMOVED - 1) * mouth_component(own)
    now, neutral = (float(lids().opening(shape)) for shape in (person.mean_shape, person.neutral_shape))
    ratio = float(np.clip(now / max(neutral, _MIN_LID_OPENING), *_LID_RATIOS))
    reduction = closed_lip_reduction(own, person, prior)
    return ExpressionChange(own, reduction, blend.lip_opening, ratio, _SHADING_REMOVED * blend.gain)


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
