"""From a plan's amounts at a moment to the change of one face's expression, and the expression of a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from cdrl.face.apertures import lids, lips, remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.expression_change import (
    REFERENCE_RELIEF,
    ExpressionChange,
    apply_shading,
    mouth_component,
)
from cdrl.manipulation.person import (
    MAX_CLOSED_OPENING,
    TYPICAL_OPENING,
    Person,
    discount_expression,
    recognized_share,
    with_neutral,
)
from cdrl.manipulation.prior import EmotionPrior
from cdrl.plan import REFERENCE, REGIONS, EditPlan, smoothstep
from cdrl.rendering.folds import widen_folds
from cdrl.rendering.texture import texture_coverage

SHADING_REMOVED = 0.7
"""Share of the shading of an emotion that is taken out with it."""
_SAME_EMOTION = (0.5, 0.9)  # cosines of offsets of different emotions, and of the same one in two people
_FOLDING = (0.0, 0.4)  # amount of an emotion from which, and up to which, its folds are there
_LEAST_SHARE = 1e-3  # of folds, from which on they are looked for
_FOLD_DEPTH = 0.03  # log of luma by which the mean person's skin darkens where it folds
_LEAST_OFFSET = 1e-6  # cm: of a face that is read as no emotion
_MIN_LID_OPENING, _LID_RATIOS = 0.1, (0.6, 1.7)  # cm, and bounds on a ratio: a photo may have caught a blink


@dataclass(frozen=True)
class _PersonalChange:
    """What an edit does to a person's face that shows what they were estimated to show."""

    change: ExpressionChange
    removed_folds: Floats | None
    """[SIZE, SIZE] in 0..1: share of the frame's own folds that is taken out; None for none."""


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
        self._points: Floats = np.array([region_weights()[name] for name in plan.regions]).sum(0)
        self.remarks: tuple[str, ...] = ()
        """What a user should know about the files that were given."""
        self._cached = lru_cache(maxsize=64)(self._compute_change)

    def edit_shape(
        self,
        weights: Mapping[str, float],
        person: Person | None,
        shape: Floats,
        recent_shape: Floats | None = None,
        shut_teeth: float = 0.0,
        pause: float = 0.0,
    ) -> tuple[Floats, Floats]:
        """Compute what happens to one face.

        Args:
            weights: Amount of each emotion (or of `REFERENCE`) that the plan asks for.
            person: Whose face it is; None where nothing is known of them.
            shape: [478, 3] cm, its pose-free shape.
            recent_shape: [478, 3] cm, the mean of its last shapes (`RecentShape`): what the face shows by now beyond
                what the person showed when they were estimated is taken out as well. None to leave that.
            shut_teeth: Share in 0..1 to which the teeth are seen shut.
            pause: Share in 0..1 to which the talk pauses.

        Returns:
            The displacement [478, 3] cm, and the gain [SIZE, SIZE], log of luma.
        """
        change = self.compute_change(weights, person)
        if person is None:
            displacement = change.compute_displacement(shape, MAX_CLOSED_OPENING, TYPICAL_OPENING, shut_teeth)
            return displacement, change.gain
        mean_opening = person.mean_opening
        if recent_shape is not None:
            shown = self._prior.read_change(recent_shape - person.mean_shape)
            if shown.any():
                wider = float(lips().opening(person.mean_shape + shown) - lips().opening(person.mean_shape))
                change = self._remove(change, remove_apertures(shown), wider, person, min(sum(weights.values()), 1.0))
                mean_opening += wider
        return change.compute_displacement(shape, person.closed_opening, mean_opening, shut_teeth, pause), change.gain

    def _remove(
        self, change: ExpressionChange, offset: Floats, lip_opening: float, person: Person, amount: float
    ) -> ExpressionChange:
        """Take an offset [478, 3], and an additional opening of the lips, out of a face beyond a change."""
        offset = offset * self._points[:, None]
        reduction = closed_lip_reduction(offset, person, self._prior)
        opening = lip_opening if "mouth" in self._regions else 0.0
        shown = ExpressionChange(offset, reduction, opening, 1.0, np.zeros_like(change.gain))
        return change.add(shown.compensate(person.mouth_freedom), -amount)

    def compute_change(self, weights: Mapping[str, float], person: Person | None) -> ExpressionChange:
        """Compute what to apply to a face that shows what the person was estimated to show.

        Results are kept, so a second call costs nothing.

        Args:
            weights: Amount of each emotion (or of `REFERENCE`) that the plan asks for.
            person: Whose face it is; None where nothing is known of them.
        """
        return self._cached(tuple(sorted(weights.items())), person).change

    def find_removed_folds(self, weights: Mapping[str, float], person: Person | None) -> Floats | None:
        """Return the share [SIZE, SIZE] in 0..1 of the folds in a frame that go with what is taken out; None for none.

        Args:
            weights: Amount of each emotion (or of `REFERENCE`) that the plan asks for.
            person: Whose face it is; None where nothing is known of them.
        """
        return self._cached(tuple(sorted(weights.items())), person).removed_folds

    def _compute_change(self, weights: tuple[tuple[str, float], ...], person: Person | None) -> _PersonalChange:
        if person is not None and self._neutral_shape is not None:
            person = with_neutral(person, self._neutral_shape)
        if person is not None and not person.neutral_is_given:
            person = discount_expression(person)
        amounts = dict(weights)
        removed = min(sum(amounts.values()), 1.0)
        reference_amount = amounts.pop(REFERENCE, 0.0)
        own = self._prior if person is None or self._personalize is None else self._personalize(person)
        change = own.blend_emotions(amounts)
        if reference_amount and self._reference is not None:
            change = change.add(self._reference, reference_amount)
        folds = None
        if person is not None:
            shown = shown_expression(person, self._prior)
            kept = removed * _overlap(dict(weights), person.emotions) * _agreement(change, shown)
            change = change.add(change, -kept).add(shown, -removed * (1 - kept))
            change = change.compensate(person.mouth_freedom)
            folds = removed * (1 - kept) * find_shown_folds(person, self._prior) * self._texels
            folds = folds if folds.max() >= _LEAST_SHARE else None
        relief = REFERENCE_RELIEF if person is None else person.relief
        change = self._restrict_to_regions(replace(change, gain=apply_shading(change.gain, relief)))
        return _PersonalChange(change, folds)

    @cached_property
    def _texels(self) -> Floats:
        """The edited regions' share of each texel, [SIZE, SIZE]."""
        texels = texture_coverage().scatter(texture_coverage().interpolate(self._points[:, None]))[..., 0]
        bounded: Floats = np.minimum(texels, 1)  # but for rounding it is
        return bounded

    def _restrict_to_regions(self, change: ExpressionChange) -> ExpressionChange:
        if self._regions == frozenset(REGIONS):
            return change
        points = self._points
        return ExpressionChange(
            change.offset * points[:, None],
            change.closed_lip_reduction * points[:, None],
            change.lip_opening if "mouth" in self._regions else 0.0,
            change.lid_ratio if "eyes" in self._regions else 1.0,
            change.gain * self._texels,
        )


