"""The row of upper teeth, where an edit uncovers what the clip shows in the dark or never showed.

Upper teeth are rigid and stay with the skull, so where their edges lie is measured in some frames and holds in all. A
smile draws the lips back from them: it shows the row to both sides and lets light onto it. What the frame shows of its
own teeth stays, in that light; the rest of the row is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from cdrl.face.apertures import lips
from cdrl.face.bundle import Floats
from cdrl.face.mesh import INNER_CORNERS, canonical_points
from cdrl.face.pose import Pose
from cdrl.media import Frame
from cdrl.rendering.flow import Window
from cdrl.rendering.mouth_patch import CHEEKS, find_mouth_area, measure_mouth_depth, ramp, skin_luma
from cdrl.rendering.warp import Pixels, Plane, resample_to_plane, sample_nearest

_UPPER_LIP, _LOWER_LIP = 13, 14  # points in the middle of the inner lips
_WIDTHS = (0.85, 0.65, 0.75, 0.7, 0.7)  # cm, of the incisors, the canine and the premolars of a side
_BEHIND = 0.4  # cm that the middle of the row lies behind the lips
_ARCH, _EDGE_ARCH = 0.16, 0.05  # 1/cm: how the row bends back to its sides, and how its edges rise there
_HALF_ROW, _ROW_STEPS = 2.8, 57  # cm to each side, and places between: the row as far as lips show it
_ROW_END = (3.4, 3.0)  # cm along the row over which it is lost in the dark
_ROUNDING = 0.06  # cm that a tooth's corners lie above its edge
_GROOVE, _GROOVE_DEPTH = 0.04, 0.2  # cm, and share of the light that is missing between two teeth
_FALLOFF = 2.4  # cm along the row by which e times less light reaches it
_OWN_SHARE, _OWN_MARGIN = (0.15, 0.45), 0.15  # of a column that is teeth, over which it counts as the frame's own; cm
_BETWEEN = 0.4  # cm to each side of a column within which teeth make it one of theirs
_SHADOW, _SHADOW_DEPTH = 0.15, 0.3  # cm from the lips, and share of the light that they take
_CHROMA = 0.35  # of the skin's chroma: teeth are paler, in the same light
_EXPOSURE = (0.04, 0.25)  # cm by which lips draw back, over which the row comes to be seen
_SLIT = (0.1, 0.35)  # cm that lips are open, over which the same: rounded or pressed lips hide the teeth
_CLOSING = (0.0, 0.1)  # cm by which lips close, over which teeth are shaded
_WIDENING = 0.25  # share of a mouth's widening that counts as drawing back
_EXPOSED_LIGHT, _LIGHT_RANGE = 1.2, (0.85, 1.35)  # of luma, from talk to a smile, and where that ends, of the skin's
_SHADE = 1 - 1 / _EXPOSED_LIGHT  # of their light, which lips take from teeth as a smile is taken out
_SHADED_FALLOFF = 1.8  # cm along the row, as `_FALLOFF`, of what then is left
_MAX_BRIGHTENING = 1.25  # of teeth that are seen
_TOOTH_LUMA = (0.45, 0.7)  # of the skin's, over which what is seen comes to count as a tooth
_PALE_EDGE = (0.55, 0.8)  # of the skin's chroma, over which what is seen passes from a tooth to a lip
_EDGE_SHADE = 0.5  # share of the shade that they get: some of it is a lip
_LIP_EDGE = 0.15  # cm by which landmarks may lie off the lips' edges
_MAX_ROLL = 40.0  # degrees: rows of teeth are told by the picture's columns
_MIN_OPENING = 0.3  # cm of the lips, for teeth to be measured
_MIDDLE = 0.7  # cm to both sides of the middle, in which they are
_MIN_LUMA, _MIN_CONTRAST, _MAX_DARK = 0.55, 0.25, 0.45  # of the skin's: teeth, the dark below, and between the two
_MAX_ABOVE, _MIN_BELOW = 0.25, 0.1  # cm from the upper lip to the teeth, and of the dark below their edges
_PALE, _FAINT = 0.9, 4  # of the skin's chroma that teeth have at most; levels of it that say nothing, in 8 bits
_HEIGHT = 1.15  # cm of a tooth, at most
_MIN_FRAMES = 2
_MAX_DEVIATION = 0.15  # cm by which edges in one frame may lie off those of all


@dataclass(frozen=True)
class Teeth:
    """A person's upper teeth, as measured."""

    edge: float
    """cm, down: where the incisal edges lie in the pose-free shape, in the middle."""
    luma: float
    """Their luma, as a share of the skin's."""


