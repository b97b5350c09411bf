"""The folds of a face: lines where expressions fold skin, and neither hair nor light."""

import cv2
import numpy as np
import pytest

from cdrl.rendering.folds import measure_folds, shaded_skin
from cdrl.rendering.texture import SIZE, texture_points

BETWEEN_BROWS, CHEEK = 9, 50
LIGHT = np.log(140.0 + 8.0)


def line(point, depth, light=LIGHT):
    """Log texture of even skin with an upright line, two texels wide, at a landmark."""
    x, y = np.round(texture_points()[point]).astype(int)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[y - 5 : y + 6, x - 1 : x + 1] = 1
    return np.float32(light - depth * cv2.GaussianBlur(mask, (0, 0), 0.7)), (y, x)


def test_a_line_between_the_brows_is_a_fold_as_deep_as_it_is():
    texture, place = line(BETWEEN_BROWS, 0.15)
    folds = measure_folds(texture)
    assert folds.max() == 0
    assert folds[place] == pytest.approx(texture[place] - LIGHT, abs=0.06)
    assert np.abs(folds).sum() < 1.5 * np.abs(texture - LIGHT).sum()  # nothing else is one


def test_what_lies_elsewhere_what_is_as_dark_as_hair_and_wide_shadows_are_none():
    hair, place = line(BETWEEN_BROWS, 1.2)
    assert measure_folds(hair)[place] > -0.05
    assert measure_folds(line(CHEEK, 0.15)[0]).min() > -0.03
    shadow = LIGHT - 0.3 * np.linspace(-1, 1, SIZE, dtype=np.float32)[:, None] * np.ones((1, SIZE), np.float32)
    assert measure_folds(shadow).min() > -0.03


def test_nostrils_and_lids_are_not_shaded_and_folds_are():
    x, y = np.round(texture_points()).astype(int).T
    shown = shaded_skin()[y, x]
    nostrils, lids, between_brows, beside_the_nose = [79, 309], [224, 444], [9], [206, 426]
    assert shown[nostrils].max() < 0.1
    assert shown[lids].max() < 0.5
    assert shown[between_brows + beside_the_nose].min() > 0.9
