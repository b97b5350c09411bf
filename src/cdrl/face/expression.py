"""Tells a person's neutral shape and the emotion already shown from the mean shape of a stretch of talk.

A linear model with Gaussian priors (identity modes, emotion offsets around the amounts that blendshapes tell,
expression modes), solved for its maximum a posteriori. A shape alone can't tell who somebody is from what they show.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS

_NOISE = 0.19  # cm: per coordinate, times the root of how many neighbouring coordinates repeat one another
_READING_ERROR = 0.2  # standard deviation of the amounts read from blendshapes
_EXPRESSION_SHARE = 0.5  # of the deviation of single frames: what is left of it in a mean over talk
_NEUTRAL_BIAS = 0.2  # what neutral talk is read as; amounts are counted from here


@dataclass(frozen=True)
class ExpressionModel:
    """`mean` [478, 3]; `identity` [i, 478, 3], one standard deviation each; `expression` [c, 478, 3] orthonormal with
    `deviation` [c]; `emotion` [e, 478, 3] offsets. Centimetres of the pose-free face. `reading` [53, e]: from the 52
    blendshapes and a one to amounts of emotion."""

    mean: Floats
    identity: Floats
    expression: Floats
    deviation: Floats
    emotion: Floats
    blendshape_to_emotion: Floats

    def refine(self, displacement: Floats, amounts: Floats) -> Floats:
        """Amounts [e] ≥ 0 of each emotion in a displacement [478, 3] from a neutral shape that is known.

        `amounts` [e] is what they are expected to be, from blendshapes; how the face moves by itself is told apart from
        what they add.
        """
        emotion = self.emotion.reshape(len(self.emotion), -1)
        other = self._talk_modes()
        modes = np.concatenate([other, emotion * _READING_ERROR]).astype(np.float64)
        target = displacement.ravel() - amounts @ emotion
        solution = _solve(modes, target)
        return np.clip(amounts + solution[len(other) :] * _READING_ERROR, 0, 1).astype(np.float32)

    def estimate(self, shape: Floats, blendshapes: Floats) -> tuple[Floats, Floats]:
        """Amounts [e] ≥ 0 of each emotion in a stretch of talk, and the neutral shape [478, 3] behind it.

        `shape` [478, 3]: its mean pose-free shape; `blendshapes` [52]: its mean ARKit coefficients. These come from a
        network that has seen many people and say what is shown; the shape says how far it goes in this face.
        """
        read = np.maximum(blendshapes @ self.blendshape_to_emotion[:-1] + self.blendshape_to_emotion[-1], 0)
        emotion = self.emotion.reshape(len(self.emotion), -1)
        target = (shape - self.mean).ravel() - read @ emotion
        identity = self.identity.reshape(len(self.identity), -1)
        other = self._talk_modes()
        modes = np.concatenate([identity, other, emotion * _READING_ERROR]).astype(np.float64)
        solution = _solve(modes, target)
        amounts = read + solution[len(identity) + len(other) :] * _READING_ERROR
        amounts = np.clip((amounts - _NEUTRAL_BIAS) / (1 - _NEUTRAL_BIAS), 0, 1)
        if not amounts.any():
            return amounts.astype(np.float32), shape  # talk without emotion is as neutral as it gets
        neutral = self.mean + (solution[: len(identity)] @ identity).reshape(POINTS, 3)
        return amounts.astype(np.float32), neutral.astype(np.float32)

    def _talk_modes(self) -> Floats:
        """[c, 1434], one deviation each: what the mean over a stretch of talk keeps of single frames' expressions."""
        modes: Floats = self.expression * self.deviation[:, None, None] * _EXPRESSION_SHARE
        return modes.reshape(len(modes), -1)


def _solve(modes: NDArray[np.float64], target: Floats) -> NDArray[np.float64]:
    """Maximum a posteriori [m] of how much of each mode [m, n] is in `target` [n], standard normal beforehand."""
    found = np.linalg.solve(modes @ modes.T / _NOISE**2 + np.eye(len(modes)), modes @ target / _NOISE**2)
    return np.asarray(found, np.float64)
