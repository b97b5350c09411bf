"""Brows are followed by their hair, where landmarks do not follow them."""

import cv2
import numpy as np
import pytest

from cdrl.face.mesh import EYE_CONTOURS, LEFT_BROW, RIGHT_BROW, mirror_shape
from cdrl.rendering.texture import SIZE, texels_per_cm, texture_points
from cdrl.training.brow_movement import measure_brow_movement, move_back

INNER, OUTER = (55, 285), (46, 276)
SKIN, HAIR = 5.0, -0.9  # log of luma, and of brows beside it


def face(down=0.0, apart=0.0, slope=0.0, light=0.0, noise=0.0):
    """A log texture with brows that moved by cm beside their landmarks: by more, by `slope`, at the inner ends."""
    hair = np.zeros((SIZE * 4, SIZE * 4), np.float32)
    for brow, side in ((RIGHT_BROW, -1), (LEFT_BROW, 1)):
        points = texture_points()[[*brow[:5], *brow[:4:-1]]]
        along = np.abs(points[:, 0] - (SIZE - 1) / 2)
        inner = 1 - (along - along.min()) / np.ptp(along)
        moved = points + texels_per_cm() * np.stack([np.full(10, side * apart), down + slope * inner], 1)
        cv2.fillPoly(hair, [np.round((moved + 0.5) * 4).astype(np.int32)], 1.0)
    small = cv2.resize(cv2.GaussianBlur(hair, (0, 0), 4), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(0).normal(0, noise, small.shape)
    return (SKIN + light + HAIR * small + grain).astype(np.float32)


@pytest.mark.parametrize(
    ("down", "apart", "slope"), [(0.0, 0.0, 0.0), (0.3, -0.3, 0.0), (0.1, -0.2, 0.4), (-0.3, 0.1, 0)]
)
def test_a_frown_that_landmarks_missed_is_found(down, apart, slope):
    found = measure_brow_movement(face(), face(down, apart, slope, light=0.3, noise=0.01))
    assert found[INNER, 1] == pytest.approx(down + slope, abs=0.08)
    assert found[OUTER, 1] == pytest.approx(down, abs=0.08)
    assert found[INNER[1], 0] == pytest.approx(apart, abs=0.08)
    assert found == pytest.approx(mirror_shape(found), abs=1e-5)


def test_eyes_and_what_lies_below_stay():
    found = measure_brow_movement(face(), face(0.4, -0.3))
    assert not found[[*EYE_CONTOURS[0], *EYE_CONTOURS[1], 4, 61, 152]].any()


@pytest.mark.parametrize("other", [face() * 0 + SKIN, face()[::-1].copy()])
def test_nothing_is_said_where_no_brows_are_found(other):
    assert not measure_brow_movement(face(), other).any()


def test_moved_back_brows_lie_where_their_landmarks_are():
    before, after = face(), face(0.3, -0.2)
    again = move_back(after, measure_brow_movement(before, after))
    assert np.abs(again - before).max() < 0.5 * np.abs(after - before).max()
    assert np.square(again - before).mean() < 0.1 * np.square(after - before).mean()
