"""What makes up the expression of a reference (`--reference`), fitted with the prior."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from cdrl.face.apertures import without_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.person import RELIEF, describe, expression_model
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, region_table
from cdrl.manipulation.reference import reference_parts
from cdrl.training.changes import emphasised
from cdrl.training.enrolment import rms
from cdrl.training.observations import Observation

HALVES: Floats = np.tile(np.array([[0.5], [0.5], [0.0]], np.float32), (1, len(region_table())))
"""The person's own and the emotions' half each: what is done where nobody tells."""
_RIDGE = 1e-6


@dataclass(frozen=True)
class Followed:
    """One clip of somebody as a reference, by a prior without them: `parts` [3, 478, 3], see `reference_parts`; `label`
    [478, 3], the prior's offset of the emotion (zero for neutral); `own`: what they really show beside their neutral
    clips, with emphasis."""

    person: str
    emotion: str
    parts: Floats
    label: Floats
    own: Floats


def followed(seen: Sequence[Observation], person: str, prior: EmotionPrior) -> list[Followed]:
    """Every labelled clip of a person whom the prior does not know."""
    mine = [item for item in seen if item.person == person]
    neutral = np.concatenate([item.shapes for item in mine if item.emotion == "neutral"]).mean(0, np.float32)
    model = expression_model(prior)
    found = []
    for item in mine:
        if item.emotion not in {*EXPRESSIVE, "neutral"}:
            continue
        shapes = item.shapes.astype(np.float32)
        parts = reference_parts(describe(shapes, item.blendshapes, model, RELIEF), prior)
        label, own = np.zeros_like(neutral), np.zeros_like(neutral)
        if item.emotion != "neutral":
            label = prior.offset[EXPRESSIVE.index(item.emotion)]
            own = emphasised(without_apertures(shapes.mean(0) - neutral), item.emotion)
        found.append(Followed(person, item.emotion, parts, label, own))
    return found


def following(clips: Sequence[Followed]) -> Floats:
    """[3, regions]: the weights of the parts that come nearest to what is really shown; least squares, in which every
    person counts alike in every emotion. Neutral clips count, too: they show nothing to follow."""
    if not clips:
        return HALVES
    regions = region_table()
    alike = Counter((item.person, item.emotion) for item in clips)
    count = len(regions) * len(HALVES)
    square, side = _RIDGE * np.eye(count), np.zeros(count)
    for item in clips:
        given = (regions[None, :, :, None] * item.parts[:, None]).reshape(count, -1)
        square += given @ given.T / alike[item.person, item.emotion]
        side += given @ item.own.ravel() / alike[item.person, item.emotion]
    found: Floats = np.linalg.solve(square, side).reshape(HALVES.shape).astype(np.float32)
    return found


def following_table(clips: Sequence[Followed]) -> Table:
    """How near a reference's expression comes to what its person really shows, beside the label alone; the weights are
    fitted on the other people."""
    table = Table(title="reference or label: rms distance to what the reference's person really shows, mm")
    for column in ("person", "clips", "label", "reference", "nearer by reference"):
        table.add_column(column, justify="right")
    every = []
    for person in sorted({item.person for item in clips}):
        weights = following([item for item in clips if item.person != person]) @ region_table()
        rows = [
            (rms(item.label - item.own), rms((weights[:, :, None] * item.parts).sum(0) - item.own))
            for item in clips
            if item.person == person and item.emotion != "neutral"
        ]
        every += rows
        table.add_row(person, *_means(rows))
    table.add_row("all", *_means(every))
    return table


def _means(rows: list[tuple[float, float]]) -> list[str]:
    label, reference = np.array(rows).T
    return [str(len(rows)), f"{label.mean():.2f}", f"{reference.mean():.2f}", str(int((reference < label).sum()))]
