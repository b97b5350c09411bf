"""How an expression changes a face: the numeric core that the editor and training share.

Everything here computes with NumPy arrays and with PyTorch tensors (`cdrl.arrays`), of one face or of many: leading
dimensions are kept, and gradients pass through tensors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from cdrl.arrays import Array, array_namespace, at_least, at_most, match_array, scale, to_double
from cdrl.face.apertures import brows, lids, lips
from cdrl.face.bundle import Floats
from cdrl.face.mesh import INNER_LIPS, LEFT_CORNERS, RIGHT_CORNERS, region_weights
from cdrl.rendering.folds import shaded_skin

WIDEST_OPENING = 5.0
"""cm above closed of a mouth that opens no farther in any emotion: a yawn."""
LIP_REOPENING_HALF_POINT = 0.2
"""cm above closed at which half of what closed lips suppress is back."""
MAX_MOUTH_EXCESS = 0.25
"""Share of a whole emotion by which a mouth goes farther at most, whatever amount is asked for."""
LIP_SCALING_HALF_POINT = 0.15
"""cm above closed at which half of a change of opening shows."""
LIP_RATIOS = (0.3, 2.2)
"""Bounds on how much a ratio closes or opens lips: farther, a mouth that mumbles would shout."""
SHUT_TEETH_HOLD = 0.75
"""Share of a farther opening that lips before shut teeth leave out. In W009's takes of the same words the mean opening
grows from .09 to .14 in happy, angry and fear, and before shut teeth from .11 to .12 or .13, in distances of the eyes'
outer corners (`benchmarks/teeth.py`)."""
LOWERING_HOLD = 0.3
"""The same share of how far both lips come down: upper teeth stay, and below them would be a dark gap."""
LOWER_BROWS, UPPER_LIDS = [52, 65, 282, 295], [159, 158, 386, 385]
"""Points on the lower edges of the brows, and on the upper lids below them."""
BROW_LIMIT, BROW_EXCESS = 0.45, 0.4
"""Shares of the way from brow to lid that a brow comes down: in full, and at most beyond."""
BROW_RAISE_LIMIT, BROW_RAISE_EXCESS = 0.6, 0.3
"""The same that a brow goes up: the skin below is stretched, and turns into a gray patch."""
# In real surprise lids part by .23 to .31 of the eye's width (medians of clips), and in 160 clips hardly a frame by
# more than .36: wider is a doll's eye. Written edits open less than they are asked to.
EYE_LIMIT, EYE_EXCESS = 0.32, 0.05
"""Shares of an eye's width that lids part: in full, and at most beyond."""
NARROW_LIMIT, NARROW_EXCESS = 0.19, 0.04
"""The same that lids of open eyes close to, and below it at most: angry and sad takes show .16 to .21 (medians)."""
MIN_OPENING = 0.05
"""cm: lengths are not divided by less."""
MAX_LIGHT = 0.16
"""Log of luma by which skin is lit at most: more looks wet."""
MIN_SHADING = 0.05
"""Share of the shading that a face without any relief gets."""
SHADING_POWER = 1.5
"""Of a face's relief over the reference, in its share of the shading: what is faint on rough skin is dirt on smooth."""
REFERENCE_RELIEF = 0.055
"""Relief from which on a face gets all of the shading: that of the people the shading was fitted on, at least."""


