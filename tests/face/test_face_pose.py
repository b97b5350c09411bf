"""Head pose: a known similarity comes back, whatever the face does."""

import numpy as np
import pytest

from cdrl.face.mesh import RIGID_POINTS, canonical_points
from cdrl.face.pose import Pose, estimate_pose


def rotation(yaw=0.0, pitch=0.0, roll=0.0):
    """Degrees; nod first, then turn, then lean."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return lean @ turn @ nod


def posed(shape, scale=14.0, translation=(320.0, 240.0, -5.0), **angles):
    return scale * shape @ rotation(**angles).T + translation


TURNS = [{}, {"yaw": 40}, {"pitch": -25}, {"roll": 100}, {"yaw": -30, "pitch": 20, "roll": 15}]


@pytest.mark.parametrize("angles", TURNS, ids=str)
def test_a_known_similarity_comes_back(angles):
    pose = estimate_pose(posed(canonical_points(), **angles))
    assert pose.scale == pytest.approx(14, rel=1e-5)
    assert pose.rotation == pytest.approx(rotation(**angles), abs=1e-5)
    assert pose.translation == pytest.approx([320, 240, -5], abs=1e-3)


@pytest.mark.parametrize("angles", TURNS, ids=str)
def test_normalising_undoes_the_pose(angles):
    shape = canonical_points() + np.random.default_rng(0).normal(0, 0.2, (478, 3))
    points = posed(shape, **angles)
    assert Pose(14, rotation(**angles), np.array([320, 240, -5])).normalize(points) == pytest.approx(shape, abs=1e-4)


def test_the_expression_does_not_move_the_head():
    free = [index for index in range(478) if index not in RIGID_POINTS]
    points = posed(canonical_points(), yaw=20)
    moved = points.copy()
    moved[free] += np.random.default_rng(0).normal(0, 20, (len(free), 3))
    one, two = estimate_pose(points), estimate_pose(moved)
    assert one.scale == two.scale
    assert np.array_equal(one.rotation, two.rotation)
    assert np.array_equal(one.translation, two.translation)


def test_a_displacement_in_the_picture_is_one_of_the_shape():
    points = posed(canonical_points(), yaw=25, roll=-10)
    pose = estimate_pose(points)
    wish = np.random.default_rng(1).normal(0, 0.1, (478, 3)).astype(np.float32)
    assert pose.normalize(points + pose.to_image(wish)) - pose.normalize(points) == pytest.approx(wish, abs=1e-4)


def test_a_mirrored_face_is_no_rotation():
    pose = estimate_pose(posed(canonical_points() * [-1, 1, 1]))
    assert np.linalg.det(pose.rotation) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["yaw", "pitch", "roll"])
def test_each_angle_has_its_name(name):
    pose = estimate_pose(posed(canonical_points(), **{name: 30}))
    others = {"yaw", "pitch", "roll"} - {name}
    assert getattr(pose, name) == pytest.approx(30, abs=0.01)
    assert [getattr(pose, other) for other in others] == pytest.approx([0, 0], abs=0.01)


def test_a_leaning_head_in_profile_is_in_profile():
    assert estimate_pose(posed(canonical_points(), yaw=60, roll=50)).yaw == pytest.approx(60, abs=1)


def test_against_a_shape_of_ones_own():
    own = canonical_points() * [1.1, 0.9, 1.0]
    pose = estimate_pose(posed(own, yaw=10), own)
    assert pose.scale == pytest.approx(14, rel=1e-5)
    assert pose.rotation == pytest.approx(rotation(yaw=10), abs=1e-5)
