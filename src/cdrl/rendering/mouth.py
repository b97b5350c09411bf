"""The mouth interior: teeth from the clip's own frames, where lips part farther than the source shows them parted.

The warp stretches what lies between the lips, which looks right as long as there is something to stretch: a wide
mouth keeps its own interior, sound for sound. Lips that barely part show a slit only; there a donor fills in: a frame
of the same clip with clear teeth. Its upper teeth ride with the head and its lower ones with the jaw, so that lips
slide over teeth and never stretch them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import INNER_CORNERS, INNER_LIPS
from cdrl.media import Frame
from cdrl.media.frames import chroma_site
from cdrl.rendering.flow import ALIGN, Flow, Window
from cdrl.rendering.warp import Pixels, Plane, at_samples

_CONTOUR = (INNER_CORNERS[0], *INNER_LIPS[0], INNER_CORNERS[1], *reversed(INNER_LIPS[1]))
_UPPER, _LOWER = list(INNER_LIPS[0]), list(INNER_LIPS[1])
_SKULL = (2, 98, 327, 168, 6, 133, 362, 33, 263)  # nose base and eye corners: upper teeth move with them
_BRIGHT = 0.62  # of the skin's luma: teeth are brighter than this, the dark of a mouth is not
_MARGIN = 12  # pixels kept around a donor's mouth
_FIXED_POINT = 4
_STRETCH = (0.15, 0.6)  # growth of the opening, of the source's own, over which the donor comes in
_SLIT = (0.07, 0.13)  # source opening over the mouth's width, over which its own interior takes over again


@dataclass(frozen=True)
class Donor:
    """A mouth with clear teeth.

    `planes` (luma, and chroma in two channels) of the window around it, whose corner is (`x`, `y`) in picture pixels,
    on a whole chroma sample;
    `points` [478, 2] of its frame; `skin`: luma of its cheeks above black; `score`: share of the interior that is
    teeth, times its opening.
    """

    planes: tuple[Pixels, ...]
    x: int
    y: int
    points: Floats
    skin: float
    score: float


def _polygon(points: Floats, shape: tuple[int, int]) -> np.ndarray:
    """Mask [h, w] of the opening between the inner lips, `points` [478, 2] in the mask's pixels."""
    mask = np.zeros(shape, np.uint8)
    corners = np.round(points[list(_CONTOUR)] * (1 << _FIXED_POINT)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1, shift=_FIXED_POINT)
    return mask


def _opening(points: Floats) -> float:
    """Mean gap of the inner lips in pixels."""
    return float(np.linalg.norm(points[_LOWER] - points[_UPPER], axis=1).mean())


def skin_luma(frame: Frame, points: Floats) -> float:
    """Median luma of both cheeks above black; `points` [478, 2] in pixels."""
    values = []
    for index in (50, 280, 205, 425):
        x, y = (round(float(v)) for v in points[index])
        if 2 <= x < frame.width - 2 and 2 <= y < frame.height - 2:
            values.append(float(frame.planes[0][y - 2 : y + 3, x - 2 : x + 3].mean()))
    return max(float(np.median(values)) - frame.format.black, 1.0) if values else 1.0


