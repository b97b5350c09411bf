"""Offsets of emotions, measured on people who are seen with and without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Column, Table

from cdrl.face.apertures import lids, lips, remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS, mirror_shape, region_weights
from cdrl.manipulation.expression_change import mouth_component, mouth_freedom
from cdrl.manipulation.person import estimate_closed_opening
from cdrl.manipulation.prior import EXPRESSIVE, region_matrix
from cdrl.rendering.texture import low_pass
from cdrl.training.brow_movement import measure_brow_movement, move_back
from cdrl.training.observations import ClipObservation, LabeledClip, stack_shapes

_OPENING_EDGES = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.1)  # cm above closed lips, between which mouths are compared
_PARTED = 0.45  # cm above closed by which lips are parted, at least, to tell what they show when parted
_MIN_FRAMES = 3  # frames
_MIN_PEOPLE = 3  # of whom one can be left out for the table of mouths
_OPEN_EYES_PERCENTILE = 60  # percentile of lid opening that stands for eyes not blinking


@dataclass(frozen=True)
class Strength:
    """Factors from what people show in the mean to a whole emotion, for some act little, and clips show all strengths.

    They are how far the tuning people go, each beside the mean of the others, in takes of full emotion, brows as their
    hair on the written edit shows it; for cheeks of happy and the nose of disgusted a little more. Eyes asked to move
    farther do not show it. Of six people four raise the brows when they are happy, as the tuning people do, and two
    narrow the eyes: happy has half of the mean rise, so that it is seen as a smile, not as surprise. Edits by a factor
    of 1 widen the tuning people's mouths by .71 of what their own smiles do, by 1.2 by .90. Sad brows are lifted: both
    tuning people raise their inner ends by 3 to 5 mm, others frown, and the mean raises none. Of surprised brows M003
    raises his twice as far as others (`benchmarks/brows.py`).
    """

    brows: float = 1.0
    """Factor on the offset of the brows."""
    brow_lift: float = 0.0
    """cm by which the brows as a whole go up beside that."""
    eyes: float = 1.0
    """Factor on the offset of the eyes' surroundings."""
    cheeks: float = 1.0
    """Factor on the offset of cheeks and nose."""
    mouth: float = 1.0
    """Factor on the mouth's shape."""
    opening: float = 1.0
    """Factor on the additional opening of the lips."""
    lids: float = 1.0
    """Exponent of the lid ratio."""

    @property
    def regions(self) -> list[float]:
        """Factors on the offset, in the order of `region_weights`."""
        return [getattr(self, name) for name in region_weights()]


STRENGTH = {
    "angry": Strength(brows=1.25, eyes=1.5, opening=1.5, lids=1.5),
    "disgusted": Strength(eyes=1.2, cheeks=1.4, mouth=1.2, opening=1.1),
    "fear": Strength(brows=1.4, eyes=1.2, mouth=1.2, opening=1.5, lids=1.8),
    "happy": Strength(brows=0.5, eyes=1.4, cheeks=1.3, mouth=1.2, opening=1.25, lids=1.1),
    "sad": Strength(brows=1.3, brow_lift=0.35, eyes=1.4, mouth=1.3, opening=0.6, lids=0.8),
    "surprised": Strength(brows=0.8, opening=1.6, lids=1.35),
}
"""Set on the tuning people, never on those reported on."""


def people_with_emotions(seen: Sequence[ClipObservation | LabeledClip]) -> set[str]:
    """Return the people with a neutral clip and at least one emotional one: only they show what an emotion changes."""
    neutral = {item.person for item in seen if item.emotion == "neutral"}
    return neutral & {item.person for item in seen if item.emotion in EXPRESSIVE}


@dataclass(frozen=True)
class EmotionOffset:
    """What one emotion does to one person."""

    offset: Floats
    """Symmetric displacement [478, 3] in cm, with apertures."""
    lip_opening: float
    """Additional mean opening of the lips in cm."""
    lid_ratio: float
    """Opening of the lids over the neutral one."""
    brow_movement: Floats
    """The part of the offset that landmarks do not tell, see `measure_brow_movement`."""
    gain: Floats
    """Change of the log luma [SIZE, SIZE] without its low frequencies."""


def measure_offsets(
    seen: Sequence[ClipObservation], emotion: str, exclude: Collection[str] = ()
) -> dict[str, EmotionOffset]:
    """Measure each person's change from neutral to an emotion.

    Args:
        seen: All observations.
        emotion: The emotion.
        exclude: People who are excluded.

    Returns:
        The changes by person; people without the emotion, or without neutral clips, are left out.
    """
    offsets = {}
    for person in sorted(people_with_emotions(seen) - set(exclude)):
        mine = [item for item in seen if item.person == person]
        before = [item for item in mine if item.emotion == "neutral"]
        after = [item for item in mine if item.emotion == emotion]
        if after:
            offsets[person] = _measure_offset(before, after)
    return offsets


def _measure_offset(before: list[ClipObservation], after: list[ClipObservation]) -> EmotionOffset:
    old, new = (np.concatenate([item.shapes for item in items]).astype(np.float32) for items in (before, after))
    openings = [float(lips().opening(shapes).mean()) for shapes in (new, old)]
    lid_openings = [float(np.percentile(lids().opening(shapes), _OPEN_EYES_PERCENTILE)) for shapes in (new, old)]
    dark, light = (np.median([item.texture for item in items], 0).astype(np.float32) for items in (before, after))
    movement = measure_brow_movement(dark, light)
    offset = _symmetrize(new.mean(0) - old.mean(0)) + movement
    gain = move_back(light, movement) - dark
    gain -= low_pass(gain)
    return EmotionOffset(offset, openings[0] - openings[1], lid_openings[0] / lid_openings[1], movement, gain)


