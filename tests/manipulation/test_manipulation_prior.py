"""The emotion prior: kept in a file, refused when it is none, linear in what is asked for, and kind to speech."""

import io
from dataclasses import replace

import numpy as np
import pytest

from cdrl.assets import register_asset
from cdrl.emotions import EMOTIONS
from cdrl.errors import ModelFileError
from cdrl.face.apertures import brows, lids, lips
from cdrl.face.mesh import INNER_LIPS, LEFT_CORNERS, RIGHT_CORNERS, canonical_points, region_weights
from cdrl.manipulation.expression_change import (
    BROW_RAISE_EXCESS,
    BROW_RAISE_LIMIT,
    EYE_EXCESS,
    EYE_LIMIT,
    LIP_RATIOS,
    LIP_SCALING_HALF_POINT,
    LOWER_BROWS,
    LOWERING_HOLD,
    NARROW_EXCESS,
    NARROW_LIMIT,
    SHUT_TEETH_HOLD,
    UPPER_LIDS,
    WIDEST_OPENING,
    ExpressionChange,
    brow_limit,
    hill,
    measure_lip_ratio,
    mouth_freedom,
    scale_lip_opening,
)
from cdrl.manipulation.person import TYPICAL_OPENING
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, EnrollmentExample, array_names, region_matrix

CLOSED = 0.35  # cm
CORNERS, BROWS = [61, 291], [105, 334]


def arrays(prior):
    return {name: getattr(prior, name) for name in array_names()}


def same(one: ExpressionChange, two: ExpressionChange, tolerance=1e-5):
    names = ("offset", "closed_lip_reduction", "lip_opening", "lid_ratio", "gain")
    return all(np.allclose(getattr(one, name), getattr(two, name), atol=tolerance) for name in names)


def shapes_with(openings):
    """Pose-free shapes [..., 478, 3] whose lips part by `openings` [...] cm."""
    shape = canonical_points()
    vectors = np.float32([0, 1, 0]) * np.asarray(openings, np.float32)[..., None, None] - lips().vectors(shape)
    return shape + lips().opening_displacement(vectors)


def edit(change, shapes, closed_opening=CLOSED):
    return shapes + change.compute_displacement(shapes, closed_opening, TYPICAL_OPENING)


# The file


def test_a_prior_saved_and_loaded_is_the_same(prior, tmp_path):
    prior.save(tmp_path / "prior.npz")
    again = EmotionPrior.load(tmp_path / "prior.npz")
    for name, array in arrays(prior).items():
        assert getattr(again, name).dtype == np.float32
        assert getattr(again, name) == pytest.approx(array, abs=1e-6)  # what shipped was rounded already


def invert_bytes(whole, share):
    place = int(share * len(whole))
    return whole[:place] + bytes(255 - value for value in whole[place : place + 8]) + whole[place + 8 :]


def saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


