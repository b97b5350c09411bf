"""From what a plan asks for, and what a person shows already, to what is laid over their face."""

from dataclasses import replace

import numpy as np
import pytest

from cdrl.face.apertures import lids, lips, remove_apertures
from cdrl.face.mesh import LEFT_BROW, MOUTH_CORNERS, region_weights
from cdrl.manipulation.expression_change import mouth_freedom
from cdrl.manipulation.manipulator import Manipulator, reference_expression
from cdrl.manipulation.person import MAX_CLOSED_OPENING, TYPICAL_OPENING, Person, with_neutral
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.plan import REFERENCE, REGIONS, EditPlan
from cdrl.rendering.folds import shaded_skin
from cdrl.rendering.texture import SIZE, texture_coverage, texture_points

RELIEF = 0.2  # a face lit so that folds show


@pytest.fixture
def followed(prior):
    """The prior of people whose landmarks follow their brows."""
    return replace(prior, brow_movement=np.zeros_like(prior.brow_movement))


def manipulator(prior, regions=(), reference=None):
    return Manipulator(prior, EditPlan.parse(emotion="happy", regions=regions), reference)


def person_of(prior, offset=0.0, emotions=(), freedom=1.0):
    """A person of the mean face that an offset has moved, read as these emotions, whose lips hide none of it."""
    return Person(prior.mean + offset, prior.mean, dict(emotions), 0.3, 0.6, freedom, None, RELIEF)


def part_lips(prior, opening):
    """Displacement [478, 3] of the mean face whose lips part farther, as in talk."""
    return lips().opening_displacement(lips().vectors(prior.mean) * (opening / lips().opening(prior.mean)))


def show(prior, emotion):
    """Displacement [478, 3] of landmarks of the mean face that shows an emotion in talk, just as the prior has it."""
    blend = prior.blend_emotions({emotion: 1.0})
    lidded = lids().opening_displacement((blend.lid_ratio - 1) * lids().vectors(prior.mean))
    followed = blend.offset - prior.shown_brow_movement({emotion: 1.0})
    return followed + part_lips(prior, blend.lip_opening) + lidded


def showing(prior, emotion):
    """A person of the mean face who shows one emotion, just as the prior has it."""
    return person_of(prior, show(prior, emotion), {emotion: 1.0})


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
    assert nothing(manipulator(prior).compute_change(weights, person_of(prior, freedom=0.5)))


def test_nothing_asked_leaves_the_shown_emotion(prior):
    assert nothing(manipulator(prior).compute_change({}, showing(prior, "sad")))


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_an_emotion_asked_of_a_neutral_face_is_the_prior_s(prior, emotion):
    found, wanted = manipulator(prior).compute_change({emotion: 0.7}, None), prior.blend_emotions({emotion: 0.7})
    assert found.offset == pytest.approx(wanted.offset, abs=1e-6)
    assert (found.lip_opening, found.lid_ratio) == (wanted.lip_opening, wanted.lid_ratio)


def test_folds_are_shaded_in_full_and_lights_are_held_back(prior):
    found = manipulator(prior).compute_change({"happy": 1.5}, None).gain
    wanted = prior.blend_emotions({"happy": 1.5}).gain * shaded_skin()
    assert found[wanted <= 0] == pytest.approx(wanted[wanted <= 0], abs=1e-6)
    assert (found[wanted > 0] <= wanted[wanted > 0] + 1e-6).all()
    assert (found[wanted > 0] >= 0).all()


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_neutral_takes_out_what_is_shown(prior, emotion):
    found = manipulator(prior).compute_change({"neutral": 1.0}, showing(prior, emotion))
    wanted = -prior.offset[EXPRESSIVE.index(emotion)]
    blend = prior.blend_emotions({emotion: 1.0})
    assert found.offset == pytest.approx(wanted, abs=0.02)
    assert found.lip_opening == pytest.approx(-blend.lip_opening, abs=0.03)
    assert found.lid_ratio == pytest.approx(1 / blend.lid_ratio, abs=0.03)


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


