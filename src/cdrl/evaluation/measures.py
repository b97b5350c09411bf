"""The measures of an edit, pure functions of per-frame arrays. What each number means is fixed here, nowhere else.

Every comparison takes the source and the output frame by frame (lag already taken out) and ignores frames in which the
judge found no face in either. Gaps and widths are shares of the distance between the eyes' centres.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.geometry import to_face_frame

Array = NDArray[np.float64]

_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)  # lid corners, mesh indices
_INNER_PAIRS = ((82, 87), (13, 14), (312, 317))  # inner lip, upper and lower
_CORNERS = (61, 291)
_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),  # outer contour
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),  # inner contour
)
_MINIMUM_FRAMES = 8  # fewer common frames make no correlation
CLOSED_SOURCE = 0.02  # a source frame is closed this near its 5th percentile
CLOSED_OUTPUT = 0.05  # and the output kept it when this near the same percentile
EDITED_LEVELS = 2.0  # grey levels: mean change of the aligned face that no encoder makes and every edit does


def _eyes(points: Array) -> Array:
    axis = points[..., _LEFT_EYE, :].mean(-2) - points[..., _RIGHT_EYE, :].mean(-2)
    return np.asarray(np.linalg.norm(axis, axis=-1))


def lip_opening(points: Array) -> Array:
    """Inner-lip gap over inter-ocular distance, [T,468,2] → [T]: mean distance of the three middle point pairs; ≥ 0."""
    gaps = [np.linalg.norm(points[:, low] - points[:, high], axis=-1) for high, low in _INNER_PAIRS]
    return np.asarray(np.mean(gaps, axis=0) / _eyes(points))


def lip_width(points: Array) -> Array:
    """Distance of the mouth's corners over inter-ocular distance, [T,468,2] → [T]."""
    left, right = _CORNERS
    return np.asarray(np.linalg.norm(points[:, left] - points[:, right], axis=-1) / _eyes(points))


def pearson(x: Array, y: Array) -> float:
    """Pearson correlation over the frames where both are finite; 0 when either does not vary or too few frames remain.

    r = Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)² Σ(y−ȳ)²), in [−1, 1].
    """
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < _MINIMUM_FRAMES:
        return 0.0
    a, b = x[both] - x[both].mean(), y[both] - y[both].mean()
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / power) if power > 1e-12 else 0.0


def closures_kept(source: Array, output: Array) -> float:
    """Share of the source's closed frames that stay closed; gaps [T] each, in [0, 1]; NaN when the source has none.

    q = 5th percentile of the source's gap. Closed: source ≤ q + .02. Kept: output ≤ q + .05. A frame where the output
    has no face is not kept.
    """
    seen = np.isfinite(source)
    if not seen.any():
        return float("nan")
    level = float(np.percentile(source[seen], 5))
    closed = seen & (source <= level + CLOSED_SOURCE)
    with np.errstate(invalid="ignore"):
        kept = closed & (output <= level + CLOSED_OUTPUT)
    return float(kept.sum() / closed.sum())


def mean_probability(emotion: Array, index: int) -> float:
    """Mean probability of one class over the frames with a face; `emotion` [T,C] → [0, 1], 0 when there is none."""
    values = emotion[:, index]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else 0.0


def mean_direction(vectors: Array) -> Array:
    """Mean of unit vectors [N,D], itself a unit vector [D]."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = unit.mean(0)
    return np.asarray(mean / np.linalg.norm(mean))


def identity_cosine(vectors: Array, reference: Array) -> float:
    """Mean cosine of recognition vectors [N,D] to the mean direction of reference vectors [M,D]; raw, not mean-free.

    Raw cosines of dlib's network separate people already (same ≥ .93, others ≤ .93, area under the curve 1.000) and
    need no population mean to be shipped or agreed on.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float((unit @ mean_direction(reference)).mean())


def second_difference(upper: Array) -> Array:
    """[T-2] mean absolute second difference |u[t−1] − 2u[t] + u[t+1]| of stabilised pictures [T,H,W], grey levels."""
    return np.asarray(np.abs(upper[:-2] - 2 * upper[1:-1] + upper[2:]).mean((1, 2)))


