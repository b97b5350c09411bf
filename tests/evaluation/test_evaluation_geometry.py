"""Poses, crops and sampling against known similarities."""

import numpy as np
import pytest

from cdrl.evaluation import geometry

RANDOM = np.random.default_rng(3)


def face() -> np.ndarray:
    """Landmarks [468,2] with level eyes one unit apart, midway at the origin."""
    points = RANDOM.uniform(-1, 1.5, (468, 2))
    points[[33, 133, 362, 263]] = [[-0.7, 0], [-0.3, 0], [0.3, 0], [0.7, 0]]
    return points


def placed(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T * scale + shift


def test_the_face_frame_undoes_any_similarity() -> None:
    points = face()
    moved = np.stack([placed(points, 0.3, 80, (200, 120)), placed(points, -0.2, 40, (10, 60))])
    assert geometry.to_face_frame(moved) == pytest.approx(np.stack([points, points]))


def test_poses_find_the_similarity_and_bridge_lost_frames() -> None:
    points = face()
    clip = np.stack([placed(points, 0.1, 60, (100 + 2 * t, 90)) for t in range(20)])
    layout = geometry.fit_layout(clip)
    clip[7] = np.nan
    pose = geometry.estimate_poses(clip, layout)
    assert pose[:, 0] == pytest.approx(np.full(20, 60 * np.cos(0.1)))
    assert pose[:, 1] == pytest.approx(np.full(20, 60 * np.sin(0.1)))
    assert pose[:, 2] == pytest.approx(100 + 2 * np.arange(20))
    assert layout.face_size == 176  # 60 px eye distance x 2.9, to a multiple of 8


def test_crop_affine_centres_the_crop() -> None:
    pose = np.array([50.0, 0.0, 100.0, 80.0])
    affine = geometry.crop_affine(pose, (0.0, 1.0), 0.5, (40, 20))
    assert affine @ [20, 10, 1] == pytest.approx([100, 130])
    assert affine @ [40, 10, 1] == pytest.approx([125, 130])


def test_poses_keep_a_parabola_and_short_clips_as_they_are() -> None:
    points, times = face(), np.arange(15.0)
    clip = np.stack([placed(points, 0, 60, (100 + t * t, 90)) for t in times])
    layout = geometry.fit_layout(clip)
    assert geometry.estimate_poses(clip, layout)[:, 2] == pytest.approx(100 + times**2)
    jitter = np.stack([placed(points, 0, 60, (100 + 5 * (t % 2), 90)) for t in range(4)])
    assert geometry.estimate_poses(jitter, layout)[:, 2] == pytest.approx([100, 105, 100, 105])


def test_sample_copies_where_nothing_is_asked() -> None:
    picture = RANDOM.integers(0, 255, (40, 50), dtype=np.uint8)
    affine = np.array([[1.0, 0, 5], [0, 1, 7]])
    assert np.array_equal(geometry.sample_crop(picture, affine, (20, 10)), picture[7:17, 5:25])


@pytest.mark.parametrize("shrink", [3.0, 8.0])
def test_sample_averages_where_it_reduces_and_stays_in_place(shrink: float) -> None:
    y, x = np.mgrid[0:400, 0:400]
    picture = (x / 4 + y / 8 + 60 * ((x + y) % 2)).astype(np.uint8)  # a slope under a checkerboard
    affine = np.array([[shrink, 0, 60], [0, shrink, 40]])
    crop = geometry.sample_crop(picture, affine, (24, 24)).astype(float)
    j, i = np.mgrid[0:24, 0:24]
    slope = (60 + shrink * i) / 4 + (40 + shrink * j) / 8 + 30
    assert np.abs(crop - slope).max() < 4