def test_all_that_differs_from_a_given_neutral_is_taken_out_whatever_it_is_read_as(followed):
    person = with_neutral(person_of(followed), followed.mean - show(followed, "happy"))
    taken = manipulator(followed).compute_change({"neutral": 1.0}, person).offset
    assert taken == pytest.approx(-followed.offset[EXPRESSIVE.index("happy")], abs=0.02)


def test_brows_go_back_farther_than_their_landmarks_have_come(prior, followed):
    """A frown draws them together, which landmarks do not follow: half a frown, half of that."""
    for share in (0.5, 1.0):
        person = person_of(prior, share * show(prior, "angry"), {"angry": 0.9})
        with_hair, landmarks = (
            manipulator(one).compute_change({"neutral": 1.0}, person).offset for one in (prior, followed)
        )
        wanted = -share * prior.brow_movement[EXPRESSIVE.index("angry")]
        assert with_hair - landmarks == pytest.approx(wanted, abs=0.06)
        assert (with_hair - landmarks)[LEFT_BROW[4], 0] > 0.1 * share  # apart again


def test_folds_go_with_the_emotion_that_draws_them(prior):
    """An angry face loses what lies between its brows, as far as anger is taken out of it."""
    angry, edit = showing(prior, "angry"), manipulator(prior)
    whole, half = (edit.find_removed_folds({"neutral": amount}, angry) for amount in (1.0, 0.5))
    x, y = np.round(texture_points()[9]).astype(int)  # between the brows
    assert whole[y, x] > 0.9
    assert 0 <= whole.min() <= whole.max() <= 1
    assert half == pytest.approx(0.5 * whole, abs=1e-6)
    for weights, person in ({"neutral": 1.0}, person_of(prior)), ({}, angry), ({"angry": 1.0}, angry), ({}, None):
        assert edit.find_removed_folds(weights, person) is None
    assert manipulator(prior, ["mouth"]).find_removed_folds({"neutral": 1.0}, angry)[y, x] < 0.05


def test_the_more_alike_the_less_a_face_is_changed(followed):
    """Who shows what is asked for keeps their own, and other emotions make room: smoothly between."""
    offsets = {name: followed.offset[EXPRESSIVE.index(name)] for name in ("happy", "sad")}
    size = np.linalg.norm(offsets["happy"])
    moved, off = [], []
    for share in np.linspace(0, 1, 21):
        own = share * offsets["happy"] + (1 - share) * offsets["sad"]
        change = ask_for_happy(followed, own, {"happy": share, "sad": 1 - share})
        moved.append(np.linalg.norm(change))
        off.append(np.linalg.norm(own + change - offsets["happy"]))
    assert off[0] == pytest.approx(0, abs=0.1)  # the prior's smile
    assert off[-1] == pytest.approx(0, abs=0.1)  # their own is the same
    assert np.abs(np.diff(off)).max() < 0.25 * size
    assert (np.diff(moved) < 0).all()


def ask_for_happy(prior, own, emotions):
    """Change of the offset of a person who shows an offset, read as these emotions, and is asked to be happy."""
    return manipulator(prior).compute_change({"happy": 1.0}, person_of(prior, own, emotions)).offset


def test_a_trace_of_a_smile_is_smiled_on_and_a_broad_one_is_their_own(prior):
    happy = prior.offset[EXPRESSIVE.index("happy")]
    size = float(np.linalg.norm(happy))
    for share, least, most in ((0.05, 0.5, 0.95), (0.4, 0.2, 0.5), (1.3, 0, 0.01)):
        assert least * size <= np.linalg.norm(ask_for_happy(prior, share * happy, {"happy": 0.3})) <= most * size


def test_another_emotion_makes_room_however_alike_it_looks(followed):
    happy = followed.offset[EXPRESSIVE.index("happy")]
    own = 0.5 * happy + 0.3 * followed.offset[EXPRESSIVE.index("fear")]
    assert cosine(own, happy) > 0.85
    assert own + ask_for_happy(followed, own, {"fear": 0.5}) == pytest.approx(happy, abs=1e-5)
    kept, mixed = (ask_for_happy(followed, own, {"happy": 0.5} | others) for others in ({}, {"fear": 0.5}))
    assert mixed == pytest.approx((kept + happy - own) / 2, abs=1e-5)


