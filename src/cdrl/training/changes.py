"""What emotions change in people who are seen with and without them, and how strongly it is laid on others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from cdrl.face.apertures import lids, lips, without_apertures
from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS, canonical_points, region_weights
from cdrl.manipulation.person import closed_opening
from cdrl.manipulation.prior import EXPRESSIVE, back, of_the_mouth, parted, region_table
from cdrl.rendering.texture import low_pass
from cdrl.training.observations import Clip, Observation

_TALK = (40, 50, 60, 70, 80)  # percentiles of lip opening that are compared: parted lips, not the widest
_PARTED = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.1)  # cm above closed lips, between which mouths are compared
_APART = 0.5  # how far lips are parted, at least, to tell what they show when parted
_FEWEST = 3  # frames
_PEOPLE = 3  # of whom one can be left out for the table of mouths
_OPEN_EYES = 60  # percentile of lid opening that stands for eyes not blinking


@dataclass(frozen=True)
class Emphasis:
    """How much stronger than measured an emotion is laid on. The landmark network reports less than there is (furrows
    and squints least), a mean over people is shorter and a median fainter than each of them."""

    offset: float
    """Of the whole offset."""
    brows: float
    """On top of it, of the brows."""
    eyes: float
    """On top of it, of the eyes' surroundings."""
    mouth: float
    """On top of it, of the mouth's shape."""
    opening: float
    """Of the farther opening of parted lips."""
    lids: float
    """Exponent of the lid ratio."""
    shading: float
    """Of the shading."""

    @property
    def regions(self) -> list[float]:
        """Of the offset, in the order of `region_weights`."""
        local = {"brows": self.brows, "eyes": self.eyes, "mouth": self.mouth}
        return [self.offset * local.get(name, 1.0) for name in region_weights()]


# Set on the people kept for tuning (and on footage without labels), never on those reported on.
EMPHASIS = {
    "angry": Emphasis(1.55, 1.2, 1.0, 1.0, 1.5, 1.0, 5.5),
    "disgusted": Emphasis(1.2, 1.0, 1.0, 1.0, 0.6, 1.0, 4.0),
    "fear": Emphasis(1.2, 1.0, 1.0, 1.2, 1.2, 1.3, 1.0),
    "happy": Emphasis(1.45, 0.5, 1.3, 2.2, 1.1, 1.0, 2.4),
    "sad": Emphasis(1.5, 1.6, 1.0, 1.45, 0.5, 1.2, 1.6),
    "surprised": Emphasis(1.05, 0.55, 1.0, 1.5, 1.5, 2.4, 0.3),
}


def people_with_emotions(seen: Sequence[Observation | Clip]) -> set[str]:
    """People with a neutral clip and at least one emotional one: only they tell what an emotion changes."""
    neutral = {item.person for item in seen if item.emotion == "neutral"}
    return neutral & {item.person for item in seen if item.emotion in EXPRESSIVE}


@dataclass(frozen=True)
class Change:
    """What one emotion does to one person. `offset` [478, 3] cm, symmetric, with apertures; `lip_opening` cm farther;
    `lid_ratio`; `gain` map."""

    offset: Floats
    lip_opening: float
    lid_ratio: float
    gain: Floats


def changes(seen: Sequence[Observation], emotion: str, leave: Collection[str] = ()) -> dict[str, Change]:
    """Per person, the change from neutral to the emotion."""
    found = {}
    for person in sorted(people_with_emotions(seen) - set(leave)):
        mine = [item for item in seen if item.person == person]
        before = [item for item in mine if item.emotion == "neutral"]
        after = [item for item in mine if item.emotion == emotion]
        if after:
            found[person] = _change(before, after)
    return found


def _change(before: list[Observation], after: list[Observation]) -> Change:
    old, new = (np.concatenate([item.shapes for item in items]).astype(np.float32) for items in (before, after))
    offset = _symmetric(new.mean(0) - old.mean(0))
    talk = [np.percentile(lips().opening(shapes), _TALK) for shapes in (new, old)]
    lip_opening = float(np.median(talk[0] - talk[1]))
    opened = [float(np.percentile(lids().opening(shapes), _OPEN_EYES)) for shapes in (new, old)]
    dark, light = (np.median([item.texture for item in items], 0).astype(np.float32) for items in (before, after))
    gain = light - dark
    gain -= low_pass(gain)
    return Change(offset, lip_opening, opened[0] / opened[1], (gain + gain[:, ::-1]) / 2)


def typical(offsets: list[Floats]) -> Floats:
    """The offset of a typical person when each shows it with a strength of their own.

    Rank-one fit: person p shows `strength[p] * typical`, mean strength 1. A plain mean would let those who hardly show
    an emotion weaken it for all, and those who show much outvote the rest.
    """
    stacked = np.array(offsets).reshape(len(offsets), -1)
    strength = np.ones(len(stacked))
    for _ in range(20):
        typical = strength @ stacked / np.square(strength).sum()
        strength = np.clip(stacked @ typical / np.square(typical).sum(), 0.2, 2.0)
        strength /= strength.mean()
    typical = strength @ stacked / np.square(strength).sum()
    # People differ in direction, too, so what they share is shorter than what each shows.
    typical *= np.linalg.norm(stacked, axis=1).mean() / np.linalg.norm(typical)
    found: Floats = typical.reshape(offsets[0].shape).astype(np.float32)
    return found


