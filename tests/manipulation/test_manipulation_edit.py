"""From what a plan asks for, and what a face shows already, to what is laid over it."""

import numpy as np
import pytest

from cdrl.face.apertures import lids, lips
from cdrl.face.mesh import region_weights
from cdrl.manipulation.edit import Manipulator, reference_pattern
from cdrl.manipulation.plan import REFERENCE, REGIONS, EditPlan
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.rendering.texture import SIZE, texture_coverage


@pytest.fixture(scope="module")
def prior():
    return EmotionPrior.load()


def manipulator(prior, regions=(), reference=None):
    return Manipulator(prior, EditPlan.parse(emotion="happy", regions=regions), reference)


def same(one, two):
    return (
        np.allclose(one.offset, two.offset, atol=1e-5)
        and np.allclose(one.gain, two.gain, atol=1e-5)
        and one.lip_opening == pytest.approx(two.lip_opening, abs=1e-6)
        and one.lid_ratio == pytest.approx(two.lid_ratio)
    )


@pytest.mark.parametrize("weights", [{}, {"happy": 0.0}, {"neutral": 1.0}], ids=str)
def test_nothing_asked_of_a_neutral_face_is_nothing(prior, weights):
    assert same(manipulator(prior).pattern(weights, {}), prior.pattern({}))


def test_nothing_asked_leaves_the_shown_emotion(prior):
    assert same(manipulator(prior).pattern({}, {"sad": 0.8}), prior.pattern({}))


def test_an_emotion_asked_of_a_neutral_face_is_the_prior_s(prior):
    assert same(manipulator(prior).pattern({"happy": 0.7}, {}), prior.pattern({"happy": 0.7}))


def test_neutral_takes_out_what_is_shown(prior):
    shown = {"sad": 0.8, "fear": 0.2}
    assert same(manipulator(prior).pattern({"neutral": 1.0}, shown), prior.pattern({"sad": -0.8, "fear": -0.2}))


def test_what_is_shown_makes_room_for_what_is_asked_for(prior):
    found = manipulator(prior).pattern({"happy": 1.0}, {"sad": 0.8})
    assert same(found, prior.pattern({"happy": 1.0, "sad": -0.8}))


def test_half_an_edit_takes_out_half(prior):
    found = manipulator(prior).pattern({"happy": 0.5}, {"sad": 0.8})
    assert same(found, prior.pattern({"happy": 0.5, "sad": -0.4}))


def test_more_than_all_of_it_is_not_taken_out(prior):
    found = manipulator(prior).pattern({"happy": 1.5}, {"sad": 0.8})
    assert same(found, prior.pattern({"happy": 1.5, "sad": -0.8}))


def test_asking_for_what_is_shown_adds_only_the_rest(prior):
    assert same(manipulator(prior).pattern({"happy": 1.0}, {"happy": 1.0}), prior.pattern({}))


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_alone_moves_its_own_points_only(prior, region):
    whole, part = prior.pattern({"angry": 1.0}), manipulator(prior, (region,)).pattern({"angry": 1.0}, {})
    weight = region_weights()[region]
    most = float(np.abs(whole.offset).max())
    assert np.abs(part.offset[weight < 0.01]).max() <= 0.01 * most
    own = weight > 0.99
    assert part.offset[own] == pytest.approx(whole.offset[own], abs=0.01 * most)
    assert (part.lip_opening == whole.lip_opening) if region == "mouth" else part.lip_opening == 0
    assert (part.lid_ratio == whole.lid_ratio) if region == "eyes" else part.lid_ratio == 1


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_alone_is_shaded_alone(prior, region):
    texels = np.zeros(SIZE * SIZE, np.float32)
    coverage = texture_coverage()
    texels[coverage.nodes] = coverage.interpolate(region_weights()[region][:, None])[:, 0]
    part = manipulator(prior, (region,)).pattern({"angry": 1.0}, {}).gain.ravel()
    whole = prior.pattern({"angry": 1.0}).gain.ravel()
    assert np.abs(part[texels < 0.01]).max() <= 0.01 * np.abs(whole).max()
    assert np.abs(part).max() > 0


def test_the_regions_together_are_the_whole_face(prior):
    parts = [manipulator(prior, (region,)).pattern({"happy": 1.0}, {}).offset for region in REGIONS]
    assert np.sum(parts, 0) == pytest.approx(prior.pattern({"happy": 1.0}).offset, abs=1e-4)


def test_asking_twice_gives_the_same_object(prior):
    found = manipulator(prior)
    assert found.pattern({"happy": 1.0, "sad": 0.1}, {}) is found.pattern({"sad": 0.1, "happy": 1.0}, {})


# References


def referred(prior, emotion, amount=1.0):
    """The pattern of somebody who shows one emotion exactly."""
    offset = amount * prior.offset[EXPRESSIVE.index(emotion)]
    return reference_pattern(prior.mean + offset, prior.mean, {emotion: amount}, prior)


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_somebody_who_shows_one_emotion_refers_to_it(prior, emotion):
    found, wanted = referred(prior, emotion), prior.pattern({emotion: 1.0})
    cosine = (found.offset * wanted.offset).sum() / np.linalg.norm(found.offset) / np.linalg.norm(wanted.offset)
    assert cosine > 0.99
    assert np.linalg.norm(found.offset) == pytest.approx(np.linalg.norm(wanted.offset), rel=0.05)
    assert (found.lip_opening, found.lid_ratio) == (wanted.lip_opening, wanted.lid_ratio)


def test_an_open_mouth_is_no_expression_to_refer_to(prior):
    talking = prior.mean + lips().opened_by(np.tile(np.float32([0, 1.5, 0]), (9, 1)))
    talking = talking + lids().opened_by(-0.5 * lids().vectors(talking))
    found = reference_pattern(talking, prior.mean, {}, prior)
    assert np.abs(lips().vectors(found.offset)).max() <= 0.02
    assert np.abs(found.offset).max() <= 0.05


def test_a_reference_is_shown_in_the_amount_asked_for(prior):
    reference = referred(prior, "disgusted")
    found = manipulator(prior, reference=reference).pattern({REFERENCE: 0.5}, {})
    assert same(found, prior.pattern({}).plus(reference, 0.5))


def test_a_reference_makes_room_as_an_emotion_does(prior):
    reference = referred(prior, "disgusted")
    found = manipulator(prior, reference=reference).pattern({REFERENCE: 1.0}, {"happy": 0.6})
    assert same(found, prior.pattern({"happy": -0.6}).plus(reference, 1.0))


def test_a_reference_and_an_emotion_blend(prior):
    reference = referred(prior, "disgusted")
    found = manipulator(prior, reference=reference).pattern({REFERENCE: 0.5, "happy": 0.5}, {})
    assert same(found, prior.pattern({"happy": 0.5}).plus(reference, 0.5))
