"""Plausibility: the share of frames whose expression is one that real faces make.

The expression of a frame is how far its landmarks are from the person's own neutral face, with the head's pose taken
out. A mixture of Gaussians over the strongest modes of such displacements, fitted on real clips of other people, says
how common an expression is; it is plausible inside the region that holds 99 % of the frames of people left out of the
fit. The landmarker is the evaluation's own (`landmarker`), which drives no edit.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from cdrl.datasets.splits import load_split
from cdrl.errors import FaceError, InputError
from cdrl.evaluation import measures
from cdrl.evaluation.clip_features import FeatureCache
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.geometry import RIGID, to_face_frame
from cdrl.evaluation.landmarker import N_POINTS
from cdrl.evaluation.score import Scores

Array = NDArray[np.float64]

MINIMUM_PEOPLE = 5
"""Of fewer other people no region is fitted."""
_REGION = 0.99  # share of the frames of a left-out person that the region is to hold
_MODES = 30  # of expression: fewer let a squeezed mouth pass, more let a smile of 1.5 times the size pass
_PARTS = 3  # Gaussians: one alone lets larger smiles pass than people show
_REGULARIZATION = 0.01  # variance that every direction is given, of modes of unit variance
_JITTER = 0.001  # eye distances: no landmarker is more exact, so that smaller modes are noise
_FOLDS = 10
_POSE_MODES = 3  # of the rigid points: turn to the side, nod, and how near the camera is
_NOSE = (4, 5, 1, 195)  # mesh indices: expressions hardly move the nose, turning the head does
_TURNED = 0.2  # eye distances of the nose from its place in the neutral face, about 15°: no pose is taken out beyond
_ASIDE = 0.25  # eye distances of the nose from the middle of the eyes, sideways: the far half of the face is guessed
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Mesh indices of the face's outline, which slides over the skin as the head turns."""
_EXPRESSIVE = np.setdiff1d(np.arange(N_POINTS), _OVAL)
_CLIPS = 4  # at most, of a person and emotion
_FRAMES = 64  # at most, of a clip: a long one counts no more
_FEWEST_FRAMES = 8  # with a face that looks ahead; a clip with fewer is left out of the fit


@dataclass(frozen=True)
class NeutralFace:
    """What a person's expressions are measured from."""

    shape: Array
    """[468,2] landmarks in the face frame."""
    origin: str
    """What it is the mean of: `neutral clips`, `real clips` (the person has no neutral one) or `the source`."""


def average_neutral(clips: Iterable[tuple[str, Array]], origin: str = "real clips") -> NeutralFace | None:
    """Average a person's neutral clips or, where there is none, all of them; each clip counts once.

    Args:
        clips: Emotion and landmarks [T,468,2] in pixels, NaN without a face, of each clip.
        origin: What the clips are called where none is neutral.

    Returns:
        The mean over frames that look ahead; None where there is none.
    """
    means = []
    for emotion, points in clips:
        shapes = to_face_frame(points)
        ahead = shapes[_look_ahead(shapes)]
        if len(ahead):
            means.append((emotion, ahead.mean(0)))
    neutral = [mean for emotion, mean in means if emotion == "neutral"]
    if not means:
        return None
    chosen = neutral or [mean for _, mean in means]
    return NeutralFace(np.mean(chosen, axis=0), "neutral clips" if neutral else origin)


def measure_displacements(points: Array, neutral: NeutralFace) -> Array:
    """Measure how far landmarks are from a person's neutral face, in frames that can be judged.

    Args:
        points: [T,468,2] landmarks in pixels, NaN without a face.
        neutral: The person's.

    Returns:
        [N,468,2] in eye distances, of the N frames with a face that is not turned aside.
    """
    shapes = to_face_frame(points)
    displacements = shapes[_look_ahead(shapes)] - neutral.shape
    return np.asarray(displacements[np.abs(displacements[:, _NOSE].mean(1)).max(-1) < _TURNED])


def _look_ahead(shapes: Array) -> NDArray[np.bool_]:
    """[T] whether both halves of a face can be seen, of landmarks [T,468,2] in the face frame."""
    return np.asarray(np.abs(shapes[:, _NOSE, 0].mean(-1)) < _ASIDE)  # NaN is not less