def combine_offsets(offsets: Sequence[Floats], emotion: str) -> Floats:
    """Return the offset [478, 3] that a prior over people with these offsets applies."""
    combined = strengthen(average_offsets(offsets), emotion)
    combined[:, 1] -= STRENGTH[emotion].brow_lift * region_weights()["brows"]
    separate: Floats = remove_apertures(combined)
    return separate


def strengthen(offset: Floats, emotion: str) -> Floats:
    """Return what is shown in the mean, [478, 3], as strong in each region as in a whole emotion."""
    strengthened: Floats = offset * (np.array(STRENGTH[emotion].regions, np.float32) @ region_matrix())[:, None]
    return strengthened


def average_offsets(offsets: Sequence[Floats]) -> Floats:
    """Return the mean [478, 3] of people's offsets, without apertures: no stronger than people show it."""
    mean: Floats = remove_apertures(np.mean(offsets, 0)).astype(np.float32)
    return mean


def fit_closed_lip_attenuation(seen: Sequence[ClipObservation], emotion: str, exclude: Collection[str] = ()) -> float:
    """Fit the share of the mouth's change that closed lips keep, relative to lips wide apart.

    A smile gives way to a bilabial, and so do bared teeth; rounded lips do not. The change is measured along what
    people share of it, among frames with closed lips and among those with open ones, and is taken to grow with
    `mouth_freedom`.

    Args:
        seen: All observations.
        emotion: The emotion.
        exclude: People who are excluded.

    Returns:
        The share in [0, 1]; 1 where nobody closes the lips in both neutral and emotional talk.
    """
    along, people = _collect_mouths(seen, emotion, exclude)
    measured = []
    for talk in people:
        before, after = (_average_by_opening(shapes) for shapes in talk)
        if before and after:
            (old_closed, old_open, _), (new_closed, new_open, reopening) = before, after
            offsets = (new_closed - old_closed, new_open - old_open)
            lengths = (float((along * remove_apertures(offset)).sum()) for offset in offsets)
            measured.append([*lengths, reopening])
    if not measured:
        return 1.0
    closed, opened, reopening = np.mean(measured, 0)
    whole = closed + (opened - closed) / reopening
    return float(np.clip(closed / whole, 0, 1)) if whole > 0 else 1.0


def tabulate_mouths(seen: Sequence[ClipObservation]) -> Table:
    """Tabulate the mouth's change by lip opening, as a share of what people share.

    Cells are means over people, with the range that they take when any one person is left out.
    """
    edges = [f"to {edge}" for edge in _OPENING_EDGES]
    title = "the mouth's change, share of what people share, by lip opening in cm"
    table = make_table(title, "emotion", "closed", *edges, "more")
    for emotion in EXPRESSIVE:
        along, people = _collect_mouths(seen, emotion)
        shares = np.array(
            [_project_by_opening(after, along) - _project_by_opening(before, along) for before, after in people]
        )
        known = [column[np.isfinite(column)] for column in shares.T]
        if any(len(values) >= _MIN_PEOPLE for values in known):
            table.add_row(emotion, *(_format_range(values) for values in known))
    return table


def make_table(title: str, *columns: str) -> Table:
    """Make an empty table whose columns are flush right."""
    return Table(*(Column(name, justify="right") for name in columns), title=title)


def _format_range(values: NDArray[np.float64]) -> str:
    if len(values) < _MIN_PEOPLE:
        return "–"
    others = (values.sum() - values) / (len(values) - 1)
    return f"{values.mean():.2f} [{others.min():.2f}, {others.max():.2f}]"


def _collect_mouths(
    seen: Sequence[ClipObservation], emotion: str, exclude: Collection[str] = ()
) -> tuple[Floats, list[tuple[Floats, Floats]]]:
    """The mouth's change that people share [478, 3], and each one's neutral and emotional shapes [n, 478, 3]."""
    result = measure_offsets(seen, emotion, exclude)
    if not result:
        return np.zeros((POINTS, 3), np.float32), []
    along = mouth_component(average_offsets([change.offset for change in result.values()]))
    return along, [(stack_shapes(seen, person, "neutral"), stack_shapes(seen, person, emotion)) for person in result]


def _project_by_opening(shapes: Floats, along: Floats) -> NDArray[np.float64]:
    """Projection of mean shapes on an offset, in its lengths, by lip opening; NaN where there are few frames."""
    above = lips().opening(shapes) - estimate_closed_opening(shapes)
    bins = np.digitize(above, (1e-4, *_OPENING_EDGES))
    result = np.full(len(_OPENING_EDGES) + 2, np.nan)
    for number in range(len(result)):
        if (bins == number).sum() >= _MIN_FRAMES:
            mean = remove_apertures(shapes[bins == number].mean(0))
            result[number] = (along * mean).sum() / np.square(along).sum()
    return result


def _average_by_opening(shapes: Floats) -> tuple[Floats, Floats, float] | None:
    """Average pose-free shapes [n, 478, 3] by their lips; None where closed or open ones are rare.

    Returns:
        Mean shapes [478, 3] with closed and with open lips, and the mean `mouth_freedom` of the latter.
    """
    closed = estimate_closed_opening(shapes)
    openings = lips().opening(shapes)
    is_closed, is_open = openings <= closed, openings > closed + _PARTED
    if min(is_closed.sum(), is_open.sum()) < _MIN_FRAMES:
        return None
    reopening = np.mean([mouth_freedom(float(opening), closed) for opening in openings[is_open]])
    return shapes[is_closed].mean(0), shapes[is_open].mean(0), float(reopening)


def _symmetrize(offset: Floats) -> Floats:
    """The mean of an offset [478, 3] and its mirror image."""
    half: Floats = (offset + mirror_shape(offset)) / 2
    return half
