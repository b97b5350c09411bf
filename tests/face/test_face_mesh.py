"""The mesh is one closed skin with one border, the oval; the regions share every point out."""

from collections import Counter

import numpy as np
import pytest

from cdrl.face import mesh
from cdrl.face.bundle import canonical_mesh

PAIRED = {"right lids": mesh.RIGHT_LIDS, "left lids": mesh.LEFT_LIDS, "inner lips": mesh.INNER_LIPS}


def edges():
    """How many triangles hold each edge, and how often each is walked in the same direction."""
    walked = Counter((int(t[i]), int(t[(i + 1) % 3])) for t in mesh.triangles() for i in range(3))
    return Counter(tuple(sorted(edge)) for edge in walked.elements()), walked


def test_the_canonical_mesh_is_mediapipes():
    found = canonical_mesh()
    assert found.vertices.shape == (468, 3)
    assert 12 < np.ptp(found.vertices[:, 0]) < 18  # centimeters: a head's width


def test_every_mesh_point_belongs_to_a_triangle_and_no_iris_does():
    assert set(np.unique(mesh.triangles())) == set(range(468))


def test_no_hole_but_the_oval():
    shared, _ = edges()
    assert set(shared.values()) == {1, 2}
    border = {edge for edge, count in shared.items() if count == 1}
    margin = zip(mesh.OVAL, (*mesh.OVAL[1:], mesh.OVAL[0]), strict=True)
    assert border == {tuple(sorted(edge)) for edge in margin}


def test_all_triangles_are_turned_alike():
    _, walked = edges()
    assert max(walked.values()) == 1  # neighbors walk their edge in opposite directions
    assert len(np.unique(mesh.triangles(), axis=0)) == len(mesh.triangles())


def test_the_canonical_points_look_at_the_viewer():
    points = mesh.canonical_points()
    assert points.shape == (478, 3)
    assert points[mesh.RIGHT_CORNERS[0], 0] < points[mesh.LEFT_CORNERS[0], 0]  # the person's right is our left
    assert points[10, 1] < points[152, 1]  # forehead above chin, y down
    assert points[1, 2] < points[[234, 454], 2].min()  # nose before ears, z away


@pytest.mark.parametrize("name", PAIRED)
def test_pairs_lie_above_one_another(name):
    upper, lower = (mesh.canonical_points()[list(points)] for points in PAIRED[name])
    assert len(upper) == len(lower)
    assert (upper[:, 1] <= lower[:, 1] + 1e-3).all()
    assert np.abs(upper[:, 0] - lower[:, 0]).max() < 0.3  # centimeters


@pytest.mark.parametrize(
    ("iris", "corners"), [(mesh.RIGHT_IRIS, mesh.RIGHT_CORNERS), (mesh.LEFT_IRIS, mesh.LEFT_CORNERS)]
)
def test_the_iris_lies_within_its_eye(iris, corners):
    points = mesh.canonical_points()
    low, high = sorted(points[list(corners), 0])
    assert low < points[iris[0], 0] < high
    assert points[list(iris[1:])].mean(0) == pytest.approx(points[iris[0]], abs=1e-5)


def test_regions_share_every_point_out():
    weights = mesh.region_weights()
    assert set(weights) == {"brows", "eyes", "cheeks", "mouth"}
    total = np.sum(list(weights.values()), 0)
    assert total == pytest.approx(np.ones(478), abs=1e-5)
    assert min(weight.min() for weight in weights.values()) >= 0


@pytest.mark.parametrize(
    ("region", "points"),
    [
        ("brows", mesh.RIGHT_BROW[5:] + mesh.LEFT_BROW[5:]),
        ("eyes", mesh.RIGHT_LIDS[1] + mesh.LEFT_LIDS[1] + mesh.RIGHT_IRIS + mesh.LEFT_IRIS),
        ("mouth", mesh.INNER_LIPS[0] + mesh.INNER_LIPS[1] + mesh.MOUTH_CORNERS),
        ("cheeks", (50, 280, 205, 425)),
    ],
)
def test_a_region_owns_its_own_points(region, points):
    assert mesh.region_weights()[region][list(points)].min() > 0.5


def test_regions_are_symmetric():
    points = mesh.canonical_points()
    twin = np.linalg.norm(points[:, None] - points * [-1, 1, 1], axis=2).argmin(0)
    for weight in mesh.region_weights().values():
        assert weight[twin] == pytest.approx(weight, abs=0.05)
