"""The emotion prior: kept in a file, refused when it is none, linear in what is asked for, and kind to speech."""

from dataclasses import replace

import numpy as np
import pytest

from cdrl.assets import register_asset
from cdrl.emotions import EMOTIONS
from cdrl.errors import ModelFileError
from cdrl.face.apertures import lids, lips
from cdrl.face.mesh import LEFT_CORNERS, RIGHT_CORNERS, canonical_points
from cdrl.manipulation.expression_change import (
    EYE_EXCESS,
    EYE_LIMIT,
    WIDE_MOUTH_SHARE,
    ExpressionChange,
    lip_openness,
    lip_reopening,
    wide_mouth_limit,
)
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, EnrollmentExample, array_names, region_matrix

CLOSED = 0.35  # cm


@pytest.fixture(scope="module")
def prior():
    return EmotionPrior.load()


def arrays(prior):
    return {name: getattr(prior, name) for name in array_names()}


def same(one: ExpressionChange, two: ExpressionChange, tolerance=1e-5):
    return all(
        np.allclose(getattr(one, name), getattr(two, name), atol=tolerance)
        for name in ("offset", "closed_lip_reduction", "lip_opening", "lid_ratio", "gain")
    )


def shape_with(opening):
    """A pose-free shape [478, 3] whose lips part by `opening` cm."""
    shape = canonical_points()
    wish = np.tile(np.float32([0, opening, 0]), (9, 1))
    return shape + lips().opening_displacement(wish - lips().vectors(shape))


# The file


def test_a_prior_saved_and_loaded_is_the_same(prior, tmp_path):
    prior.save(tmp_path / "prior.npz")
    again = EmotionPrior.load(tmp_path / "prior.npz")
    for name, array in arrays(prior).items():
        assert getattr(again, name).dtype == np.float32
        assert getattr(again, name) == pytest.approx(array, abs=1e-6)  # what shipped was rounded already


def _pickled(path):
    np.savez(path, offset=np.array([object()], object))


BAD = {
    "text": lambda path: path.write_text("not a prior"),
    "nothing": lambda path: path.write_bytes(b""),
    "a zip of other things": lambda path: np.savez(path, other=np.zeros(3)),
    "pickled objects": _pickled,
    "a single array": lambda path: np.save(path.open("wb"), np.zeros(3)),
}


@pytest.mark.parametrize("content", list(BAD))
def test_what_is_no_prior_is_refused(tmp_path, content):
    path = tmp_path / "prior.npz"
    BAD[content](path)
    with pytest.raises(ModelFileError, match=r"prior\.npz: not an emotion prior .* fit one with `cdrl train prior`"):
        EmotionPrior.load(path)


def test_pickled_objects_are_never_run(prior, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    content = arrays(prior) | {"identity": np.array([Trap()], object)}
    np.savez(tmp_path / "prior.npz", **content)
    (tmp_path / "sprung").unlink(missing_ok=True)
    with pytest.raises(ModelFileError):
        EmotionPrior.load(tmp_path / "prior.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kept", [10, 0.3, 0.7, 0.999], ids=str)
def test_a_truncated_prior_is_refused(prior, tmp_path, kept):
    prior.save(tmp_path / "whole.npz")
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "prior.npz").write_bytes(content[: kept if kept > 1 else int(kept * len(content))])
    with pytest.raises(ModelFileError, match=r"prior\.npz"):
        EmotionPrior.load(tmp_path / "prior.npz")


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_damaged_prior_is_refused(prior, tmp_path, place):
    prior.save(tmp_path / "prior.npz")
    content = bytearray((tmp_path / "prior.npz").read_bytes())
    at = int(place * len(content))
    content[at : at + 8] = bytes(255 - value for value in content[at : at + 8])
    (tmp_path / "prior.npz").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"prior\.npz"):
        EmotionPrior.load(tmp_path / "prior.npz")


@pytest.mark.parametrize("name", array_names())
def test_a_prior_of_another_shape_is_refused(prior, tmp_path, name):
    replace(prior, **{name: getattr(prior, name)[..., :-1]}).save(tmp_path / "prior.npz")
    with pytest.raises(ModelFileError, match=r"prior\.npz"):
        EmotionPrior.load(tmp_path / "prior.npz")


def test_a_prior_that_is_not_the_listed_one_is_refused(prior, tmp_path):
    path = tmp_path / "prior.npz"
    prior.save(path)
    register_asset(path, "CC0-1.0", "a test")
    assert EmotionPrior.load(path)
    replace(prior, lip_opening=prior.lip_opening + 1).save(path)
    with pytest.raises(ModelFileError, match="SHA-256"):
        EmotionPrior.load(path)


def test_a_prior_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="missing"):
        EmotionPrior.load(tmp_path / "prior.npz")


# What it says


