"""Fits how an expression is told from who shows it: the linear map behind `EmotionPrior.read_expression`.

It learns from people whose neutral face is known: stretches of their talk in every emotion, each with the displacement
from their neutral shape. Faces are mirrored, too, so that left and right are read alike. Ridge regression keeps it to
what several people show; what nobody showed is left to the person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.face.apertures import remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BLENDSHAPES
from cdrl.face.mesh import MOUTH_CORNERS, POINTS, mirror_shape
from cdrl.manipulation.prior import EXPRESSIVE, apply_reading
from cdrl.training.emotion_offsets import make_table, people_with_emotions, rms_millimeters
from cdrl.training.observations import RATE, ClipObservation

Errors = tuple[float, float, float, float, float]

_RIDGE = 0.3  # of the mean square of the standardized inputs; chosen on W009 and W011
_DEVIATION_FLOOR = 0.02  # added to a blendshape's deviation: those that hardly vary say little
_SHAPE_MODES, _SHOWN_MODES = 25, 20
_WINDOWS = (1, 2, 4)  # seconds of talk that are read: what an edit has seen of a person
_CHANGE_RIDGE, _CHANGE_SECONDS = 0.1, 0.8  # the same of changes; what an edit remembers of the last frames
_MIN_DEVIATION = 1e-3  # cm: a mode along which shapes differ less comes of there being few, and says nothing
_MAX_FRAMES = 2000  # of which the basis of shapes is computed

_MIRRORED_BLENDSHAPES = [
    BLENDSHAPES.index(name.replace("Left", "*").replace("Right", "Left").replace("*", "Right")) for name in BLENDSHAPES
]


@dataclass(frozen=True)
class ExpressionReading:
    """The fitted map, by the names of the prior's arrays."""

    shape_modes: Floats
    """[k, 478, 3]."""
    shown_modes: Floats
    """[m, 478, 3]."""
    reading: Floats
    """[k + 53, m + e], of shapes relative to the mean that it was fitted with."""
    reading_changes: Floats
    """[k, m]."""

    def read(self, shape: Floats, blendshapes: Floats) -> Floats:
        """Return the displacement [478, 3] that a shape [478, 3], relative to the mean, shows with blendshapes [52]."""
        return apply_reading(self.reading, self.shape_modes, self.shown_modes, shape, blendshapes)[1]

    def move_mean(self, shift: Floats) -> ExpressionReading:
        """Return the same map for shapes relative to the mean plus `shift` [478, 3] cm."""
        code = self.shape_modes.reshape(len(self.shape_modes), -1) @ shift.ravel()
        moved = self.reading.copy()
        moved[-1] += code @ moved[: len(code)]
        return replace(self, reading=moved)


@dataclass(frozen=True)
class _Stretch:
    """A stretch of talk of a person whose neutral shape is known."""

    shape: Floats
    """[478, 3] cm, its mean."""
    blendshapes: Floats
    """[52], their mean."""
    shown: Floats
    """[478, 3] cm from the neutral shape."""
    emotion: str
    weight: float