NOT_A_PRIOR = {
    "text": lambda whole: b"not a prior",
    "nothing": lambda whole: b"",
    "a zip of other things": lambda whole: saved(lambda file: np.savez(file, other=np.zeros(3))),
    "pickled objects": lambda whole: saved(lambda file: np.savez(file, offset=np.array([object()], object))),
    "a single array": lambda whole: saved(lambda file: np.save(file, np.zeros(3))),
    "ten bytes": lambda whole: whole[:10],
    "the first third": lambda whole: whole[: len(whole) // 3],
    "the last byte missing": lambda whole: whole[:-1],
    "damage near the beginning": lambda whole: invert_bytes(whole, 0.2),
    "damage in the middle": lambda whole: invert_bytes(whole, 0.5),
    "damage near the end": lambda whole: invert_bytes(whole, 0.8),
}


@pytest.mark.parametrize("content", list(NOT_A_PRIOR))
def test_what_is_no_prior_is_refused(prior, tmp_path, content):
    path = tmp_path / "prior.npz"
    prior.save(path)
    path.write_bytes(NOT_A_PRIOR[content](path.read_bytes()))
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
    assert all(np.abs(pairs.vectors(prior.offset)).max() <= 0.02 for pairs in (lips(), lids()))  # cm


def test_neutral_and_none_are_nothing(prior):
    for amounts in ({}, {"neutral": 1.0}, {"happy": 0.0}):
        nothing = prior.blend_emotions(amounts)
        assert not any(array.any() for array in (nothing.offset, nothing.closed_lip_reduction, nothing.gain))
        assert (nothing.lip_opening, nothing.lid_ratio) == (0, 1)
        assert not nothing.compute_displacement(canonical_points(), CLOSED, TYPICAL_OPENING).any()


def test_a_blend_adds_up(prior):
    blend = prior.blend_emotions({"happy": 0.6, "surprised": 0.4})
    parts = prior.blend_emotions({"happy": 0.6}).add(prior.blend_emotions({"surprised": 1.0}), 0.4)
    assert same(blend, parts)


def test_twice_the_amount_is_twice_the_change(prior):
    once, twice = prior.blend_emotions({"angry": 0.5}), prior.blend_emotions({"angry": 1.0})
    assert same(twice, once.add(once, 1.0))
    assert twice.lid_ratio == pytest.approx(once.lid_ratio**2)


def test_beyond_a_whole_emotion_the_mouth_goes_little_farther(prior):
    whole, more, most = (prior.blend_emotions({"happy": amount}) for amount in (1.0, 1.5, 4.0))
    for name in ("offset", "closed_lip_reduction"):
        once, further, furthest = (getattr(change, name)[CORNERS] for change in (whole, more, most))
        assert further == pytest.approx((1 + 0.5 / 3) * once, rel=1e-3)
        assert (np.abs(furthest) < 1.25 * np.abs(once)).all()
    assert more.offset[BROWS] == pytest.approx(1.5 * whole.offset[BROWS], rel=1e-3)


def test_an_emotion_added_and_removed_is_nothing(prior):
    added, removed = prior.blend_emotions({"sad": 1.0}), prior.blend_emotions({"sad": -1.0})
    assert same(added.add(removed, 1.0), prior.blend_emotions({}))


def test_smiles_go_up_and_surprised_brows_too(prior):
    happy, surprised, angry = (prior.blend_emotions({name: 1.0}).offset for name in ("happy", "surprised", "angry"))
    assert happy[CORNERS, 1].max() < 0  # y down
    assert surprised[BROWS, 1].max() < 0 < angry[BROWS, 1].min()


# Speech


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.6, 1.0, 2.0, 4.0, 9.0])
@pytest.mark.parametrize("closed_opening", [0.0, CLOSED, 0.5])
def test_scaled_lips_stay_closed_keep_their_order_and_open_no_farther_when_wide(ratio, closed_opening):
    openings = np.linspace(0, 4, 401)
    scaled = scale_lip_opening(openings, closed_opening, ratio)
    for still in (openings <= closed_opening, openings >= closed_opening + WIDEST_OPENING):
        assert scaled[still] == pytest.approx(openings[still], abs=1e-6)
    assert (np.diff(scaled) > 0).all()
    between = (openings > closed_opening + 0.1) & (openings < closed_opening + WIDEST_OPENING - 0.1)
    assert (np.sign(scaled - openings)[between] == np.sign(ratio - 1)).all()


def test_more_is_scaled_to_more_within_bounds():
    least, most = LIP_RATIOS
    scaled = [scale_lip_opening(0.9, CLOSED, ratio) for ratio in (least / 2, least, 0.5, 1, 2, most, 2 * most)]
    assert scaled[0] == scaled[1] < scaled[2] < scaled[3] < scaled[4] < scaled[5] == scaled[6]
    assert scaled[3] == 0.9
    assert scaled[1] > CLOSED  # parted lips stay parted


def test_a_measured_ratio_takes_the_one_opening_to_the_other():
    """As far as changes show in lips that are so far apart."""
    for opening, other in ((0.9, 1.4), (1.6, 1.1), (2.4, 1.8), (0.9, 0.9)):
        ratio = measure_lip_ratio(other, opening, CLOSED)
        share = hill((opening - CLOSED) / LIP_SCALING_HALF_POINT, 2)
        assert scale_lip_opening(opening, CLOSED, ratio) - opening == pytest.approx(share * (other - opening))
        assert measure_lip_ratio(opening, other, CLOSED) == pytest.approx(1 / ratio)
    assert np.isfinite(measure_lip_ratio(-1.0, 9.0, CLOSED))


@pytest.mark.parametrize("amount", [-1.0, 1.0, 1.5])
@pytest.mark.parametrize("name", EXPRESSIVE)
@pytest.mark.parametrize("closed_opening", [0.0, 0.2, CLOSED, 0.5])
def test_openings_keep_their_order(prior, name, amount, closed_opening):
    edited = edit(prior.blend_emotions({name: amount}), shapes_with(np.linspace(0, 3, 121)), closed_opening)
    assert np.diff(lips().opening(edited)).min() > 0


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_parted_lips_part_as_an_emotion_has_it_and_closed_lips_stay_closed(prior, name):
    openings = np.linspace(0, 2 * TYPICAL_OPENING, 37)
    half, whole = (
        lips().opening(edit(prior.blend_emotions({name: amount}), shapes_with(openings))) - openings
        for amount in (0.5, 1.0)
    )
    assert np.abs(whole[openings <= CLOSED]).max() <= 0.03
    assert 0 < half.mean() < whole.mean()


