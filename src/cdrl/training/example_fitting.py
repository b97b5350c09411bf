"""Fits how far an emotion's offset follows an example of the person (`--enroll`), together with the prior."""

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
from cdrl.manipulation.expression_change import rms_millimeters
from cdrl.manipulation.personalization import encode_offset
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, region_matrix
from cdrl.training.emotion_offsets import average_offsets, make_table, measure_offsets
from cdrl.training.observations import ClipObservation, stack_shapes

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
        measured = measure_offsets(seen, emotion, exclude)
        # As landmarks follow them, which is all that is known of an example.
        offsets = {person: change.offset - change.brow_movement for person, change in measured.items()}
        for person in offsets:
            others = [offset for name, offset in offsets.items() if name != person]
            if not others:
                continue
            guess = average_offsets(others)
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


def _encode_frames(shapes: Floats, prior: EmotionPrior) -> NDArray[np.float64]:
    """Codes [n, c] of pose-free shapes [n, 478, 3], without apertures."""
    offsets = np.array([remove_apertures(shape - prior.mean) for shape in shapes])
    return encode_offset(offsets, prior).astype(np.float64)
