"""The mouth interior: teeth from the clip's own frames, where lips part farther than the source shows them parted.

The warp stretches what lies between the lips, which looks right as long as there is something to stretch: a wide
mouth keeps its own interior, sound for sound. Lips that barely part show a slit only; there a patch fills in: the mouth
of another frame of the clip with clear teeth. Its upper teeth move with the head and its lower ones with the jaw, so
that lips slide over teeth and never stretch them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cdrl.face.apertures import lips
from cdrl.face.bundle import Floats
from cdrl.face.mesh import INNER_CORNERS, INNER_LIPS, MOUTH_CONTOUR
from cdrl.media import Frame
from cdrl.media.frames import chroma_site
from cdrl.rendering.flow import ALIGN, Flow, Window
from cdrl.rendering.raster import fill_contour
from cdrl.rendering.warp import Pixels, Plane, resample_to_plane

_CONTOUR = list(MOUTH_CONTOUR)
_UPPER, _LOWER = list(INNER_LIPS[0]), list(INNER_LIPS[1])
_RIGID_POINTS = (2, 98, 327, 168, 6, 133, 362, 33, 263)  # nose base and eye corners: upper teeth move with them
_TEETH_LUMA = 0.62  # of the skin's luma: teeth are brighter than this, the dark of a mouth is not
_MARGIN = 12  # pixels around the mouth in a patch
_GROWTH_RANGE = (0.15, 0.6)  # growth of the opening, of the source's own, over which the patch comes in
_SLIT_RANGE = (0.07, 0.13)  # source opening over the mouth's width, over which its own interior takes over again


@dataclass(frozen=True)
class MouthPatch:
    """A mouth with clear teeth, cut from a frame."""

    planes: tuple[Pixels, ...]
    """Luma, and chroma in two channels, of the window around it."""
    x: int
    """Left edge of the window in picture pixels, on a whole chroma sample."""
    y: int
    """Upper edge of the window in picture pixels, on a whole chroma sample."""
    points: Floats
    """[478, 2] landmarks of its frame."""
    skin: float
    """Luma of its frame's cheeks above black."""
    score: float
    """Share of the interior that is teeth, times its opening; in 0..1."""


def skin_luma(frame: Frame, points: Floats) -> float:
    """Return the median luma of both cheeks above black; `points` [478, 2] in pixels."""
    values = []
    for index in (50, 280, 205, 425):
        x, y = (round(float(v)) for v in points[index])
        if 2 <= x < frame.width - 2 and 2 <= y < frame.height - 2:
            values.append(float(frame.planes[0][y - 2 : y + 3, x - 2 : x + 3].mean()))
    return max(float(np.median(values)) - frame.format.black, 1.0) if values else 1.0