@pytest.mark.parametrize("farther", [-0.2, 0.1, 0.3])
def test_the_mean_opening_over_talk_grows_by_what_is_asked_for(prior, farther):
    openings = np.linspace(0, 2 * TYPICAL_OPENING, 37)
    change = replace(prior.blend_emotions({}), lip_opening=farther)
    grown = lips().opening(edit(change, shapes_with(openings))) - openings
    assert grown.mean() == pytest.approx(farther, rel=0.25)
    assert np.abs(grown).max() < 2.5 * abs(farther)


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_closed_lips_suppress_as_much_of_the_mouth_as_people_s_do(prior, name):
    change, share = prior.blend_emotions({name: 1.0}), float(prior.closed_lip_fraction[EXPRESSIVE.index(name)])
    closed, wide = change.compute_displacement(shapes_with([0.1, 9.0]), CLOSED, TYPICAL_OPENING)
    corners = change.offset[CORNERS, 0]
    assert closed[CORNERS, 0] == pytest.approx(share * corners, abs=0.02)
    assert wide[CORNERS, 0] == pytest.approx(corners, abs=0.02)
    assert closed[BROWS] == pytest.approx(wide[BROWS], abs=1e-3)


@pytest.mark.parametrize("farther", [-0.2, 0.3])
def test_lips_before_shut_teeth_part_little_farther_and_close_as_ever(prior, farther):
    shapes = shapes_with([0.5, 0.9])
    change = replace(prior.blend_emotions({}), lip_opening=farther)
    free, held = (
        lips().opening(shapes + change.compute_displacement(shapes, CLOSED, TYPICAL_OPENING, shut)) - [0.5, 0.9]
        for shut in (0.0, 1.0)
    )
    assert (free * farther > 0).all()
    assert held == pytest.approx((1 - SHUT_TEETH_HOLD if farther > 0 else 1) * free, rel=0.02)


def test_lips_come_down_less_before_shut_teeth(prior):
    change, shape = replace(prior.blend_emotions({"surprised": 1.0}), lip_opening=0.0), shapes_with([0.9])
    free, held = (
        change.compute_displacement(shape, CLOSED, TYPICAL_OPENING, shut)[0][list(sum(INNER_LIPS, ())), 1].mean()
        for shut in (0.0, 1.0)
    )
    assert held == pytest.approx((1 - LOWERING_HOLD) * free, rel=0.05)
    assert free > 0.05


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_brows_move_and_keep_their_thickness(prior, name):
    shape = canonical_points()
    moved = prior.blend_emotions({name: 1.0}).compute_displacement(shape, CLOSED, TYPICAL_OPENING)
    assert np.linalg.norm(moved[BROWS], axis=1).max() > 0.1
    assert brows().vectors(shape + moved) == pytest.approx(brows().vectors(shape), abs=1e-4)


def test_smiles_return_as_soon_as_lips_part_and_stay_in_wide_mouths():
    shown = mouth_freedom(CLOSED + np.linspace(0, 1.5, 151), CLOSED)
    assert shown[0] == 0
    assert shown[15] > 0.33  # a millimeter and a half
    assert (np.diff(shown) > 0).all()
    assert shown[-1] > 0.95


def test_in_a_pause_closed_lips_show_the_whole_expression(prior):
    change = prior.blend_emotions({"happy": 1.0})
    talking, pausing = (
        change.compute_displacement(shapes_with([0.1]), CLOSED, TYPICAL_OPENING, pause=pause)[0] for pause in (0.0, 1.0)
    )
    assert pausing[CORNERS, 0] == pytest.approx(change.offset[CORNERS, 0], abs=0.02)
    assert np.abs(talking[CORNERS, 0]).max() < 0.6 * np.abs(pausing[CORNERS, 0]).max()


def test_closed_lips_suppress_smiles_and_bared_teeth_and_not_rounded_lips(prior):
    fraction = dict(zip(EXPRESSIVE, prior.closed_lip_fraction, strict=True))
    assert max(fraction[name] for name in ("happy", "angry", "disgusted")) < 0.6
    assert min(fraction[name] for name in ("sad", "surprised")) > 0.9


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_a_blink_stays_a_blink(prior, name):
    blink = canonical_points() - lids().opening_displacement(lids().vectors(canonical_points()))
    assert lids().opening(edit(prior.blend_emotions({name: 1.0}), blink)) <= 0.05  # cm