def flicker_ratio(source: Array, output: Array) -> float:
    """Second difference of the output's upper face over the source's, both [T,H,W]; 1 = as steady as the source."""
    before, after = second_difference(source), second_difference(output)
    both = np.isfinite(before) & np.isfinite(after)
    return float(after[both].mean() / before[both].mean()) if both.any() else float("nan")


def sharpness_ratio(source: Array, output: Array) -> float:
    """Mean Laplacian variance of the output's aligned face over the source's, both [T]."""
    both = np.isfinite(source) & np.isfinite(output)
    return float(output[both].mean() / source[both].mean()) if both.any() else float("nan")


def edited_share(source: NDArray[np.uint8], output: NDArray[np.uint8], found: NDArray[np.bool_]) -> float:
    """Share of the source's frames with a face whose aligned thumbnail [T,H,W] changed by 2 grey levels or more."""
    change = np.abs(source.astype(np.float64) - output.astype(np.float64)).mean((1, 2))
    return float((change[found] >= EDITED_LEVELS).mean()) if found.any() else 0.0


def frechet_distance(x: Array, y: Array) -> float:
    """Fréchet distance of two Gaussians fitted to features [N,D] and [M,D], ≥ 0.

    |μx−μy|² + tr(Σx + Σy − 2(Σx Σy)^½) (Heusel et al. 2017, equation 6). The trace of the root is the sum of the roots
    of the eigenvalues of √Σx Σy √Σx, which is symmetric: no complex arithmetic, and fewer features than dimensions
    (covariances without full rank) are no trouble. It grows as N shrinks: compare at the same N ≥ 2 only.
    """
    difference = x.mean(0) - y.mean(0)
    first, second = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(max(0.0, difference @ difference + np.trace(first) + np.trace(second) - 2 * cross))


def same_count(x: Array, y: Array, seed: int = 0) -> tuple[Array, Array]:
    """As many rows of the larger one, drawn at random, as the smaller one has; in their order."""
    count = min(len(x), len(y))
    random = np.random.default_rng(seed)
    first, second = (rows[np.sort(random.permutation(len(rows))[:count])] for rows in (x, y))
    return first, second


def pairwise_cosine(x: Array, y: Array, most: int = 100, seed: int = 0) -> float:
    """CSIM: mean cosine over all pairs of features [N,D] × [M,D], in [−1, 1]; raw, nothing is subtracted first.

    At most `most` rows of each are drawn, at random without replacement (the paper: 100 × 100).
    """
    random = np.random.default_rng(seed)
    sides = [rows[random.permutation(len(rows))[:most]] for rows in (x, y)]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in sides]
    return float((unit[0] @ unit[1].T).mean())


def mouth_shape(points: Array) -> Array:
    """[T,468,2] → [T,40,2]: both lip contours, centred, level with the eyes, in inter-ocular distances."""
    lips = to_face_frame(points)[:, _LIPS]
    return np.asarray(lips - lips.mean(1, keepdims=True))


def mouth_distance(shape: Array, truth: Array) -> float:
    """Mean distance of lip landmarks, both [T,40,2] of `mouth_shape`, in percent of the inter-ocular distance.

    Frames without a face in either are left out; NaN where none remains. Mouths are centred and level with the eyes:
    what counts is their shape, not where the head is.
    """
    apart = np.linalg.norm(shape - truth, axis=-1).mean(1)
    seen = apart[np.isfinite(apart)]
    return float(100 * seen.mean()) if len(seen) else float("nan")


def people_mean(values: Mapping[str, list[float]]) -> float:
    """Mean over people of each person's mean over clips: a person with many clips counts once."""
    return float(np.mean([np.mean(clips) for clips in values.values() if clips]))


def bootstrap_interval(
    values: Mapping[str, list[float]],
    statistic: Callable[[Mapping[str, list[float]]], float] = people_mean,
    draws: int = 2000,
    coverage: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic, people drawn with replacement (clips of one person are not independent)."""
    people = sorted(name for name, clips in values.items() if clips)
    random = np.random.default_rng(seed)
    results = []
    for _ in range(draws):
        drawn = random.integers(0, len(people), len(people))
        results.append(statistic({str(k): values[people[who]] for k, who in enumerate(drawn)}))
    tail = (1 - coverage) / 2 * 100
    low, high = np.percentile(results, [tail, 100 - tail])
    return float(low), float(high)