def test_every_emotion_but_neutral_has_an_offset(prior):
    assert tuple(name for name in EMOTIONS if name != "neutral") == EXPRESSIVE
    assert np.linalg.norm(prior.offset, axis=(1, 2)).min() > 0.5
    assert all(np.isfinite(array).all() for array in arrays(prior).values())


def test_offsets_leave_apertures_alone(prior):
    for offset in prior.offset:
        assert np.abs(lips().vectors(offset)).max() <= 0.02  # cm
        assert np.abs(lids().vectors(offset)).max() <= 0.02


def test_neutral_and_none_are_nothing(prior):
    for amounts in ({}, {"neutral": 1.0}, {"happy": 0.0}):
        nothing = prior.blend_emotions(amounts)
        assert not nothing.offset.any()
        assert not nothing.closed_lip_reduction.any()
        assert not nothing.gain.any()
        assert (nothing.lip_opening, nothing.lid_ratio) == (0, 1)
        assert not nothing.compute_displacement(canonical_points(), CLOSED).any()


def test_a_blend_adds_up(prior):
    blend = prior.blend_emotions({"happy": 0.6, "surprised": 0.4})
    parts = prior.blend_emotions({"happy": 0.6}).add(prior.blend_emotions({"surprised": 1.0}), 0.4)
    assert same(blend, parts)


def test_twice_the_amount_is_twice_the_pattern(prior):
    once, twice = prior.blend_emotions({"angry": 0.5}), prior.blend_emotions({"angry": 1.0})
    assert same(twice, once.add(once, 1.0))
    assert twice.lid_ratio == pytest.approx(once.lid_ratio**2)


def test_of_more_than_a_whole_emotion_the_mouth_is_given_little_more(prior):
    corners, brows = [61, 291], [105, 334]
    whole, more, most = (prior.blend_emotions({"happy": amount}) for amount in (1.0, 1.5, 4.0))
    for name in ("offset", "closed_lip_reduction"):
        once, further, furthest = (getattr(pattern, name)[corners] for pattern in (whole, more, most))
        assert further == pytest.approx((1 + 0.5 / 3) * once, rel=1e-3)
        assert (np.abs(furthest) < 1.25 * np.abs(once)).all()
    assert more.offset[brows] == pytest.approx(1.5 * whole.offset[brows], rel=1e-3)


def test_an_emotion_laid_on_and_taken_off_is_nothing(prior):
    assert same(
        prior.blend_emotions({"sad": 1.0}).add(prior.blend_emotions({"sad": -1.0}), 1.0), prior.blend_emotions({})
    )


def test_smiles_go_up_and_surprised_brows_too(prior):
    happy, surprised, angry = (prior.blend_emotions({name: 1.0}).offset for name in ("happy", "surprised", "angry"))
    assert happy[[61, 291], 1].max() < 0  # y down
    assert surprised[[105, 334], 1].max() < 0 < angry[[105, 334], 1].min()


# Speech


def test_lips_count_as_parted_from_none_to_all():
    openings = np.linspace(0, 20, 400)
    found = np.array([lip_openness(opening, CLOSED) for opening in openings])
    assert not found[openings <= CLOSED].any()
    assert (np.diff(found[openings > CLOSED]) > 0).all()
    assert found.max() < 1
    assert found[-1] > 0.95


def amounts():
    """Each emotion as strong as may be asked for, and each taken out."""
    return [(name, amount) for name in EXPRESSIVE for amount in (-1.0, 1.0, 1.5)]


@pytest.mark.parametrize(("name", "amount"), amounts())
@pytest.mark.parametrize("closed", [0.0, 0.2, CLOSED, 0.5])
def test_openings_keep_their_order(prior, name, amount, closed):
    pattern = prior.blend_emotions({name: amount})
    before = np.linspace(0, 3, 121)
    after = []
    for opening in before:
        shape = shape_with(opening)
        after.append(float(lips().opening(shape + pattern.compute_displacement(shape, closed))))
    assert np.diff(after).min() > 0


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_closed_lips_stay_as_they_are(prior, name):
    for opening in (0.02, 0.2, CLOSED):
        shape = shape_with(opening)
        edited = shape + prior.blend_emotions({name: 1.5}).compute_displacement(shape, CLOSED)
        assert lips().opening(edited) == pytest.approx(lips().opening(shape), abs=0.03)


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_parted_lips_part_farther_by_no_more_than_said(prior, name):
    pattern = prior.blend_emotions({name: 1.0})
    shape = shape_with(1.5)
    grown = float(lips().opening(shape + pattern.compute_displacement(shape, CLOSED))) - 1.5
    assert 0 < grown / pattern.lip_opening <= 1.05


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_the_mouth_gives_way_to_shut_lips_as_far_as_people_s_do(prior, name):
    pattern, share = prior.blend_emotions({name: 1.0}), float(prior.closed_lip_fraction[EXPRESSIVE.index(name)])
    corners, brows = [61, 291], [105, 334]
    shut, wide = (pattern.compute_displacement(shape_with(opening), CLOSED) for opening in (0.1, 9.0))
    assert shut[corners, 0] == pytest.approx(share * pattern.offset[corners, 0], abs=0.02)
    assert wide[corners, 0] == pytest.approx(
        (share + (1 - share) * WIDE_MOUTH_SHARE) * pattern.offset[corners, 0], abs=0.02
    )
    assert shut[brows] == pytest.approx(wide[brows], abs=1e-3)


