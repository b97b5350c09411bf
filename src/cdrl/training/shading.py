"""Fits the shading of an emotion: the folds that people show in it, where they agree, as deep as their own."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.rendering.folds import FOLDS, fold_areas
from cdrl.rendering.texture import low_pass
from cdrl.training.fold_lines import LINE_WIDTH, LINED_AREAS, fit_fold_lines

_DEVIATION = 1.48  # of a normal distribution, in median absolute deviations
_DEEP = 5  # percentile of log luma in an area that stands for its folds
_MAX_DEEPENING = 2.5  # factor: more would be noise
_BROWS_MEET = "glabella"
_MAX_FROWN_DEEPENING = 1.5  # the same between the brows, where the darkest texels are hair, not only folds
_MIN_DEPTH = 0.02  # log of luma: what is fainter is no fold
_BLUR = 1.0  # texels: finer detail differs from person to person
_MIN_PEOPLE = 3  # of whom one can be left out
_AGREEMENT = (0.2, 0.6)  # slope of a person's own folds on those of others, over which an area is shaded


def fit_shading(gains: Sequence[Floats]) -> Floats:
    """Fit the shading of an emotion [SIZE, SIZE], log of luma, to what changes [SIZE, SIZE] in each of some people.

    It is the median over people, less where they disagree: a fold of one person is a smudge on all others. Folds of two
    people lie beside one another, so that their median is shallower than each; area by area it is made as deep as the
    median of the people's own depths. An area whose folds in some people do not tell those of others stays as it is.
    Where folds are lines, these are laid on one another first (`fit_fold_lines`), and the median is taken of the wider
    shade beside them alone; between the brows there is none, for what is dark there is the hair of some.
    """
    stacked = np.array(gains, np.float32)
    changes: Floats = (stacked + stacked[..., ::-1]) / np.float32(2)
    shading = _shade_areas(changes)
    lined = {name: list(FOLDS).index(name) for name in LINED_AREAS}
    shade = _shade_areas(np.array([low_pass(change, LINE_WIDTH) for change in changes]))
    for name, index in lined.items():
        shading[index] = 0 if name == _BROWS_MEET else shade[index]
    if len(changes) >= _MIN_PEOPLE:
        others = np.array([_shade_areas(np.delete(changes, left_out, 0)) for left_out in range(len(changes))])
        shading *= _measure_agreement(others, changes)[:, None, None]
    for name, index in lined.items():
        whole, limit = shading[index] + fit_fold_lines(gains, name), _MAX_DEEPENING
        if name == _BROWS_MEET:
            limit = _MAX_FROWN_DEEPENING
        shading[index] = _match_depth(whole, changes, fold_areas()[index], limit)
    total: Floats = shading.sum(0)
    return total


def _shade_areas(gains: Floats) -> Floats:
    """Return the shading of each area [areas, SIZE, SIZE] by the changes of people [n, SIZE, SIZE]."""
    median = np.median(gains, 0)
    spread = _DEVIATION * np.median(np.abs(gains - median), 0)
    common = _smooth(median * np.square(median) / (np.square(median) + np.square(spread) + 1e-9))
    shaded: Floats = np.array([area * _match_depth(common, gains, area) for area in fold_areas()], np.float32)
    return shaded


def _match_depth(common: Floats, gains: Floats, area: Floats, limit: float = _MAX_DEEPENING) -> Floats:
    """Make what people share [SIZE, SIZE] as deep in an area as the median of their own changes [n, SIZE, SIZE]."""
    own = np.median([_depth(_smooth(gain), area) for gain in gains])
    matched: Floats = common * np.clip(own / max(_depth(common, area), _MIN_DEPTH), 1.0, limit)
    return matched


def _measure_agreement(others: Floats, gains: Floats) -> Floats:
    """Measure the share [areas] in 0..1 to which shading by others tells that of who is left out.

    Args:
        others: [n, areas, SIZE, SIZE] shading of each area, fitted without each person.
        gains: [n, SIZE, SIZE] what changes in each person.
    """
    own = np.array([_smooth(gain) for gain in gains])
    slopes = (others * own[:, None]).sum((0, 2, 3)) / np.maximum(np.square(others).sum((0, 2, 3)), 1e-9)
    shares: Floats = np.interp(slopes, _AGREEMENT, (0.0, 1.0)).astype(np.float32)
    return shares


def _smooth(gain: Floats) -> Floats:
    smoothed: Floats = cv2.GaussianBlur(gain, (0, 0), _BLUR)
    return smoothed


def _depth(gain: Floats, area: Floats) -> float:
    """Return how deep the folds of an area [SIZE, SIZE] are in a change of log luma [SIZE, SIZE]: 0 or more."""
    return max(-float(np.percentile(gain[area > 0.5], _DEEP)), 0.0)
