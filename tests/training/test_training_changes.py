"""What of an emotion's change shut lips show, told from people who talk in it."""

from dataclasses import replace

import numpy as np
import pytest

from cdrl.face.apertures import lips
from cdrl.face.mesh import canonical_points
from cdrl.manipulation.expression_change import lip_reopening, mouth_component
from cdrl.manipulation.prior import EmotionPrior
from cdrl.training.changes import mouths_table, shut
from cdrl.training.observations import Observation

CLOSED = 0.3  # cm, what talk counts as closed that does close now and then


def talk(person, emotion, smile, share):
    """Somebody who talks, openings from none to wide, with a smile [478, 3] that shut lips show a share of."""
    shapes = []
    for opening in np.tile(np.linspace(0, 1.5, 31), 2):
        wish = np.tile(np.float32([0, opening, 0]), (9, 1))
        shape = canonical_points() + lips().opening_displacement(wish - lips().vectors(canonical_points()))
        shapes.append(shape + (share + (1 - share) * lip_reopening(float(opening), CLOSED)) * smile)
    texture = np.zeros((128, 128), np.float32)
    return Observation(f"{person} {emotion}", person, emotion, np.float32(shapes), texture, np.zeros(52))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_that_shut_lips_show_is_found(share):
    smile = mouth_component(EmotionPrior.load().blend_emotions({"happy": 1.0}).offset)
    people = [("anna", 0.6), ("bert", 1.4)]  # who smile more or less
    seen = [talk(name, "neutral", 0 * smile, 1) for name, _ in people]
    seen += [talk(name, "happy", size * smile, share) for name, size in people]
    assert shut(seen, "happy") == pytest.approx(share, abs=0.07)


def test_the_table_tells_what_a_mouth_shows_at_each_opening():
    smile = mouth_component(EmotionPrior.load().blend_emotions({"happy": 1.0}).offset)
    names = ("anna", "bert", "cleo")
    seen = [talk(name, "neutral", 0 * smile, 1) for name in names] + [talk(name, "happy", smile, 0.4) for name in names]
    table = mouths_table(seen)
    happy = {column.header: next(column.cells) for column in table.columns}
    shut_ones, wide = (float(happy[kind].split()[0]) for kind in ("shut", "more"))
    assert table.row_count == 1
    assert happy["emotion"] == "happy"
    assert shut_ones / wide == pytest.approx(0.4, abs=0.05)


def test_who_never_shuts_the_lips_tells_nothing():
    smile = mouth_component(EmotionPrior.load().blend_emotions({"happy": 1.0}).offset)
    neutral, happy = talk("anna", "neutral", 0 * smile, 1), talk("anna", "happy", smile, 0.3)
    parted_only = replace(happy, shapes=happy.shapes[lips().opening(happy.shapes) > 0.9])
    assert shut([neutral, parted_only], "happy") == 1
