"""Fits how pictures of people are followed, together with the prior.

An offset follows an example of the person (`--enroll`) in part; the expression of a reference (`--reference`) is
composed of what is seen and of what the prior has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from cdrl.evaluation.measures import frechet_distance
from cdrl.face.apertures import remove_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.expression_change import REFERENCE_RELIEF
from cdrl.manipulation.manipulator import reference_parts
from cdrl.manipulation.person import estimate_person
from cdrl.manipulation.personalization import encode_offset
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, region_matrix
from cdrl.training.emotion_offsets import average_offsets, emphasize_offset, make_table, measure_offsets
from cdrl.training.observations import ClipObservation, stack_shapes

DEFAULT_WEIGHTS: Floats = np.tile(np.array([[0.5], [0.5], [0.0]], np.float32), (1, len(region_matrix())))
"""Weights [3, regions] without any sample: half of the person's own expression, half of the emotions'."""
_RIDGE = 1e-6
_MAX_EXAMPLES = 6  # frames of a clip that are taken for photos


@dataclass(frozen=True)
class EnrollmentSample:
    """Offsets of one person and emotion, all [478, 3] cm without apertures."""

    person: str
    emotion: str
    others: Floats
    """The offset of the other people."""
    example: Floats
    """The offset of one example."""
    own: Floats
    """The offset of the person's other clips (of the only clip, where there is one)."""


