"""How brows move beyond what landmarks tell: found by the hair itself, in textures of one person with and without.

The landmark network follows a frown down by half and hardly at all inward: in M030's angry take the inner ends lie
.6 cm below their landmarks, in W009's and W011's .4 cm nearer to the middle (`benchmarks/brows.py`). So the texture of
the emotional takes, taken by the landmarks, still shows brows moved beside that of the neutral ones; the shift that
lays one on the other is what the landmarks left out.
"""

from __future__ import annotations

from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from cdrl.face.bundle import Floats
from cdrl.face.mesh import EYE_CONTOURS, LEFT_BROW, MESH_POINTS, RIGHT_BROW, canonical_points
from cdrl.rendering.texture import MIDDLE, SIZE, face_mask, texels_per_cm, texture_coverage, texture_points

_DILATION = (5, 7)  # texels in x and y, of the band around a brow that is laid on the other picture
_FINE = 0.8  # texels: finer detail is noise
_CONTRAST = (0.6, 1.4)  # bounds on the contrast of a brow beside the same one in the other light
_OUTLIER = 0.1  # log of luma from which on a texel counts less
_STARTS = [(down, slope) for down in (-4.0, 0.0, 3.0) for slope in (-3.0, 0.0, 3.0)]  # texels, of the search
_DOWN, _APART = 6.0, 4.0  # texels, the farthest that is looked for
_PENALTY = 0.02  # log of luma that a shift of half of that costs: brows without contrast stay
_STEP = 0.2  # texels, of numeric derivatives
_BEST = 0.85  # share of the squared difference that may be left, for a shift to be believed
_ALONG = (-0.2, 1.2)  # lengths of a brow from its inner end, beyond which skin moves as it does there
_EDGE = 6.0  # texels from the face's edge in which nothing moves, and over which movement fades in beyond
_ABOVE = 2.5  # cm above a brow over which the forehead goes along less and less


def measure_brow_movement(before: Floats, after: Floats) -> Floats:
    """Measure how far brows moved between two textures beside their landmarks.

    Both brows move as in a mirror: down by a parabola along the brow, and inward by a line.

    Args:
        before: [SIZE, SIZE] log of luma, as `cdrl.rendering.texture.log_texture` gives it.
        after: [SIZE, SIZE], the same of the same person, with an expression.

    Returns:
        [478, 3] cm, symmetric, the depth 0. The skin beside the brows goes along: between them, up the forehead less
        and less, and down to the lids, which stay. Zeros where no shift explains the difference.
    """
    return _search(*(np.asarray(texture, np.float32).tobytes() for texture in (before, after))).copy()


