"""Who comes back in a later shot keeps what earlier shots told of them."""

from dataclasses import replace

import numpy as np
import pytest

from cdrl.face.mesh import canonical_points, region_weights
from cdrl.manipulation.people_seen import PeopleSeen
from cdrl.manipulation.person import Person
from cdrl.rendering.teeth import Teeth

CALM, STRONG = 0.0, 0.3  # cm that somebody shows
TEETH = object()


def someone(identity=0.0, shown=CALM, mouth_patch=None):
    """A person whose face is higher by `identity` cm, all but the mouth, and shows brows raised by `shown` cm."""
    weights = region_weights()
    up = np.array([0, 1, 0], np.float32)
    neutral = canonical_points() + identity * (1 - weights["mouth"])[:, None] * up
    mean = neutral + shown * up
    neutral, mean = (shape.astype(np.float32) for shape in (neutral, mean))
    return Person(mean, neutral, {}, 0.4, 0.9, 0.5, mouth_patch, 1.0)


@pytest.fixture
def people():
    return PeopleSeen()


def test_strangers_stay_as_they_are(people):
    first, second = someone(), someone(identity=0.3)
    assert people.recognize(first) is first
    assert people.recognize(second) is second


def test_who_comes_back_has_the_neutral_shape_that_all_their_shots_tell(people):
    calm, strong = someone(), someone(identity=0.06, shown=STRONG)
    people.recognize(calm)
    back = people.recognize(strong)
    nearer = np.abs(back.neutral_shape - calm.neutral_shape).max()
    assert 0 < nearer < 0.2 * np.abs(strong.neutral_shape - calm.neutral_shape).max(), "a calm face tells it best"
    np.testing.assert_array_equal(back.mean_shape, strong.mean_shape)
    later = people.recognize(replace(strong))
    assert np.abs(later.neutral_shape - calm.neutral_shape).max() > nearer, "what was told before still counts"


def test_the_order_of_shots_does_not_matter(people):
    calm, strong = someone(), someone(identity=0.06, shown=STRONG)
    people.recognize(calm)
    other = PeopleSeen()
    other.recognize(strong)
    np.testing.assert_allclose(people.recognize(strong).neutral_shape, other.recognize(calm).neutral_shape, atol=1e-6)


def test_teeth_of_an_earlier_shot_serve_where_a_later_one_shows_none(people):
    row = Teeth(4.5, 1.2)
    people.recognize(replace(someone(mouth_patch=TEETH), teeth=row))
    assert people.recognize(someone()).mouth_patch is TEETH
    assert people.recognize(someone()).teeth is row
    own = object()
    assert people.recognize(someone(mouth_patch=own)).mouth_patch is own
    assert people.recognize(someone(identity=0.3)).mouth_patch is None


def test_words_and_open_mouths_make_nobody_a_stranger(people):
    people.recognize(someone())
    talking = someone()
    mouth = 0.5 * region_weights()["mouth"][:, None] * np.array([0, -1, 0], np.float32)
    talking = replace(talking, neutral_shape=talking.neutral_shape + mouth)
    assert people.recognize(talking) is not talking


def test_of_many_people_the_first_are_forgotten(people):
    people.recognize(someone(mouth_patch=TEETH))
    for number in range(1, 40):
        people.recognize(someone(identity=0.3 * number))
    assert people.recognize(someone()).mouth_patch is None