def laid_on(offsets: list[Floats], emotion: str) -> Floats:
    """What a prior over people with those offsets lays on a face: [478, 3], with emphasis, without apertures."""
    # Taken out first, too: else a stronger mouth would pull at a chin that is no part of it, as far as lips part.
    return without_apertures(emphasised(without_apertures(typical(offsets)), emotion))


def emphasised(offset: Floats, emotion: str) -> Floats:
    """A measured offset [478, 3] as strong as it is laid on."""
    found: Floats = offset * (np.array(EMPHASIS[emotion].regions, np.float32) @ region_table())[:, None]
    return found


def shut(seen: Sequence[Observation], emotion: str, leave: Collection[str] = ()) -> float:
    """The share of the mouth's change that is there when lips are shut, beside lips wide apart, in 0..1.

    A smile gives way to a bilabial, and so do bared teeth; rounded lips do not. The change is measured along what
    people share of it, among frames with lips shut and among those with parted ones, and is taken to come back with
    `back`. Where nobody shuts the lips in both it is 1.
    """
    along, people = _mouths(seen, emotion, leave)
    measured = []
    for talk in people:
        before, after = (_by_lips(shapes) for shapes in talk)
        if before and after:
            ways = (after.closed - before.closed, after.apart - before.apart)
            measured.append([*(float((along * without_apertures(way)).sum()) for way in ways), after.by])
    if not measured:
        return 1.0
    closed, apart, by = np.mean(measured, 0)
    whole = closed + (apart - closed) / by
    return float(np.clip(closed / whole, 0, 1)) if whole > 0 else 1.0


def mouths_table(seen: Sequence[Observation]) -> Table:
    """What a mouth shows of the change that people share, by how far its lips are parted: mean over people, and from
    where to where it goes with any one of them left out."""
    edges = [f"to {edge}" for edge in _PARTED]
    table = Table(title="the mouth's change, share of what people share, by cm that the lips are parted")
    for column in ("emotion", "shut", *edges, "more"):
        table.add_column(column, justify="right")
    for emotion in EXPRESSIVE:
        along, people = _mouths(seen, emotion)
        shares = np.array([_by_opening(after, along) - _by_opening(before, along) for before, after in people])
        known = [column[np.isfinite(column)] for column in shares.T]
        if any(len(values) >= _PEOPLE for values in known):
            table.add_row(emotion, *(_with_range(values) for values in known))
    return table


def _with_range(values: NDArray[np.float64]) -> str:
    if len(values) < _PEOPLE:
        return "–"
    others = (values.sum() - values) / (len(values) - 1)
    return f"{values.mean():.2f} [{others.min():.2f}, {others.max():.2f}]"


def _mouths(
    seen: Sequence[Observation], emotion: str, leave: Collection[str] = ()
) -> tuple[Floats, list[tuple[Floats, Floats]]]:
    """What people share of a mouth's change [478, 3], and the shapes [n, 478, 3] of each when neutral and not."""
    found = changes(seen, emotion, leave)
    if not found:
        return np.zeros((POINTS, 3), np.float32), []
    along = of_the_mouth(without_apertures(typical([change.offset for change in found.values()])))

    def shapes(person: str, name: str) -> Floats:
        mine = [item.shapes for item in seen if (item.person, item.emotion) == (person, name)]
        return np.concatenate(mine).astype(np.float32)

    return along, [(shapes(person, "neutral"), shapes(person, emotion)) for person in found]


def _by_opening(shapes: Floats, along: Floats) -> NDArray[np.float64]:
    """Where the mean shapes lie along an offset, in its lengths, by how far lips are parted; not a number where there
    are few frames."""
    above = lips().opening(shapes) - closed_opening(shapes)
    kinds = np.digitize(above, (1e-4, *_PARTED))
    found = np.full(len(_PARTED) + 2, np.nan)
    for kind in range(len(found)):
        if (kinds == kind).sum() >= _FEWEST:
            mean = without_apertures(shapes[kinds == kind].mean(0))
            found[kind] = (along * mean).sum() / np.square(along).sum()
    return found


@dataclass(frozen=True)
class _Talk:
    """Mean shapes [478, 3] with lips closed and with lips apart, and the mean of `back` of these."""

    closed: Floats
    apart: Floats
    by: float


def _by_lips(shapes: Floats) -> _Talk | None:
    """Pose-free shapes [n, 478, 3] by their lips; None where either kind is rare."""
    closed = closed_opening(shapes)
    openings = [float(opening) for opening in lips().opening(shapes)]
    share = np.array([parted(opening, closed) for opening in openings])
    shut_ones, apart_ones = share == 0, share > _APART
    if min(shut_ones.sum(), apart_ones.sum()) < _FEWEST:
        return None
    by = np.mean([back(opening, closed) for opening in np.array(openings)[apart_ones]])
    return _Talk(shapes[shut_ones].mean(0), shapes[apart_ones].mean(0), float(by))


def _symmetric(offset: Floats) -> Floats:
    """The mean of an offset [478, 3] and its mirror image."""
    points = canonical_points()
    mirrored = points * np.array([-1, 1, 1], np.float32)
    twin = np.linalg.norm(points[:, None] - mirrored[None], axis=2).argmin(1)
    half: Floats = (offset + offset[twin] * np.array([-1, 1, 1], np.float32)) / 2
    return half
