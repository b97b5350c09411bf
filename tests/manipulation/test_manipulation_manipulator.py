"""From what a plan asks for, and what a person shows already, to what is laid over their face."""

from dataclasses import replace

import numpy as np
import pytest

from cdrl.face.apertures import lids, lips
from cdrl.face.mesh import region_weights
from cdrl.manipulation.manipulator import Manipulator, reference_expression
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EXPRESSIVE, region_matrix
from cdrl.plan import REFERENCE, REGIONS, EditPlan
from cdrl.rendering.texture import SIZE, texture_coverage

RELIEF = 0.2  # a face lit so that folds show


def manipulator(prior, regions=(), reference=None):
    return Manipulator(prior, EditPlan.parse(emotion="happy", regions=regions), reference)


def person_of(prior, offset=0.0, emotions=()):
    """A person of the mean face that an offset has moved, read as these emotions."""
    return Person(prior.mean + offset, prior.mean, dict(emotions), 0.3, None, RELIEF)


def showing(prior, emotion):
    """A person of the mean face who shows one emotion, just as the prior has it."""
    return person_of(prior, prior.offset[EXPRESSIVE.index(emotion)], {emotion: 1.0})


def nothing(pattern):
    arrays = (pattern.offset, pattern.closed_lip_reduction, pattern.gain, pattern.lip_opening)
    return not any(np.any(array) for array in arrays) and pattern.lid_ratio == pytest.approx(1)


def same(one, two):
    names = ("offset", "closed_lip_reduction", "gain", "lip_opening", "lid_ratio")
    return all(np.allclose(getattr(one, name), getattr(two, name), rtol=1e-6, atol=1e-6) for name in names)


def cosine(one, two):
    return float((one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two))


@pytest.mark.parametrize("weights", [{}, {"happy": 0.0}, {"neutral": 1.0}], ids=str)
def test_nothing_asked_of_a_neutral_face_is_nothing(prior, weights):
    assert nothing(manipulator(prior).compute_change(weights, None))
    assert nothing(manipulator(prior).compute_change(weights, person_of(prior)))


def test_nothing_asked_leaves_the_shown_emotion(prior):
    assert nothing(manipulator(prior).compute_change({}, showing(prior, "sad")))


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_an_emotion_asked_of_a_neutral_face_is_the_prior_s(prior, emotion):
    found, wanted = manipulator(prior).compute_change({emotion: 0.7}, None), prior.blend_emotions({emotion: 0.7})
    assert found.offset == pytest.approx(wanted.offset, abs=1e-6)
    assert (found.lip_opening, found.lid_ratio) == (wanted.lip_opening, wanted.lid_ratio)


def test_folds_are_shaded_in_full_and_lights_are_held_back(prior):
    found = manipulator(prior).compute_change({"happy": 1.5}, None).gain
    wanted = prior.blend_emotions({"happy": 1.5}).gain
    assert found[wanted <= 0] == pytest.approx(wanted[wanted <= 0], abs=1e-6)
    assert (found[wanted > 0] <= wanted[wanted > 0]).all()
    assert (found[wanted > 0] >= 0).all()


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_neutral_takes_out_what_is_shown(prior, emotion):
    found = manipulator(prior).compute_change({"neutral": 1.0}, showing(prior, emotion))
    wanted = -prior.offset[EXPRESSIVE.index(emotion)]
    assert found.offset == pytest.approx(wanted, abs=0.02)
    assert found.lip_opening == pytest.approx(-prior.blend_emotions({emotion: 1.0}).lip_opening)


def test_what_is_shown_makes_room_for_what_is_asked_for(prior):
    edit, person = manipulator(prior), showing(prior, "sad")
    made = edit.compute_change({"happy": 1.0}, person).offset
    added, taken = (
        edit.compute_change({"happy": 1.0}, None).offset,
        edit.compute_change({"neutral": 1.0}, person).offset,
    )
    assert made == pytest.approx(added + taken, abs=1e-5)


def test_half_an_edit_takes_out_half(prior):
    edit, person = manipulator(prior), showing(prior, "sad")
    half, whole = (edit.compute_change({"neutral": amount}, person) for amount in (0.5, 1.0))
    assert 2 * half.offset == pytest.approx(whole.offset, abs=1e-5)
    assert 2 * half.lip_opening == pytest.approx(whole.lip_opening)
    assert half.lid_ratio**2 == pytest.approx(whole.lid_ratio)


def test_more_than_all_of_it_is_not_taken_out(prior):
    edit, person = manipulator(prior), showing(prior, "sad")
    assert same(edit.compute_change({"neutral": 1.5}, person), edit.compute_change({"neutral": 1.0}, person))


def test_asking_for_what_is_fully_shown_moves_nothing(prior):
    found = manipulator(prior).compute_change({"happy": 1.0}, showing(prior, "happy"))
    assert np.abs(found.offset).max() <= 0.02  # cm
    assert found.lip_opening == pytest.approx(0, abs=1e-6)


