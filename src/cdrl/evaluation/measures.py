"""The measures of an edit, pure functions of per-frame arrays. What each number means is fixed here, nowhere else.

Every comparison takes the source and the output frame by frame (lag already taken out) and ignores frames in which the
landmarker found no face in either. Gaps and widths are shares of the distance between the eyes' centers.

A measure that has no value is None, and `UNDEFINED` says why: what the source lacks is no fault of the output. Where
the output lacks it, the face or the movement, it is a miss, 0.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.geometry import eye_centers, eye_distance, to_face_frame

Array = NDArray[np.float64]

_INNER_PAIRS = ((82, 87), (13, 14), (312, 317))  # inner lip, upper and lower
_CORNERS = (61, 291)  # of the mouth
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),  # outer contour
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),  # inner contour
)
_BROWS = (  # of the right and the left eye, upper and lower edge
    (70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    (336, 296, 334, 293, 300, 285, 295, 282, 283, 276),
)
_MINIMUM_FRAMES = 8  # fewer common frames make no correlation
_LIVELY = 1e-4  # eye distances: lips and brows of any filmed face move more
_LOUDNESS_PIECE = 0.02  # seconds over which loudness is measured
_QUIET = 10 ** (-30 / 20)  # of the loudest piece: what is 30 dB softer is room and breath
_SHORTEST_SILENCE = 0.3  # seconds: shorter ones are the closures of plosives
_NO_POWER = 1e-12  # of squares that differ by rounding alone
_CLOSED_SOURCE = 0.02  # a source frame is closed this near its 5th percentile
_CLOSED_OUTPUT = 0.05  # and the output kept it when this near the same percentile
_STILL = 0.01  # gray levels: second difference, and Laplacian variance, that no filmed face stays under
_EDITED = 2.0  # gray levels: mean change of the aligned face that no encoder makes and every edit does
_STANDS = "the source has too few frames with a face"
UNDEFINED = {
    "lip_opening_r": f"{_STANDS}, or its lips do not move",
    "lip_width_r": f"{_STANDS}, or its mouth does not move",
    "lip_flow_r": f"{_STANDS}, or its mouth does not move",
    "lip_flow_opening_r": f"{_STANDS}, or its mouth does not move",
    "closures_kept": "the source has no frame with a face",
    "lip_dynamics": f"{_STANDS}, or its lips do not move",
    "brow_dynamics": "the source, or the real take, has too few frames with a face, or its brows do not move",
    "silent_lips": "the clip has no sound, or no silence of 300 ms in which the output shows a face",
    "silent_lips_source": "the clip has no sound, or no silence of 300 ms in which the source shows a face",
    "p_target_source": "the source has no frame with a face",
    "identity": "a recognition vector has no direction",
    "flicker": "the source stands still, or no three frames in a row show a face in both",
    "sharpness": "the source's face has no detail, or no frame shows a face in both",
    "edited": "the source has no frame with a face",
    "found": "source and output have no frame in common",
    "mouth_distance": "no frame shows a face in both the output and the real take",
    "mouth_distance_source": "no frame shows a face in both the source and the real take",
    "csim": "no expression vector has a direction",
    "plausibility": "no frame shows a face that looks ahead, or the data hold too few other people",
    "plausibility_source": "no frame shows a face that looks ahead, or the data hold too few other people",
}
"""Measure → why it has no value, where it has none."""


def _divide_by_eyes(lengths: Array, points: Array) -> Array:
    """[T] lengths over the distance of the eyes' centers; NaN where these are in one place, which no face has."""
    distances = eye_distance(points)
    return lengths / np.where(distances > 0, distances, np.nan)