def shown_expression(person: Person, prior: EmotionPrior) -> ExpressionChange:
    """Return what a person shows: their difference from their neutral shape, and the shading that goes with it.

    Brows have moved farther than their landmarks tell, as they do in the emotions that are shown. Of the shading only
    a part: what is a fold in one face is a beauty spot in another, and taking out too much of it leaves lights where
    there were folds.
    """
    amounts = shown_amounts(person, prior)
    own = remove_apertures(person.mean_shape - person.neutral_shape) + prior.shown_brow_movement(amounts)
    lip_opening, lid_opening = (
        [float(aperture.opening(shape)) for shape in (person.mean_shape, person.neutral_shape)]
        for aperture in (lips(), lids())
    )
    return ExpressionChange(
        own,
        closed_lip_reduction(own, person, prior),
        lip_opening[0] - lip_opening[1],
        float(np.clip(lid_opening[0] / max(lid_opening[1], _MIN_LID_OPENING), *_LID_RATIOS)),
        SHADING_REMOVED * prior.blend_emotions(amounts).gain,
    )


def shown_amounts(person: Person, prior: EmotionPrior) -> dict[str, float]:
    """Return the amount, in 0..1, of each emotion in a face by how strong its expression is beside those of the prior.

    What a face is read as says which emotions it shows; how much of them is shrunk in faces unlike those of the fit.
    """
    total = sum(person.emotions.values())
    amounts = {name: amount / total for name, amount in person.emotions.items()}
    shown = remove_apertures(person.mean_shape - person.neutral_shape)
    whole = float(np.linalg.norm(prior.blend_emotions(amounts).offset - prior.shown_brow_movement(amounts)))
    strength = min(float(np.linalg.norm(shown)) / max(whole, _LEAST_OFFSET), 1.0)
    strength *= recognized_share(person.emotions.values())
    return {name: strength * amount for name, amount in amounts.items()}


def find_shown_folds(person: Person, prior: EmotionPrior) -> Floats:
    """Return the share [SIZE, SIZE] in 0..1 of a face's folds that come of the emotions which a person shows.

    They lie where these emotions fold the mean person's skin; elsewhere folds are the person's own at rest.
    """
    share = np.zeros_like(prior.gain[0])
    for name, amount in shown_amounts(person, prior).items():
        depth = widen_folds(prior.blend_emotions({name: 1.0}).gain)
        share += smoothstep(amount, *_FOLDING) * np.clip(depth / _FOLD_DEPTH, 0, 1)
    bounded: Floats = np.minimum(share, 1)
    return bounded


def closed_lip_reduction(offset: Floats, person: Person, prior: EmotionPrior) -> Floats:
    """Return the part of a person's offset [478, 3] that faces with these emotions do not show with closed lips."""
    reduction: Floats = mouth_component(prior.closed_lip_suppression(person.emotions) * offset)
    return reduction


def _agreement(wanted: ExpressionChange, shown: ExpressionChange) -> float:
    """Return how far a face shows already what is asked for, 0..1, by the cosine of the two offsets and their lengths.

    That share of the face stays as it is: how a person smiles is known better from their smile than from others', and
    two smiles, one taken out and one applied, would differ where lips part.
    """
    product, size = float((wanted.offset * shown.offset).sum()), float(np.linalg.norm(wanted.offset))
    cosine = product / (size * float(np.linalg.norm(shown.offset)) or 1.0)
    return smoothstep(cosine, *_SAME_EMOTION) * min(max(product, 0.0) / (size**2 or 1.0), 1.0)


def _overlap(asked: Mapping[str, float], shown: Mapping[str, float]) -> float:
    """Return the share, 0..1, of the emotions shown that are asked for; a reference may ask for any of them."""
    total = sum(asked.values()) * sum(shown.values())
    common = sum(amount * (asked.get(REFERENCE, 0.0) + asked.get(name, 0.0)) for name, amount in shown.items())
    return common / total if total else 0.0


def reference_expression(person: Person, prior: EmotionPrior) -> ExpressionChange:
    """Return the expression of a reference: its difference from its own neutral shape.

    The opening of the lips and the shading, which a photo or other words can't give, are those of the emotions it is
    read as, as strong as the expression is beside theirs.
    """
    shown, blend = shown_expression(person, prior), prior.blend_emotions(shown_amounts(person, prior))
    return replace(shown, lip_opening=blend.lip_opening, gain=blend.gain)