@lru_cache(maxsize=1024)
def _search(before: bytes, after: bytes) -> Floats:
    """`measure_brow_movement` of the bytes of two textures: priors that leave people out ask for the same again."""
    wanted, sampled = (
        cv2.GaussianBlur(np.frombuffer(texture, np.float32).reshape(SIZE, SIZE), (0, 0), _FINE)
        for texture in (before, after)
    )
    bands = [np.nonzero(mask) for mask in _brow_bands()]

    def differ(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = [_PENALTY * np.sqrt(len(bands[0][0])) * parameters / np.array([_DOWN / 2] * 3 + [_APART / 2] * 2)]
        for y, x in bands:
            right, down = _shift(parameters, x.astype(np.float64))
            places = np.stack([x + right, y + down], -1).astype(np.float32)[:, None]
            new, old = cv2.remap(sampled, places, None, cv2.INTER_CUBIC)[:, 0], wanted[y, x]
            new, old = new - new.mean(), old - old.mean()
            contrast = np.clip((new * old).mean() / max(float(np.square(old).mean()), 1e-6), *_CONTRAST)
            parts.append(new - contrast * old)
        return np.concatenate(parts)

    def derive(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = _STEP * np.eye(len(parameters))
        return np.stack([(differ(parameters + step) - differ(parameters - step)) / (2 * _STEP) for step in steps], 1)

    limit = [_DOWN, 2 * _DOWN, 2 * _DOWN, _APART, 2 * _APART]
    found = [
        least_squares(
            differ,
            [down, slope, 0.0, 0.0, 0.0],
            derive,
            bounds=(np.negative(limit), limit),
            loss="soft_l1",
            f_scale=_OUTLIER,
        )
        for down, slope in _STARTS
    ]
    best = min(found, key=lambda result: float(result.cost))
    result = np.zeros_like(canonical_points())
    if np.square(best.fun).sum() <= _BEST * np.square(differ(np.zeros(5))).sum():
        result[:, :2] = np.stack(_shift(best.x, texture_points()[:, 0].astype(np.float64)), 1) / texels_per_cm()
        result *= _following()[:, None]
    return result


def move_back(texture: Floats, movement: Floats) -> Floats:
    """Return a texture [SIZE, SIZE] with brows that moved by `movement` [478, 3] cm where their landmarks are."""
    shift = texture_coverage().scatter(texture_coverage().interpolate(movement[:, :2] * texels_per_cm()))
    shift *= _edge()[..., None]
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).astype(np.float32) + shift
    moved: Floats = cv2.remap(
        np.asarray(texture, np.float32), grid, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


def _shift(parameters: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far brows move in x and y, texels, by the texel `x` where they are; inward less and less to the middle."""
    inner, outer = _ends()
    along = np.clip((np.abs(x - MIDDLE) - inner) / (outer - inner), *_ALONG)
    down = parameters[0] + along * (parameters[1] + along * parameters[2])
    side = np.clip((x - MIDDLE) / inner, -1, 1)
    return side * (parameters[3] + parameters[4] * np.maximum(along, 0)), down


@cache
def _ends() -> tuple[float, float]:
    """How far from the face's middle brows begin and end, in texels."""
    apart = np.abs(texture_points()[:, 0] - MIDDLE)
    pairs = [(RIGHT_BROW[a], RIGHT_BROW[b], LEFT_BROW[a], LEFT_BROW[b]) for a, b in ((4, 9), (0, 5))]
    inner, outer = (float(apart[list(points)].mean()) for points in pairs)
    return inner, outer


@cache
def _edge() -> Floats:
    """Return the share [SIZE, SIZE] of movement that is applied: nothing is moved in from beyond the face's edge."""
    edge: Floats = np.clip(cv2.distanceTransform(face_mask().astype(np.uint8), cv2.DIST_L2, 3) / _EDGE - 1, 0, 1)
    return edge


@cache
def _brow_bands() -> list[NDArray[np.bool_]]:
    masks = []
    for brow in (RIGHT_BROW, LEFT_BROW):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        outline = np.round(texture_points()[[*brow[:5], *brow[:4:-1]]]).astype(np.int32)
        cv2.fillPoly(mask, [outline], 1)
        masks.append(cv2.dilate(mask, np.ones(_DILATION[::-1], np.uint8)) > 0)
    return masks


@cache
def _following() -> Floats:
    """The share [478] in 0..1 by which skin goes along with a brow, by where it lies beside it."""
    points, share = canonical_points().astype(np.float64), np.zeros(len(canonical_points()), np.float32)
    for brow, eye in zip((RIGHT_BROW, LEFT_BROW), EYE_CONTOURS, strict=True):
        lower, upper, lid = ([*brow[:5]], [*brow[5:]], [*eye[1:8]])
        heights = [_interpolate_height(points[line], points[:, 0]) for line in (upper, lower, lid)]
        y = points[:, 1]
        above = np.exp(-np.square(np.maximum(heights[0] - y, 0) / _ABOVE))
        below = np.clip((heights[2] - y) / np.maximum(heights[2] - heights[1], 1e-3), 0, 1)
        mine = points[:, 0] * points[brow[0], 0] >= 0
        share[mine] = (above * below)[mine]
    share[MESH_POINTS:] = 0
    return share


def _interpolate_height(line: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(line[:, 0])
    heights: NDArray[np.float64] = np.interp(x, line[order, 0], line[order, 1])
    return heights
