"""What a face does in each frame as numbers that NED's networks translate: expression modes and lip opening."""

from __future__ import annotations

import numpy as np

from cdrl.arrays import Array, array_namespace, scale
from cdrl.face.apertures import lips, remove_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.expression_change import MIN_OPENING
from cdrl.manipulation.personalization import encode_offset
from cdrl.manipulation.prior import EmotionPrior

OPENING_UNIT = 0.4
"""cm of lip opening that count as one in a code."""


def encode_shapes(shapes: Floats, neutral_shape: Floats, prior: EmotionPrior) -> Floats:
    """Return what a face does in each frame.

    Args:
        shapes: [T, 478, 3] cm, pose-free.
        neutral_shape: [478, 3] cm, of the same person.
        prior: Whose expression modes the code counts.

    Returns:
        [T, c + 1]: deviations along the expression modes, without apertures, and lip opening in `OPENING_UNIT`.
    """
    code = encode_offset(remove_apertures(shapes - neutral_shape), prior)
    return np.concatenate([code, lips().opening(shapes)[:, None] / OPENING_UNIT], 1).astype(np.float32)


def decode_change(change: Array, shapes: Array, prior: EmotionPrior) -> Array:
    """Return the displacement [..., 478, 3] cm of shapes [..., 478, 3] whose codes change by `change` [..., c + 1].

    Lips close no farther than shut. Takes NumPy arrays, or tensors where the prior's arrays are tensors.
    """
    xp = array_namespace(change)
    modes = remove_apertures(prior.expression * prior.expression_deviation[:, None, None])
    vectors, opening = lips().vectors(shapes), lips().opening(shapes)
    farther = xp.maximum(OPENING_UNIT * change[..., -1], -opening) / xp.clip(opening, MIN_OPENING, None)
    return xp.tensordot(change[..., :-1], modes, axes=1) + lips().opening_displacement(scale(vectors, farther))