def donor(frame: Frame, points: Floats) -> Donor | None:
    """The frame's mouth as a donor; None where it shows no teeth. `points` [478, 2] in pixels."""
    contour = points[list(_CONTOUR)]
    low = np.floor(contour.min(0)).astype(int) - _MARGIN
    high = np.ceil(contour.max(0)).astype(int) + _MARGIN
    sx, sy = frame.format.sx, frame.format.sy
    x0, y0 = (max(int(v), 0) // step * step for v, step in zip(low, (sx, sy), strict=True))
    x1, y1 = min(int(high[0]), frame.width), min(int(high[1]), frame.height)
    width = float(np.linalg.norm(points[INNER_CORNERS[1]] - points[INNER_CORNERS[0]]))
    if x1 - x0 < 8 or y1 - y0 < 8 or _opening(points) < 0.06 * width:
        return None
    luma = frame.planes[0][y0:y1, x0:x1]
    skin = skin_luma(frame, points)
    inside = _polygon(points - (x0, y0), luma.shape[:2]) > 0
    bright = (luma.astype(np.float32) - frame.format.black) > _BRIGHT * skin
    share = float(bright[inside].mean()) if inside.any() else 0.0
    if share < 0.25:
        return None
    cut = slice(y0 // sy, -(-y1 // sy)), slice(x0 // sx, -(-x1 // sx))
    chroma = () if frame.format.grey else (cv2.merge([plane[cut] for plane in frame.planes[1:]]),)
    planes = (luma.copy(), *chroma)
    score = share * min(_opening(points) / (0.25 * width), 1.0)
    return Donor(planes, x0, y0, points.astype(np.float32).copy(), skin, score)


def _placement(given: Donor, source: Floats, target: Floats) -> tuple[Floats, float]:
    """[2, 3] picture → donor window for the upper teeth, and how far (px, down) the lower teeth lie from it."""
    skull = list(_SKULL)
    similarity, _ = cv2.estimateAffinePartial2D(given.points[skull], source[skull], method=cv2.LMEDS)
    if similarity is None:
        similarity = np.eye(2, 3)
    forward = np.vstack([similarity, [0, 0, 1]])
    # The edit may lift the lip's base a little: teeth do not follow, they stay with the skull.
    inverse = np.linalg.inv(forward)[:2]
    inverse[:, 2] -= (given.x, given.y)
    lower = cv2.transform(given.points[None, _LOWER], similarity)[0]
    drop = float((target[_LOWER, 1] - lower[:, 1])[2:7].mean())
    return inverse.astype(np.float32), drop


def fill_mouth(
    planes: list[Plane], pixels: list[Pixels], flow: Flow, given: Donor, source: Floats, target: Floats, skin: float
) -> None:
    """Lays the donor's teeth into the opening of the warped `pixels` (one array a plane), in place.

    `source`, `target`: landmarks [478, 2] before and after, picture pixels; `skin`: luma of the frame's cheeks.
    """
    was, now = _opening(source), _opening(target)
    growth = (now - was) / max(was, 0.02 * float(np.ptp(target[:, 0])))
    slit = was / max(float(np.linalg.norm(source[INNER_CORNERS[1]] - source[INNER_CORNERS[0]])), 1.0)
    amount = float(np.clip((growth - _STRETCH[0]) / (_STRETCH[1] - _STRETCH[0]), 0, 1))
    amount *= float(np.clip((_SLIT[1] - slit) / (_SLIT[1] - _SLIT[0]), 0, 1))
    if amount == 0 or min(was, now) < 1:
        return
    inverse, drop = _placement(given, source, target)
    window = flow.window
    contour = target[list(_CONTOUR)]
    x0, y0 = (int(v) // ALIGN * ALIGN for v in np.maximum(np.floor(contour.min(0)) - 2, (window.x0, window.y0)))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(contour.max(0)) + 3, (window.x1, window.y1)))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    patch = Window(x0, y0, x1, y1)
    mask = _polygon(target - (x0, y0), (y1 - y0, x1 - x0))
    alpha = amount * np.clip(cv2.distanceTransform(mask, cv2.DIST_L2, 3) / max(0.15 * now, 1.5), 0, 1)
    positions = _positions(patch, (1, 1), inverse, drop, target)
    inside = _polygon(given.points - (given.x, given.y), given.planes[0].shape[:2]).astype(np.float32)
    inside = cv2.GaussianBlur(inside, (0, 0), 1.0)
    alpha = alpha * cv2.remap(inside, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    light = float(np.clip(skin / given.skin, 0.7, 1.4))
    for plane, new, teeth in zip(planes, pixels, given.planes, strict=True):
        if plane.step != (1, 1):
            positions = _positions(patch, plane.step, inverse, drop, target)
        part = new[plane.cut(Window(x0 - window.x0, y0 - window.y0, x1 - window.x0, y1 - window.y0))]
        _blend(plane, part, teeth, at_samples(alpha, (patch.width, patch.height), plane.step), positions, light)


def _positions(patch: Window, step: tuple[int, int], inverse: Floats, drop: float, target: Floats) -> Floats:
    """[h, w, 2]: where in the donor's window (its pixels) each sample of the patch lies; lower half with the jaw.

    `step`: picture pixels a sample.
    """
    first_x, first_y = chroma_site(step)
    x = np.arange(patch.x0, patch.x1, step[0], dtype=np.float32) + np.float32(first_x)
    y = np.arange(patch.y0, patch.y1, step[1], dtype=np.float32) + np.float32(first_y)
    middle = (target[_UPPER, 1].mean() + target[_LOWER, 1].mean()) / 2
    half = max(float(target[_LOWER, 1].mean() - target[_UPPER, 1].mean()) / 2, 1.0)
    y -= np.clip((y - middle) / half + 0.5, 0, 1) * drop
    found: Floats = np.empty((len(y), len(x), 2), np.float32)
    for axis, (across, down, shift) in enumerate(inverse):
        np.add(across * x, (down * y + shift)[:, None], out=found[..., axis])
    return found


def _blend(plane: Plane, under: Pixels, teeth: Pixels, alpha: Floats, positions: Floats, light: float) -> None:
    """Mixes the donor's samples into samples `under` [h, w(, c)] of a plane by `alpha` [h, w], in place.

    `positions` [h, w, 2]: where in the donor's window each of them lies, picture pixels.
    """
    if plane.step != (1, 1):
        first = np.array(chroma_site(plane.step), np.float32)
        positions = ((positions - first) / np.array(plane.step, np.float32)).astype(np.float32)
    moved = cv2.remap(teeth, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    lit = (moved - plane.zero) * light + plane.zero
    if under.ndim == 3:
        alpha = alpha[..., None]
    mixed = under + alpha * (np.clip(lit, 0, plane.maximum) - under)
    under[:] = np.round(mixed).astype(under.dtype)
