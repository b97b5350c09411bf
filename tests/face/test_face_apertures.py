"""Apertures can be taken out of a displacement, and asked for to the hair's breadth."""

import numpy as np
import pytest

from cdrl.face.apertures import brows, lids, lips
from cdrl.face.mesh import LEFT_LIDS, RIGHT_LIDS, canonical_points, region_weights

APERTURES = {"lips": (lips, 9), "lids": (lids, 14), "brows": (brows, 10)}


@pytest.fixture(params=APERTURES)
def aperture(request):
    return APERTURES[request.param][0]()


@pytest.fixture
def displacement():
    return np.random.default_rng(0).normal(0, 0.3, (478, 3)).astype(np.float32)


@pytest.mark.parametrize("name", APERTURES)
def test_pairs_are_distinct_points(name):
    found, pairs = APERTURES[name][0](), APERTURES[name][1]
    assert len({*found.upper, *found.lower}) == 2 * pairs


def test_an_opening_asked_for_is_reached_pair_by_pair(aperture):
    wish = np.random.default_rng(1).normal(0, 0.3, (len(aperture.upper), 3)).astype(np.float32)
    shape = canonical_points()
    change = aperture.vectors(shape + aperture.opening_displacement(wish)) - aperture.vectors(shape)
    assert change == pytest.approx(wish, abs=1e-5)


def test_without_leaves_no_trace_in_the_aperture(aperture, displacement):
    shape = canonical_points()
    kept = aperture.remove(displacement)
    assert aperture.vectors(kept) == pytest.approx(np.zeros((len(aperture.upper), 3)), abs=1e-5)
    assert aperture.opening(shape + kept) == pytest.approx(aperture.opening(shape), abs=1e-5)
    assert aperture.remove(kept) == pytest.approx(kept, abs=1e-5)


def test_lips_lids_and_brows_do_not_undo_one_another(displacement):
    kept = brows().remove(lids().remove(lips().remove(displacement)))
    assert np.abs(lips().vectors(kept)).max() <= 0.01
    assert np.abs(lids().vectors(kept)).max() <= 1e-5


def test_a_displacement_without_an_aperture_passes(aperture):
    together = np.full((478, 3), 0.2, np.float32)  # both points of each pair go the same way
    assert aperture.remove(together) == pytest.approx(together, abs=1e-6)


def test_opening_is_the_mean_gap():
    shape = canonical_points().copy()
    gaps = np.linalg.norm(shape[lips().lower] - shape[lips().upper], axis=1)
    assert lips().opening(shape) == pytest.approx(gaps.mean())
    assert lips().opening(np.stack([shape, 2 * shape])) == pytest.approx([gaps.mean(), 2 * gaps.mean()], rel=1e-5)


@pytest.mark.parametrize(("name", "untouched"), [("lips", ("brows", "eyes")), ("lids", ("mouth",))])
def test_far_regions_barely_move(name, untouched):
    aperture = APERTURES[name][0]()
    down = np.tile(np.float32([0, 1, 0]), (len(aperture.upper), 1))
    moved = np.linalg.norm(aperture.opening_displacement(down), axis=1)
    assert moved.max() <= 1
    for region in untouched:
        assert moved[region_weights()[region] > 0.5].max() <= 0.1


def test_an_eye_opens_alone():
    vectors = np.zeros((14, 3), np.float32)
    vectors[:7, 1] = 1  # the right eye's pairs come first
    moved = lids().opening_displacement(vectors)
    assert np.abs(moved[[*LEFT_LIDS[0], *LEFT_LIDS[1]]]).max() == 0
    assert np.abs(moved[[*RIGHT_LIDS[0], *RIGHT_LIDS[1]]]).max() > 0.5


def test_the_jaw_goes_with_the_lower_lip_and_nose_and_irises_stay():
    vectors = np.zeros((9, 3), np.float32)
    vectors[:, 1] = [0.5, 0.8, 1.1, 1.2, 1.25, 1.2, 1.1, 0.8, 0.5]  # as lips part in talk
    moved = lips().opening_displacement(vectors)
    below = moved[[14, 17, 18, 200, 152], 1]  # from the lip down to the chin
    assert (np.diff(below) < 0).all()
    assert below[-1] == pytest.approx(0.53 * below[0], abs=0.05)  # the chin
    assert abs(moved[61, 1]) < 0.2  # a corner of the mouth
    assert moved[1, 1] == pytest.approx(0, abs=0.1)  # tip of the nose
    assert np.abs(moved[468:]).max() == 0
