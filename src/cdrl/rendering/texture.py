"""Texture space: the canonical face seen from the front, as a square of `SIZE` texels. Shading maps live in it."""

from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.mesh import EYE_CONTOURS, MESH_POINTS, MOUTH_CONTOUR, canonical_points, triangles
from cdrl.media import Frame
from cdrl.rendering.flow import Flow
from cdrl.rendering.raster import Coverage, rasterize

SIZE = 128
"""Texels a side."""
MIDDLE = (SIZE - 1) / 2
"""Texel at which the middle of the face lies, in x, and of the texture."""
_MARGIN = 2.0  # texels
_BLUR = 14.0  # texels: shading wider than this is light, not expression
_FINE = 2.0  # texels: shading narrower than this is skin, not expression
_CHEEKS, _CHEEK_RADIUS = (205, 425, 50, 280, 203, 423, 216, 436, 36, 266, 117, 346), 6  # points, texels around them
_BRIGHT, _WHITE = 175.0, 235.0  # luma (of 255) of skin from which on, and up to which, it shows less of a fold
_AROUND = 32  # pixels around a face that are looked at with it
_FLOOR = 8.0  # luma (of 255) added before a logarithm, so that black noise does not count


@cache
def texture_points() -> Floats:
    """Return where each landmark lies in texture space: [478, 2] texels."""
    flat = canonical_points()[:, :2]
    low, high = flat[:MESH_POINTS].min(0), flat[:MESH_POINTS].max(0)
    scale = (SIZE - 1 - 2 * _MARGIN) / float((high - low).max())
    points: Floats = ((flat - (low + high) / 2) * scale + MIDDLE).astype(np.float32)
    return points


@cache
def texels_per_cm() -> float:
    """Return how many texels a centimeter of the canonical face is wide."""
    return float(np.ptp(texture_points()[:MESH_POINTS, 1]) / np.ptp(canonical_points()[:MESH_POINTS, 1]))


@cache
def texture_coverage() -> Coverage:
    """Return the texels that the face covers."""
    return rasterize(texture_points(), triangles(), SIZE, SIZE)


def unwrap_luma(luma: Floats, points: Floats) -> Floats:
    """Sample a picture's `luma` [h, w] with landmarks `points` [478, 2], in its pixels, into texture space.

    Returns:
        [SIZE, SIZE]; 0 where there is no face.
    """
    grid = texture_coverage().scatter(texture_coverage().interpolate(points), background=-1e4)
    sampled: Floats = cv2.remap(luma, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return sampled


def project_texture(texture: Floats, flow: Flow) -> Floats:
    """Sample a map of texture space [SIZE, SIZE] on a flow's grid [h, w]; 0 outside the face."""
    texels = flow.coverage.interpolate(texture_points())
    values = cv2.remap(texture, texels[:, None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return flow.coverage.scatter(values)[..., 0]


@cache
def face_mask() -> Floats:
    """Return [SIZE, SIZE]: 1 where there is face."""
    return texture_coverage().scatter(np.ones((texture_coverage().nodes.size, 1), np.float32))[..., 0]


def low_pass(texture: Floats, blur: float = _BLUR) -> Floats:
    """Blur a texture [SIZE, SIZE] within the face, by a deviation in texels."""
    blurred: Floats = cv2.GaussianBlur(texture * face_mask(), (0, 0), blur) / _mask_weight(blur)
    return blurred


@lru_cache(maxsize=16)
def _mask_weight(blur: float) -> Floats:
    """What there is of a face around each texel [SIZE, SIZE], by a deviation in texels."""
    weight: Floats = np.maximum(cv2.GaussianBlur(face_mask(), (0, 0), blur), 1e-3)
    return weight


@cache
def skin_mask() -> Floats:
    """Return where there is skin: [SIZE, SIZE] in 0..1, fading out at the face's edge, the eyes and the mouth."""
    holes = np.zeros((SIZE, SIZE), np.uint8)
    for contour in (*EYE_CONTOURS, MOUTH_CONTOUR):
        cv2.fillPoly(holes, [np.round(texture_points()[list(contour)]).astype(np.int32)], 1)
    holes = cv2.dilate(holes, np.ones((3, 3), np.uint8))
    skin = face_mask() * (1 - holes)
    inside = cv2.distanceTransform(skin.astype(np.uint8), cv2.DIST_L2, 3)
    edge = cv2.distanceTransform(face_mask().astype(np.uint8), cv2.DIST_L2, 3)
    fade: Floats = np.clip(inside / 3, 0, 1) * np.clip(edge / 12, 0, 1)
    return fade


def log_texture(luma: Floats, points: Floats) -> Floats:
    """Return the log of a face's luma in texture space, after blurring the picture to what the texture can hold.

    Args:
        luma: [h, w] from 0 (black) to 255 (white).
        points: [478, 2 or 3] landmarks in its pixels.

    Returns:
        [SIZE, SIZE].
    """
    scale = float(np.ptp(points[:, 0])) / SIZE
    if scale > 1.2:
        x0, y0 = (max(int(v) - 8, 0) for v in points[:, :2].min(0))
        x1, y1 = (int(v) + 9 for v in points[:, :2].max(0))
        luma, points = cv2.GaussianBlur(luma[y0:y1, x0:x1], (0, 0), 0.5 * scale), points[:, :2] - (x0, y0)
    logarithm: Floats = np.log(np.maximum(unwrap_luma(luma, points[:, :2]), 0) + _FLOOR)
    return logarithm


def measure_texture(frame: Frame, points: Floats) -> Floats:
    """Return `log_texture` [SIZE, SIZE] of a frame's face with landmarks `points` [478, 2 or 3], pixels."""
    x0, y0 = (max(int(value) - _AROUND, 0) for value in points[:, :2].min(0))
    x1, y1 = (max(int(value) + _AROUND, 0) for value in points[:, :2].max(0))
    black, white = frame.format.black, frame.format.white
    luma = (frame.planes[0][y0:y1, x0:x1].astype(np.float32) - black) * (255 / (white - black))
    return log_texture(luma, points[:, :2] - (x0, y0))


@cache
def _cheek_mask() -> NDArray[np.bool_]:
    """Return [SIZE, SIZE]: whether there is a cheek's skin, from the eye to the fold beside the mouth."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for index in _CHEEKS:
        cv2.circle(mask, tuple(int(v) for v in texture_points()[index]), _CHEEK_RADIUS, 1, -1)
    return np.asarray((mask > 0) & (skin_mask() > 0.9), np.bool_)


def measure_relief(texture: Floats) -> float:
    """Return how much shading a face bears: how much its cheeks show themselves, less where light leaves no room.

    That is the deviation of a log texture [SIZE, SIZE] without what is finer than a fold and without what is wide. In
    skin that is lit almost to white a camera shows less of a fold, so the number falls to none there.
    """
    cheeks = _cheek_mask()
    deviation = float((low_pass(texture, _FINE) - low_pass(texture))[cheeks].std())
    luma = float(np.median(np.exp(texture[cheeks]))) - _FLOOR
    return deviation * float(find_headroom(luma))


def find_headroom(luma: Floats | float) -> Floats:
    """Return the share in 0..1 of a fold that skin of a luma of 0..255 shows: none of it where it is lit to white."""
    return np.asarray(np.clip((_WHITE - luma) / (_WHITE - _BRIGHT), 0, 1), np.float32)
