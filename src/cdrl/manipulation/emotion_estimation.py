"""Estimates a person's neutral shape and the emotion already shown from the mean shape of a stretch of talk.

A linear model with Gaussian priors (identity modes, emotion offsets around the amounts that blendshapes give,
expression modes), solved for its maximum a posteriori. A shape alone can't tell who somebody is from what they show.
"""

import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS
from cdrl.manipulation.prior import EmotionPrior

_NOISE = 0.19  # cm: per coordinate, times the root of how many neighboring coordinates repeat one another
_AMOUNT_ERROR = 0.2  # standard deviation of the amounts that blendshapes give
_EXPRESSION_SHARE = 0.5  # of the deviation of single frames: what is left of it in a mean over talk
_NEUTRAL_BIAS = 0.2  # amount that blendshapes give for neutral talk; amounts are counted from here


def refine_emotions(displacement: Floats, amounts: Floats, prior: EmotionPrior) -> Floats:
    """Estimate how much of each emotion is in the difference to a neutral shape that is known.

    Args:
        displacement: [478, 3] cm from the neutral shape.
        amounts: [e] expected from blendshapes.
        prior: Says how people and emotions differ.

    Returns:
        [e] in 0..1; how the face moves by itself is told apart from what the emotions add.
    """
    emotion = prior.offset.reshape(len(prior.offset), -1)
    talk = _talk_modes(prior)
    solution = _solve([talk, emotion * _AMOUNT_ERROR], displacement.ravel() - amounts @ emotion)
    return np.clip(amounts + solution[len(talk) :] * _AMOUNT_ERROR, 0, 1).astype(np.float32)


def estimate_emotions(shape: Floats, blendshapes: Floats, prior: EmotionPrior) -> tuple[Floats, Floats]:
    """Estimate the emotions in a stretch of talk, and the neutral shape behind it.

    Blendshapes come from a network that has seen many people and say what is shown; the shape says how far it goes in
    this face.

    Args:
        shape: [478, 3] cm, mean pose-free shape.
        blendshapes: [52], mean ARKit coefficients.
        prior: Says how people and emotions differ.

    Returns:
        Amounts [e] in 0..1 and the neutral shape [478, 3].
    """
    expected = np.maximum(blendshapes @ prior.blendshape_to_emotion[:-1] + prior.blendshape_to_emotion[-1], 0)
    emotion = prior.offset.reshape(len(prior.offset), -1)
    identity = prior.identity.reshape(len(prior.identity), -1)
    modes = [identity, _talk_modes(prior), emotion * _AMOUNT_ERROR]
    solution = _solve(modes, (shape - prior.mean).ravel() - expected @ emotion)
    amounts = expected + solution[-len(emotion) :] * _AMOUNT_ERROR
    amounts = np.clip((amounts - _NEUTRAL_BIAS) / (1 - _NEUTRAL_BIAS), 0, 1)
    if not amounts.any():
        return amounts.astype(np.float32), shape  # talk without emotion is as neutral as it gets
    neutral = prior.mean + (solution[: len(identity)] @ identity).reshape(POINTS, 3)
    return amounts.astype(np.float32), neutral.astype(np.float32)


def _talk_modes(prior: EmotionPrior) -> Floats:
    """Return what the mean over a stretch of talk keeps of single frames' expressions: [c, 1434], one deviation."""
    modes: Floats = prior.expression * prior.expression_deviation[:, None, None] * _EXPRESSION_SHARE
    return modes.reshape(len(modes), -1)


def _solve(modes: list[Floats], target: Floats) -> NDArray[np.float64]:
    """Return the maximum a posteriori [m] of how much of each mode, [m, n] in all, is in `target` [n].

    Standard normal beforehand.
    """
    stacked = np.concatenate(modes).astype(np.float64)
    precision = stacked @ stacked.T / _NOISE**2 + np.eye(len(stacked))
    return np.asarray(np.linalg.solve(precision, stacked @ target / _NOISE**2), np.float64)