@dataclass(frozen=True)
class ExpressionChange:
    """What an expression does to faces, relative to their neutral state. `...` is empty for one face."""

    offset: Array
    """[..., 478, 3] cm: displacement of the pose-free shape that leaves the apertures of lips and lids alone."""
    closed_lip_reduction: Array
    """[..., 478, 3] cm: the part of the offset that faces do not show while the lips are closed."""
    lip_opening: Array
    """[...] cm by which the mean opening of the lips in talk grows, see `scale_lip_opening`."""
    lid_ratio: Array
    """[...]: aperture of the lids over the source's own."""
    gain: Array
    """[..., SIZE, SIZE]: log of luma, in texture space."""

    def __getitem__(self, key: object) -> ExpressionChange:
        """Index the leading dimensions of a batch, as `change[:, None]` does to give it one of time."""
        return ExpressionChange(*(getattr(self, part.name)[key] for part in fields(self)))

    def add(self, other: ExpressionChange, amount: float) -> ExpressionChange:
        """Return this change with `amount` of another on top; a negative amount takes it out."""
        return ExpressionChange(
            self.offset + amount * other.offset,
            self.closed_lip_reduction + amount * other.closed_lip_reduction,
            self.lip_opening + amount * other.lip_opening,
            self.lid_ratio * other.lid_ratio**amount,
            self.gain + amount * other.gain,
        )

    def compensate(self, mouth_freedom: Array) -> ExpressionChange:
        """Return the change whose mean over talk is as large as this one.

        What closed lips do not show, parted ones show beyond the mean, which was measured.

        Args:
            mouth_freedom: [...] mean of `mouth_freedom` over the talk.
        """
        return replace(self, offset=self.offset + scale(self.closed_lip_reduction, 1 - mouth_freedom))

    def compute_displacement(
        self, shape: Array, closed_opening: Array, mean_opening: Array, shut_teeth: float = 0.0, pause: float = 0.0
    ) -> Array:
        """Compute where the points of faces move.

        Args:
            shape: [..., 478, 3] cm, pose-free shapes.
            closed_opening: [...] cm, opening that the inner lips of each person show when closed.
            mean_opening: [...] cm, mean opening in the person's talk.
            shut_teeth: Share in 0..1 to which the teeth are seen shut: the jaw stays, lips part little farther and do
                not come down with it.
            pause: Share in 0..1 to which the talk pauses: closed lips that say nothing suppress nothing.

        Returns:
            [..., 478, 3] cm.
        """
        vectors, opening = lips().vectors(shape), to_double(lips().opening(shape))
        ratio = measure_lip_ratio(mean_opening + self.lip_opening, mean_opening, closed_opening)
        farther = scale_lip_opening(opening, closed_opening, ratio) - opening
        farther = farther - SHUT_TEETH_HOLD * shut_teeth * at_least(farther, 0.0)
        opened = lips().opening_displacement(scale(vectors, farther / at_least(opening, MIN_OPENING)))
        lid_change = limited_lid_ratio(shape, self.lid_ratio) - 1
        lidded = lids().opening_displacement(scale(lids().vectors(shape), lid_change))
        freedom = mouth_freedom(opening, closed_opening, pause)
        offset = self.offset - scale(self.closed_lip_reduction, 1 - freedom)
        offset = offset - LOWERING_HOLD * shut_teeth * mouth_component(_lowering(offset))
        return brows().remove(offset * brow_limit(shape, self.offset)[..., None]) + opened + lidded


def rms_millimeters(offset: Floats) -> float:
    """Return the root mean square length of an offset [478, 3] cm, in mm."""
    return 10 * float(np.sqrt(np.square(offset).sum(1).mean()))


def mouth_component(offset: Array) -> Array:
    """Return the mouth's part of an offset [..., 478, 3]."""
    return offset * match_array(region_weights()["mouth"], offset)[:, None]


def _lowering(offset: Array) -> Array:
    """Return how far an offset [..., 478, 3] lowers both lips, which it does with the jaw, as a shift of all points."""
    inner = list(INNER_LIPS[0] + INNER_LIPS[1])
    down = at_least(offset[..., inner, 1].mean(-1), 0.0)
    return down[..., None, None] * match_array(np.array([[0.0, 1.0, 0.0]], np.float32), offset)


def apply_shading(gain: Array, relief: Array) -> Array:
    """Adjust the shading [..., SIZE, SIZE] of an expression to faces of that relief [...].

    On smooth or very bright skin, or in flat light, the folds of others look like bruises: the gain shrinks with the
    face's own relief (`cdrl.rendering.texture.measure_relief`). Lights saturate at `MAX_LIGHT`, folds do not. Shaded
    is `shaded_skin` alone.
    """
    xp = array_namespace(gain)
    share = at_most(relief / REFERENCE_RELIEF, 1.0) ** SHADING_POWER
    deep = scale(gain * match_array(shaded_skin(), gain), at_least(share, MIN_SHADING))
    return at_most(deep, 0.0) + MAX_LIGHT * xp.tanh(at_least(deep, 0.0) / MAX_LIGHT)


def brow_limit(shape: Array, offset: Array) -> Array:
    """Return the factor [..., 478] in (0, 1] by which an offset fits a face.

    Brows that lie low over the eyes can't come down as far as the mean person's, nor go up without stretching the skin
    of the lids; beyond about half of the way from brow to lid the rest saturates.
    """
    way = (shape[..., UPPER_LIDS, 1] - shape[..., LOWER_BROWS, 1]).mean(-1)
    lowering = (offset[..., LOWER_BROWS, 1] - offset[..., UPPER_LIDS, 1]).mean(-1)
    share = to_double(lowering / at_least(way, MIN_OPENING))
    factor = _saturate(share, BROW_LIMIT, BROW_EXCESS) / at_least(share, BROW_LIMIT)
    factor = factor * _saturate(-share, BROW_RAISE_LIMIT, BROW_RAISE_EXCESS) / at_least(-share, BROW_RAISE_LIMIT)
    weights = match_array(region_weights()["brows"], shape)[:, None]
    return 1 - scale(weights, 1 - factor)[..., 0]


