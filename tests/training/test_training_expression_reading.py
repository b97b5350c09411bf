"""What somebody shows is read as others showed it, on made people whose neutral faces and offsets are known."""

from dataclasses import replace

import numpy as np
import pytest

from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.face.landmarks import BLENDSHAPES
from cdrl.face.mesh import canonical_points, mirror_shape, region_weights
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.training.expression_reading import fit_expression_reading, tabulate_neutral
from cdrl.training.observations import RATE, ClipObservation

PEOPLE = ("anna", "bert", "cleo", "dora", "emil", "fred", "gina", "hugo")
NEW = "hugo"  # who is left out of most fits
MEAN = canonical_points()
RANDOM = np.random.default_rng(0)


def mirror_blendshapes(blendshapes):
    other = {"Left": "Right", "Right": "Left"}
    names = [next((name.replace(side, other[side]) for side in other if side in name), name) for name in BLENDSHAPES]
    return blendshapes[[BLENDSHAPES.index(name) for name in names]]


def make_modes(count, size, symmetric=True):
    modes = RANDOM.normal(0, size / 2, (count, 478, 3))
    return modes + (1 if symmetric else -1) * mirror_shape(modes)


OFFSETS = dict(zip(EXPRESSIVE, make_modes(len(EXPRESSIVE), 0.15), strict=True))
PATTERNS = {
    name: (pattern + mirror_blendshapes(pattern)) / 2
    for name, pattern in zip(EXPRESSIVE, RANDOM.uniform(0, 1, (len(EXPRESSIVE), 52)), strict=True)
}
SMIRK, SMIRK_PATTERN = make_modes(1, 0.05, symmetric=False)[0], np.zeros(52)
for corner, way in (("Left", 0.2), ("Right", -0.2)):
    SMIRK_PATTERN[BLENDSHAPES.index(f"mouthSmile{corner}")] = way
WORDS = make_modes(1, 0.1)[0]  # what talk adds now and then, and takes away
IDENTITY = np.concatenate([make_modes(4, 0.1), make_modes(2, 0.03, symmetric=False)])


def make_clip(person, emotion, neutral, seconds=4):
    """Two syllables a second in an emotion that is shown in full, happiness with a smirk to one side of each person."""
    n = int(seconds * RATE)
    syllables = np.sin(4 * np.pi * np.arange(n) / float(RATE))
    side = (emotion == "happy") * (1 - 2 * (PEOPLE.index(person) % 2))
    shown = OFFSETS.get(emotion, 0) + side * SMIRK
    shapes = neutral + shown + syllables[:, None, None] * WORDS
    blendshapes = 0.2 + PATTERNS.get(emotion, np.zeros(52)) + side * SMIRK_PATTERN + RANDOM.normal(0, 0.02, (n, 52))
    texture = np.zeros((128, 128), np.float32)
    return ClipObservation(f"{person} {emotion}", person, emotion, np.float32(shapes), texture, np.float32(blendshapes))


@pytest.fixture(scope="module")
def seen():
    """A clip of every emotion of every person."""
    faces = {name: MEAN + np.tensordot(RANDOM.normal(0, 1, len(IDENTITY)), IDENTITY, 1) for name in PEOPLE}
    return [make_clip(person, emotion, face) for person, face in faces.items() for emotion in EMOTIONS]


@pytest.fixture(scope="module")
def reading(seen):
    """What is learned of all but one."""
    return fit_expression_reading(seen, MEAN, {NEW})


def clip_of(seen, person, emotion):
    return next(item for item in seen if (item.person, item.emotion) == (person, emotion))


def means(item):
    return item.shapes.mean(0), item.blendshapes.mean(0)


def read(reading, item):
    shape, blendshapes = means(item)
    return reading.read(shape - MEAN, blendshapes)


def read_faintly(reading, item):
    """The same without what counts as noise taken off."""
    shape, blendshapes = means(item)
    code = np.tensordot(reading.shape_modes, shape - MEAN, axes=([1, 2], [0, 1]))
    values = np.concatenate([code, blendshapes, [1]]) @ reading.reading
    return np.tensordot(values[: len(reading.shown_modes)], reading.shown_modes, axes=1)


def rms(offset):
    """Root mean square length, mm."""
    return 10 * float(np.sqrt(np.square(offset).sum(1).mean()))


def equal(one, other):
    """Whether two maps are the same to the last bit."""
    names = ("shape_modes", "shown_modes", "reading", "reading_changes")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_new_person_gets_their_neutral_face_back(seen, reading, emotion):
    neutral, take = means(clip_of(seen, NEW, "neutral"))[0], clip_of(seen, NEW, emotion)
    shape, blendshapes = means(take)
    assert rms(shape - read(reading, take) - neutral) < 0.12 * rms(OFFSETS["happy"])
    code = np.tensordot(reading.shape_modes, shape - MEAN, axes=([1, 2], [0, 1]))
    amounts = (np.concatenate([code, blendshapes, [1]]) @ reading.reading)[len(reading.shown_modes) :]
    assert amounts == pytest.approx([float(emotion == name) for name in EXPRESSIVE], abs=0.15)