def fit_expression_reading(
    seen: Sequence[ClipObservation], mean: Floats, exclude: Collection[str] = ()
) -> ExpressionReading:
    """Fit the map on all people whose neutral face was seen.

    Every person counts alike in every emotion, whatever the number and the length of their clips.

    Args:
        seen: All observations.
        mean: [478, 3] cm, the shape that codes are relative to.
        exclude: People who are excluded.

    Raises:
        UsageError: Nobody shows both neutral and an emotion.
    """
    known = [item for item in seen if item.person not in exclude]
    if not people_with_emotions(known):
        raise UsageError(
            "nobody shows both neutral and an emotion: add such clips to clips.csv, or exclude fewer people"
        )
    neutral = mean_neutral_shapes(known)
    labeled = [item for item in known if item.person in neutral and item.emotion in EMOTIONS]
    counts = Counter((item.person, item.emotion) for item in labeled)
    stretches = [
        stretch
        for item in labeled
        for stretch in _cut_stretches(item, neutral[item.person], 1 / counts[item.person, item.emotion])
    ]
    modes, deviation = _fit_shape_modes(known, mean)
    codes = np.array([((item.shape - mean).ravel() @ modes.T) for item in stretches])
    blendshapes = np.array([item.blendshapes for item in stretches], np.float64)
    scale = np.concatenate([deviation, blendshapes.std(0) + _DEVIATION_FLOOR])
    inputs = np.hstack([codes, blendshapes])
    weight = np.array([item.weight for item in stretches])
    center = np.average(inputs, axis=0, weights=weight)
    shown = np.array([item.shown.ravel() for item in stretches])
    labels = np.array([[item.emotion == name for name in EXPRESSIVE] for item in stretches], np.float64)
    slopes, bias = _solve_ridge((inputs - center) / scale, np.hstack([shown, labels]), weight)
    slopes = slopes / scale[:, None]
    linear = np.vstack([slopes, bias - center @ slopes])
    _, _, basis = np.linalg.svd(linear[:, : shown.shape[1]], full_matrices=False)
    basis = basis[:_SHOWN_MODES]
    reading = np.hstack([linear[:, : shown.shape[1]] @ basis.T, linear[:, shown.shape[1] :]])
    return ExpressionReading(
        modes.reshape(-1, POINTS, 3).astype(np.float32),
        basis.reshape(-1, POINTS, 3).astype(np.float32),
        reading.astype(np.float32),
        (_fit_changes(labeled, neutral, modes) @ basis.T).astype(np.float32),
    )


