"""The mouth interior: teeth from the clip's own frames, where lips part farther than the source shows them parted.

The warp stretches what lies between the lips, which looks right where that is dark. Teeth are rigid: in a mouth that
shows its own, the upper ones stay with the skull while the upper lip slides over them, the lower ones move with the
jaw, and the dark between them grows. Lips that barely part show a slit only; there a patch fills in: the mouth of
another frame of the clip with clear teeth. Where lips draw back the row of upper teeth is shown (`teeth`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cdrl.face.apertures import lips
from cdrl.face.bundle import Floats
from cdrl.face.mesh import INNER_CORNERS, INNER_LIPS, LEFT_IRIS, MOUTH_CONTOUR, RIGHT_IRIS
from cdrl.media import Frame
from cdrl.media.frames import chroma_site
from cdrl.rendering.flow import Flow, Window
from cdrl.rendering.mouth_patch import (
    TEETH_RANGE,
    MouthPatch,
    extract_mouth_patch,
    find_gap,
    find_mouth_area,
    lip_rows,
    measure_mouth_depth,
    ramp,
    skin_luma,
)
from cdrl.rendering.raster import fill_contour
from cdrl.rendering.warp import Pixels, Plane, resample_to_plane, sample_nearest

_CONTOUR = list(MOUTH_CONTOUR)
_UPPER, _LOWER = list(INNER_LIPS[0]), list(INNER_LIPS[1])
_RIGID_POINTS = (2, 98, 327, 168, 6, 133, 362, 33, 263)  # nose base and eye corners: upper teeth move with them
_GROWTH_RANGE = (0.15, 0.6)  # growth of the opening, of the source's own, over which the patch comes in
_SLIT_RANGE = (0.07, 0.13)  # source opening over the mouth's width, over which its own interior takes over again
_OWN_GROWTH_RANGE = (0.03, 0.15)  # growth of the opening over which its own teeth are kept from stretching
_LIP_SHARE = 0.85  # of the opening, from the upper lip, to which teeth that show no gap reach
_MAX_REVEAL = 0.25  # of the opening, by which lips that slide show more of the teeth at most
_GAP_LUMA, _GAP_CHROMA = (0.15, 0.3), 0.5  # of the skin's luma, and of the chroma there, that a gap shows at most


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
    lip_rows: tuple[Floats, Floats]
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
        lip_rows=(top, bottom),
        slide=(nothing, nothing),
        dark_below=None,
    )


def _place_own_teeth(own: MouthPatch, target: Floats, black: int, row_is_known: bool) -> _PlacedTeeth:
    """Place a frame's own teeth: the upper ones stay with the skull, the lower ones follow the jaw.

    Where no gap is seen between them the jaw is shut, or the upper teeth hide the lower ones: lips slide over them as
    far as teeth are known to reach, and beyond the dark opens below. Where the row of upper teeth is known, it stays
    while the upper lip rises by no more than the height that is seen of them.
    """
    gap_columns, gap_rows, closed = find_gap(own, black)
    columns = np.sort(target[_UPPER, 0])
    (own_top, top), (own_bottom, bottom) = (
        [lip_rows(points, lip, columns) for points in (own.points, target)] for lip in (_UPPER, _LOWER)
    )
    reveal = _MAX_REVEAL * float(lips().opening(own.points))
    dark = np.interp(columns, gap_columns, gap_rows)
    height = (1 - closed) * (dark - own_top) + closed * _LIP_SHARE * (own_bottom - own_top)
    upper_slide = np.maximum(top - own_top, -np.maximum(height, reveal) if row_is_known else -reveal)
    lift = top - own_top - upper_slide
    fall = bottom - own_bottom - lift
    lower_slide = closed * np.clip(fall, 0.0, reveal)
    rows = own_top + height + lift
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
        lip_rows=(top, bottom),
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
    row_is_known: bool = False,
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
        row_is_known: Whether it is known where the upper teeth lie, so that more of them can be shown (`expose_teeth`).
    """
    before, after = (float(lips().opening(points)) for points in (source, target))
    if min(before, after) < 1 or after <= before:
        return
    growth = (after - before) / max(before, 0.02 * float(np.ptp(target[:, 0])))
    slit = before / max(float(np.linalg.norm(source[INNER_CORNERS[1]] - source[INNER_CORNERS[0]])), 1.0)
    amount = (1 - ramp(slit, _SLIT_RANGE)) * ramp(growth, _GROWTH_RANGE)
    if patch is not None and amount:
        _blend_teeth(
            planes, pixels, flow, _place_teeth(patch, source, target), target, amount, skin_luma(frame, source)
        )
    amount = ramp(slit, _SLIT_RANGE) * ramp(growth, _OWN_GROWTH_RANGE)
    own = extract_mouth_patch(frame, source, TEETH_RANGE[0]) if amount else None
    if own is not None:
        teeth = _place_own_teeth(own, target, frame.format.black, row_is_known)
        _blend_teeth(planes, pixels, flow, teeth, target, amount * ramp(own.share, TEETH_RANGE), own.skin)


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
    area = find_mouth_area(target, window)
    if area is None:
        return
    depth = measure_mouth_depth(target, area)
    edge = max(0.15 * float(lips().opening(target)), 1.0)
    alpha = amount * np.clip(depth / edge, 0, 1)
    positions, gap = _positions(area, (1, 1), teeth)
    inside = fill_contour(patch.points[_CONTOUR] - (patch.x, patch.y), patch.planes[0].shape).astype(np.float32)
    inside = cv2.GaussianBlur(inside, (0, 0), 1.0)
    alpha = alpha * cv2.remap(inside, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    light, dark = float(np.clip(skin / patch.skin, 0.7, 1.4)), _find_dark(planes[0], patch, skin)
    for plane, warped, samples in zip(planes, pixels, patch.planes, strict=True):
        if plane.step != (1, 1):
            positions, gap = _positions(area, plane.step, teeth)
        part = warped[plane.window_slices(area.within(window))]
        weights = resample_to_plane(alpha, (area.width, area.height), plane.step)
        moved = _move(plane, samples, positions, light)
        if teeth.dark_below is not None:
            moved = _darken(plane, moved, gap, dark)
        _blend(plane, part, moved, weights)


def _find_dark(luma: Plane, patch: MouthPatch, skin: float) -> float:
    """Return the luma above black of the dark between teeth: that of the pupils, for black is gray in pale pictures."""
    pupils = sample_nearest(luma.data, patch.points[[RIGHT_IRIS[0], LEFT_IRIS[0]]], luma.step)
    least, most = _GAP_LUMA
    return float(np.clip(pupils.min() - luma.zero, least * skin, most * skin))


def _positions(area: Window, step: tuple[int, int], teeth: _PlacedTeeth) -> tuple[Floats, Floats]:
    """Return where in the patch, in its pixels, each sample of an area lies [h, w, 2], and how deep in the dark [h, w].

    Above the gap samples move with the upper teeth, below it with the lower ones.
    """
    first_x, first_y = chroma_site(step)
    x = np.arange(area.x0, area.x1, step[0], dtype=np.float32) + np.float32(first_x)
    y = np.arange(area.y0, area.y1, step[1], dtype=np.float32)[:, None] + np.float32(first_y)
    lift, drop, gap, height, top, bottom, rise, fall = (
        np.interp(x, teeth.columns, values).astype(np.float32)
        for values in (teeth.lift, teeth.drop, teeth.gap, teeth.gap_height, *teeth.lip_rows, *teeth.slide)
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