def test_a_face_that_looks_so_by_nature_is_told_by_its_blendshapes(seen, reading):
    happy = clip_of(seen, NEW, "happy")
    still = replace(happy, blendshapes=clip_of(seen, NEW, "neutral").blendshapes)
    assert rms(read(reading, still)) < 0.6 * rms(read(reading, happy))


def test_who_was_never_seen_neutral_tells_how_people_differ(seen, reading):
    """Brows that lie high by nature in some are no surprise in a new person."""
    upper = (region_weights()["brows"] + region_weights()["eyes"])[:, None]
    way = upper * OFFSETS["surprised"]
    strangers = []
    for number in range(12):
        face = MEAN + RANDOM.normal(0, 1) * way
        item = make_clip(PEOPLE[0], "neutral", face)
        strangers.append(replace(item, clip=f"stranger {number}", person=f"stranger {number}", emotion=""))
    known = fit_expression_reading([*seen, *strangers], MEAN, {NEW})
    own = make_clip(NEW, "neutral", means(clip_of(seen, NEW, "neutral"))[0] + way)
    before, after = (rms(upper * read_faintly(one, own)) for one in (reading, known))
    assert after < 0.7 * before


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_left_and_right_are_read_alike(seen, reading, emotion):
    shape, blendshapes = means(clip_of(seen, NEW, emotion))
    found = reading.read(shape - MEAN, blendshapes)
    mirrored = reading.read(mirror_shape(shape - MEAN), mirror_blendshapes(blendshapes))
    assert rms(mirrored - mirror_shape(found)) < 0.05
    smirk = float((found * SMIRK).sum() / np.square(SMIRK).sum())
    assert smirk == pytest.approx(-1.0 if emotion == "happy" else 0.0, abs=0.3)


def test_shapes_are_read_relative_to_any_mean(seen, reading):
    shape, blendshapes = means(clip_of(seen, NEW, "sad"))
    shift = 0.5 * IDENTITY[0] + 0.2 * OFFSETS["angry"]
    moved = reading.move_mean(shift)
    found = reading.read(shape - MEAN, blendshapes)
    assert moved.read(shape - MEAN - shift, blendshapes) == pytest.approx(found, abs=1e-5)
    assert moved.read(shape - MEAN, blendshapes) != pytest.approx(found, abs=1e-2)


def test_people_who_are_excluded_have_no_influence(seen, reading):
    assert equal(reading, fit_expression_reading([item for item in seen if item.person != NEW], MEAN))
    assert not equal(reading, fit_expression_reading(seen, MEAN))


def test_nobody_with_a_neutral_and_an_emotional_clip_is_refused_in_words(seen):
    neutral_only = [item for item in seen if item.person == NEW or item.emotion == "neutral"]
    emotional_only = [item for item in seen if item.person == NEW or item.emotion != "neutral"]
    for known in ([], neutral_only, emotional_only):
        with pytest.raises(UsageError, match="nobody shows both neutral and an emotion"):
            fit_expression_reading(known, MEAN, {NEW})


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_what_stays_is_told_from_what_a_word_adds(seen, reading, emotion):
    """As `EmotionPrior.read_change` applies the map: differences between stretches of one person's talk."""

    def read_change(difference):
        code = np.tensordot(difference, reading.shape_modes, axes=([0, 1], [1, 2])) @ reading.reading_changes
        return np.tensordot(code, reading.shown_modes, axes=1)

    lasting = means(clip_of(seen, NEW, emotion))[0] - means(clip_of(seen, NEW, "neutral"))[0]
    assert rms(read_change(lasting) - lasting) < 0.15 * rms(lasting)
    assert rms(read_change(WORDS)) < 0.45 * rms(WORDS)


def test_the_table_tells_how_near_each_persons_neutral_face_comes(seen):
    table = tabulate_neutral([item for item in seen if item.person in PEOPLE[:4]])
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert [row[0] for row in rows] == [*PEOPLE[:4], "mean"]
    assert [row[1] for row in rows[:-1]] == ["7"] * 4
    of_the_clip, as_read, width, width_as_read, cosine = np.array([row[2:] for row in rows], float).T
    assert (as_read < 0.5 * of_the_clip).all()
    assert width_as_read[-1] < 0.5 * width[-1]
    assert (cosine > 0.9).all() and (cosine <= 1).all()
    only = [item for item in seen if item.person == "anna" or item.emotion == "neutral"]
    assert tabulate_neutral(only).row_count == 0
