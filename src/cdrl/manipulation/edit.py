"""From a plan's amounts at a moment to a displacement and a shading for one face."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from cdrl.face.apertures import lids, lips
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.plan import REFERENCE, REGIONS, EditPlan
from cdrl.manipulation.prior import EmotionPrior, Pattern
from cdrl.rendering.texture import SIZE, texture_coverage


class Manipulator:
    """Turns amounts of emotion into a pattern, less what the person shows already, on the regions asked for."""

    def __init__(self, prior: EmotionPrior, plan: EditPlan, reference: Pattern | None = None) -> None:
        self._prior = prior
        self._reference = reference
        self._regions = plan.regions
        self._cached = lru_cache(maxsize=64)(self._pattern)

    def pattern(self, weights: Mapping[str, float], shown: Mapping[str, float]) -> Pattern:
        """What to lay over a face that shows `shown` when the plan asks for `weights` (emotion → amount)."""
        return self._cached(tuple(sorted(weights.items())), tuple(sorted(shown.items())))

    def _pattern(self, weights: tuple[tuple[str, float], ...], shown: tuple[tuple[str, float], ...]) -> Pattern:
        amounts = dict(weights)
        removed = min(sum(amounts.values()), 1.0)
        referred = amounts.pop(REFERENCE, 0.0)
        for name, amount in shown:
            amounts[name] = amounts.get(name, 0.0) - removed * amount
        pattern = self._prior.pattern(amounts)
        if referred and self._reference is not None:
            pattern = pattern.plus(self._reference, referred)
        return self._regional(pattern)

    def _regional(self, pattern: Pattern) -> Pattern:
        if self._regions == frozenset(REGIONS):
            return pattern
        points: Floats = np.array([region_weights()[name] for name in self._regions]).sum(0)
        texels = np.zeros(SIZE * SIZE, np.float32)
        texels[texture_coverage().nodes] = texture_coverage().interpolate(points[:, None])[:, 0]
        return Pattern(
            pattern.offset * points[:, None],
            pattern.lip_opening if "mouth" in self._regions else 0.0,
            pattern.lid_ratio if "eyes" in self._regions else 1.0,
            pattern.gain * texels.reshape(SIZE, SIZE),
        )


def reference_pattern(mean: Floats, neutral: Floats, shown: Mapping[str, float], prior: EmotionPrior) -> Pattern:
    """The expression of a reference whose mean shape is `mean` and whose own neutral is `neutral` [478, 3].

    Its offset is its own; apertures and shading, which a photo or other words can't give, are those of the blend of
    emotions it shows.
    """
    blend = prior.pattern(shown)
    own = lids().without(lips().without(mean - neutral))
    return Pattern(own.astype(np.float32), blend.lip_opening, blend.lid_ratio, blend.gain)