def extract_mouth_patch(frame: Frame, points: Floats) -> MouthPatch | None:
    """Return a frame's mouth, by its landmarks `points` [478, 2] in pixels; None where it shows no teeth."""
    contour = points[_CONTOUR]
    low = np.floor(contour.min(0)).astype(int) - _MARGIN
    high = np.ceil(contour.max(0)).astype(int) + _MARGIN
    sx, sy = frame.format.sx, frame.format.sy
    x0, y0 = (max(int(v), 0) // step * step for v, step in zip(low, (sx, sy), strict=True))
    x1, y1 = min(int(high[0]), frame.width), min(int(high[1]), frame.height)
    width = float(np.linalg.norm(points[INNER_CORNERS[1]] - points[INNER_CORNERS[0]]))
    opening = float(lips().opening(points))
    if x1 - x0 < 8 or y1 - y0 < 8 or opening < 0.06 * width:
        return None
    luma = frame.planes[0][y0:y1, x0:x1]
    skin = skin_luma(frame, points)
    inside = fill_contour(points[_CONTOUR] - (x0, y0), luma.shape) > 0
    bright = (luma.astype(np.float32) - frame.format.black) > _TEETH_LUMA * skin
    share = float(bright[inside].mean()) if inside.any() else 0.0
    if share < 0.25:
        return None
    cut = slice(y0 // sy, -(-y1 // sy)), slice(x0 // sx, -(-x1 // sx))
    chroma = () if frame.format.gray else (cv2.merge([plane[cut] for plane in frame.planes[1:]]),)
    planes = (luma.copy(), *chroma)
    score = share * min(opening / (0.25 * width), 1.0)
    return MouthPatch(planes, x0, y0, points.astype(np.float32).copy(), skin, score)


def _place_teeth(patch: MouthPatch, source: Floats, target: Floats) -> tuple[Floats, float]:
    """Return [2, 3] picture → patch window for the upper teeth, and how far (px, down) the lower teeth lie from it."""
    rigid = list(_RIGID_POINTS)
    similarity, _ = cv2.estimateAffinePartial2D(patch.points[rigid], source[rigid], method=cv2.LMEDS)
    if similarity is None:
        similarity = np.eye(2, 3)
    forward = np.vstack([similarity, [0, 0, 1]])
    # The edit may lift the lip's base a little: teeth do not follow, they stay with the skull.
    inverse = np.linalg.inv(forward)[:2]
    inverse[:, 2] -= (patch.x, patch.y)
    lower = cv2.transform(patch.points[None, _LOWER], similarity)[0]
    drop = float((target[_LOWER, 1] - lower[:, 1])[2:7].mean())
    return inverse.astype(np.float32), drop


def fill_mouth(
    planes: list[Plane],
    pixels: list[Pixels],
    flow: Flow,
    patch: MouthPatch,
    source: Floats,
    target: Floats,
    skin: float,
) -> None:
    """Blend a patch's teeth into the opening of a warped mouth, in place.

    Args:
        planes: The frame's planes.
        pixels: Their warped samples in the flow's window, one array a plane; these change.
        flow: The frame's flow.
        patch: A mouth of the same person with clear teeth.
        source: [478, 2] landmarks before, picture pixels.
        target: [478, 2] landmarks after, picture pixels.
        skin: Luma of the frame's cheeks above black.
    """
    before, after = (float(lips().opening(points)) for points in (source, target))
    amount = _patch_amount(before, after, source, target)
    if amount == 0 or min(before, after) < 1:
        return
    window = flow.window
    contour = target[_CONTOUR]
    x0, y0 = (int(v) // ALIGN * ALIGN for v in np.maximum(np.floor(contour.min(0)) - 2, (window.x0, window.y0)))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(contour.max(0)) + 3, (window.x1, window.y1)))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    inverse, drop = _place_teeth(patch, source, target)
    area = Window(x0, y0, x1, y1)
    mask = fill_contour(target[_CONTOUR] - (x0, y0), (y1 - y0, x1 - x0))
    alpha = amount * np.clip(cv2.distanceTransform(mask, cv2.DIST_L2, 3) / max(0.15 * after, 1.5), 0, 1)
    positions = _positions(area, (1, 1), inverse, drop, target)
    inside = fill_contour(patch.points[_CONTOUR] - (patch.x, patch.y), patch.planes[0].shape).astype(np.float32)
    inside = cv2.GaussianBlur(inside, (0, 0), 1.0)
    alpha = alpha * cv2.remap(inside, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    light = float(np.clip(skin / patch.skin, 0.7, 1.4))
    for plane, warped, teeth in zip(planes, pixels, patch.planes, strict=True):
        if plane.step != (1, 1):
            positions = _positions(area, plane.step, inverse, drop, target)
        part = warped[plane.window_slices(Window(x0 - window.x0, y0 - window.y0, x1 - window.x0, y1 - window.y0))]
        weights = resample_to_plane(alpha, (area.width, area.height), plane.step)
        _blend(plane, part, teeth, weights, positions, light)


def _patch_amount(before: float, after: float, source: Floats, target: Floats) -> float:
    """Return how much of a patch is blended in, 0..1, where lips open from `before` to `after` pixels."""
    growth = (after - before) / max(before, 0.02 * float(np.ptp(target[:, 0])))
    slit = before / max(float(np.linalg.norm(source[INNER_CORNERS[1]] - source[INNER_CORNERS[0]])), 1.0)
    amount = float(np.clip((growth - _GROWTH_RANGE[0]) / (_GROWTH_RANGE[1] - _GROWTH_RANGE[0]), 0, 1))
    return amount * float(np.clip((_SLIT_RANGE[1] - slit) / (_SLIT_RANGE[1] - _SLIT_RANGE[0]), 0, 1))


def _positions(area: Window, step: tuple[int, int], inverse: Floats, drop: float, target: Floats) -> Floats:
    """Return [h, w, 2]: where in the patch, in its pixels, each sample of an area lies; the lower half with the jaw."""
    first_x, first_y = chroma_site(step)
    x = np.arange(area.x0, area.x1, step[0], dtype=np.float32) + np.float32(first_x)
    y = np.arange(area.y0, area.y1, step[1], dtype=np.float32) + np.float32(first_y)
    middle = (target[_UPPER, 1].mean() + target[_LOWER, 1].mean()) / 2
    half = max(float(target[_LOWER, 1].mean() - target[_UPPER, 1].mean()) / 2, 1.0)
    y -= np.clip((y - middle) / half + 0.5, 0, 1) * drop
    positions: Floats = np.empty((len(y), len(x), 2), np.float32)
    for axis, (across, down, shift) in enumerate(inverse):
        np.add(across * x, (down * y + shift)[:, None], out=positions[..., axis])
    return positions


def _blend(plane: Plane, under: Pixels, teeth: Pixels, alpha: Floats, positions: Floats, light: float) -> None:
    """Mix a patch's samples `teeth`, taken at `positions`, into samples `under` of a plane by `alpha`, in place."""
    if plane.step != (1, 1):
        first = np.array(chroma_site(plane.step), np.float32)
        positions = ((positions - first) / np.array(plane.step, np.float32)).astype(np.float32)
    moved = cv2.remap(teeth, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    relit = (moved - plane.zero) * light + plane.zero
    if under.ndim == 3:
        alpha = alpha[..., None]
    mixed = under + alpha * (np.clip(relit, 0, plane.maximum) - under)
    under[:] = np.round(mixed).astype(under.dtype)
