"""What is in front of a face: kept where it is sure, steady over time, sampled where it lies."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cdrl.face.landmarks import Region
from cdrl.face.mesh import canonical_points
from cdrl.face.segmentation import SIDE, Segmentation, SegmentationTracker, draw_openings, find_region, keep_occluders
from cdrl.face.tracking import Track

POINTS = np.pad((canonical_points()[:, :2] * 10 + 200).astype(np.float32), ((0, 0), (0, 1)))


def blot(probability, size=10):
    occluded = np.zeros((SIDE, SIDE), np.float32)
    occluded[20 : 20 + size, 30 : 30 + size] = probability
    return occluded


NOWHERE = np.zeros((SIDE, SIDE), bool)


def test_what_is_unsure_or_tiny_counts_as_nothing():
    assert not keep_occluders(blot(0.85), NOWHERE).any()
    assert not keep_occluders(blot(0.95, size=6), NOWHERE).any()
    assert np.array_equal(keep_occluders(blot(0.95), NOWHERE), blot(0.95))


def test_the_unsure_edge_of_a_sure_thing_is_kept():
    kept = keep_occluders(np.maximum(blot(0.4, size=14), blot(0.95)), NOWHERE)
    assert np.array_equal(kept >= 0.7, blot(1.0, size=14) > 0)
    assert kept.max() == pytest.approx(0.95)


def test_gaps_between_strokes_belong_to_the_letters():
    occluded = blot(0.95, size=21)
    occluded[:, 33:48:4] = 0
    kept = keep_occluders(occluded, NOWHERE)
    assert np.array_equal(kept >= 0.7, blot(1.0, size=21) > 0)


def test_irises_nostrils_and_teeth_are_no_things_but_what_reaches_beyond_is():
    region = find_region(POINTS)
    matrix = region.matrix(SIDE)
    openings = draw_openings(POINTS, region)
    for index in (468, 473, 20, 250):
        column, row = np.round(np.linalg.inv(matrix[:, :2]) @ (POINTS[index, :2] - matrix[:, 2])).astype(int)
        spot, bar = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
        spot[row - 1 : row + 2, column - 2 : column + 2] = 1
        bar[row - 2 : row + 2, column - 20 : column + 20] = 1
        assert not keep_occluders(spot, openings).any()
        assert np.array_equal(keep_occluders(bar, openings), bar)


def test_the_region_holds_the_face_upright():
    region = find_region(POINTS)
    box = np.ptp(POINTS[:468, :2], axis=0).max()
    assert region.side == pytest.approx(1.2 * box)
    assert region.angle == pytest.approx(0, abs=1e-6)
    turned = POINTS.copy()
    turned[:, :2] = POINTS[:, :2] @ np.array([[0, 1], [-1, 0]], np.float32)
    assert find_region(turned).angle == pytest.approx(np.pi / 2)
    assert find_region(turned).side == pytest.approx(region.side)


def test_positions_are_sampled_where_they_lie_in_the_picture():
    region = Region(100.0, 80.0, 64.0, 0.3)
    background = np.zeros((SIDE, SIDE), np.float32)
    background[:, : SIDE // 2] = 1
    seen = Segmentation(region, blot(1.0), background)
    matrix = region.matrix(SIDE)
    grid = np.hstack([2 * matrix[:, :2], matrix @ [[-20.0], [1.0], [1.0]]])  # every second pixel, from (-20, 1) on
    occluded, behind = seen.sample(grid, (80, 60))
    assert occluded[12, 27] == pytest.approx(1, abs=0.02)  # (34, 25)
    assert occluded[12, 60] == occluded[12, 2] == 0
    assert behind[12, 27] == pytest.approx(1, abs=0.02)
    assert behind[12, 60] == 0
    assert behind[12, 2] == 1  # beyond the left edge


def test_a_covered_mouth_is_told_by_its_share():
    region = find_region(POINTS)
    matrix = region.matrix(SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    rows = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]).astype(np.float32)
    occluded = (rows > POINTS[2, 1]).astype(np.float32)  # all below the nose
    shares = Segmentation(region, occluded, np.zeros_like(occluded)).occluded_shares(POINTS)
    assert shares["mouth"] > 0.8
    assert shares["brows"] < 0.05  # regions fade into each other


class Blinking:
    """Sees a thing in the first frame only."""

    def __init__(self):
        self.seen = 0

    def __call__(self, frame, points):
        self.seen += 1
        occluded = blot(1.0) if self.seen == 1 else np.zeros((SIDE, SIDE), np.float32)
        return Segmentation(find_region(points), occluded, np.zeros_like(occluded))


def test_a_clear_face_is_looked_at_in_every_second_frame_and_a_covered_one_in_each(head):
    track = Track(POINTS, 1.0, 0, redetected=False)
    for seen_before, looks in ((0, 5), (1, 3)):  # a thing in the first frame, then none at all
        segmenter = Blinking()
        segmenter.seen = seen_before
        tracker = SegmentationTracker(segmenter)
        for number in range(5):
            tracker.update(replace(head, time=Fraction(number, 30)), track)
        assert segmenter.seen - seen_before == looks


@pytest.mark.parametrize(("later", "shot", "kept"), [(0.04, 0, True), (0.2, 0, False), (0.04, 1, False)])
def test_a_thing_is_forgotten_slowly_but_not_across_cuts(head, later, shot, kept):
    tracker = SegmentationTracker(Blinking())
    track = Track(POINTS, 1.0, 0, redetected=False)
    tracker.update(replace(head, time=Fraction(0)), track)
    frame = replace(head, time=Fraction(later))
    assert tracker.update(frame, replace(track, shot=shot)).occluded.any() == kept