@pytest.mark.parametrize("emotion", ["happy", "angry", "disgusted"])
def test_the_mean_over_talk_is_what_was_measured(prior, emotion):
    """What closed lips hide of a mouth, parted ones show beyond it."""
    talk = np.stack([prior.mean + part_lips(prior, opening) for opening in np.linspace(-0.4, 0.6, 31)])
    freedom = float(mouth_freedom(lips().opening(talk), 0.3).mean())
    assert freedom < 0.8
    person = person_of(prior, freedom=freedom)
    change = manipulator(prior).compute_change({emotion: 1.0}, person)
    moved = remove_apertures(change.compute_displacement(talk, person.closed_opening, person.mean_opening))
    mouth = region_weights()["mouth"] > 0.9
    assert moved.mean(0)[mouth] == pytest.approx(prior.offset[EXPRESSIVE.index(emotion)][mouth], abs=0.04)
    corners = np.linalg.norm(moved[:, list(MOUTH_CORNERS)], axis=(1, 2))
    assert corners.max() > 1.1 * corners[0]  # which are hidden with closed lips


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


# What a face shows by now


def edited(edit, weights, person, offset, recent=True):
    """Where the points of a person come who shows an offset beyond what they showed when they were looked at."""
    shape = person.mean_shape + offset
    displacement, _ = edit.edit_shape(weights, person, shape, shape if recent else None)
    return shape + displacement


def mouth_width(shape):
    left, right = MOUTH_CORNERS
    return float(np.linalg.norm(shape[left] - shape[right]))


def test_without_later_frames_the_change_is_all(prior):
    edit, person, weights = manipulator(prior), showing(prior, "sad"), {"happy": 0.8}
    change = edit.compute_change(weights, person)
    for recent in (None, person.mean_shape):  # just what was seen before: nothing more to take out
        displacement, gain = edit.edit_shape(weights, person, person.mean_shape, recent)
        wanted = change.compute_displacement(person.mean_shape, person.closed_opening, person.mean_opening)
        assert displacement == pytest.approx(wanted, abs=1e-5)
        assert np.array_equal(gain, change.gain)


def test_of_whom_nothing_is_known_the_talk_is_taken_for_anybody_s(prior):
    edit, shape = manipulator(prior), prior.mean + part_lips(prior, 0.8)
    displacement, gain = edit.edit_shape({"happy": 1.0}, None, shape, shape)
    change = edit.compute_change({"happy": 1.0}, None)
    assert np.array_equal(displacement, change.compute_displacement(shape, MAX_CLOSED_OPENING, TYPICAL_OPENING))
    assert np.array_equal(gain, change.gain)


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_an_emotion_that_comes_after_the_survey_is_taken_out(prior, emotion):
    person, shown = person_of(prior), show(prior, emotion)
    left, stays = (
        edited(manipulator(prior), {"neutral": 1.0}, person, shown, recent) - prior.mean for recent in (True, False)
    )
    assert stays == pytest.approx(shown, abs=1e-5)
    still = (remove_apertures(offset) for offset in (left, shown))
    left_size, shown_size = (float(np.linalg.norm(offset)) for offset in still)
    assert left_size < 0.5 * shown_size


def test_a_smile_that_comes_after_the_survey_makes_room_for_sadness_and_for_itself(prior):
    """A face that was asked to smile, and does so by itself, smiles once."""
    person, smile = person_of(prior), show(prior, "happy")
    still = part_lips(prior, prior.blend_emotions({"happy": 1.0}).lip_opening)  # parted lips show more of an emotion
    widths = {
        emotion: [mouth_width(edited(manipulator(prior), {emotion: 1.0}, person, offset)) for offset in (still, smile)]
        for emotion in ("neutral", "happy", "sad")
    }
    wider = mouth_width(prior.mean + smile) - mouth_width(prior.mean + still)
    for emotion, (of_neutral, of_smile) in widths.items():
        assert of_smile == pytest.approx(of_neutral, abs=0.45 * wider), emotion


