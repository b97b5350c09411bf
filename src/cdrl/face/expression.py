"""Estimates a person's neutral shape and the emotion already shown from the mean shape of a stretch of talk.

A linear model with Gaussian priors (identity modes, emotion offsets around the amounts that blendshapes give,
expression modes), solved for its maximum a posteriori. A shape alone can't tell who somebody is from what they show.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS

_NOISE = 0.19  # cm: per coordinate, times the root of how many neighboring coordinates repeat one another
_AMOUNT_ERROR = 0.2  # standard deviation of the amounts that blendshapes give
_EXPRESSION_SHARE = 0.5  # of the deviation of single frames: what is left of it in a mean over talk
_NEUTRAL_BIAS = 0.2  # amount that blendshapes give for neutral talk; amounts are counted from here


@dataclass(frozen=True)
class ExpressionModel:
    """The linear model, in centimetres of the pose-free face; e runs over the emotions."""

    mean: Floats
    """[478, 3]: mean neutral shape."""
    identity: Floats
    """[i, 478, 3]: modes of people, one standard deviation each."""
    expression: Floats
    """[c, 478, 3]: orthonormal modes of expression."""
    deviation: Floats
    """[c]: standard deviation along these."""
    emotion: Floats
    """[e, 478, 3]: offset of each emotion."""
    blendshape_to_emotion: Floats
    """[53, e]: linear map from the 52 blendshapes and a one to amounts of emotion."""

    def refine(self, displacement: Floats, amounts: Floats) -> Floats:
        """Estimate how much of each emotion is in the difference to a neutral shape that is known.

        Args:
            displacement: [478, 3] from the neutral shape.
            amounts: [e] expected from blendshapes.

        Returns:
            [e] in 0..1; how the face moves by itself is told apart from what the emotions add.
        """
        emotion = self.emotion.reshape(len(self.emotion), -1)
        talk = self._talk_modes()
        modes = np.concatenate([talk, emotion * _AMOUNT_ERROR]).astype(np.float64)
        solution = _solve(modes, displacement.ravel() - amounts @ emotion)
        return np.clip(amounts + solution[len(talk) :] * _AMOUNT_ERROR, 0, 1).astype(np.float32)

    def estimate(self, shape: Floats, blendshapes: Floats) -> tuple[Floats, Floats]:
        """Estimate the emotions in a stretch of talk, and the neutral shape behind it.

        Blendshapes come from a network that has seen many people and say what is shown; the shape says how far it goes
        in this face.

        Args:
            shape: [478, 3], mean pose-free shape.
            blendshapes: [52], mean ARKit coefficients.

        Returns:
            Amounts [e] in 0..1 and the neutral shape [478, 3].
        """
        expected = np.maximum(blendshapes @ self.blendshape_to_emotion[:-1] + self.blendshape_to_emotion[-1], 0)
        emotion = self.emotion.reshape(len(self.emotion), -1)
        identity = self.identity.reshape(len(self.identity), -1)
        talk = self._talk_modes()
        modes = np.concatenate([identity, talk, emotion * _AMOUNT_ERROR]).astype(np.float64)
        solution = _solve(modes, (shape - self.mean).ravel() - expected @ emotion)
        amounts = expected + solution[len(identity) + len(talk) :] * _AMOUNT_ERROR
        amounts = np.clip((amounts - _NEUTRAL_BIAS) / (1 - _NEUTRAL_BIAS), 0, 1)
        if not amounts.any():
            return amounts.astype(np.float32), shape  # talk without emotion is as neutral as it gets
        neutral = self.mean + (solution[: len(identity)] @ identity).reshape(POINTS, 3)
        return amounts.astype(np.float32), neutral.astype(np.float32)

    def _talk_modes(self) -> Floats:
        """Return what the mean over a stretch of talk keeps of single frames' expressions: [c, 1434], one deviation."""
        modes: Floats = self.expression * self.deviation[:, None, None] * _EXPRESSION_SHARE
        return modes.reshape(len(modes), -1)


def _solve(modes: NDArray[np.float64], target: Floats) -> NDArray[np.float64]:
    """Return the maximum a posteriori [m] of how much of each mode [m, n] is in `target` [n]; standard normal prior."""
    solution = np.linalg.solve(modes @ modes.T / _NOISE**2 + np.eye(len(modes)), modes @ target / _NOISE**2)
    return np.asarray(solution, np.float64)
