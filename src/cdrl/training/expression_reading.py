"""Fits how an expression is told from who shows it: the linear map behind `EmotionPrior.read_expression`.

A stretch of talk is taken for who somebody is plus what they show, both normally distributed. What is shown is learned
from people whose neutral face was seen, by stretches of their talk in every emotion. How people differ is learned from
all of them, but of mouths from those alone who were seen neutral: in others the words of a short clip, and smiles,
would count as theirs. That, and how much is left unexplained, was chosen on W009 and W011. Faces are mirrored, too, so
that left and right are read alike.
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
from cdrl.face.mesh import MOUTH_CORNERS, POINTS, mirror_shape, region_weights
from cdrl.manipulation.expression_change import rms_millimeters
from cdrl.manipulation.person import recognized_share
from cdrl.manipulation.prior import EXPRESSIVE, apply_reading
from cdrl.training.emotion_offsets import make_table, people_with_emotions
from cdrl.training.observations import RATE, ClipObservation

Errors = tuple[float, float, float, float, float]

_RIDGE, _MOUTH_RIDGE = 0.1, 0.3  # variance of standardized inputs that neither people nor expressions explain
_ROUNDS = 12  # of telling what people show from who they are, after which little changes
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
        return self.read_with_amounts(shape, blendshapes)[1]

    def read_with_amounts(self, shape: Floats, blendshapes: Floats) -> tuple[Floats, Floats]:
        """Return the amount [e] of each emotion, and the displacement [478, 3], as `read` does."""
        return apply_reading(self.reading, self.shape_modes, self.shown_modes, shape, blendshapes)

    def move_mean(self, shift: Floats) -> ExpressionReading:
        """Return the same map for shapes relative to the mean plus `shift` [478, 3] cm."""
        code = self.shape_modes.reshape(len(self.shape_modes), -1) @ shift.ravel()
        moved = self.reading.copy()
        moved[-1] += code @ moved[: len(code)]
        return replace(self, reading=moved)


@dataclass(frozen=True)
class _Stretch:
    """A stretch of talk of a person whose neutral shape is known, and its mirror image."""

    inputs: NDArray[np.float64]
    """[2, n], see `_encode`."""
    shown: Floats
    """[2, 478, 3] cm from the neutral shape."""
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
    modes, deviation = _fit_shape_modes(known, mean)
    people = _encode_people(known, mean, modes)
    changes, shown, labels, weights = [], [], [], []
    for item in labeled:
        for stretch in _cut_stretches(item, neutral[item.person], mean, modes):
            changes.append(stretch.inputs - people[item.person])
            shown.append(stretch.shown.reshape(2, -1))
            labels.append(np.tile([float(item.emotion == name) for name in EXPRESSIVE], (2, 1)))
            weights.append(np.full(2, stretch.weight / counts[item.person, item.emotion]))
    wanted, weight = np.hstack([np.concatenate(shown), np.concatenate(labels)]), np.concatenate(weights)
    blendshapes = np.array([item.blendshapes.mean(0) for item in known], np.float64)
    both_sides = np.concatenate([blendshapes, blendshapes[:, _MIRRORED_BLENDSHAPES]])
    scale = np.concatenate([deviation, both_sides.std(0) + _DEVIATION_FLOOR])
    everybody = np.concatenate(list(people.values())) / scale
    is_known = np.repeat([person in neutral for person in people], 2)
    data = np.concatenate(changes) / scale, wanted, weight
    of_all = _fit_reading(*data, everybody, is_known, _RIDGE)
    of_mouths = _fit_reading(*data, everybody[is_known], is_known[is_known], _MOUTH_RIDGE)
    share = np.concatenate([np.repeat(region_weights()["mouth"], 3), np.zeros(len(EXPRESSIVE))])
    linear = of_all + share * (of_mouths - of_all)
    linear[:-1] /= scale[:, None]
    _, _, basis = np.linalg.svd(linear[:, : POINTS * 3], full_matrices=False)
    basis = basis[:_SHOWN_MODES]
    reading = np.hstack([linear[:, : POINTS * 3] @ basis.T, linear[:, POINTS * 3 :]])
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
    """Distances of a clip's mean shape and of the neutral one behind it: rms of both, mouth width of both, in mm.

    That is what an edit of the clip takes for neutral. The last number is the cosine of what is read to what is shown;
    NaN of a neutral clip.
    """
    shape = item.shapes.astype(np.float32).mean(0)
    amounts, read = reading.read_with_amounts(shape - mean, item.blendshapes.mean(0))
    guesses = shape, shape - recognized_share(amounts.tolist()) * read
    left, right = MOUTH_CORNERS
    widths = [float(np.linalg.norm(guess[left] - guess[right])) for guess in (*guesses, neutral)]
    distances = [rms_millimeters(remove_apertures(guess - neutral)) for guess in guesses]
    cosine = np.nan
    if item.emotion in EXPRESSIVE:
        own, shown = remove_apertures(read), remove_apertures(shape - neutral)
        cosine = float((own * shown).sum()) / (float(np.linalg.norm(own) * np.linalg.norm(shown)) or 1.0)
    return distances[0], distances[1], 10 * abs(widths[0] - widths[2]), 10 * abs(widths[1] - widths[2]), cosine


def _cut_stretches(
    item: ClipObservation, neutral: Floats, mean: Floats, modes: NDArray[np.float64]
) -> Iterator[_Stretch]:
    """Stretches of a clip, half overlapping; their weights and those of the mirror images add up to 1."""
    shapes = item.shapes.astype(np.float32)
    spans = [
        slice(start, start + length)
        for length in (min(int(seconds * RATE), len(shapes)) for seconds in _WINDOWS)
        for start in range(0, len(shapes) - length + 1, max(length // 2, 1))
    ]
    for span in spans:
        shape = shapes[span].mean(0)
        shown = shape - neutral
        inputs = _encode(shape, item.blendshapes[span].mean(0), mean, modes)
        yield _Stretch(inputs, np.stack([shown, mirror_shape(shown)]), 1 / (2 * len(spans)))


def _encode(shape: Floats, blendshapes: Floats, mean: Floats, modes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inputs [2, k + 52] of a mean shape [478, 3] cm with mean blendshapes [52], and of its mirror image."""
    sides = np.stack([shape, mirror_shape(shape)]) - mean
    codes: NDArray[np.float64] = sides.reshape(2, -1) @ modes.T
    return np.hstack([codes, np.stack([blendshapes, blendshapes[_MIRRORED_BLENDSHAPES]])])