def test_half_an_edit_takes_out_half_of_what_came_after_the_survey(prior):
    person, smile = person_of(prior), prior.offset[EXPRESSIVE.index("happy")]
    shape = prior.mean + smile
    none, half, whole = (edited(manipulator(prior), {"neutral": part}, person, smile) - shape for part in (0, 0.5, 1.0))
    assert not none.any()
    assert 2 * half[list(MOUTH_CORNERS)] == pytest.approx(whole[list(MOUTH_CORNERS)], abs=0.02)


def test_a_region_alone_takes_out_nothing_elsewhere(prior):
    person, smile = person_of(prior), show(prior, "happy")
    moved = edited(manipulator(prior, ("brows",)), {"neutral": 1.0}, person, smile) - prior.mean - smile
    assert np.abs(moved[region_weights()["brows"] < 0.01]).max() < 0.01  # cm


# References


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_somebody_who_shows_one_emotion_refers_to_it(prior, emotion):
    wanted, found = prior.blend_emotions({emotion: 1.0}), reference_expression(showing(prior, emotion), prior)
    assert found.offset == pytest.approx(wanted.offset, abs=0.02)
    assert found.closed_lip_reduction == pytest.approx(wanted.closed_lip_reduction, abs=0.02)
    assert found.lip_opening == wanted.lip_opening
    assert found.lid_ratio == pytest.approx(wanted.lid_ratio, abs=0.03)
    assert found.gain == pytest.approx(wanted.gain)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_folds_of_a_reference_are_as_strong_as_its_expression(followed, share):
    shown = share * followed.offset[EXPRESSIVE.index("disgusted")]
    found = reference_expression(
        person_of(followed, shown, {"disgusted": 0.3}), followed
    )  # hardly recognized, plainly there
    assert found.gain == pytest.approx(share * followed.blend_emotions({"disgusted": 1.0}).gain, abs=0.01)
    doubtful = reference_expression(person_of(followed, shown, {"disgusted": 0.03}), followed)
    assert np.abs(doubtful.gain).max() < 0.1 * np.abs(followed.gain).max()


def test_a_neutral_reference_is_no_expression(prior):
    assert nothing(reference_expression(person_of(prior), prior))


def test_an_open_mouth_and_a_blink_are_no_expression_to_refer_to(prior):
    talking = prior.mean + part_lips(prior, 1.5)
    talking = talking - lids().opening_displacement(lids().vectors(talking))
    found = reference_expression(person_of(prior, talking - prior.mean), prior)
    assert np.abs(lips().vectors(found.offset)).max() <= 0.02
    assert np.abs(found.offset).max() <= 0.05
    assert found.lip_opening == 0
    assert found.lid_ratio >= 0.6


@pytest.fixture
def reference(prior):
    return reference_expression(showing(prior, "disgusted"), prior)


def test_a_reference_is_shown_in_the_amount_asked_for(prior, reference):
    found = manipulator(prior, reference=reference).compute_change({REFERENCE: 0.5}, None)
    assert found.offset == pytest.approx(0.5 * reference.offset, abs=1e-5)
    assert found.lip_opening == pytest.approx(0.5 * reference.lip_opening)
    assert found.lid_ratio == pytest.approx(reference.lid_ratio**0.5)


def test_a_reference_makes_room_as_an_emotion_does(prior, reference):
    edit, person = manipulator(prior, reference=reference), showing(prior, "sad")  # nothing like it
    taken = edit.compute_change({"neutral": 1.0}, person).offset
    assert edit.compute_change({REFERENCE: 1.0}, person).offset == pytest.approx(reference.offset + taken, abs=1e-5)


def test_a_reference_and_an_emotion_blend(prior, reference):
    found = manipulator(prior, reference=reference).compute_change({REFERENCE: 0.5, "happy": 0.5}, None)
    assert found.offset == pytest.approx(prior.blend_emotions({"happy": 0.5}).add(reference, 0.5).offset, abs=1e-5)


def test_a_reference_leaves_a_smile_as_an_emotion_does(prior):
    """It may be of any emotion."""
    edit = manipulator(prior, reference=prior.blend_emotions({"happy": 1.0}))
    person = person_of(prior, 0.6 * prior.offset[EXPRESSIVE.index("happy")], {"happy": 0.5})
    assert same(edit.compute_change({REFERENCE: 1.0}, person), edit.compute_change({"happy": 1.0}, person))