def unit_rows(vectors: Array) -> Array:
    """Return those of the vectors [N,D] that are finite and not zero, made as long as 1: [M,D]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = (np.isfinite(lengths) & (lengths > 0))[:, 0]
    return np.asarray(vectors[usable] / lengths[usable])


def lip_opening(points: Array) -> Array:
    """Measure the inner-lip gap over the inter-ocular distance: the mean distance of the three middle point pairs.

    Args:
        points: [T,468,2] landmarks in pixels.

    Returns:
        [T], ≥ 0.
    """
    gaps = [np.linalg.norm(points[:, low] - points[:, high], axis=-1) for high, low in _INNER_PAIRS]
    return _divide_by_eyes(np.mean(gaps, axis=0), points)


def lip_width(points: Array) -> Array:
    """Measure the distance of the mouth's corners over the inter-ocular distance, [T,468,2] → [T]."""
    left, right = _CORNERS
    return _divide_by_eyes(np.asarray(np.linalg.norm(points[:, left] - points[:, right], axis=-1)), points)


def pearson(source: Array, output: Array) -> float | None:
    """Correlate two series [T] over the frames where both are finite: r = Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)² Σ(y−ȳ)²).

    Returns:
        In [−1, 1]. None where the source has fewer than 8 frames or does not vary; 0 where the output does not vary, or
        has too few frames beside the source's.
    """
    visible = np.isfinite(source)
    both = visible & np.isfinite(output)
    if both.sum() < _MINIMUM_FRAMES:
        return None if visible.sum() < _MINIMUM_FRAMES else 0.0
    powers = [float(np.square(values[both] - values[both].mean()).sum()) for values in (source, output)]
    if powers[0] <= _NO_POWER:
        return None
    return float(np.corrcoef(source[both], output[both])[0, 1]) if (powers[0] * powers[1]) ** 0.5 > _NO_POWER else 0.0


def closures_kept(source: Array, output: Array) -> float | None:
    """Measure the share of the source's closed frames that stay closed.

    q = 5th percentile of the source's gap. Closed: source ≤ q + .02, so some frame always is. Kept: output ≤ q + .05. A
    frame where the output has no face is not kept.

    Args:
        source: [T] lip opening.
        output: [T] likewise.

    Returns:
        In [0, 1]; None where the source shows no face.
    """
    visible = np.isfinite(source)
    if not visible.any():
        return None
    level = float(np.percentile(source[visible], 5))
    with np.errstate(invalid="ignore"):
        closed, still_closed = visible & (source <= level + _CLOSED_SOURCE), output <= level + _CLOSED_OUTPUT
    return float((closed & still_closed).sum() / closed.sum())


def lip_dynamics(points: Array) -> float | None:
    """Measure how much lips move: the mean over all pairs of lip landmarks of how much their distance varies.

    Mean over i < j of std_t(|p_i(t) − p_j(t)| / e(t)), e the distance of the eyes' centers (THEval, CVPR 2026).

    Args:
        points: [T,468,2] landmarks in pixels; frames of NaN are left out.

    Returns:
        In eye distances, ≥ 0; None of fewer than 8 frames with a face.
    """
    sizes = _divide_by_eyes(np.ones(len(points)), points)[:, None, None]
    lips = points[:, LIPS] * sizes
    lips = lips[np.isfinite(lips[:, 0, 0])]
    if len(lips) < _MINIMUM_FRAMES:
        return None
    # A landmark at a time: all pairs of a long clip at once would fill the memory.
    deviations = [np.linalg.norm(lips[:, k + 1 :] - lips[:, k, None], axis=-1).std(0) for k in range(len(LIPS) - 1)]
    return float(np.concatenate(deviations).mean())


def brow_dynamics(points: Array) -> float | None:
    """Measure how much brows move: the mean absolute change a frame of the distance between a brow and its eye.

    Mean over both sides s and all t of |d_s(t+1) − d_s(t)|, d_s = |brow_s − eye_s| / e, of the centers of a brow's ten
    landmarks and of an eye's corners, e the distance of the eyes' centers (THEval, CVPR 2026).

    Args:
        points: [T,468,2] landmarks in pixels; changes to and from frames of NaN are left out.

    Returns:
        In eye distances a frame, ≥ 0; None of fewer than 8 such changes.
    """
    brows = [points[:, brow].mean(1) for brow in _BROWS]
    heights = [np.linalg.norm(brow - eye, axis=-1) for brow, eye in zip(brows, eye_centers(points), strict=True)]
    changes = np.abs(np.diff([_divide_by_eyes(height, points) for height in heights]))
    changes = changes[:, np.isfinite(changes[0])]
    return float(changes.mean()) if changes.shape[1] >= _MINIMUM_FRAMES else None


