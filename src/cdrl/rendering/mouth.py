"""The mouth interior: teeth from the clip's own frames, where lips part farther than the source shows them parted.

The warp stretches what lies between the lips, which looks right where that is dark. Teeth are rigid: in a mouth that
shows its own, the upper ones stay with the skull while the upper lip slides over them, the lower ones move with the
jaw, and the dark between them grows. Lips that barely part show a slit only; there a patch fills in: the mouth of
another frame of the clip with clear teeth.
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
from cdrl.rendering.raster import fill_contour, measure_depth
from cdrl.rendering.warp import Pixels, Plane, resample_to_plane

SHUT_SECONDS = 0.04
"""A frame or so: grain must not move the jaw, and speech opens it within two."""
_CONTOUR = list(MOUTH_CONTOUR)
_UPPER, _LOWER = list(INNER_LIPS[0]), list(INNER_LIPS[1])
_RIGID_POINTS = (2, 98, 327, 168, 6, 133, 362, 33, 263)  # nose base and eye corners: upper teeth move with them
_TEETH_LUMA = 0.62  # of the skin's luma: teeth are brighter than this, the dark of a mouth is not
_MARGIN = 12  # pixels around the mouth in a patch
_GROWTH_RANGE = (0.15, 0.6)  # growth of the opening, of the source's own, over which the patch comes in
_SLIT_RANGE = (0.07, 0.13)  # source opening over the mouth's width, over which its own interior takes over again
_OWN_GROWTH_RANGE = (0.03, 0.15)  # growth of the opening over which its own teeth are kept from stretching
_OWN_SHARE_RANGE = (0.15, 0.3)  # share of teeth in its own interior over which they are
_GAP_RANGE = (0.3, 0.85)  # of the opening, from the upper lip: between these lies the gap between the teeth
_CLOSED_RANGE = (0.6, 0.9)  # luma, over the skin's, of the darkest rows between which a gap shows itself no more
_LIP_SHARE = 0.85  # of the opening, from the upper lip, to which teeth that show no gap reach
_MAX_REVEAL = 0.25  # of the opening, by which lips that slide show more of the teeth at most
_GAP_LUMA, _GAP_CHROMA = 0.15, 0.5  # of the skin's luma, and of the chroma there, that a gap shows at most: it is dark


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
    share: float
    """Share of the interior that is teeth."""
    score: float
    """That share times its opening; in 0..1."""


def skin_luma(frame: Frame, points: Floats) -> float:
    """Return the median luma of both cheeks above black; `points` [478, 2] in pixels."""
    values = []
    for index in (50, 280, 205, 425):
        x, y = (round(float(v)) for v in points[index])
        if 2 <= x < frame.width - 2 and 2 <= y < frame.height - 2:
            values.append(float(frame.planes[0][y - 2 : y + 3, x - 2 : x + 3].mean()))
    return max(float(np.median(values)) - frame.format.black, 1.0) if values else 1.0


def extract_mouth_patch(frame: Frame, points: Floats, min_share: float = 0.25) -> MouthPatch | None:
    """Return a frame's mouth, by its landmarks `points` [478, 2] in pixels; None where it shows no teeth.

    Teeth are seen where at least `min_share` of the interior is as bright as teeth.
    """
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
    if share < min_share:
        return None
    cut = slice(y0 // sy, -(-y1 // sy)), slice(x0 // sx, -(-x1 // sx))
    chroma = () if frame.format.gray else (cv2.merge([plane[cut] for plane in frame.planes[1:]]),)
    planes = (luma.copy(), *chroma)
    score = share * min(opening / (0.25 * width), 1.0)
    return MouthPatch(planes, x0, y0, points.astype(np.float32).copy(), skin, share, score)


def measure_shut_teeth(frame: Frame, points: Floats) -> float:
    """Return the share in 0..1 to which teeth fill a mouth without a gap, as in an s; 0 where none are seen.

    Args:
        frame: The frame.
        points: [478, 2] landmarks, pixels.
    """
    mouth = extract_mouth_patch(frame, points, _OWN_SHARE_RANGE[0])
    return 0.0 if mouth is None else _ramp(mouth.share, _OWN_SHARE_RANGE) * _find_gap(mouth, frame.format.black)[1]


class ShutTeethTracker:
    """Follows how far teeth are shut: `measure_shut_teeth`, steadied over `SHUT_SECONDS`."""

    def __init__(self) -> None:
        self._share = 0.0
        self._last: float | None = None

    def update(self, frame: Frame, points: Floats) -> float:
        """Take in the next frame and its landmarks [478, 2]; return the share in 0..1."""
        now, share = float(frame.time), measure_shut_teeth(frame, points)
        step = np.inf if self._last is None else now - self._last
        self._share = share if not 0 <= step < 1 else self._share + step / (step + SHUT_SECONDS) * (share - self._share)
        self._last = now
        return self._share


@dataclass(frozen=True)
class _PlacedTeeth:
    """A patch as it lies in a frame; arrays [k] are values at `columns`, between which they are interpolated."""

    patch: MouthPatch
    inverse: Floats
    """[2, 3] picture → patch window for teeth that stay."""
    columns: Floats
    """[k] picture columns, ascending."""
    lift: Floats
    """[k] pixels, down, by which the upper teeth move."""
    drop: Floats
    """[k] pixels, down, by which the lower teeth move farther than the upper ones."""
    gap: Floats
    """[k] picture rows at which the gap between the teeth begins."""
    gap_height: Floats
    """[k] pixels over which the drop comes in."""
    lips: tuple[Floats, Floats]
    """[k] picture rows of the upper and of the lower lip."""
    slide: tuple[Floats, Floats]
    """[k] pixels, down, by which the upper and the lower lip slide over their teeth."""
    dark_below: float | None
    """Share in 0..1 of the dark below the gap: 0 where lower teeth follow, 1 where the upper ones hide them. None where
    the gap is not new, and shows what the patch shows."""


def _place_teeth(patch: MouthPatch, source: Floats, target: Floats) -> _PlacedTeeth:
    """Place a patch of another frame: the upper teeth with the head, the lower ones with the jaw."""
    rigid = list(_RIGID_POINTS)
    similarity, _ = cv2.estimateAffinePartial2D(patch.points[rigid], source[rigid], method=cv2.LMEDS)
    if similarity is None:
        similarity = np.eye(2, 3)
    forward = np.vstack([similarity, [0, 0, 1]])
    # The edit may lift the lip's base a little: teeth do not follow, they stay with the skull.
    inverse = np.linalg.inv(forward)[:2]
    inverse[:, 2] -= (patch.x, patch.y)
    lower = cv2.transform(patch.points[None, _LOWER], similarity)[0]
    drop = (target[_LOWER, 1] - lower[:, 1])[2:7].mean(keepdims=True)
    top, bottom = (target[index, 1].mean(keepdims=True) for index in (_UPPER, _LOWER))
    half = np.maximum((bottom - top) / 2, 1.0)
    nothing = np.zeros(1, np.float32)
    gap = (top + bottom - half) / 2
    return _PlacedTeeth(
        patch,
        inverse.astype(np.float32),
        nothing,
        nothing,
        drop,
        gap,
        half,
        lips=(top, bottom),
        slide=(nothing, nothing),
        dark_below=None,
    )


def _place_own_teeth(own: MouthPatch, target: Floats, black: int) -> _PlacedTeeth:
    """Place a frame's own teeth: the upper ones stay with the skull, the lower ones follow the jaw.

    Where no gap is seen between them the jaw is shut, or the upper teeth hide the lower ones: lips slide over them as
    far as teeth are known to reach, and beyond the dark opens below.
    """
    gap, closed = _find_gap(own, black)
    columns = np.sort(target[_UPPER, 0])
    (own_top, top), (own_bottom, bottom) = (
        [_lip_rows(points, lip, columns) for points in (own.points, target)] for lip in (_UPPER, _LOWER)
    )
    reveal = _MAX_REVEAL * float(lips().opening(own.points))
    upper_slide = np.maximum(top - own_top, -reveal)
    lift = top - own_top - upper_slide
    fall = bottom - own_bottom - lift
    lower_slide = closed * np.clip(fall, 0.0, reveal)
    (x0, y0), (x1, y1) = (own.points[index] for index in INNER_CORNERS)
    slope = float((y1 - y0) / (x1 - x0)) if abs(x1 - x0) > 1 else 0.0
    dark = gap + slope * (columns - target[list(INNER_CORNERS), 0].mean())
    rows = (1 - closed) * dark + closed * (own_top + _LIP_SHARE * (own_bottom - own_top)) + lift
    drop = np.maximum(fall - lower_slide, 0.0)
    inverse = np.array([[1, 0, -own.x], [0, 1, -own.y]], np.float32)
    return _PlacedTeeth(
        own,
        inverse,
        columns,
        lift,
        drop,
        rows,
        np.maximum(drop, 1.0),
        lips=(top, bottom),
        slide=(np.minimum(upper_slide, reveal), lower_slide),
        dark_below=closed,
    )


def fill_mouth(
    frame: Frame,
    planes: list[Plane],
    pixels: list[Pixels],
    flow: Flow,
    patch: MouthPatch | None,
    source: Floats,
    target: Floats,
) -> None:
    """Keep the teeth in the opening of a warped mouth from stretching, or fill them in, in place.

    Args:
        frame: The frame as it was.
        planes: Its planes.
        pixels: Their warped samples in the flow's window, one array a plane; these change.
        flow: The frame's flow.
        patch: A mouth of the same person with clear teeth, if there is one.
        source: [478, 2] landmarks before, picture pixels.
        target: [478, 2] landmarks after, picture pixels.
    """
    before, after = (float(lips().opening(points)) for points in (source, target))
    if min(before, after) < 1 or after <= before:
        return
    growth = (after - before) / max(before, 0.02 * float(np.ptp(target[:, 0])))
    slit = before / max(float(np.linalg.norm(source[INNER_CORNERS[1]] - source[INNER_CORNERS[0]])), 1.0)
    amount = (1 - _ramp(slit, _SLIT_RANGE)) * _ramp(growth, _GROWTH_RANGE)
    if patch is not None and amount:
        _blend_teeth(
            planes, pixels, flow, _place_teeth(patch, source, target), target, amount, skin_luma(frame, source)
        )
    amount = _ramp(slit, _SLIT_RANGE) * _ramp(growth, _OWN_GROWTH_RANGE)
    own = extract_mouth_patch(frame, source, _OWN_SHARE_RANGE[0]) if amount else None
    if own is not None:
        teeth = _place_own_teeth(own, target, frame.format.black)
        _blend_teeth(planes, pixels, flow, teeth, target, amount * _ramp(own.share, _OWN_SHARE_RANGE), own.skin)


def _ramp(value: float, limits: tuple[float, float]) -> float:
    return float(np.clip((value - limits[0]) / (limits[1] - limits[0]), 0, 1))


def _find_gap(patch: MouthPatch, black: int) -> tuple[float, float]:
    """Find the gap between the teeth of a patch.

    Returns:
        The mean picture row, at the middle of the mouth, of what is darkest between the teeth; and the share in 0..1 to
        which that is as bright as teeth.
    """
    points = patch.points
    top, bottom = (float(points[index, 1].mean()) for index in (_UPPER, _LOWER))
    left, right = sorted((float(points[INNER_CORNERS[0], 0]), float(points[INNER_CORNERS[1], 0])))
    rows = np.arange(*(round(top + share * (bottom - top) - patch.y) for share in _GAP_RANGE))
    rows = rows[(rows >= 0) & (rows < len(patch.planes[0]))]
    third = (right - left) / 3
    columns = slice(max(round(left + third - patch.x), 0), max(round(right - third - patch.x), 1))
    seen = patch.planes[0][rows, columns]
    if not seen.size:  # the picture ends before the middle of the mouth
        return (top + bottom) / 2, 0.0
    luma = seen.astype(np.float32).mean(1) - black
    weights = np.exp(-(luma - luma.min()) / max(0.15 * float(np.ptp(luma)), 1.0))
    dark = float((weights * rows).sum() / weights.sum()) + patch.y + 0.5
    return dark, _ramp(float(luma.min()) / patch.skin, _CLOSED_RANGE)


def _lip_rows(points: Floats, lip: list[int], columns: Floats) -> Floats:
    """Return the picture rows [k] at which a lip of landmarks [478, 2] crosses picture columns [k]."""
    ordered = np.array(lip)[np.argsort(points[lip, 0])]
    rows: Floats = np.interp(columns, points[ordered, 0], points[ordered, 1])
    return rows


def _blend_teeth(
    planes: list[Plane],
    pixels: list[Pixels],
    flow: Flow,
    teeth: _PlacedTeeth,
    target: Floats,
    amount: float,
    skin: float,
) -> None:
    """Blend teeth into the opening between the lips of `target` [478, 2] by an amount in 0..1, in place."""
    window, patch = flow.window, teeth.patch
    contour = target[_CONTOUR]
    x0, y0 = (int(v) // ALIGN * ALIGN for v in np.maximum(np.floor(contour.min(0)) - 2, (window.x0, window.y0)))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(contour.max(0)) + 3, (window.x1, window.y1)))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    area = Window(x0, y0, x1, y1)
    depth = measure_depth(target[_CONTOUR] - (x0, y0), (y1 - y0, x1 - x0))
    edge = max(0.15 * float(lips().opening(target)), 1.0)
    alpha = amount * np.clip(depth / edge, 0, 1)
    positions, gap = _positions(area, (1, 1), teeth)
    inside = fill_contour(patch.points[_CONTOUR] - (patch.x, patch.y), patch.planes[0].shape).astype(np.float32)
    inside = cv2.GaussianBlur(inside, (0, 0), 1.0)
    alpha = alpha * cv2.remap(inside, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    light = float(np.clip(skin / patch.skin, 0.7, 1.4))
    for plane, warped, samples in zip(planes, pixels, patch.planes, strict=True):
        if plane.step != (1, 1):
            positions, gap = _positions(area, plane.step, teeth)
        part = warped[plane.window_slices(Window(x0 - window.x0, y0 - window.y0, x1 - window.x0, y1 - window.y0))]
        weights = resample_to_plane(alpha, (area.width, area.height), plane.step)
        moved = _move(plane, samples, positions, light)
        if teeth.dark_below is not None:
            moved = _darken(plane, moved, gap, _GAP_LUMA * skin)
        _blend(plane, part, moved, weights)


def _positions(area: Window, step: tuple[int, int], teeth: _PlacedTeeth) -> tuple[Floats, Floats]:
    """Return where in the patch, in its pixels, each sample of an area lies [h, w, 2], and how deep in the dark [h, w].

    Above the gap samples move with the upper teeth, below it with the lower ones.
    """
    first_x, first_y = chroma_site(step)
    x = np.arange(area.x0, area.x1, step[0], dtype=np.float32) + np.float32(first_x)
    y = np.arange(area.y0, area.y1, step[1], dtype=np.float32)[:, None] + np.float32(first_y)
    lift, drop, gap, height, top, bottom, rise, fall = (
        np.interp(x, teeth.columns, values).astype(np.float32)
        for values in (teeth.lift, teeth.drop, teeth.gap, teeth.gap_height, *teeth.lips, *teeth.slide)
    )
    depth = (y - gap) / height
    moved = y - lift - np.clip(depth, 0, 1) * drop
    # What a lip uncovers was never seen: the half of the teeth that is next to it stands for it, with the lip's shadow.
    moved -= rise * np.clip((top + gap - 2 * y) / np.maximum(gap - top, 1.0), 0, 1)
    moved -= fall * np.clip((2 * y - gap - height - bottom) / np.maximum(bottom - gap - height, 1.0), 0, 1)
    positions: Floats = np.empty((len(y), len(x), 2), np.float32)
    for axis, (across, down, shift) in enumerate(teeth.inverse):
        positions[..., axis] = across * x + down * moved + shift
    below = (teeth.dark_below or 0.0) * np.clip(2 * depth - 1, 0, 1)
    inside: Floats = np.clip(6 * depth * np.maximum(1 - depth, below), 0, np.clip(drop, 0, 1)).astype(np.float32)
    return positions, inside


def _move(plane: Plane, teeth: Pixels, positions: Floats, light: float) -> Floats:
    """Return a patch's samples `teeth` taken at `positions`, with so much light, of the kind of a plane."""
    if plane.step != (1, 1):
        first = np.array(chroma_site(plane.step), np.float32)
        positions = ((positions - first) / np.array(plane.step, np.float32)).astype(np.float32)
    moved = cv2.remap(teeth, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    relit: Floats = (moved - plane.zero) * light + plane.zero
    return relit


def _darken(plane: Plane, samples: Floats, gap: Floats, luma: float) -> Floats:
    """Return samples that are no brighter than `luma` above black in a gap [h, w], and pale there."""
    above = samples - plane.zero
    dark = above * _GAP_CHROMA if samples.ndim == 3 else np.minimum(above, luma)
    share = gap[..., None] if samples.ndim == 3 else gap
    darkened: Floats = plane.zero + above + share * (dark - above)
    return darkened


def _blend(plane: Plane, under: Pixels, samples: Floats, alpha: Floats) -> None:
    """Mix samples into those `under` them by `alpha` [h, w], in place."""
    if under.ndim == 3:
        alpha = alpha[..., None]
    mixed = under + alpha * (np.clip(samples, 0, plane.maximum) - under)
    under[:] = np.round(mixed).astype(under.dtype)