def parted_lids(shares):
    """Pose-free shapes [n, 478, 3] whose lids part by `shares` [n] of the eyes' width, and that width."""
    shape = canonical_points()
    width = np.mean([np.linalg.norm(shape[one] - shape[other]) for one, other in (RIGHT_CORNERS, LEFT_CORNERS)])
    factor = np.float32(shares)[:, None, None] * width / lids().opening(shape) - 1
    return shape + lids().opening_displacement(factor * lids().vectors(shape)), width


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_lids_open_by_the_ratio(prior, name):
    change = prior.blend_emotions({name: 1.0})
    shapes, _ = parted_lids([0.15 if change.lid_ratio > 1 else 0.28])  # far from how wide and how narrow eyes get
    ratio = lids().opening(edit(change, shapes)) / lids().opening(shapes)
    assert ratio == pytest.approx(change.lid_ratio, abs=0.04)


def test_no_eye_opens_wider_than_eyes_do_and_none_gets_narrower_for_it(prior):
    shares = np.array([0.1, 0.2, 0.25, 0.3, 0.34, 0.4])
    shapes, width = parted_lids(shares)
    after = lids().opening(edit(prior.blend_emotions({"surprised": 1.5}), shapes)) / width
    assert (after >= shares - 0.01).all()
    assert (after <= np.maximum(shares, EYE_LIMIT + EYE_EXCESS) + 0.01).all()
    assert (np.diff(after) > 0).all()  # openings keep their order


def test_no_open_eye_gets_narrower_than_eyes_do_and_narrow_ones_stay_as_they_are(prior):
    shares = np.array([0.02, 0.1, 0.15, 0.2, 0.25, 0.3])
    shapes, width = parted_lids(shares)
    after = lids().opening(edit(replace(prior.blend_emotions({}), lid_ratio=0.5), shapes)) / width
    assert (after <= shares + 0.01).all()
    assert (after >= np.minimum(shares, NARROW_LIMIT - NARROW_EXCESS) - 0.01).all()
    assert (np.diff(after) > 0).all()  # openings keep their order


def raise_brows(prior, shape, amount):
    """Share of the way from lid to brow by which surprise raises brows; asked for, and shown."""
    offset = amount * prior.offset[EXPRESSIVE.index("surprised")]
    ways = [part[..., UPPER_LIDS, 1] - part[..., LOWER_BROWS, 1] for part in (shape, offset)]
    shown = offset * brow_limit(shape, offset)[:, None]
    left = float(ways[0].mean())
    return float(ways[1].mean()) / left, float((shown[UPPER_LIDS, 1] - shown[LOWER_BROWS, 1]).mean()) / left


@pytest.mark.parametrize("pressed", [0.0, 0.5, 0.8])
def test_brows_that_press_on_the_eyes_go_up_no_farther_than_skin_stretches(prior, pressed):
    """`pressed` is the share of the way from brow to lid that anger has taken."""
    shape = canonical_points().copy()
    way = (shape[UPPER_LIDS, 1] - shape[LOWER_BROWS, 1]).mean()
    shape[:, 1] += pressed * way * region_weights()["brows"]
    pairs = [raise_brows(prior, shape, amount) for amount in (0.1, 0.25, 0.5, 1.0)]
    for asked, shown in pairs:
        if asked <= BROW_RAISE_LIMIT:
            assert shown == pytest.approx(asked, rel=1e-4)
        else:
            assert shown < asked and shown <= BROW_RAISE_LIMIT + BROW_RAISE_EXCESS + 0.15  # lids go on by themselves
    assert (np.diff([shown for _, shown in pairs]) > 0).all()


# Examples of a person


def test_the_offset_goes_towards_an_example_as_far_as_its_gain(prior):
    neutral, place = prior.mean + 0.5 * prior.identity[0], EXPRESSIVE.index("happy")
    unseen = prior.brow_movement[place]  # in an example, whose landmarks do not follow
    wide = lids().remove(lips().remove(prior.expression[0]))  # an expression without apertures
    believing = replace(prior, enrollment_gain=np.float32([[0.5] * 4, [1] * 4]))
    examples = [EnrollmentExample("happy", neutral + wide, photo) for photo in (True, False)]
    photo, clip = (believing.enroll([example], neutral).offset[place] for example in examples)
    assert np.allclose(clip, wide + unseen, atol=1e-5)
    assert np.allclose(photo, (prior.offset[place] + wide + unseen) / 2, atol=1e-5)
    others = [k for k in range(len(EXPRESSIVE)) if k != place]
    enrolled = prior.enroll([EnrollmentExample("happy", neutral + wide, photo=False)], neutral)
    assert np.array_equal(enrolled.offset[others], prior.offset[others])
    assert prior.enroll([], neutral).offset == pytest.approx(prior.offset)


def test_a_photo_of_a_talking_mouth_says_less_than_one_of_brows(prior):
    brows, _, _, mouth = prior.enrollment_gain[0]
    assert 0 <= mouth < brows <= 1
    assert (prior.enrollment_gain[1] >= prior.enrollment_gain[0]).all()
    assert region_matrix().shape == (4, 478)
