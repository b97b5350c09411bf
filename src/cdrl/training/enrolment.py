"""How far an example of a person is to be believed (`--enroll`), fitted with the prior."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from cdrl.evaluation.measures import frechet_distance
from cdrl.face.apertures import without_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, region_table
from cdrl.manipulation.traits import code_of
from cdrl.training.changes import changes, typical
from cdrl.training.observations import Observation

_EXAMPLES = 6  # frames of a clip that are taken for photos


@dataclass(frozen=True)
class Enrolment:
    """What `belief` is fitted on: offsets of one person and emotion, all [478, 3] cm without apertures. That of the
    others, that of one example, and that of the person's other clips (of their only clip, where there is one)."""

    person: str
    emotion: str
    others: Floats
    example: Floats
    own: Floats


def enrolments(seen: Sequence[Observation], photo: bool, leave: Collection[str] = ()) -> list[Enrolment]:
    """Every person as if never seen, with single frames (`photo`) or whole clips of them as examples."""
    found = []
    for emotion in EXPRESSIVE:
        offsets = {person: change.offset for person, change in changes(seen, emotion, leave).items()}
        for person in offsets:
            others = [offset for name, offset in offsets.items() if name != person]
            if not others:
                continue
            guess = without_apertures(typical(others))
            mine = [item for item in seen if item.person == person]
            neutral = np.concatenate([item.shapes for item in mine if item.emotion == "neutral"]).mean(0, np.float32)
            clips = [item.shapes.astype(np.float32) for item in mine if item.emotion == emotion]
            for number, clip in enumerate(clips):
                rest = [shapes for k, shapes in enumerate(clips) if k != number]
                if not rest and not photo:
                    continue  # a clip says all of itself
                own = np.concatenate(rest or [clip]).mean(0)
                for example in clip[:: len(clip) // _EXAMPLES + 1] if photo else [clip.mean(0)]:
                    offset = (without_apertures(shape - neutral) for shape in (example, own))
                    found.append(Enrolment(person, emotion, guess, *offset))
    return found


def believed(examples: Sequence[Enrolment]) -> Floats:
    """[regions] in 0..1: how far to go from what others show to what the example does.

    Least squares; each person and emotion counts once. Half the way where nobody tells.
    """
    regions = region_table()
    if not examples:
        return np.full(len(regions), 0.5, np.float32)
    alike = Counter((item.person, item.emotion) for item in examples)
    square, side = np.zeros((len(regions), len(regions))), np.zeros(len(regions))
    for item in examples:
        way = (regions[:, :, None] * (item.example - item.others)).reshape(len(regions), -1)
        square += way @ way.T / alike[item.person, item.emotion]
        side += way @ (item.own - item.others).ravel() / alike[item.person, item.emotion]
    found: Floats = np.clip(np.linalg.lstsq(square, side, rcond=None)[0], 0, 1).astype(np.float32)
    return found


def belief(seen: Sequence[Observation], leave: Collection[str] = ()) -> Floats:
    """[2, regions]: how far a photo and a clip are believed; see `EmotionPrior`."""
    return np.array([believed(enrolments(seen, photo, leave)) for photo in (True, False)])


def enrolled(examples: Sequence[Enrolment], item: Enrolment) -> Floats:
    """The offset [478, 3] that somebody is given by an example, with a belief fitted on other people alone."""
    share = believed([other for other in examples if other.person != item.person]) @ region_table()
    found: Floats = item.others + share[:, None] * (item.example - item.others)
    return found


def enrolment_table(seen: Sequence[Observation], prior: EmotionPrior) -> Table:
    """What one photo is worth: distances to the person's own offset, and the Fréchet distance of the codes of neutral
    talk plus the offset to those of the person's emotional talk (codes in the prior's modes, deviations)."""
    table = Table(title="one photo enrolled, belief fitted on others: rms to the own offset (mm), Fréchet distance")
    columns = "emotion", "person", "others, mm", "photo, mm", "no edit", "others", "photo", "own"
    for column in columns:
        table.add_column(column, justify="right")
    examples, sums, nearer = enrolments(seen, photo=True), [], 0
    for person, emotion in sorted({(item.person, item.emotion) for item in examples}):
        mine = [item for item in examples if (item.person, item.emotion) == (person, emotion)]
        far = [[rms(offset - item.own) for offset in (item.others, enrolled(examples, item))] for item in mine]
        neutral, shown = (_codes(seen, person, name, prior) for name in ("neutral", emotion))
        none, own = np.zeros_like(mine[0].own), mine[0].own
        moved = [[none], [mine[0].others], [enrolled(examples, item) for item in mine], [own]]
        distances = [
            float(np.mean([frechet_distance(neutral + code_of(offset, prior), shown) for offset in offsets]))
            for offsets in moved
        ]
        row = [*np.mean(far, 0), *distances]
        sums.append(row)
        nearer += row[1] < row[0]
        table.add_row(emotion, person, *(f"{value:.2f}" for value in row))
    table.add_row("mean", f"nearer: {nearer} of {len(sums)}", *(f"{value:.2f}" for value in np.mean(sums, 0)))
    return table


def rms(offset: Floats) -> float:
    """Root mean square length of an offset [478, 3] cm, in mm."""
    return 10 * float(np.sqrt(np.square(offset).sum(1).mean()))


def _codes(seen: Sequence[Observation], person: str, emotion: str, prior: EmotionPrior) -> NDArray[np.float64]:
    """Codes [n, c] of all frames of a person in an emotion, without apertures."""
    found = [item.shapes for item in seen if (item.person, item.emotion) == (person, emotion)]
    offsets = np.array([without_apertures(shape - prior.mean) for shape in np.concatenate(found).astype(np.float32)])
    return code_of(offsets, prior).astype(np.float64)
