"""The mesh of the 478 landmarks: contours, pairs that open and close, triangles, editable regions.

"Right" and "left" are the person's own. Points 468–472 and 473–477 are the right and left iris (center first) and
belong to no triangle.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats, canonical_mesh

POINTS = 478
"""Landmarks of a face, irises included."""
MESH_POINTS = 468
"""Landmarks that belong to the mesh: the first ones."""

# fmt: off
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
RIGHT_LIDS = ((246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155))  # upper, lower; outer to inner
LEFT_LIDS = ((466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382))
RIGHT_CORNERS, LEFT_CORNERS = (33, 133), (263, 362)  # outer, inner
INNER_LIPS = ((191, 80, 81, 82, 13, 312, 311, 310, 415), (95, 88, 178, 87, 14, 317, 402, 318, 324))  # upper, lower
INNER_CORNERS, MOUTH_CORNERS = (78, 308), (61, 291)  # right, left
OUTER_LIPS = ((185, 40, 39, 37, 0, 267, 269, 270, 409), (146, 91, 181, 84, 17, 314, 405, 321, 375))
RIGHT_BROW, LEFT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107), (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
RIGHT_IRIS, LEFT_IRIS = (468, 469, 470, 471, 472), (473, 474, 475, 476, 477)
# Points that move with the skull whatever the face does: nose, eye corners, temples, in front of the ears. None on the
# forehead, which the network lets rise with the brows.
RIGID_POINTS = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 33, 133, 263, 362, 127, 356, 234, 454, 93, 323, 162, 389, 132,
                361)
# fmt: on
EYE_CONTOURS = tuple(
    (corners[0], *lids[0], corners[1], *reversed(lids[1]))
    for corners, lids in ((RIGHT_CORNERS, RIGHT_LIDS), (LEFT_CORNERS, LEFT_LIDS))
)
"""Closed contours of the right and the left eye: outer corner, upper lid, inner corner, lower lid."""
MOUTH_CONTOUR = (INNER_CORNERS[0], *INNER_LIPS[0], INNER_CORNERS[1], *reversed(INNER_LIPS[1]))
"""Closed contour of the mouth's opening."""


def triangles() -> NDArray[np.int32]:
    """Return the triangles [n, 3] of the whole face, eyes and mouth filled; only the oval is a border."""
    return canonical_mesh().triangles


@cache
def canonical_points() -> Floats:
    """Return the canonical face [478, 3], cm, in the axes of landmarks: x right, y down, z away from the viewer.

    The irises, which the canonical mesh lacks, lie between their lids.
    """
    points = np.zeros((POINTS, 3), np.float32)
    points[:MESH_POINTS] = canonical_mesh().vertices * np.array([1, -1, -1], np.float32)
    for iris, corners, lids in ((RIGHT_IRIS, RIGHT_CORNERS, RIGHT_LIDS), (LEFT_IRIS, LEFT_CORNERS, LEFT_LIDS)):
        center = points[[*corners, *lids[0], *lids[1]]].mean(0)
        ring = np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]], np.float32)
        points[list(iris)] = center + 0.58 * ring
    return points


@cache
def region_weights() -> dict[str, Floats]:
    """Return the soft membership [478] in [0, 1] of points in each region; the four add up to one at every point."""
    points = canonical_points()
    seeds = {
        "brows": [*RIGHT_BROW, *LEFT_BROW, 9, 8, 151, 10, 67, 297, 103, 332],
        "eyes": [*RIGHT_CORNERS, *LEFT_CORNERS, *RIGHT_LIDS[0], *RIGHT_LIDS[1], *LEFT_LIDS[0], *LEFT_LIDS[1], 468, 473],
        "cheeks": [50, 280, 205, 425, 187, 411, 116, 345, 101, 330, 4, 195, 48, 278, 129, 358, 234, 454],
        "mouth": [*MOUTH_CORNERS, *sum(OUTER_LIPS + INNER_LIPS, ()), 152, 200, 164, 43, 273],
    }
    nearest = np.stack(
        [np.linalg.norm(points[:, None] - points[None, index], axis=2).min(1) for index in seeds.values()]
    )
    soft = np.exp(-np.square(nearest / 1.0))
    soft += 1e-6 / (1 + nearest)
    return dict(zip(seeds, (soft / soft.sum(0)).astype(np.float32), strict=True))


def mirror_shape(shape: Floats) -> Floats:
    """Return shapes or displacements [..., 478, 3] as in a mirror, left for right, points by their numbers."""
    mirrored: Floats = shape[..., _mirror_index(), :] * np.array([-1, 1, 1], np.float32)
    return mirrored


@cache
def _mirror_index() -> NDArray[np.intp]:
    points = canonical_points()
    mirrored = points * np.array([-1, 1, 1], np.float32)
    nearest: NDArray[np.intp] = np.linalg.norm(points[:, None] - mirrored[None], axis=2).argmin(1)
    return nearest