def collect_enrollment_samples(
    seen: Sequence[ClipObservation], photo: bool, exclude: Collection[str] = ()
) -> list[EnrollmentSample]:
    """Treat every person as unseen, with examples of them.

    Args:
        seen: All observations.
        photo: Whether the examples are single frames, or whole clips.
        exclude: People who are excluded.
    """
    samples = []
    for emotion in EXPRESSIVE:
        offsets = {person: change.offset for person, change in measure_offsets(seen, emotion, exclude).items()}
        for person in offsets:
            others = [offset for name, offset in offsets.items() if name != person]
            if not others:
                continue
            guess = remove_apertures(average_offsets(others))
            mine = [item for item in seen if item.person == person]
            neutral = stack_shapes(seen, person, "neutral").mean(0)
            clips = [item.shapes.astype(np.float32) for item in mine if item.emotion == emotion]
            for number, clip in enumerate(clips):
                rest = [shapes for k, shapes in enumerate(clips) if k != number]
                if not rest and not photo:
                    continue  # a clip predicts itself fully
                own = np.concatenate(rest or [clip]).mean(0)
                for example in clip[:: len(clip) // _MAX_EXAMPLES + 1] if photo else [clip.mean(0)]:
                    offset = (remove_apertures(shape - neutral) for shape in (example, own))
                    samples.append(EnrollmentSample(person, emotion, guess, *offset))
    return samples


def fit_gain(examples: Sequence[EnrollmentSample]) -> Floats:
    """Fit how far an offset goes from the others' to the example's, by least squares.

    Args:
        examples: Samples; each person and emotion counts once.

    Returns:
        Gains [regions] in [0, 1]; 0.5 without samples.
    """
    regions = region_matrix()
    if not examples:
        return np.full(len(regions), 0.5, np.float32)
    counts = Counter((item.person, item.emotion) for item in examples)
    matrix, target = np.zeros((len(regions), len(regions))), np.zeros(len(regions))
    for item in examples:
        difference = (regions[:, :, None] * (item.example - item.others)).reshape(len(regions), -1)
        matrix += difference @ difference.T / counts[item.person, item.emotion]
        target += difference @ (item.own - item.others).ravel() / counts[item.person, item.emotion]
    result: Floats = np.clip(np.linalg.lstsq(matrix, target, rcond=None)[0], 0, 1).astype(np.float32)
    return result


def fit_enrollment_gain(seen: Sequence[ClipObservation], exclude: Collection[str] = ()) -> Floats:
    """Fit the gains of a photo and of a clip, [2, regions]; see `EmotionPrior`."""
    return np.array([fit_gain(collect_enrollment_samples(seen, photo, exclude)) for photo in (True, False)])


def predict_offset(examples: Sequence[EnrollmentSample], item: EnrollmentSample) -> Floats:
    """Predict a person's offset [478, 3] from an example, with gains fitted on other people alone."""
    share: Floats = fit_gain([other for other in examples if other.person != item.person]) @ region_matrix()
    return item.others + share[:, None] * (item.example - item.others)


def tabulate_enrollment(seen: Sequence[ClipObservation], prior: EmotionPrior) -> Table:
    """Tabulate what one photo is worth.

    Distances are to the person's own offset, and the Fréchet distance is that of the codes of neutral talk plus the
    offset to those of the person's emotional talk (codes in the prior's modes, deviations).
    """
    title = "one photo enrolled, gain fitted on others: rms to the own offset (mm), Fréchet distance"
    table = make_table(title, "emotion", "person", "others, mm", "photo, mm", "no edit", "others", "photo", "own")
    examples, sums, nearer = collect_enrollment_samples(seen, photo=True), [], 0
    for person, emotion in sorted({(item.person, item.emotion) for item in examples}):
        mine = [item for item in examples if (item.person, item.emotion) == (person, emotion)]
        distances = [
            [rms_millimeters(offset - item.own) for offset in (item.others, predict_offset(examples, item))]
            for item in mine
        ]
        neutral, shown = (_encode_frames(stack_shapes(seen, person, name), prior) for name in ("neutral", emotion))
        none, own = np.zeros_like(mine[0].own), mine[0].own
        moved = [[none], [mine[0].others], [predict_offset(examples, item) for item in mine], [own]]
        frechet = [
            float(np.mean([frechet_distance(neutral + encode_offset(offset, prior), shown) for offset in offsets]))
            for offsets in moved
        ]
        row = [*np.mean(distances, 0), *frechet]
        sums.append(row)
        nearer += row[1] < row[0]
        table.add_row(emotion, person, *(f"{value:.2f}" for value in row))
    table.add_row("mean", f"nearer: {nearer} of {len(sums)}", *(f"{value:.2f}" for value in np.mean(sums, 0)))
    return table


def rms_millimeters(offset: Floats) -> float:
    """Return the root mean square length of an offset [478, 3] cm, in mm."""
    return 10 * float(np.sqrt(np.square(offset).sum(1).mean()))


def _encode_frames(shapes: Floats, prior: EmotionPrior) -> NDArray[np.float64]:
    """Codes [n, c] of pose-free shapes [n, 478, 3], without apertures."""
    offsets = np.array([remove_apertures(shape - prior.mean) for shape in shapes])
    return encode_offset(offsets, prior).astype(np.float64)


@dataclass(frozen=True)
class ReferenceSample:
    """One clip of a person as a reference, by a prior without that person."""

    person: str
    emotion: str
    parts: Floats
    """Parts of the expression [3, 478, 3] in cm, see `reference_parts`."""
    label: Floats
    """The prior's offset of the emotion [478, 3] in cm, zero for neutral."""
    own: Floats
    """What the person really shows beside neutral clips, with emphasis [478, 3] in cm."""


def collect_reference_samples(
    seen: Sequence[ClipObservation], person: str, prior: EmotionPrior
) -> list[ReferenceSample]:
    """Make a sample of every labeled clip of a person whom the prior does not know."""
    mine = [item for item in seen if item.person == person]
    neutral = stack_shapes(seen, person, "neutral").mean(0)
    samples = []
    for item in mine:
        if item.emotion not in {*EXPRESSIVE, "neutral"}:
            continue
        shapes = item.shapes.astype(np.float32)
        parts = reference_parts(estimate_person(shapes, item.blendshapes, prior, REFERENCE_RELIEF), prior)
        label, own = np.zeros_like(neutral), np.zeros_like(neutral)
        if item.emotion != "neutral":
            label = prior.offset[EXPRESSIVE.index(item.emotion)]
            own = emphasize_offset(remove_apertures(shapes.mean(0) - neutral), item.emotion)
        samples.append(ReferenceSample(person, item.emotion, parts, label, own))
    return samples


def fit_reference_weights(clips: Sequence[ReferenceSample]) -> Floats:
    """Fit the weights of the parts that come nearest to what is really shown, by least squares.

    Every person counts alike in every emotion. Neutral clips count, too: there is nothing to show.

    Args:
        clips: Samples; without any, the weights are `DEFAULT_WEIGHTS`.

    Returns:
        Weights [3, regions].
    """
    if not clips:
        return DEFAULT_WEIGHTS
    regions = region_matrix()
    counts = Counter((item.person, item.emotion) for item in clips)
    count = len(regions) * len(DEFAULT_WEIGHTS)
    matrix, target = _RIDGE * np.eye(count), np.zeros(count)
    for item in clips:
        given = (regions[None, :, :, None] * item.parts[:, None]).reshape(count, -1)
        matrix += given @ given.T / counts[item.person, item.emotion]
        target += given @ item.own.ravel() / counts[item.person, item.emotion]
    return np.linalg.solve(matrix, target).reshape(DEFAULT_WEIGHTS.shape).astype(np.float32)


def tabulate_references(clips: Sequence[ReferenceSample]) -> Table:
    """Tabulate how near a reference's expression and the label come to what its person really shows.

    The weights are fitted on the other people.
    """
    title = "reference or label: rms distance to what the reference's person really shows, mm"
    table = make_table(title, "person", "clips", "label", "reference", "nearer by reference")
    all_rows = []
    for person in sorted({item.person for item in clips}):
        weights = fit_reference_weights([item for item in clips if item.person != person]) @ region_matrix()
        rows = []
        for item in clips:
            if item.person == person and item.emotion != "neutral":
                composed = (weights[:, :, None] * item.parts).sum(0)
                rows.append((rms_millimeters(item.label - item.own), rms_millimeters(composed - item.own)))
        all_rows += rows
        table.add_row(person, *_format_means(rows))
    table.add_row("all", *_format_means(all_rows))
    return table


def _format_means(rows: list[tuple[float, float]]) -> list[str]:
    label, reference = np.array(rows).T
    return [str(len(rows)), f"{label.mean():.2f}", f"{reference.mean():.2f}", str(int((reference < label).sum()))]