@dataclass(frozen=True)
class PlacedTeeth:
    """A row of upper teeth in a picture; arrays [k] are values at `columns`, between which they are interpolated."""

    columns: Floats
    """[k] picture columns, ascending."""
    edges: Floats
    """[k] picture rows of the incisal edges."""
    along: Floats
    """[k] cm along the dental arch, from its middle."""
    scale: float
    """Pixels per centimeter."""
    luma: float
    """As of the `Teeth`."""


def measure_teeth(frame: Frame, points: Floats, pose: Pose) -> Teeth | None:
    """Measure the upper teeth in the middle of a mouth; None where no incisal edges are seen before the dark.

    Args:
        frame: The frame.
        points: [478, 3] landmarks, pixels.
        pose: Their pose.
    """
    upper, lower = points[_UPPER_LIP], points[_LOWER_LIP]
    half = _MIDDLE * pose.scale
    left, right, top, bottom = (round(float(v)) for v in (upper[0] - half, upper[0] + half, upper[1], lower[1]))
    inside = left >= 0 and top >= 0 and right < frame.width and bottom < frame.height
    if abs(pose.roll) > _MAX_ROLL or not inside or bottom - top < max(_MIN_OPENING * pose.scale, 3):
        return None
    seen = frame.planes[0][top:bottom, left : right + 1].astype(np.float32).mean(1)
    luma = (seen - frame.format.black) / skin_luma(frame, points[:, :2])
    brightest, darkest = float(luma.max()), float(luma.min())
    middle = (brightest + darkest) / 2
    bright = luma > middle
    first = int(np.argmax(bright))
    ends = np.flatnonzero(~bright[first:])
    if brightest < _MIN_LUMA or brightest - darkest < _MIN_CONTRAST or first > _MAX_ABOVE * pose.scale or not len(ends):
        return None
    end = first + int(ends[0])
    if len(luma) - end < _MIN_BELOW * pose.scale or luma[end:].min() > _MAX_DARK:
        return None
    if end > _HEIGHT * pose.scale or not _is_pale(frame, points, slice(top + first, top + end), slice(left, right + 1)):
        return None
    row = top + end - 1 + (luma[end - 1] - middle) / (luma[end - 1] - luma[end])
    edge = pose.normalize(np.array([upper[0], row, upper[2]], np.float32))
    return Teeth(float(edge[1]), brightest)


