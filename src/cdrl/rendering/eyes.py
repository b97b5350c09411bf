"""The eye layer: lids slide over an eyeball that stays where it is, so that an iris never turns oval.

Inside the new lid contour the flow falls from the lid's own to none. A thin rim moves with the lid as it is: lashes
lie on it, and must not be drawn out. Below the rim a narrowed lid covers the eye at once; a widened one draws on all
of the eye's upper half, so that no line is stretched much.
"""

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import EYE_CONTOURS
from cdrl.media.frames import chroma_site
from cdrl.rendering.flow import Window
from cdrl.rendering.raster import measure_depth

_RIM = 0.12  # depth of the rim that moves with the lid, in apertures
_COVER = 0.15  # depth below the rim at which the flow is none under a narrowed lid, in apertures
_STRETCH = 0.4  # the same under a widened lid
_UNCOVER = 1.8  # the same at least, in the way that a widening lid goes


def damp_flow_in_eyes(shift: Floats, window: Window, step: tuple[int, int], source: Floats, target: Floats) -> None:
    """Scale a flow down inside both eyes, in place.

    Args:
        shift: [h, w, n], at a plane's samples in the window.
        window: The part of the picture that the plane's samples lie in.
        step: (x, y) picture pixels a sample.
        source: [478, 2] landmarks before, picture pixels.
        target: [478, 2] landmarks after, picture pixels.
    """
    scale = 1 / np.array(step, np.float32)
    first = find_first_sample(window, step)
    for contour in EYE_CONTOURS:
        before, after = source[list(contour)], target[list(contour)]
        outline = (after - first) * scale
        area = find_eye_area(outline, shift.shape[:2])
        if area is None:
            continue
        depth = measure_depth(outline - (area.x0, area.y0), (area.height, area.width))
        opening, source_opening = measure_lid_opening(after), measure_lid_opening(before)
        share = _COVER if opening < source_opening else _STRETCH
        unit = min(opening, source_opening) * float(scale[1])
        # Where a lid moves outwards the flow must not end before what the lid covered has been passed.
        outwards = float(np.linalg.norm(before - after, axis=1).max() * scale[1]) if opening >= source_opening else 0.0
        reach = max(share * unit, _UNCOVER * outwards, 0.5)
        left = 1 - np.clip((depth - _RIM * unit) / reach, 0, 1)
        shift[area.y0 : area.y1, area.x0 : area.x1] *= left[..., None]


def find_first_sample(window: Window, step: tuple[int, int]) -> Floats:
    """Return where a plane's first sample in a window lies, [2] picture pixels; `step` is (x, y) pixels a sample."""
    first: Floats = np.array([window.x0, window.y0], np.float32) + np.array(chroma_site(step), np.float32)
    return first


def find_eye_area(outline: Floats, shape: tuple[int, ...]) -> Window | None:
    """Return the part of an array of `shape` (h, w) around a contour [16, 2] in its samples; None where it is empty."""
    x0, y0 = (max(int(value) - 1, 0) for value in np.floor(outline.min(0)))
    x1, y1 = (min(int(value) + 2, size) for value, size in zip(np.ceil(outline.max(0)), shape[::-1], strict=True))
    return None if x1 - x0 < 3 or y1 - y0 < 3 else Window(x0, y0, x1, y1)


def measure_lid_opening(contour: Floats) -> float:
    """Return the mean lid opening, pixels, of a contour [16, 2]: outer corner, upper lid, inner corner, lower lid."""
    return float(np.linalg.norm(contour[1:8] - contour[15:8:-1], axis=1).mean())
