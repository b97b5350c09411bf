"""The part of an eyeball that a lid covered before it opened farther: never filmed, so it is drawn.

The warp would draw the rim of the eye out: an iris as tall as the opening, where real eyes show a disc and white above
it. The iris mirrors its lower half; the white is that which the frame shows beside the iris, a little darker below
the lid.
"""

from __future__ import annotations

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import EYE_CONTOURS, LEFT_IRIS, RIGHT_IRIS
from cdrl.rendering.eyes import find_eye_area, find_first_sample, measure_lid_opening
from cdrl.rendering.flow import Window
from cdrl.rendering.warp import Pixels, Plane

_EYES = tuple(zip(EYE_CONTOURS, (RIGHT_IRIS, LEFT_IRIS), strict=True))
_WIDENED = (1.04, 1.12)  # opening after over before, over which the eyeball comes to be drawn
_SMALLEST = 3.0  # pixels: in an eye that is open by less nothing can be told apart
_NARROWEST = (0.1, 0.16)  # opening before over the eye's width, over which an eye comes to show its white: no blink
_RIM = (0.1, 0.25)  # openings below the new lid, over which the eyeball comes in; above are lashes
_OWN = (0.18, 0.36)  # openings inside the old lids, over which the frame's own eyeball is seen
_UNMOVED = (0.35, 0.6)  # the same, over which the warp is left as it is: it moves nothing there
_EDGE = (0.9, 1.1)  # of the iris's radius, over which it passes into the white
_WHITE = 1.2  # radii of the iris from its center, beyond which is white
_LEAST_WHITE = 4  # samples
_WHITE_PERCENTILE = 35  # of their luma: above it is darker than beside the iris, in the lid's shade
_CORNER = (0.15, 0.35)  # of the eye's width from its corners, over which the eyeball comes to be drawn
_LEAST = 1e-6  # pixels: what is shorter has no direction
_SHADE, _SHADE_DEPTH = 0.6, 0.2  # share of luma that a lid takes at its edge, and its reach in openings


def expose_eyeballs(planes: list[Plane], pixels: list[Pixels], window: Window, source: Floats, target: Floats) -> None:
    """Show eyeballs where they are, as far as lids open farther than before, in place.

    Args:
        planes: The frame's planes as they were.
        pixels: Their warped samples in a window, one array a plane; these change.
        window: The window.
        source: [478, 2] landmarks before, picture pixels.
        target: [478, 2] landmarks after, picture pixels.
    """
    for contour, iris in _EYES:
        before, after = source[list(contour)], target[list(contour)]
        own, opening = measure_lid_opening(before), measure_lid_opening(after)
        width = float(np.linalg.norm(before[8] - before[0]))
        widened = np.interp(opening / max(own, _LEAST), _WIDENED, (0, 1))
        share = float(widened * np.interp(own / max(width, _LEAST), _NARROWEST, (0, 1)))
        if share == 0 or own < _SMALLEST:
            continue
        center = source[iris[0]]
        radius = max(float(np.linalg.norm(source[list(iris[1:])] - center, axis=1).mean()), _LEAST)
        for plane, part in zip(planes, pixels, strict=True):
            if not _expose(plane, part, window, (before, after), (center, radius), share):
                break  # luma, which comes first, shows no white