def _is_pale(frame: Frame, points: Floats, rows: slice, columns: slice) -> bool:
    """Whether a part of a frame is paler than the skin, as teeth are and a tongue is not; gray pictures do not tell."""
    if frame.format.gray:
        return True
    step = frame.format.sx, frame.format.sy
    part = tuple(slice(cut.start // s, -(-cut.stop // s)) for cut, s in zip((rows, columns), step[::-1], strict=True))
    zero, faint = frame.format.chroma_zero, _FAINT << (frame.format.depth - 8)
    seen = (float(plane[part].mean()) - zero for plane in frame.planes[1:])
    cheeks = (sample_nearest(plane, points[list(CHEEKS), :2], step) for plane in frame.planes[1:])
    skin = (float(np.median(samples)) - zero for samples in cheeks)
    return math.hypot(*seen) <= _PALE * max(math.hypot(*skin), faint)


def combine_teeth(seen: Sequence[Teeth]) -> Teeth | None:
    """Return what measurements in several frames say of a person's teeth; None where they are too few."""
    if len(seen) < _MIN_FRAMES:
        return None
    # Lips shade teeth in most frames: the bright ones tell more of them.
    return Teeth(float(np.median([teeth.edge for teeth in seen])), float(np.percentile([t.luma for t in seen], 75)))


def place_teeth(teeth: Teeth, frame: Frame, points: Floats, pose: Pose) -> PlacedTeeth | None:
    """Place a person's teeth in a frame; None where the head is inclined too far.

    Args:
        teeth: The person's.
        frame: The frame; where it shows the teeth's edges, they are taken to lie as it shows them.
        points: [478, 3] its landmarks, pixels.
        pose: Their pose.
    """
    if abs(pose.roll) > _MAX_ROLL:
        return None
    own = measure_teeth(frame, points, pose)
    if own is not None:
        near = np.clip(own.edge, teeth.edge - _MAX_DEVIATION, teeth.edge + _MAX_DEVIATION)
        teeth = replace(teeth, edge=float(near))
    x = np.linspace(-_HALF_ROW, _HALF_ROW, _ROW_STEPS, dtype=np.float32)
    z = canonical_points()[_UPPER_LIP, 2] + _BEHIND + _ARCH * x**2
    row = pose.to_image(np.stack([x, teeth.edge - _EDGE_ARCH * x**2, z], 1)) + pose.translation
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    along -= along[_ROW_STEPS // 2]
    order = np.argsort(row[:, 0])
    columns, edges, along = (values[order].astype(np.float32) for values in (row[:, 0], row[:, 1], along))
    return PlacedTeeth(columns, edges, along, pose.scale, teeth.luma)


def measure_exposure(source: Floats, target: Floats, scale: float) -> float:
    """Return by how many cm lips draw back from the upper teeth.

    Args:
        source: [478, 2] landmarks before, pixels.
        target: [478, 2] landmarks after, pixels.
        scale: Pixels per centimeter.
    """
    rise = source[_UPPER_LIP, 1] - target[_UPPER_LIP, 1]
    before, after = (np.linalg.norm(points[INNER_CORNERS[1]] - points[INNER_CORNERS[0]]) for points in (source, target))
    return float(rise + _WIDENING * (after - before)) / scale


def expose_teeth(
    frame: Frame,
    planes: list[Plane],
    pixels: list[Pixels],
    window: Window,
    teeth: PlacedTeeth,
    source: Floats,
    target: Floats,
) -> None:
    """Show the upper teeth in a warped mouth as far as its lips draw back from them, in place.

    As far as lips come forward while the mouth closes, all teeth that are seen are shaded.

    Args:
        frame: The frame as it was.
        planes: Its planes.
        pixels: Their warped samples in a window, one array a plane; these change.
        window: The window.
        teeth: The row in this picture.
        source: [478, 2] landmarks before, picture pixels.
        target: [478, 2] landmarks after, picture pixels.
    """
    before, after = (float(lips().opening(points)) / teeth.scale for points in (source, target))
    drawn_back = measure_exposure(source, target, teeth.scale)
    exposure = ramp(drawn_back, _EXPOSURE) * ramp(after, _SLIT)
    # Bared teeth or a smile that are taken out close the mouth; lips that sink with the jaw, as in surprise, open it.
    shade = ramp(-drawn_back, _EXPOSURE) * ramp(before - after, _CLOSING)
    area = find_mouth_area(target, window) if exposure or shade else None
    if area is None:
        return
    parts = [part[plane.window_slices(area.within(window))] for plane, part in zip(planes, pixels, strict=True)]
    skin, depth = skin_luma(frame, source), measure_mouth_depth(target, area)
    seen = (parts[0].astype(np.float32) - planes[0].zero) / skin
    inside, likeness = np.clip(2 * depth, 0, 1), np.interp(seen, _TOOTH_LUMA, (0, 1)).astype(np.float32)
    if shade:
        left = (1 - _SHADE) * np.exp(-((_along_row(teeth, area) / _SHADED_FALLOFF) ** 4))
        # Landmarks lie a little off the lips: what is too pale for a lip beside the opening is a tooth's edge, too.
        reach = 2 * max(round(_LIP_EDGE * teeth.scale), 1) + 1
        beside = cv2.dilate(inside, np.ones((reach, reach), np.uint8)) - inside
        shaded = inside * likeness + _EDGE_SHADE * beside * likeness * _measure_paleness(planes, parts, source)
        _store(planes[0], parts[0], planes[0].zero + skin * seen * (1 - shade * (1 - left) * shaded))
        return
    cover, light = _draw_row(teeth, area, depth)
    cover *= exposure * inside
    own = seen[(likeness > 0.9) & (cover > 0.5 * exposure)]
    shown = float(np.percentile(own, 75)) if own.size else None
    luma = _exposed_luma(teeth, shown)
    if shown is not None:
        seen = seen * (1 + (luma / shown - 1) * cover * likeness)
    alpha = cover * (1 - _find_own_columns(cover, likeness, teeth.scale))
    _store(planes[0], parts[0], planes[0].zero + skin * (seen + alpha * (luma * light - seen)))
    for plane, part in zip(planes[1:], parts[1:], strict=True):
        weights = resample_to_plane(alpha, (area.width, area.height), plane.step)[..., None]
        color = plane.zero + _CHROMA * (_measure_skin_chroma(plane, source) - plane.zero)
        _store(plane, part, part + weights * (color - part))


def _measure_skin_chroma(plane: Plane, points: Floats) -> Floats:
    """Return the median [channels] of a plane of chroma on the cheeks of landmarks [478, 2]."""
    chroma: Floats = np.median(sample_nearest(plane.data, points[list(CHEEKS)], plane.step), 0)
    return chroma


def _measure_paleness(planes: list[Plane], parts: list[Pixels], source: Floats) -> Floats:
    """Measure how far parts of planes are paler than lips, [h, w] of luma's samples in 0..1; 0 of gray pictures."""
    if len(planes) < 2:
        return np.zeros(parts[0].shape, np.float32)
    skin = _measure_skin_chroma(planes[1], source) - planes[1].zero
    chroma = np.linalg.norm(parts[1].astype(np.float32) - planes[1].zero, axis=2)
    ratio = cv2.resize(chroma, parts[0].shape[1::-1], interpolation=cv2.INTER_LINEAR) / max(np.linalg.norm(skin), 1.0)
    paleness: Floats = np.interp(ratio, _PALE_EDGE, (1, 0)).astype(np.float32)
    return paleness


def _exposed_luma(teeth: PlacedTeeth, shown: float | None) -> float:
    """The luma of teeth in full light, as a share of the skin's; `shown` is that of those which the frame shows."""
    least, most = _LIGHT_RANGE
    luma = float(np.clip(_EXPOSED_LIGHT * teeth.luma, least, max(teeth.luma, most)))
    return luma if shown is None else shown * float(np.clip(luma / shown, 1, _MAX_BRIGHTENING))


def _along_row(teeth: PlacedTeeth, area: Window) -> Floats:
    """How many cm along the row each column of an area lies [w], to its right or left; infinite beyond its ends."""
    x = np.arange(area.x0, area.x1, dtype=np.float32)
    along: Floats = np.abs(np.interp(x, teeth.columns, teeth.along, left=np.inf, right=np.inf))
    return along


def _draw_row(teeth: PlacedTeeth, area: Window, depth: Floats) -> tuple[Floats, Floats]:
    """Return where a row of teeth lies in an area [h, w], in 0..1, and how much light it has there, in 0..1."""
    x = np.arange(area.x0, area.x1, dtype=np.float32)
    y = np.arange(area.y0, area.y1, dtype=np.float32)[:, None]
    along = _along_row(teeth, area)
    bounds = np.concatenate([[0], np.cumsum(_WIDTHS)])
    number = np.clip(np.searchsorted(bounds, along, side="right") - 1, 0, len(_WIDTHS) - 1)
    across = np.clip(2 * (along - bounds[number]) / np.array(_WIDTHS)[number] - 1, -1, 1)
    edges = np.interp(x, teeth.columns, teeth.edges) - _ROUNDING * teeth.scale * across**6
    cover = np.clip(edges - y + 0.5, 0, 1) * np.clip(y - edges + _HEIGHT * teeth.scale + 0.5, 0, 1)
    cover *= np.interp(along, _ROW_END[::-1], (1, 0))
    width = max(_GROOVE, 0.6 / teeth.scale)  # a groove finer than the pixels is fainter
    groove = np.exp(-np.square(np.abs(along[:, None] - bounds).min(1) / width)) * _GROOVE_DEPTH * _GROOVE / width
    light = np.exp(-((along / _FALLOFF) ** 4)) * (1 - groove)
    light = light * (1 - _SHADOW_DEPTH * np.exp(-depth / (_SHADOW * teeth.scale)))
    return cover.astype(np.float32), light.astype(np.float32)


def _find_own_columns(cover: Floats, likeness: Floats, scale: float) -> Floats:
    """The share [w] in 0..1 to which the frame shows its own teeth in a column, where nothing is drawn over them."""
    share = (cover * likeness).sum(0) / np.maximum(cover.sum(0), 1e-3)
    own = np.interp(share, _OWN_SHARE, (0, 1)).astype(np.float32)[None]
    # Dark columns between two teeth that are seen are grooves.
    own = cv2.morphologyEx(own, cv2.MORPH_CLOSE, np.ones((1, 2 * round(_BETWEEN * scale) + 1), np.uint8))
    smooth: Floats = cv2.GaussianBlur(own, (0, 0), max(_OWN_MARGIN * scale, 0.5))[0]
    return smooth


def _store(plane: Plane, part: Pixels, values: Floats) -> None:
    """Write values into the samples of a part of a plane."""
    part[:] = np.round(np.clip(values, 0, plane.maximum)).astype(part.dtype)