@dataclass(frozen=True)
class ExpressionModel:
    """Which displacements from the neutral face real people show."""

    modes: Array
    """[936,30] takes a displacement, flat, to modes of unit variance."""
    sizes: Array
    """[30] standard deviations of the modes, in eye distances, by which they were divided."""
    density: GaussianMixture
    """Of the modes."""
    limit: float
    """Log density from which an expression is plausible."""
    people: int
    """How many people it was fitted on."""

    @classmethod
    def fit(cls, people: Sequence[Array]) -> ExpressionModel:
        """Fit a density on all people, and the limit on people who are left out of it.

        Args:
            people: [N,468,2] displacements of each person's frames.

        Raises:
            ValueError: There are fewer than `MINIMUM_PEOPLE`.
        """
        if len(people) < MINIMUM_PEOPLE:
            raise ValueError(f"{len(people)} people, fewer than {MINIMUM_PEOPLE}")
        rows = [displacements.reshape(len(displacements), -1) for displacements in people]
        modes, sizes = _find_modes(np.concatenate(rows))
        coordinates = [row @ modes for row in rows]
        folds = [range(first, len(rows), _FOLDS) for first in range(min(_FOLDS, len(rows)))]
        densities = np.concatenate([_judge_fold(coordinates, fold) for fold in folds])
        counts = np.array([len(coordinates[person]) for fold in folds for person in fold])
        weights = np.repeat(1 / counts, counts)  # a person with many frames counts once
        limit = np.quantile(densities, 1 - _REGION, weights=weights, method="inverted_cdf")
        return cls(modes, sizes, _fit_density(np.concatenate(coordinates)), float(limit), len(people))

    def contains(self, displacements: Array) -> NDArray[np.bool_]:
        """Say of displacements [N,468,2] which are plausible: [N]."""
        if not len(displacements):
            return np.zeros(0, bool)
        rows = displacements.reshape(len(displacements), -1) @ self.modes
        return np.asarray(self.density.score_samples(rows) >= self.limit)

    def measure(self, points: Array, neutral: NeutralFace) -> float | None:
        """Measure the share of a clip's frames that are plausible.

        Args:
            points: [T,468,2] landmarks in pixels, NaN without a face.
            neutral: The person's.

        Returns:
            In [0, 1], of the frames that can be judged; None where there is none.
        """
        inside = self.contains(measure_displacements(points, neutral))
        return float(inside.mean()) if len(inside) else None

    def average(self, points: Array, neutral: NeutralFace) -> Array | None:
        """Return the mean expression of a clip, arguments as of `measure`.

        Returns:
            [30] in eye distances, by the modes, which do not know how the head is turned; None where no frame can be
            judged.
        """
        displacements = measure_displacements(points, neutral)
        if not len(displacements):
            return None
        return np.asarray(displacements.mean(0).ravel() @ self.modes * self.sizes)


def _find_modes(rows: Array) -> tuple[Array, Array]:
    """`ExpressionModel.modes` and `sizes` of flat displacements [N,936]: the strongest modes of expression."""
    modes = _remove_pose(rows)
    modes = modes @ _find_directions(rows @ modes, _MODES)
    sizes = np.maximum((rows @ modes).std(0), _JITTER)
    return np.asarray(modes / sizes), sizes


def _remove_pose(rows: Array) -> Array:
    """The map [936,864] to what expressive points do that the rigid points do not tell.

    What rigid points do, the head does: the few modes in which they move together tell every point's motion with them.
    """
    rigid, expressive = _select_columns(RIGID), _select_columns(_EXPRESSIVE)
    modes = rigid @ _find_directions(rows @ rigid, _POSE_MODES)
    caused = np.linalg.lstsq(rows @ modes, rows @ expressive, rcond=None)[0]
    return np.asarray(expressive - modes @ caused)


def _select_columns(points: Sequence[int] | NDArray[np.integer]) -> Array:
    """The map [936,2n] from flat displacements to those of n points."""
    columns = np.asarray(points)[:, None] * 2 + [0, 1]
    return np.eye(2 * N_POINTS)[:, columns.ravel()]


def _find_directions(rows: Array, count: int) -> Array:
    """The directions [D,count] in which rows [N,D] are largest, the first the most so."""
    return np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :count]


def _fit_density(rows: Array) -> GaussianMixture:
    mixture = GaussianMixture(_PARTS, covariance_type="full", reg_covar=_REGULARIZATION, random_state=0)
    return mixture.fit(rows)


def _judge_fold(people: Sequence[Array], fold: Collection[int]) -> Array:
    """The log density of the frames of the people in the fold, by a fit on all others."""
    density = _fit_density(np.concatenate([rows for person, rows in enumerate(people) if person not in fold]))
    return np.concatenate([density.score_samples(people[person]) for person in fold])