def _expose(
    plane: Plane,
    part: Pixels,
    window: Window,
    contours: tuple[Floats, Floats],
    iris: tuple[Floats, float],
    share: float,
) -> bool:
    """Draw one eyeball in one plane's samples of a window, in place, and return whether it could be drawn.

    Args:
        plane: The plane as it was.
        part: Its warped samples in the window.
        window: The window.
        contours: [16, 2] of the eye before and after, picture pixels.
        iris: Its center [2] and its radius, picture pixels.
        share: In 0..1, how much of the drawing shows.
    """
    step, first = np.array(plane.step, np.float32), find_first_sample(window, plane.step)
    area = find_eye_area((contours[1] - first) / step, part.shape[:2])
    if area is None:
        return False
    cut = slice(area.y0, area.y1), slice(area.x0, area.x1)
    seen = plane.data[plane.window_slices(window)][cut].astype(np.float32)
    y, x = np.mgrid[cut].astype(np.float32)
    places = np.stack([x, y], 2) * step + first
    (below, above, _), (below_after, _, middle) = (_measure_depths(contour, places) for contour in contours)
    own, covered = np.interp(below, _OWN, (0, 1)), 1 - np.interp(below, _UNMOVED, (0, 1))
    center, radius = iris
    distance = np.linalg.norm(places - center, axis=2) / radius
    is_seen = (below > _OWN[1]) & (above > _OWN[0])
    is_white = is_seen & (distance > _WHITE)
    is_luma = seen.ndim == 2
    if is_luma and is_white.sum() < _LEAST_WHITE:
        return False
    percentile = _WHITE_PERCENTILE if is_luma else 50
    white = np.percentile(seen[is_white], percentile, axis=0) if is_white.any() else np.full(2, plane.zero)
    # An iris looks alike above and below; where its mirror image is hidden as well, its mean stands in.
    _, down = _find_axes(contours[0])
    mirrored = places - 2 * ((places - center) @ down)[..., None] * down
    mirror = ((mirrored - first) / step - (area.x0, area.y0)).astype(np.float32)
    disc, known = (
        cv2.remap(values, mirror, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for values in (seen, (own * np.interp(above, _OWN, (0, 1))).astype(np.float32))
    )
    is_iris = is_seen & (distance < _EDGE[0])
    mean = seen[is_iris].mean(0) if is_iris.any() else white
    shown = share * covered * np.interp(below_after, _RIM, (0, 1)) * np.interp(middle, _CORNER, (0, 1))
    layers = (1 - np.interp(distance, _EDGE, (0, 1)), shown, own, known)
    within, alpha, own, known = (layer if is_luma else layer[..., None] for layer in layers)
    drawn: Floats = white + within * (mean + known * (disc - mean) - white)
    if is_luma:
        shade = 1 - _SHADE * np.exp(-np.maximum(below_after, 0) / _SHADE_DEPTH)
        drawn = plane.zero + (drawn - plane.zero) * shade
    moved = part[cut]
    result = moved + alpha * (drawn + own * (seen - drawn) - moved)
    moved[:] = np.clip(np.round(result), 0, plane.maximum).astype(moved.dtype)
    return True


def _measure_depths(contour: Floats, places: Floats) -> tuple[Floats, Floats, Floats]:
    """Measure how deep places [h, w, 2] lie in the eye of a contour [16, 2].

    Returns:
        Below the upper lid, and above the lower one, in mean openings; and inside the nearer corner, in widths.
    """
    across, down = _find_axes(contour)
    along, depth = ((places - contour[0]) @ axis for axis in (across, down))
    width = max(float(np.linalg.norm(contour[8] - contour[0])), _LEAST)
    upper, lower = contour[:9] - contour[0], np.concatenate([contour[:1], contour[:7:-1]]) - contour[0]
    rows = [np.interp(along, lid @ across, lid @ down).astype(np.float32) for lid in (upper, lower)]
    opening = max(measure_lid_opening(contour), _LEAST)
    return (depth - rows[0]) / opening, (rows[1] - depth) / opening, np.minimum(along, width - along) / width


def _find_axes(contour: Floats) -> tuple[Floats, Floats]:
    """Return directions [2] of a contour [16, 2]: from the outer corner to the inner one, and down."""
    across = (contour[8] - contour[0]) / max(float(np.linalg.norm(contour[8] - contour[0])), _LEAST)
    down = np.array([-across[1], across[0]], np.float32)
    is_down = float((contour[12] - contour[4]) @ down) >= 0  # the left eye's outer corner lies to the right
    return across, down if is_down else -down