def dynamics_ratio(measure: Callable[[Array], float | None], source: Array, output: Array) -> float | None:
    """Divide `lip_dynamics` or `brow_dynamics` of an output by that of its source, over the frames with a face in both.

    Args:
        measure: One of the two.
        source: [T,468,2] landmarks in pixels, NaN without a face.
        output: [T,468,2] likewise.

    Returns:
        ≥ 0; 1: as lively. None where the source has too few frames with a face or does not move; 0 where the output has
        too few beside the source's.
    """
    both = (np.isfinite(source[:, 0, 0]) & np.isfinite(output[:, 0, 0]))[:, None, None]
    whole, common = measure(source), measure(np.where(both, source, np.nan))
    if whole is None or whole < _LIVELY:
        return None
    if common is None or common < _LIVELY:
        return 0.0 if common is None else None
    return (measure(np.where(both, output, np.nan)) or 0.0) / common


def find_silences(samples: NDArray[np.floating], rate: int) -> list[tuple[float, float]]:
    """Find where a sound is silent for 300 ms or longer: 30 dB or more under its loudest 20 ms.

    Loudness is the root mean square of pieces of 20 ms. Where the room itself is louder than that, nothing is silent.

    Args:
        samples: [n] mono sound.
        rate: Samples a second.

    Returns:
        Begin and end of each silence in seconds, in order.
    """
    size = round(rate * _LOUDNESS_PIECE)
    count = len(samples) // size
    pieces = samples[: count * size].reshape(count, size).astype(np.float64)
    loudness = np.sqrt(np.square(pieces).mean(1))
    quiet = loudness < _QUIET * loudness.max(initial=0.0)
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False)).reshape(-1, 2) * size
    return [(float(begin / rate), float(end / rate)) for begin, end in edges if end - begin >= _SHORTEST_SILENCE * rate]


def silent_lips(opening: Array, silences: NDArray[np.integer]) -> float | None:
    """Measure how unsteady lips are in silences: the mean absolute deviation of their gap from its mean in each.

    Σ_k Σ_{t in silence k} |g(t) − ḡ_k| / Σ_k |silence k| (THEval, CVPR 2026): lips that stay open are as steady as
    closed ones.

    Args:
        opening: [T] `lip_opening`; NaN where there is no face.
        silences: [T] which silence a frame lies in, from 1; 0 in none.

    Returns:
        In percent of the inter-ocular distance, ≥ 0; None where no silence has two frames with a face.
    """
    seen = np.isfinite(opening)
    gaps = [opening[seen & (silences == number)] for number in np.unique(silences[silences > 0])]
    deviations = [np.abs(gap - gap.mean()) for gap in gaps if len(gap) > 1]
    return float(100 * np.concatenate(deviations).mean()) if deviations else None


def mean_probability(emotion: Array, index: int) -> float:
    """Average the probability of one class over the frames with a face: [T,C] → [0, 1], 0 where there is none."""
    values = emotion[:, index]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else 0.0


def identity_cosine(vectors: Array, reference: Array) -> float | None:
    """Average the cosines of recognition vectors [N,D] to the mean direction of reference vectors [M,D].

    Raw cosines, not mean-free: those of dlib's network separate people already (same ≥ .93, others ≤ .93, area under
    the curve 1.000) and need no population mean to be shipped or agreed on.

    Returns:
        In [−1, 1]; None where either has no direction (vectors of length 0, or that cancel out).
    """
    unit, directions = unit_rows(vectors), unit_rows(reference)
    mean = unit_rows(directions.mean(0, keepdims=True)) if len(directions) else directions
    return float((unit @ mean[0]).mean()) if len(unit) and len(mean) else None


def second_difference(upper: Array) -> Array:
    """Return [T-2] the mean of |u[t−1] − 2u[t] + u[t+1]| of stabilized pictures [T,H,W], in gray levels."""
    return np.asarray(np.abs(upper[:-2] - 2 * upper[1:-1] + upper[2:]).mean((1, 2)))