def _encode_people(
    seen: Sequence[ClipObservation], mean: Floats, modes: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the inputs [2, n] of each person: those of their neutral clips, or of all where none is neutral."""
    neutral = {item.person for item in seen if item.emotion == "neutral"}
    inputs: dict[str, list[NDArray[np.float64]]] = {}
    for item in seen:
        if item.emotion == "neutral" or item.person not in neutral:
            clip = _encode(item.shapes.astype(np.float32).mean(0), item.blendshapes.mean(0), mean, modes)
            inputs.setdefault(item.person, []).append(clip)
    return {person: np.mean(clips, 0) for person, clips in inputs.items()}


def _fit_reading(
    changes: NDArray[np.float64],
    wanted: NDArray[np.float64],
    weight: NDArray[np.float64],
    people: NDArray[np.float64],
    is_neutral: NDArray[np.bool_],
    ridge: float,
) -> NDArray[np.float64]:
    """Fit what is shown to inputs that people and what they show add up to, by expectation maximization.

    What people show who were never seen neutral is estimated, and taken out of them before how people differ is
    measured again.

    Args:
        changes: [stretches, n] standardized inputs from the person's neutral ones.
        wanted: [stretches, m] what they show.
        weight: [stretches].
        people: [people, n] standardized inputs.
        is_neutral: [people] whether these are of a neutral face.
        ridge: Variance of inputs that neither people nor what they show explain.

    Returns:
        [n + 1, m] linear map of standardized inputs and a one.
    """
    spread = changes.T * weight @ changes / weight.sum()
    told = changes.T * weight @ wanted / weight.sum()
    noise, neutral = ridge * np.eye(len(spread)), people
    for _ in range(_ROUNDS):
        center = neutral.mean(0)
        differences = neutral - center
        total = spread + differences.T @ differences / len(neutral) + noise
        shown = (people - center) @ np.linalg.solve(total, spread)
        neutral = np.where(is_neutral[:, None], people, people - shown)
    slopes: NDArray[np.float64] = np.linalg.solve(total, told)
    return np.vstack([slopes, -center @ slopes])


def _fit_shape_modes(seen: Sequence[ClipObservation], mean: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The basis [k, 1434] of shapes around the mean, and the deviation [k] along it."""
    shapes = np.concatenate([item.shapes[::4].astype(np.float32) for item in seen]) - mean
    some = shapes[:: len(shapes) // _MAX_FRAMES + 1]
    some = np.concatenate([some, mirror_shape(some)]).reshape(-1, POINTS * 3)
    _, size, modes = np.linalg.svd(some, full_matrices=False)
    deviation = size[:_SHAPE_MODES].astype(np.float64) / np.sqrt(len(some))
    kept = deviation > _MIN_DEVIATION
    return modes[:_SHAPE_MODES][kept].astype(np.float64), deviation[kept]