def test_smiles_are_back_as_soon_as_lips_part_and_widest_while_they_are_half_parted():
    openings = CLOSED + np.linspace(0, 1.5, 151)
    given = np.array([lip_reopening(opening, CLOSED) * wide_mouth_limit(opening, CLOSED) for opening in openings])
    widest = int(given.argmax())
    assert given[0] == 0
    assert given[15] > 0.33  # a millimetre and a half
    assert 0.3 <= openings[widest] - CLOSED <= 0.5
    assert (np.diff(given[:widest]) > 0).all()
    assert (np.diff(given[widest:]) < 0).all()


def test_smiles_and_bared_teeth_give_way_and_rounded_lips_do_not(prior):
    shut = dict(zip(EXPRESSIVE, prior.closed_lip_fraction, strict=True))
    assert max(shut[name] for name in ("happy", "angry", "disgusted")) < 0.6
    assert min(shut[name] for name in ("sad", "surprised")) > 0.9


def test_a_blink_stays_a_blink(prior):
    shape = canonical_points()
    shut = shape + lids().opening_displacement(-lids().vectors(shape))
    for name in EXPRESSIVE:
        edited = shut + prior.blend_emotions({name: 1.0}).compute_displacement(shut, CLOSED)
        assert lids().opening(edited) <= 0.05  # cm


def eyes_parting(share):
    """A pose-free shape [478, 3] whose lids part by that share of the eyes' width."""
    shape = canonical_points()
    wide = np.mean([np.linalg.norm(shape[one] - shape[other]) for one, other in (RIGHT_CORNERS, LEFT_CORNERS)])
    return shape + lids().opening_displacement((share * wide / lids().opening(shape) - 1) * lids().vectors(shape)), wide


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_lids_open_by_the_ratio(prior, name):
    pattern, (shape, _) = prior.blend_emotions({name: 1.0}), eyes_parting(0.15)
    ratio = lids().opening(shape + pattern.compute_displacement(shape, CLOSED)) / lids().opening(shape)
    assert ratio == pytest.approx(pattern.lid_ratio, abs=0.04)


def test_no_eye_opens_wider_than_eyes_do_and_none_gets_narrower_for_it(prior):
    pattern, before = prior.blend_emotions({"surprised": 1.5}), 0.0
    for share in (0.1, 0.2, 0.25, 0.3, 0.34, 0.4):
        shape, wide = eyes_parting(share)
        after = float(lids().opening(shape + pattern.compute_displacement(shape, CLOSED))) / wide
        assert share - 0.01 <= after <= max(share, EYE_LIMIT + EYE_EXCESS) + 0.01
        assert after > before  # openings keep their order
        before = after


# Examples of a person


def test_an_example_is_followed_as_far_as_it_is_believed(prior):
    neutral, place = prior.mean + 0.5 * prior.identity[0], EXPRESSIVE.index("happy")
    wide = lids().remove(lips().remove(prior.expression[0]))  # an expression without apertures
    believing = replace(
        prior, enrollment_gain=np.float32([[0.5] * 4, [1] * 4]), emphasis=np.full_like(prior.emphasis, 2)
    )
    photo, clip = (
        believing.enroll([EnrollmentExample("happy", neutral + wide, flag)], neutral).offset[place]
        for flag in (True, False)
    )
    assert np.allclose(clip, 2 * wide, atol=1e-5)
    assert np.allclose(photo, (prior.offset[place] + 2 * wide) / 2, atol=1e-5)
    others = [k for k in range(len(EXPRESSIVE)) if k != place]
    enrolled = prior.enroll([EnrollmentExample("happy", neutral + wide, photo=False)], neutral)
    assert np.array_equal(enrolled.offset[others], prior.offset[others])
    assert prior.enroll([], neutral).offset == pytest.approx(prior.offset)


def test_a_photo_of_a_talking_mouth_says_less_than_one_of_brows(prior):
    brows, _, _, mouth = prior.enrollment_gain[0]
    assert 0 <= mouth < brows <= 1
    assert (prior.enrollment_gain[1] >= prior.enrollment_gain[0]).all()
    assert region_matrix().shape == (4, 478)