def _fit_changes(
    labeled: Sequence[ClipObservation], neutral: Mapping[str, Floats], modes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit the map [k, 1434] from the code of a second's difference from neutral to what the whole clip shows.

    That tells what stays over a clip, the emotion, from what a second's words add.
    """
    counts = Counter((item.person, item.emotion) for item in labeled)
    codes, shown, weight = [], [], []
    for item in labeled:
        shapes = item.shapes.astype(np.float32)
        whole, length = shapes.mean(0) - neutral[item.person], min(int(_CHANGE_SECONDS * RATE), len(shapes))
        starts = range(0, len(shapes) - length + 1, max(length // 2, 1))
        for start in starts:
            part = shapes[start : start + length].mean(0) - neutral[item.person]
            for side in (lambda shape: shape, mirror_shape):
                codes.append(modes @ side(part).ravel())
                shown.append(side(whole).ravel())
                weight.append(1 / (2 * len(starts) * counts[item.person, item.emotion]))
    inputs, weights = np.array(codes), np.array(weight)
    scale = np.sqrt(np.average(np.square(inputs), axis=0, weights=weights))
    inputs /= scale
    penalty = _CHANGE_RIDGE * weights.sum() * np.eye(len(scale))
    solved = np.linalg.solve(inputs.T * weights @ inputs + penalty, inputs.T * weights @ np.array(shown))
    result: NDArray[np.float64] = solved / scale[:, None]
    return result


def mean_neutral_shapes(seen: Sequence[ClipObservation]) -> dict[str, Floats]:
    """Return the mean neutral shape [478, 3] of each person who was seen neutral."""
    shapes: dict[str, list[Floats]] = {}
    for item in seen:
        if item.emotion == "neutral":
            shapes.setdefault(item.person, []).append(item.shapes.astype(np.float32).mean(0))
    return {person: np.mean(means, 0) for person, means in shapes.items()}


def tabulate_neutral(seen: Sequence[ClipObservation]) -> Table:
    """Tabulate how near a person's neutral shape comes when it is read from their clips by what others showed.

    Distances are to the mean of the person's neutral clips, without apertures; of those clips themselves, too. The
    cosine is that of what emotional clips are read as, and so show as references, to what they show.
    """
    title = "leave one person out: rms distance to the person's neutral shape, mm; difference of the mouth's width, mm"
    columns = "of the clip", "as read", "width of the clip", "as read", "cosine"
    table = make_table(title, "person", "clips", *columns)
    neutral, rows = mean_neutral_shapes(seen), []
    for person in sorted(people_with_emotions(seen)):
        others = [item for item in seen if item.person != person]
        mean = np.mean([item.shapes.astype(np.float32).mean(0) for item in others], 0)
        try:
            reading = fit_expression_reading(others, mean)
        except UsageError:
            continue
        mine = [item for item in seen if item.person == person and item.emotion in EMOTIONS]
        errors = [_measure_neutral_error(item, neutral[person], mean, reading) for item in mine]
        rows.append(np.nanmean(errors, 0))
        table.add_row(person, str(len(mine)), *(f"{value:.2f}" for value in rows[-1]))
    if rows:
        table.add_row("mean", "", *(f"{value:.2f}" for value in np.mean(rows, 0)))
    return table


def _measure_neutral_error(item: ClipObservation, neutral: Floats, mean: Floats, reading: ExpressionReading) -> Errors:
    """Distances of a clip's mean shape and of the neutral one read from it: rms of both, mouth width of both, in mm.

    The last number is the cosine of what is read to what is shown; NaN of a neutral clip.
    """
    shape = item.shapes.astype(np.float32).mean(0)
    read = reading.read(shape - mean, item.blendshapes.mean(0))
    guesses = shape, shape - read
    left, right = MOUTH_CORNERS
    widths = [float(np.linalg.norm(guess[left] - guess[right])) for guess in (*guesses, neutral)]
    distances = [rms_millimeters(remove_apertures(guess - neutral)) for guess in guesses]
    cosine = np.nan
    if item.emotion in EXPRESSIVE:
        own, shown = remove_apertures(read), remove_apertures(shape - neutral)
        cosine = float((own * shown).sum()) / (float(np.linalg.norm(own) * np.linalg.norm(shown)) or 1.0)
    return distances[0], distances[1], 10 * abs(widths[0] - widths[2]), 10 * abs(widths[1] - widths[2]), cosine


def _cut_stretches(item: ClipObservation, neutral: Floats, weight: float) -> Iterator[_Stretch]:
    """Stretches of a clip, half overlapping, and their mirror images; their weights add up to `weight`."""
    shapes = item.shapes.astype(np.float32)
    spans = [
        slice(start, start + length)
        for length in (min(int(seconds * RATE), len(shapes)) for seconds in _WINDOWS)
        for start in range(0, len(shapes) - length + 1, max(length // 2, 1))
    ]
    share = weight / (2 * len(spans))
    for span in spans:
        shape, blendshapes = shapes[span].mean(0), item.blendshapes[span].mean(0)
        shown = shape - neutral
        yield _Stretch(shape, blendshapes, shown, item.emotion, share)
        mirrored = blendshapes[_MIRRORED_BLENDSHAPES]
        yield _Stretch(mirror_shape(shape), mirrored, mirror_shape(shown), item.emotion, share)


def _fit_shape_modes(seen: Sequence[ClipObservation], mean: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The basis [k, 1434] of shapes around the mean, and the deviation [k] along it."""
    shapes = np.concatenate([item.shapes[::4].astype(np.float32) for item in seen]) - mean
    some = shapes[:: len(shapes) // _MAX_FRAMES + 1]
    some = np.concatenate([some, mirror_shape(some)]).reshape(-1, POINTS * 3)
    _, size, modes = np.linalg.svd(some, full_matrices=False)
    deviation = size[:_SHAPE_MODES].astype(np.float64) / np.sqrt(len(some))
    kept = deviation > _MIN_DEVIATION
    return modes[:_SHAPE_MODES][kept].astype(np.float64), deviation[kept]


def _solve_ridge(
    inputs: NDArray[np.float64], wanted: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slopes [n, m] and the value [m] at the inputs' mean of a weighted ridge regression of inputs of mean zero."""
    penalty = _RIDGE * weight.sum() * np.eye(inputs.shape[1])
    bias = np.average(wanted, axis=0, weights=weight)
    slopes = np.linalg.solve(inputs.T * weight @ inputs + penalty, inputs.T * weight @ (wanted - bias))
    return slopes, bias
