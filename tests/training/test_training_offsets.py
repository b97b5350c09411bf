"""The share of an emotion's offset that closed lips keep, fitted on people who talk in it."""

from dataclasses import replace

import numpy as np
import pytest

from cdrl.face.apertures import lips
from cdrl.face.mesh import canonical_points
from cdrl.manipulation.expression_change import mouth_component, mouth_freedom
from cdrl.manipulation.prior import EmotionPrior
from cdrl.training.emotion_offsets import fit_closed_lip_attenuation, tabulate_mouths
from cdrl.training.observations import ClipObservation

CLOSED = 0.3  # cm, what talk counts as closed that does close now and then


def talk(person, emotion, smile, share):
    """A person who talks, openings from none to wide, with a smile [478, 3] of which closed lips keep a share."""
    shapes = []
    for opening in np.tile(np.linspace(0, 1.5, 31), 2):
        target = np.tile(np.float32([0, opening, 0]), (9, 1))
        shape = canonical_points() + lips().opening_displacement(target - lips().vectors(canonical_points()))
        shapes.append(shape + (share + (1 - share) * mouth_freedom(float(opening), CLOSED)) * smile)
    texture, blendshapes = np.zeros((128, 128), np.float32), np.zeros((len(shapes), 52), np.float32)
    return ClipObservation(f"{person} {emotion}", person, emotion, np.float32(shapes), texture, blendshapes)


@pytest.fixture(scope="module")
def smile():
    return mouth_component(EmotionPrior.load().blend_emotions({"happy": 1.0}).offset)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_that_closed_lips_keep_is_recovered(smile, share):
    people = [("anna", 0.6), ("bert", 1.4)]  # who smile more or less
    seen = [talk(name, "neutral", 0 * smile, 1) for name, _ in people]
    seen += [talk(name, "happy", size * smile, share) for name, size in people]
    assert fit_closed_lip_attenuation(seen, "happy") == pytest.approx(share, abs=0.07)


def test_the_table_tells_what_a_mouth_shows_at_each_opening(smile):
    names = ("anna", "bert", "cleo")
    seen = [talk(name, "neutral", 0 * smile, 1) for name in names] + [talk(name, "happy", smile, 0.4) for name in names]
    table = tabulate_mouths(seen)
    happy = {column.header: next(column.cells) for column in table.columns}
    closed, wide = (float(happy[kind].split()[0]) for kind in ("closed", "more"))
    assert table.row_count == 1
    assert happy["emotion"] == "happy"
    assert closed / wide == pytest.approx(0.4, abs=0.05)


def test_people_who_never_close_the_lips_tell_nothing(smile):
    neutral, happy = talk("anna", "neutral", 0 * smile, 1), talk("anna", "happy", smile, 0.3)
    open_only = replace(happy, shapes=happy.shapes[lips().opening(happy.shapes) > 0.9])
    assert fit_closed_lip_attenuation([neutral, open_only], "happy") == 1
