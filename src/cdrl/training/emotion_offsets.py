"""Offsets of emotions, measured on people who are seen with and without them, and their emphasis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Column, Table

from cdrl.face.apertures import lids, lips, remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS, canonical_points, region_weights
from cdrl.manipulation.expression_change import lip_openness, lip_reopening, mouth_component
from cdrl.manipulation.person import estimate_closed_opening
from cdrl.manipulation.prior import EXPRESSIVE, region_matrix
from cdrl.rendering.texture import low_pass
from cdrl.training.observations import ClipObservation, LabeledClip, stack_shapes

_TALK_PERCENTILES = (40, 50, 60, 70, 80)  # percentiles of lip opening that are compared: parted lips, not the widest
_OPENING_EDGES = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.1)  # cm above closed lips, between which mouths are compared
_MIN_OPEN_SHARE = 0.5  # how far lips are parted, at least, to tell what they show when parted
_MIN_FRAMES = 3  # frames
_MIN_PEOPLE = 3  # of whom one can be left out for the table of mouths
_OPEN_EYES_PERCENTILE = 60  # percentile of lid opening that stands for eyes not blinking


@dataclass(frozen=True)
class Emphasis:
    """Factors from the measured to the applied strength of an emotion.

    The landmark network reports less than there is (furrows and squints least), a mean over people is shorter and a
    median fainter than each of them.
    """

    offset: float
    """Factor on the whole offset."""
    brows: float
    """Further factor on the brows."""
    eyes: float
    """Further factor on the eyes' surroundings."""
    mouth: float
    """Further factor on the mouth's shape."""
    opening: float
    """Factor on the additional opening of parted lips."""
    lids: float
    """Exponent of the lid ratio."""
    shading: float
    """Factor on the shading."""

    @property
    def regions(self) -> list[float]:
        """Factors on the offset, in the order of `region_weights`."""
        local = {"brows": self.brows, "eyes": self.eyes, "mouth": self.mouth}
        return [self.offset * local.get(name, 1.0) for name in region_weights()]


EMPHASIS = {
    "angry": Emphasis(1.55, 1.2, 1.0, 1.0, 1.5, 1.0, 5.5),
    "disgusted": Emphasis(1.2, 1.0, 1.0, 1.0, 0.6, 1.0, 4.0),
    "fear": Emphasis(1.2, 1.0, 1.0, 1.2, 1.2, 1.3, 1.0),
    "happy": Emphasis(1.45, 0.5, 1.3, 2.2, 1.1, 1.0, 2.4),
    "sad": Emphasis(1.5, 1.6, 1.0, 1.45, 0.5, 1.2, 1.6),
    "surprised": Emphasis(1.05, 0.55, 1.0, 1.5, 1.5, 2.4, 0.3),
}
"""Set on the tuning people (and on footage without labels), never on those reported on."""


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
    """Additional opening of parted lips in cm."""
    lid_ratio: float
    """Opening of the lids over the neutral one."""
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
    offset = _symmetrize(new.mean(0) - old.mean(0))
    talk = [np.percentile(lips().opening(shapes), _TALK_PERCENTILES) for shapes in (new, old)]
    lip_opening = float(np.median(talk[0] - talk[1]))
    lid_openings = [float(np.percentile(lids().opening(shapes), _OPEN_EYES_PERCENTILE)) for shapes in (new, old)]
    dark, light = (np.median([item.texture for item in items], 0).astype(np.float32) for items in (before, after))
    gain = light - dark
    gain -= low_pass(gain)
    return EmotionOffset(offset, lip_opening, lid_openings[0] / lid_openings[1], (gain + gain[:, ::-1]) / 2)


def average_offsets(offsets: list[Floats]) -> Floats:
    """Average the offsets of people who show an emotion with strengths of their own.

    It is a rank-one fit: person p shows `strength[p] * common`, mean strength 1. A plain mean would let those who
    hardly show an emotion weaken it for all, and those who show much outvote the rest.

    Args:
        offsets: One offset [478, 3] in cm per person.

    Returns:
        The offset of a typical person [478, 3], as long as the people's own ones are on average.
    """
    stacked = np.array(offsets).reshape(len(offsets), -1)
    strength = np.ones(len(stacked))
    for _ in range(20):
        common = strength @ stacked / np.square(strength).sum()
        strength = np.clip(stacked @ common / np.square(common).sum(), 0.2, 2.0)
        strength /= strength.mean()
    common = strength @ stacked / np.square(strength).sum()
    # People differ in direction, too, so what they share is shorter than what each shows.
    common *= np.linalg.norm(stacked, axis=1).mean() / np.linalg.norm(common)
    result: Floats = common.reshape(offsets[0].shape).astype(np.float32)
    return result


def combine_offsets(offsets: list[Floats], emotion: str) -> Floats:
    """Return the offset [478, 3] that a prior over people with these offsets applies: emphasized, without apertures."""
    # Removed first, too: otherwise a stronger mouth would pull at a chin that is no part of it, as far as lips part.
    combined: Floats = remove_apertures(emphasize_offset(remove_apertures(average_offsets(offsets)), emotion))
    return combined


def emphasize_offset(offset: Floats, emotion: str) -> Floats:
    """Scale a measured offset [478, 3] to the strength at which it is applied."""
    factors: Floats = np.array(EMPHASIS[emotion].regions, np.float32) @ region_matrix()
    return offset * factors[:, None]


def fit_closed_lip_attenuation(seen: Sequence[ClipObservation], emotion: str, exclude: Collection[str] = ()) -> float:
    """Fit the share of the mouth's change that closed lips keep, relative to lips wide apart.

    A smile gives way to a bilabial, and so do bared teeth; rounded lips do not. The change is measured along what
    people share of it, among frames with closed lips and among those with open ones, and is taken to grow with
    `lip_reopening`.

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
    along = mouth_component(remove_apertures(average_offsets([change.offset for change in result.values()])))
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
        Mean shapes [478, 3] with closed and with open lips, and the mean `lip_reopening` of the latter.
    """
    closed = estimate_closed_opening(shapes)
    openings = [float(opening) for opening in lips().opening(shapes)]
    share = np.array([lip_openness(opening, closed) for opening in openings])
    is_closed, is_open = share == 0, share > _MIN_OPEN_SHARE
    if min(is_closed.sum(), is_open.sum()) < _MIN_FRAMES:
        return None
    reopening = np.mean([lip_reopening(opening, closed) for opening in np.array(openings)[is_open]])
    return shapes[is_closed].mean(0), shapes[is_open].mean(0), float(reopening)


def _symmetrize(offset: Floats) -> Floats:
    """The mean of an offset [478, 3] and its mirror image."""
    points = canonical_points()
    mirrored = points * np.array([-1, 1, 1], np.float32)
    mirror_index = np.linalg.norm(points[:, None] - mirrored[None], axis=2).argmin(1)
    half: Floats = (offset + offset[mirror_index] * np.array([-1, 1, 1], np.float32)) / 2
    return half