class Plausibility:
    """Measures people's expressions by models that never saw them.

    A model is fitted on the people of a data set whom nobody reports or tunes on, the shipped split's training part,
    less the person who is judged.

    Args:
        clips: All real clips of the data set.
        cache: Keeps their landmarks.
    """

    def __init__(self, clips: Iterable[ClipRecord], cache: FeatureCache) -> None:
        self._cache = cache
        self._clips: dict[str, list[ClipRecord]] = defaultdict(list)
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for clip in clips:
            if not clip.person or clip.person.startswith("other"):
                continue  # who is seen is unknown: perhaps the person who is judged
            counts[clip.person, clip.emotion] += 1
            if counts[clip.person, clip.emotion] <= _CLIPS:
                self._clips[clip.person].append(clip)
        split = load_split("shipped")
        self._fitted_on = [
            person
            for person, own in self._clips.items()
            if all(split.assign(person, clip.dataset) == "train" for clip in own)
        ]
        self._models: dict[str, ExpressionModel | None] = {}
        self._neutral: dict[str, NeutralFace | None] = {}
        self._landmarks: dict[str, list[tuple[str, Array]]] = {}

    @property
    def name(self) -> str:
        """What measures, as reports name it; where nothing can, why."""
        count = len(self._people)
        if count < MINIMUM_PEOPLE:
            return f"none: the data hold {count} people to fit real expressions on, fewer than {MINIMUM_PEOPLE}"
        return f"a mixture of Gaussians of the landmarks of {count} people of the training part, less who is judged"

    def measure(self, person: str, points: Array, source: Array) -> float | None:
        """Measure the share of a clip's frames whose expression is plausible.

        Args:
            person: Who is seen.
            points: [T,468,2] landmarks in pixels, NaN without a face.
            source: Those of the clip that was edited: its mean stands in for the neutral face of a person of whom the
                data hold no clip.

        Returns:
            In [0, 1]; None where the data are too few or no frame can be judged.
        """
        model, neutral = self._find_model(person), self.find_neutral(person, source)
        return None if model is None or neutral is None else model.measure(points, neutral)

    def compare(self, person: str, source: Array, output: Array, real: Sequence[Array]) -> Scores:
        """Measure an edit, beside its source and real clips of the person.

        Args:
            person: Who is seen.
            source: [T,468,2] landmarks in pixels, NaN without a face, of the clip that was edited.
            output: [T',468,2] of the edit.
            real: The same of each real clip.

        Returns:
            `plausibility` of the output and `plausibility_source`; with real clips `plausibility_real`, their mean.
        """
        scores: Scores = {
            "plausibility": self.measure(person, output, source),
            "plausibility_source": self.measure(person, source, source),
        }
        shares = [self.measure(person, points, source) for points in real]
        known = [share for share in shares if share is not None]
        return {**scores, "plausibility_real": float(np.mean(known))} if known else scores

    def measure_likeness(self, person: str, source: Array, output: Array, real: Sequence[Array]) -> float | None:
        """Measure how like each other the mean expressions of an edit and of real clips are; arguments as of `compare`.

        Returns:
            The mean of their cosines, in [-1, 1]; None where the data are too few or no frame can be judged.
        """
        model, neutral = self._find_model(person), self.find_neutral(person, source)
        if model is None or neutral is None:
            return None
        shown, *wanted = (model.average(points, neutral) for points in (output, *real))
        known = [each for each in wanted if each is not None]
        if shown is None or not known:
            return None
        return measures.pairwise_cosine(shown[None], np.stack(known))

    def find_neutral(self, person: str, source: Array) -> NeutralFace | None:
        """Return what a person's expressions are measured from; arguments as of `measure`."""
        if person not in self._neutral:
            self._neutral[person] = average_neutral(self._read_clips(person))
        return self._neutral[person] or average_neutral([("", source)], "the source")

    def _find_model(self, person: str) -> ExpressionModel | None:
        key = person if person in self._fitted_on else ""
        if key not in self._models:
            frames = [own for name, own in self._people.items() if name != key]
            self._models[key] = ExpressionModel.fit(frames) if len(frames) >= MINIMUM_PEOPLE else None
        return self._models[key]

    @cached_property
    def _people(self) -> dict[str, Array]:
        """Displacements of each person that models are fitted on."""
        count = sum(len(self._clips[person]) for person in self._fitted_on)
        sys.stderr.write(f"real expressions: looking at {count} clips of {len(self._fitted_on)} people\n")
        people = {}
        for person in self._fitted_on:
            clips = self._read_clips(person)
            if (neutral := average_neutral(clips)) is None:
                continue
            shown = [measure_displacements(points, neutral) for _, points in clips]
            if known := [_spread(each) for each in shown if len(each) >= _FEWEST_FRAMES]:
                people[person] = np.concatenate(known)
        return people

    def _read_clips(self, person: str) -> list[tuple[str, Array]]:
        """Emotion and landmarks of each of a person's clips that can be read and shows a face."""
        if person not in self._landmarks:
            self._landmarks[person] = list(self._sample_clips(self._clips.get(person, ())))
        return self._landmarks[person]

    def _sample_clips(self, clips: Iterable[ClipRecord]) -> Iterable[tuple[str, Array]]:
        for clip in clips:
            try:
                yield clip.emotion, self._cache.sample_landmarks(clip.path)
            except (InputError, FaceError) as error:
                sys.stderr.write(f"real expressions: without {clip.path.name}: {error}\n")


def _spread(rows: Array) -> Array:
    """At most 64 of the rows, spread over all."""
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(_FRAMES, len(rows))).round().astype(int)])