def flicker_ratio(source: Array, output: Array) -> float | None:
    """Measure the second difference of the output's upper face [T,H,W] over the source's; 1: as steady as the source.

    None where the source stands still (less than .01 gray levels), or no three frames in a row show a face in both.
    """
    return _divide_means(second_difference(output), second_difference(source))


def sharpness_ratio(source: Array, output: Array) -> float | None:
    """Measure the mean Laplacian variance [T] of the output's aligned face over the source's.

    None where the source's has no detail (a variance under .01), or no frame shows a face in both.
    """
    return _divide_means(output, source)


def _divide_means(output: Array, source: Array) -> float | None:
    both = np.isfinite(source) & np.isfinite(output)
    if not both.any() or source[both].mean() < _STILL:
        return None
    return float(output[both].mean() / source[both].mean())


def edited_share(source: NDArray[np.uint8], output: NDArray[np.uint8], has_face: NDArray[np.bool_]) -> float | None:
    """Measure the share of the source's frames with a face whose aligned thumbnail changed by 2 gray levels or more.

    Args:
        source: [T,H,W] thumbnails.
        output: [T,H,W] likewise.
        has_face: [T] of the source.

    Returns:
        In [0, 1]; None where no frame of the source shows a face.
    """
    change = np.abs(source.astype(np.float64) - output.astype(np.float64)).mean((1, 2))
    return float((change[has_face] >= _EDITED).mean()) if has_face.any() else None


def frechet_distance(x: Array, y: Array) -> float:
    """Compute the Fréchet distance of two Gaussians fitted to features.

    |μx−μy|² + tr(Σx + Σy − 2(Σx Σy)^½) (Heusel et al. 2017, equation 6). The trace of the root is the sum of the roots
    of the eigenvalues of √Σx Σy √Σx, which is symmetric: no complex arithmetic, and fewer features than dimensions
    (covariances without full rank) are no trouble.

    Args:
        x: [N,D] features, N ≥ 2.
        y: [M,D] features, M ≥ 2. The distance grows as N shrinks: compare at the same N only.

    Returns:
        ≥ 0.
    """
    difference = x.mean(0) - y.mean(0)
    first, second = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(max(0.0, difference @ difference + np.trace(first) + np.trace(second) - 2 * cross))


def match_counts(x: Array, y: Array, seed: int = 0) -> tuple[Array, Array]:
    """Draw as many rows of the larger one, at random, as the smaller one has; in their order."""
    count = min(len(x), len(y))
    random = np.random.default_rng(seed)
    first, second = (rows[np.sort(random.permutation(len(rows))[:count])] for rows in (x, y))
    return first, second


def pairwise_cosine(x: Array, y: Array, most: int = 100, seed: int = 0) -> float | None:
    """Compute CSIM: the mean cosine over all pairs of features; raw, nothing is subtracted first.

    Args:
        x: [N,D] features.
        y: [M,D] features.
        most: Rows of each that are drawn at most, at random without replacement (the paper: 100 × 100).
        seed: Of the draw.

    Returns:
        In [−1, 1]; None where a side has no row with a direction (of a length above 0).
    """
    random = np.random.default_rng(seed)
    unit = [unit_rows(rows[random.permutation(len(rows))[:most]]) for rows in (x, y)]
    return float((unit[0] @ unit[1].T).mean()) if all(map(len, unit)) else None


def mouth_shape(points: Array) -> Array:
    """Return both lip contours, centered, level with the eyes, in inter-ocular distances: [T,468,2] → [T,40,2]."""
    lips = to_face_frame(points)[:, LIPS]
    return np.asarray(lips - lips.mean(1, keepdims=True))


def mouth_distance(shape: Array, truth: Array) -> float | None:
    """Measure the mean distance of lip landmarks, both [T,40,2] of `mouth_shape`.

    Mouths are centered and level with the eyes: what counts is their shape, not where the head is.

    Returns:
        In percent of the inter-ocular distance. Frames without a face in either are left out; None where none remains.
    """
    distances = np.linalg.norm(shape - truth, axis=-1).mean(1)
    visible = distances[np.isfinite(distances)]
    return float(100 * visible.mean()) if len(visible) else None