def test_an_expression_is_taken_out_as_the_person_has_it(prior):
    own = lids().remove(lips().remove(np.random.default_rng(0).normal(0, 0.1, (478, 3)).astype(np.float32)))
    person = person_of(prior, own, {"sad": 1.0})
    assert cosine(manipulator(prior).compute_change({"neutral": 1.0}, person).offset, -own) > 0.99


def test_the_less_is_shown_the_less_is_taken_out(prior):
    """What differs from the estimated neutral shape is mostly the person, in a face that is read as all but neutral."""
    taken = []
    for amount in (0.01, 0.1, 0.2, 0.3):
        person = person_of(prior, prior.identity[0], {"sad": amount})
        taken.append(float(np.linalg.norm(manipulator(prior).compute_change({"neutral": 1.0}, person).offset)))
    assert taken[0] < 0.05 * taken[-1]
    assert taken[1] == pytest.approx(taken[3] / 3, rel=0.01)
    assert taken == sorted(taken)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_alone_moves_and_shades_its_own_points_only(prior, region):
    whole = prior.blend_emotions({"angry": 1.0})
    part = manipulator(prior, (region,)).compute_change({"angry": 1.0}, None)
    weight = region_weights()[region]
    most = float(np.abs(whole.offset).max())
    for moved in (part.offset, part.closed_lip_reduction):
        assert np.abs(moved[weight < 0.01]).max() <= 0.01 * most
    own = weight > 0.99
    assert part.offset[own] == pytest.approx(whole.offset[own], abs=0.01 * most)
    assert (part.lip_opening == whole.lip_opening) if region == "mouth" else part.lip_opening == 0
    assert (part.lid_ratio == whole.lid_ratio) if region == "eyes" else part.lid_ratio == 1
    texels = np.zeros(SIZE * SIZE, np.float32)
    texels[texture_coverage().nodes] = texture_coverage().interpolate(weight[:, None])[:, 0]
    shaded = np.abs(part.gain.ravel())
    assert shaded[texels < 0.01].max() <= 0.01 * np.abs(whole.gain).max()
    assert shaded.max() > 0


def test_the_regions_together_are_the_whole_face(prior):
    parts = [manipulator(prior, (region,)).compute_change({"happy": 1.0}, None).offset for region in REGIONS]
    assert np.sum(parts, 0) == pytest.approx(prior.blend_emotions({"happy": 1.0}).offset, abs=1e-4)


def test_asking_twice_gives_the_same_object(prior):
    found, weights = manipulator(prior), {"happy": 1.0, "sad": 0.1}
    assert found.compute_change(weights, None) is found.compute_change(dict(reversed(weights.items())), None)


# References


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_somebody_who_shows_one_emotion_refers_to_it(prior, emotion):
    wanted = prior.blend_emotions({emotion: 1.0})
    # What is measured in a face, which is laid on others with emphasis.
    measured = wanted.offset / (prior.emphasis[EXPRESSIVE.index(emotion)] @ region_matrix())[:, None]
    person = replace(showing(prior, emotion), mean_shape=prior.mean + measured, neutral_shape=prior.mean)
    found = reference_expression(person, prior)
    assert cosine(found.offset, wanted.offset) > 0.95
    assert 0.7 < np.linalg.norm(found.offset) / np.linalg.norm(wanted.offset) < 1.301
    assert np.sign(found.lip_opening) == np.sign(wanted.lip_opening)
    assert np.sign(found.lid_ratio - 1) == np.sign(wanted.lid_ratio - 1)


def test_a_neutral_reference_is_no_expression(prior):
    assert nothing(reference_expression(person_of(prior), prior))


def test_an_open_mouth_is_no_expression_to_refer_to(prior):
    talking = prior.mean + lips().opening_displacement(np.tile(np.float32([0, 1.5, 0]), (9, 1)))
    talking = talking + lids().opening_displacement(-0.5 * lids().vectors(talking))
    found = reference_expression(person_of(prior, talking - prior.mean), prior)
    assert np.abs(lips().vectors(found.offset)).max() <= 0.02
    assert np.abs(found.offset).max() <= 0.05


@pytest.fixture
def reference(prior):
    return reference_expression(showing(prior, "disgusted"), prior)


def test_a_reference_is_shown_in_the_amount_asked_for(prior, reference):
    found = manipulator(prior, reference=reference).compute_change({REFERENCE: 0.5}, None)
    assert found.offset == pytest.approx(0.5 * reference.offset, abs=1e-5)
    assert found.lip_opening == pytest.approx(0.5 * reference.lip_opening)
    assert found.lid_ratio == pytest.approx(reference.lid_ratio**0.5)


def test_a_reference_makes_room_as_an_emotion_does(prior, reference):
    edit, person = manipulator(prior, reference=reference), showing(prior, "happy")
    taken = edit.compute_change({"neutral": 1.0}, person).offset
    assert edit.compute_change({REFERENCE: 1.0}, person).offset == pytest.approx(reference.offset + taken, abs=1e-5)


def test_a_reference_and_an_emotion_blend(prior, reference):
    found = manipulator(prior, reference=reference).compute_change({REFERENCE: 0.5, "happy": 0.5}, None)
    assert found.offset == pytest.approx(prior.blend_emotions({"happy": 0.5}).add(reference, 0.5).offset, abs=1e-5)
