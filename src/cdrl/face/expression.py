"""Tells a person's neutral shape and the emotion already shown from the mean shape of a stretch of talk.

A linear model with Gaussian priors (identity modes, emotion offsets ≥ 0, expression modes), solved for its maximum a
posteriori. One clip can't separate who somebody is from what they show; the prior decides what it can't.
"""

from dataclasses import dataclass

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS

_NOISE = 0.19  # cm: per coordinate, times the root of how many neighbouring coordinates repeat one another
_EMOTION_DEVIATION = 0.5  # amount of emotion that is one standard deviation
_EXPRESSION_SHARE = 0.5  # of the deviation of single frames: what is left of it in a mean over talk
_SPARSITY = 0.15  # pull of small amounts to none
_SILENT = 0.12  # amounts below this are taken for none


@dataclass(frozen=True)
class ExpressionModel:
    """`mean` [478, 3]; `identity` [i, 478, 3], one standard deviation each; `expression` [c, 478, 3] orthonormal with
    `deviation` [c]; `emotion` [e, 478, 3] offsets. Centimetres of the pose-free face."""

    mean: Floats
    identity: Floats
    expression: Floats
    deviation: Floats
    emotion: Floats

    def code(self, displacement: Floats) -> Floats:
        """The expression code [..., c] of displacements [..., 478, 3] from a person's neutral shape."""
        basis = self.expression.reshape(len(self.expression), -1)
        found: Floats = displacement.reshape(*displacement.shape[:-2], -1) @ basis.T
        return found

    def displacement(self, code: Floats) -> Floats:
        """Displacements [..., 478, 3] of codes [..., c]."""
        basis = self.expression.reshape(len(self.expression), -1)
        return (code @ basis).reshape(*code.shape[:-1], POINTS, 3)

    def explain(self, shape: Floats) -> tuple[Floats, Floats]:
        """Amounts [e] ≥ 0 of each emotion in a mean shape [478, 3], and the neutral shape [478, 3] behind it."""
        target = (shape - self.mean).ravel()
        identity = self.identity.reshape(len(self.identity), -1)
        other = (self.expression * self.deviation[:, None, None] * _EXPRESSION_SHARE).reshape(len(self.expression), -1)
        emotion = self.emotion.reshape(len(self.emotion), -1) * _EMOTION_DEVIATION
        active = list(range(len(emotion)))
        while True:
            modes = np.concatenate([identity, other, emotion[active]]).astype(np.float64)
            right = modes @ target / _NOISE**2
            right[len(identity) + len(other) :] -= _SPARSITY
            solution = np.linalg.solve(modes @ modes.T / _NOISE**2 + np.eye(len(modes)), right)
            found = solution[len(identity) + len(other) :]
            if not len(found) or found.min() >= 0:
                break
            active.pop(int(found.argmin()))
        amounts = np.zeros(len(emotion), np.float32)
        amounts[active] = found * _EMOTION_DEVIATION
        amounts = np.where(amounts < _SILENT, 0, amounts)
        neutral = self.mean + (solution[: len(identity)] @ identity).reshape(POINTS, 3)
        return np.minimum(amounts, 1.0).astype(np.float32), neutral.astype(np.float32)
