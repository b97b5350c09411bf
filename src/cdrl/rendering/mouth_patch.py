"""What a frame shows of its mouth: teeth, the gap between them, and whether they are shut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cdrl.face.apertures import lips
from cdrl.face.bundle import Floats
from cdrl.face.mesh import INNER_CORNERS, INNER_LIPS, MOUTH_CONTOUR
from cdrl.media import Frame
from cdrl.rendering.flow import ALIGN, Window
from cdrl.rendering.raster import fill_contour, measure_depth
from cdrl.rendering.warp import Pixels

SHUT_SECONDS = 0.04
"""A frame or so: grain must not move the jaw, and speech opens it within two."""
TEETH_RANGE = (0.15, 0.3)
"""Share of teeth in a mouth's interior over which they come to count as seen."""
CHEEKS = (50, 280, 205, 425)
"""Points on both cheeks."""
_CONTOUR, _UPPER, _LOWER = list(MOUTH_CONTOUR), list(INNER_LIPS[0]), list(INNER_LIPS[1])
_TEETH_LUMA = 0.62  # of the skin's luma: teeth are brighter than this, the dark of a mouth is not
_MARGIN = 12  # pixels around the mouth in a patch
_GAP_RANGE = (0.3, 0.85)  # of the opening, from the upper lip: between these lies the gap between the teeth
_GAP_COLUMNS, _GAP_SLOPE = 5, 0.25  # places across the mouth, and share of the opening by which the gap rises or falls
_DARK_RANGE = (0.1, 0.4)  # of the range of luma between the lips, over which the uppermost row stops being dark
_CLOSED_RANGE = (0.6, 0.9)  # luma, over the skin's, of the darkest rows between which a gap shows itself no more


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
    for index in CHEEKS:
        x, y = (round(float(v)) for v in points[index])
        if 2 <= x < frame.width - 2 and 2 <= y < frame.height - 2:
            values.append(float(frame.planes[0][y - 2 : y + 3, x - 2 : x + 3].mean()))
    return max(float(np.median(values)) - frame.format.black, 1.0) if values else 1.0


def find_mouth_area(points: Floats, window: Window) -> Window | None:
    """Return the part of a window around the inner lips of landmarks [478, 2]; None where next to nothing lies in it.

    It begins on a whole chroma sample.
    """
    contour = points[_CONTOUR]
    x0, y0 = (int(v) // ALIGN * ALIGN for v in np.maximum(np.floor(contour.min(0)) - 2, (window.x0, window.y0)))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(contour.max(0)) + 3, (window.x1, window.y1)))
    return None if x1 - x0 < 4 or y1 - y0 < 4 else Window(x0, y0, x1, y1)


def measure_mouth_depth(points: Floats, area: Window) -> Floats:
    """Return how far inside the inner lips of landmarks [478, 2] each pixel of an area lies, [h, w] pixels."""
    return measure_depth(points[_CONTOUR] - (area.x0, area.y0), (area.height, area.width))


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
    mouth = extract_mouth_patch(frame, points, TEETH_RANGE[0])
    return 0.0 if mouth is None else ramp(mouth.share, TEETH_RANGE) * find_gap(mouth, frame.format.black)[2]


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


def find_gap(patch: MouthPatch, black: int) -> tuple[Floats, Floats, float]:
    """Find the gap between the teeth of a patch.

    Returns:
        Picture columns [k] across the mouth, ascending; the picture row [k] of what is darkest there between the teeth,
        which is a bow where lower teeth are seen alone; and the share in 0..1 to which it is as bright as teeth in the
        middle.
    """
    points = patch.points
    (x0, y0), (x1, y1) = sorted(points[list(INNER_CORNERS)].tolist())
    width, slope = x1 - x0, (y1 - y0) / max(x1 - x0, 1.0)
    top, bottom = (float(points[index, 1].mean()) for index in (_UPPER, _LOWER))
    middle, dark = _find_dark_row(patch, black, (x0 + width / 3, x1 - width / 3), (top, bottom))
    columns = np.linspace(x0, x1, _GAP_COLUMNS + 2, dtype=np.float32)[1:-1]
    straight = middle + slope * (columns - (x0 + x1) / 2)
    reach = _GAP_SLOPE * (bottom - top)
    tops, bottoms = (lip_rows(points, lip, columns) for lip in (_UPPER, _LOWER))
    rows = []
    for column, row, upper, lower in zip(columns, straight, tops, bottoms, strict=True):
        span = (column - width / 12, column + width / 12)
        found, darkness = _find_dark_row(patch, black, span, (upper, lower))
        bright = ramp(darkness / patch.skin, _CLOSED_RANGE)
        rows.append(bright * row + (1 - bright) * float(np.clip(found, row - reach, row + reach)))
    return columns, np.array(rows, np.float32), ramp(dark / patch.skin, _CLOSED_RANGE)


def lip_rows(points: Floats, lip: Sequence[int], columns: Floats) -> Floats:
    """Return the picture rows [k] at which a lip of landmarks [478, 2] crosses picture columns [k]."""
    ordered = np.array(lip)[np.argsort(points[list(lip), 0])]
    rows: Floats = np.interp(columns, points[ordered, 0], points[ordered, 1])
    return rows


def _find_dark_row(
    patch: MouthPatch, black: int, columns: tuple[float, float], lip_rows: tuple[float, float]
) -> tuple[float, float]:
    """The picture row of what is darkest between two lips, in the mean over a span of columns, and its luma."""
    top, bottom = lip_rows
    rows = np.arange(*(round(top + share * (bottom - top) - patch.y) for share in _GAP_RANGE))
    rows = rows[(rows >= 0) & (rows < len(patch.planes[0]))]
    first, last = (max(round(column - patch.x), least) for column, least in zip(columns, (0, 1), strict=True))
    seen = patch.planes[0][rows, first : max(last, first + 1)]
    if not seen.size:  # the picture ends before, or the lips touch
        return (top + bottom) / 2, 0.0
    luma = seen.astype(np.float32).mean(1) - black
    over = (luma - luma.min()) / max(float(np.ptp(luma)), 1.0)
    weights = np.exp(-over / 0.15)
    # Where it is dark up to the lip the upper teeth are not seen, and all that is below belongs to the lower ones.
    begins = 1 - ramp(float(over[0]), _DARK_RANGE)
    row = begins * float(rows[0]) + (1 - begins) * float((weights * rows).sum() / weights.sum())
    return row + patch.y + 0.5, float(luma.min())


def ramp(value: float, limits: tuple[float, float]) -> float:
    """Return how far a value lies from the first of two limits to the second, in 0..1."""
    return float(np.interp(value, limits, (0.0, 1.0)))