def limited_lid_ratio(shape: Array, ratio: Array) -> Array:
    """Return the lid ratio [...] that the eyes of a shape [..., 478, 3] admit.

    Eyes open no wider than eyes do, and narrow no farther; what is beyond in the source stays as it is.
    """
    xp = array_namespace(shape)
    outer, inner = (list(corners) for corners in zip(RIGHT_CORNERS, LEFT_CORNERS, strict=True))
    across = shape[..., outer, :] - shape[..., inner, :]
    width = to_double(xp.sqrt(xp.vecdot(across, across)).mean(-1))
    share = to_double(lids().opening(shape)) / at_least(width, MIN_OPENING)
    asked, present = ratio * share, at_least(share, 1e-6)
    wide = at_least(_saturate(asked, EYE_LIMIT, EYE_EXCESS) / present, 1.0)
    narrow = at_most(-_saturate(-asked, -NARROW_LIMIT, NARROW_EXCESS) / present, 1.0)
    limited = xp.where((ratio > 1) & (asked > EYE_LIMIT), wide, ratio)
    return xp.where((ratio < 1) & (asked < NARROW_LIMIT), narrow, limited)


def scale_lip_opening(opening: Array, closed_opening: Array, ratio: Array) -> Array:
    """Scale how far lips part: closed ones stay closed, openings keep their order and rhythm, their size changes.

    Above closed lips x becomes r·x / (1 + (r - 1)·x/X), X being `WIDEST_OPENING`: no farther where the mouth is wide
    open. Below `LIP_SCALING_HALF_POINT` that fades, so that lips that hardly part still do.

    Args:
        opening: [...] cm, of the inner lips.
        closed_opening: [...] cm, up to which they count as closed.
        ratio: [...] r > 0, taken within `LIP_RATIOS`.

    Returns:
        [...] cm.
    """
    bounded = at_most(at_least(ratio, LIP_RATIOS[0]), LIP_RATIOS[1])
    parted = at_most(at_least(opening - closed_opening, 0.0), WIDEST_OPENING)
    scaled = bounded * parted / (1 + (bounded - 1) * parted / WIDEST_OPENING)
    return opening + (scaled - parted) * hill(parted / LIP_SCALING_HALF_POINT, 2)


def measure_lip_ratio(opening: Array, other: Array, closed_opening: Array) -> Array:
    """Return the ratio with which `scale_lip_opening` makes `opening` [...] cm of `other`, but for its fade."""
    odds = []
    for value in (opening, other):
        parted = at_most(at_least(value - closed_opening, MIN_OPENING), WIDEST_OPENING - MIN_OPENING)
        odds.append(parted / (WIDEST_OPENING - parted))
    return odds[0] / odds[1]


def mouth_freedom(opening: Array, closed_opening: Array, pause: Array | float = 0.0) -> Array:
    """Return the share that lips show of what closed ones suppress in talk, from 0 (closed) to 1: x²/(1 + x²).

    People smile on as soon as their lips part by a millimeter or two, and in a pause: in the one take with a pause at
    hand, .91 of the smile on closed lips, and .41 on those that close within talk.

    Args:
        opening: [...] cm, of the inner lips.
        closed_opening: [...] cm, up to which they count as closed.
        pause: [...] share in 0..1 to which the talk pauses.
    """
    parted = hill((opening - closed_opening) / LIP_REOPENING_HALF_POINT, 2)
    return parted + pause * (1 - parted)


def hill(x: Array, power: int) -> Array:
    """Return Hill's function xⁿ/(1 + xⁿ) of `x`, 0 below 0: ½ at 1, saturating at 1."""
    raised = at_least(x, 0.0) ** power
    return raised / (1 + raised)


def _saturate(x: Array, limit: float, excess: float) -> Array:
    """Return `x` where it lies above `limit`, bent to stay below `limit + excess`; the limit itself below it."""
    over = at_least(x - limit, 0.0)
    return limit + over / (1 + over / excess)


def mouth_limit(total: Array) -> Array:
    """Return the factor [...] on the mouth's offset where amounts of emotion add up to `total` [...].

    It is 1 up to one whole emotion; beyond, the mouth goes little farther: lips stretched more tear out of the face.
    """
    return _saturate(total, 1.0, MAX_MOUTH_EXCESS) / at_least(total, 1.0)
