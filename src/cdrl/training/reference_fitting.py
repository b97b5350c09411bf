"""Fits how the expression of a reference (`--reference`) is composed, together with the prior."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Column, Table

from cdrl.face.apertures import remove_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.expression_change import REFERENCE_RELIEF
from cdrl.manipulation.manipulator import reference_parts
from cdrl.manipulation.person import estimate_person
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, region_matrix
from cdrl.training.emotion_offsets import emphasize_offset
from cdrl.training.fit_enrollment import rms_millimeters
from cdrl.training.observations import ClipObservation, stack_shapes

DEFAULT_WEIGHTS: Floats = np.tile(np.array([[0.5], [0.5], [0.0]], np.float32), (1, len(region_matrix())))
"""Weights [3, regions] without any sample: half of the person's own expression, half of the emotions'."""
_RIDGE = 1e-6


@dataclass(frozen=True)
class ReferenceSample:
    """One clip of a person as a reference, by a prior without that person."""

    person: str
    """Who is seen."""
    emotion: str
    """The label."""
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
    result: Floats = np.linalg.solve(matrix, target).reshape(DEFAULT_WEIGHTS.shape).astype(np.float32)
    return result


def tabulate_references(clips: Sequence[ReferenceSample]) -> Table:
    """Tabulate how near a reference's expression and the label come to what its person really shows.

    The weights are fitted on the other people.
    """
    names = "person", "clips", "label", "reference", "nearer by reference"
    table = Table(
        *(Column(name, justify="right") for name in names),
        title="reference or label: rms distance to what the reference's person really shows, mm",
    )
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
