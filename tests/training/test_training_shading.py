"""The shading of an emotion: folds that people share, as deep as theirs, and nothing of what one of them has alone."""

import cv2
import numpy as np
import pytest

from cdrl.rendering.folds import fold_areas
from cdrl.rendering.texture import SIZE, texture_points
from cdrl.training.fold_lines import LINED_AREAS, fit_fold_lines
from cdrl.training.shading import fit_shading

FOLD, CHEEK, EYE, CHIN = 206, 187, 230, 200  # landmarks: the fold beside the nose, the cheek, under the eye, the chin
ALONG_FOLD = (129, 203, 206, 216)  # landmarks by which it runs from the nose
BESIDE_BROW = (
    (55, (3, 0)),
    (107, (4, 0)),
    (107, (5, -5)),
)  # a landmark, and texels from it, by which a frown's line runs
DEPTH = 0.3


def line(*corners):
    """A line of a texel or two on both halves of the face, 1 in its middle."""
    drawn = np.zeros((SIZE, SIZE), np.float32)
    points = np.round([texture_points()[index] + np.array(shift) for index, shift in corners]).astype(np.int32)
    cv2.polylines(drawn, [points], False, 1.0, 1)
    drawn = cv2.GaussianBlur(drawn + drawn[:, ::-1], (0, 0), 0.8)
    return drawn / drawn.max()


def person(rng, *marks, shift=0.0):
    """What changes in somebody's skin: grain, and marks (landmark, log of luma): a line for the fold, else blots."""
    gain = rng.normal(0, 0.005, (SIZE, SIZE)).astype(np.float32)
    for index, value in marks:
        if index == FOLD:
            gain += value * line(*((point, (shift, 0)) for point in ALONG_FOLD))
            continue
        x, y = texture_points()[index]
        blot = np.zeros_like(gain)
        cv2.circle(blot, (round(float(x + shift)), round(float(y))), 3, 1.0, -1)
        gain += value * cv2.GaussianBlur(blot, (0, 0), 1.0)
    return gain


def at(gain, index):
    x, y = np.round(texture_points()[index]).astype(int)
    return float(gain[y - 2 : y + 3, x - 2 : x + 3].min())


def test_a_fold_that_all_show_is_as_deep_as_theirs_though_it_lies_a_little_elsewhere_in_each():
    rng = np.random.default_rng(0)
    people = [person(rng, (FOLD, -DEPTH), shift=shift) for shift in (-2, -1, 0, 1, 2)]
    assert at(fit_shading(people), FOLD) == pytest.approx(-DEPTH, rel=0.3)


def test_what_one_person_shows_alone_is_left_out():
    rng = np.random.default_rng(0)
    people = [person(rng, (FOLD, -DEPTH)) for _ in range(4)] + [person(rng, (FOLD, -DEPTH), (EYE, -DEPTH))]
    fitted = fit_shading(people)
    assert at(fitted, FOLD) < -0.7 * DEPTH
    assert at(fitted, EYE) > -0.1 * DEPTH


def test_an_area_whose_folds_do_not_tell_those_of_others_is_left_as_it_is():
    """Half of the people fold the chin and the others smooth it: the median is a fold, and a guess at nobody's."""
    rng = np.random.default_rng(0)
    chins = (-0.3, -0.1, -0.1, -0.1, 0.3, 0.3)
    fitted = fit_shading([person(rng, (FOLD, -DEPTH), (CHIN, depth)) for depth in chins])
    assert at(fitted, FOLD) < -0.7 * DEPTH
    assert at(fitted, CHIN) > -0.02


def test_cheeks_between_the_folds_are_not_painted():
    rng = np.random.default_rng(0)
    fitted = fit_shading([person(rng, (CHEEK, -DEPTH)) for _ in range(5)])
    assert fold_areas().sum(0).max() <= 1 + 1e-5
    assert at(fitted, CHEEK) > -0.1 * DEPTH


def test_a_line_that_all_show_stays_a_line_though_it_lies_elsewhere_in_each():
    """A median over people texel by texel is wider than each of theirs, and hardly dark."""
    rng = np.random.default_rng(0)
    shifts = (-2, -1, 0, 1, 2)
    lines = [line(*((index, (x + shift, y)) for index, (x, y) in BESIDE_BROW)) for shift in shifts]
    people = [rng.normal(0, 0.005, (SIZE, SIZE)).astype(np.float32) - DEPTH * drawn for drawn in lines]
    fitted, apart = fit_fold_lines(people, "glabella"), np.median(people, 0)
    across = slice(None, SIZE // 2)
    row = round(float(texture_points()[107][1]))
    assert fitted[row].min() < -0.6 * DEPTH < apart[row].min()
    assert (fitted[row, across] < fitted[row].min() / 2).sum() <= 4
    assert fitted == pytest.approx(fitted[:, ::-1], abs=1e-6)


def test_an_emotion_without_lines_gets_none():
    rng = np.random.default_rng(0)
    people = [rng.normal(0, 0.02, (SIZE, SIZE)).astype(np.float32) for _ in range(5)]
    assert not any(fit_fold_lines(people, area).any() for area in LINED_AREAS)


def test_a_line_of_one_person_alone_is_left_out():
    rng = np.random.default_rng(0)
    people = [rng.normal(0, 0.005, (SIZE, SIZE)).astype(np.float32) for _ in range(5)]
    people[0] -= DEPTH * line(*BESIDE_BROW)
    assert not fit_fold_lines(people, "glabella").any()
