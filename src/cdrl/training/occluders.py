"""Draws occluders of a face with their exact masks: glasses, captions, microphones, hands, papers, hair, masks.

All is drawn from the given generator: the same seed, the same picture.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.mesh import EYE_CONTOURS, OVAL

Picture = NDArray[np.uint8]
Random = np.random.Generator
Draw = Callable[[tuple[int, int], Floats, Random], Floats]
"""Draws the opacity [h, w], in 0..1, of an occluder on a picture of that size, of a face with landmarks [478, 2]."""
_FINE = 16  # parts of a pixel that corners given to OpenCV are rounded to
_FACE_SIDE = 150.0  # pixels: usual distance from brow to chin in an aligned picture, to which sizes refer
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX)
_LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,'!?-  "
_CHIN, _NOSE_BRIDGE = 152, 6
_MASK_TOP = (234, 117, 6, 346, 454)  # points along the upper edge of a mask over nose and mouth
_CAPTION, _GLASSES, _MASK, _HAIR = 0.14, 0.3, 0.05, 0.06  # probabilities; else it is an object
_FLAT_FILL, _FOREIGN_FILL = 0.45, 0.25  # probabilities of one color, and of a part of another picture; else a pattern


def add_occluder(picture: Picture, points: Floats, other: Picture, random: Random) -> tuple[Picture, Floats]:
    """Put an occluder in front of a face.

    Args:
        picture: RGB [h, w, 3].
        points: [478, 2] landmarks, pixels.
        other: RGB [h', w', 3], another picture, of which parts serve as what is seen on objects.
        random: Decides.

    Returns:
        The picture with it, and its opacity [h, w] in 0..1.
    """
    size, kind = picture.shape[:2], random.random()
    if kind < _GLASSES:
        return _wear_glasses(picture, points, random)
    if kind < _GLASSES + _CAPTION:
        return _caption(picture, points, random)
    if kind < _GLASSES + _CAPTION + _MASK:
        opacity = _draw_mask(size, points, random)
    elif kind < _GLASSES + _CAPTION + _MASK + _HAIR:
        opacity = _draw_hair(size, points, random)
        tone = picture[: size[0] // 8].reshape(-1, 3).mean(0) * random.uniform(0.2, 0.9)
        return _paint(picture, opacity, _shade(np.broadcast_to(tone, picture.shape), random)), opacity
    else:
        draw = _OBJECTS[random.integers(len(_OBJECTS))]
        opacity = draw(size, points, random)
    opacity = _soften(opacity, random)
    return _paint(_cast_shadow(picture, opacity, random), opacity, draw_surface(picture, other, random)), opacity


def _paint(picture: Picture, opacity: Floats, color: Floats) -> Picture:
    mixed = picture + opacity[..., None] * (color - picture)
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def _soften(opacity: Floats, random: Random) -> Floats:
    """Blur an edge as focus and movement do."""
    deviation = float(random.choice([0.4, 0.7, 1.5], p=[0.5, 0.35, 0.15]))
    return np.asarray(cv2.GaussianBlur(opacity, (0, 0), deviation), np.float32)


def _cast_shadow(picture: Picture, opacity: Floats, random: Random) -> Picture:
    if random.random() < 0.5:
        return picture
    shift = np.array([[1, 0, random.uniform(-8, 8)], [0, 1, random.uniform(0, 12)]], np.float32)
    moved = cv2.warpAffine(opacity, shift, opacity.shape[::-1])
    shadow = random.uniform(0.1, 0.4) * cv2.GaussianBlur(moved, (0, 0), random.uniform(2, 8))
    return np.asarray(picture * (1 - shadow[..., None]), np.uint8)


def draw_surface(picture: Picture, other: Picture, random: Random) -> Floats:
    """Return what is seen on an object or a wall, [h, w, 3]: a color, a pattern, or a part of another picture."""
    size, kind = picture.shape[:2], random.random()
    if kind < _FLAT_FILL:
        color = random.uniform(0, 255, 3) if random.random() < 0.5 else np.full(3, random.uniform(0, 255))
        if random.random() < 0.4:  # as skin, so that hands count
            height, width = size
            spot = picture[height // 3 : 3 * height // 4, width // 3 : 2 * width // 3].reshape(-1, 3)
            color = np.median(spot, 0) * random.uniform(0.6, 1.25) * random.uniform(0.93, 1.07, 3)
        return _shade(np.broadcast_to(color, picture.shape), random)
    if kind < _FLAT_FILL + _FOREIGN_FILL:
        height, width = other.shape[:2]
        side = int(random.integers(min(height, width) // 6, min(height, width) // 2))
        top, left = int(random.integers(height - side)), int(random.integers(width - side))
        part = cv2.resize(other[top : top + side, left : left + side], size[::-1], interpolation=cv2.INTER_CUBIC)
        return _shade(part.astype(np.float32), random)
    one, two = random.uniform(0, 255, (2, 3))
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    angle, period = random.uniform(0, np.pi), random.uniform(3, 25)
    wave = np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    if random.random() < 0.4:
        wave = np.maximum(wave, np.cos(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / period))
    lines = (wave > random.uniform(-0.5, 0.9)).astype(np.float32)[..., None]
    return _shade(one + lines * (two - one), random)


def _shade(color: Floats, random: Random) -> Floats:
    """Light it from a side, with a little noise."""
    height, width = color.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = random.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)) * random.uniform(0, 0.8)
    noise = cv2.resize(
        random.standard_normal((height // 4, width // 4)).astype(np.float32), (width, height)
    ) * random.uniform(0, 0.06)
    return np.asarray(color * (1 + slope + noise)[..., None], np.float32)


def _blank(size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.zeros(size, np.uint8)


def _fixed(points: Floats) -> NDArray[np.int32]:
    """Corners as OpenCV takes them with `shift=4`."""
    return np.round(np.asarray(points) * _FINE).astype(np.int32)


def _fill_shape(size: tuple[int, int], corners: Floats) -> Floats:
    drawn = cv2.fillPoly(_blank(size), [_fixed(corners)], 255, cv2.LINE_AA, 4)
    return np.asarray(drawn, np.float32) / 255


def _strokes(size: tuple[int, int], lines: list[Floats], width: float, closed: bool = False) -> Floats:
    """Lines of a width in pixels, drawn on twice the resolution, so that thin ones have it."""
    drawn = _blank((2 * size[0], 2 * size[1]))
    for line in lines:
        cv2.polylines(drawn, [_fixed(2 * line + 0.5)], closed, 255, max(round(2 * width), 1), cv2.LINE_AA, 4)
    fine = np.asarray(drawn, np.float32) / 255
    return np.asarray(cv2.resize(fine, size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _scale(points: Floats) -> float:
    """Size of a face, 1 for a usual one in an aligned picture."""
    return float(np.linalg.norm(points[_CHIN] - points[10])) / _FACE_SIDE


def _wear_glasses(picture: Picture, points: Floats, random: Random) -> tuple[Picture, Floats]:
    """Rims around both eyes, a bridge, arms; sometimes tinted or reflecting lenses, which are seen through."""
    centers = [points[list(contour)].mean(0) for contour in EYE_CONTOURS]
    across = centers[1] - centers[0]
    apart = float(np.linalg.norm(across))
    right = across / max(apart, 1.0)
    down = np.array([-right[1], right[0]])
    half_width, half_height = apart * random.uniform(0.27, 0.46), apart * random.uniform(0.2, 0.4)
    power = random.choice([2.0, 2.0, 2.6, 4.0])  # 2: an ellipse; more: a rounded rectangle
    sag = random.uniform(-0.05, 0.14) * apart
    turns = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    cosine, sine = np.cos(turns), np.sin(turns)
    outline_x = np.sign(cosine) * np.abs(cosine) ** (2 / power) * half_width
    outline_y = np.sign(sine) * np.abs(sine) ** (2 / power) * half_height
    outline_x = outline_x * (1 + random.uniform(-0.12, 0.12) * outline_y / half_height)
    rims = []
    for side, center in zip((-1, 1), centers, strict=True):
        middle = center + down * sag + right * side * random.uniform(-0.02, 0.06) * apart
        rims.append(middle + np.outer(outline_x * side, right) + np.outer(outline_y, down))
    inner = [rim[np.argmin(((rim - centers[1 - k]) ** 2).sum(1))] for k, rim in enumerate(rims)]
    lift = -down * random.uniform(0, 0.08) * apart
    bridge = np.array([inner[0], (inner[0] + inner[1]) / 2 + lift, inner[1]])
    arms = []
    for rim, center, end in zip(rims, centers, (points[127], points[356]), strict=True):
        outer = rim[np.argmax((rim - center) @ (center - (centers[0] + centers[1]) / 2))]
        arms.append(np.array([outer, end - down * random.uniform(0, 0.1) * apart]))
    thick = (0.9 + 5 * random.beta(1, 2)) * _scale(points)
    size = picture.shape[:2]
    opacity = _strokes(size, rims, thick, closed=True)
    if random.random() < 0.25:  # rimless below
        lower = [(rim - center) @ down > 0.2 * half_height for rim, center in zip(rims, centers, strict=True)]
        opacity = _strokes(size, [rim[~mask] for rim, mask in zip(rims, lower, strict=True)], thick)
    opacity = np.maximum(opacity, _strokes(size, [bridge], thick * random.uniform(0.6, 1.2)))
    opacity = np.maximum(opacity, _strokes(size, arms, thick * random.uniform(0.6, 1.3)))
    opacity *= random.uniform(0.75, 1.0)
    lenses = np.max([_fill_shape(size, rim) for rim in rims], 0)
    shown = picture.astype(np.float32)
    if random.random() < 0.2:
        tint = random.uniform(0.3, 0.95)
        shown *= 1 - lenses[..., None] * (1 - tint * random.uniform(0.8, 1.1, 3))
    if random.random() < 0.35:
        shown += _reflection(size, lenses, random)[..., None]
    color = np.broadcast_to(
        random.uniform(0, 70, 3) if random.random() < 0.65 else random.uniform(0, 255, 3), picture.shape
    )
    return _paint(np.clip(shown, 0, 255).astype(np.uint8), opacity, _shade(color, random)), opacity


def _reflection(size: tuple[int, int], lenses: Floats, random: Random) -> Floats:
    """Light in lenses: [h, w]."""
    band = _blank(size)
    start, end = random.uniform(0, size[1], (2, 2)) * (1, size[0] / size[1])
    cv2.line(band, tuple(map(int, start)), tuple(map(int, end)), 255, int(random.integers(4, 20)), cv2.LINE_AA)
    blurred = cv2.GaussianBlur(band.astype(np.float32), (0, 0), 3)
    return np.asarray(blurred * lenses * random.uniform(0.1, 0.7), np.float32)


def _caption(picture: Picture, points: Floats, random: Random) -> tuple[Picture, Floats]:
    """One or two lines of text, with an outline or on a box."""
    size, scale = picture.shape[:2], random.uniform(0.35, 1.3)
    font, thick = _FONTS[random.integers(len(_FONTS))], int(random.integers(1, 4))
    outline = thick + int(random.integers(1, 5)) if random.random() < 0.6 else 0
    box, letters, edge = _blank(size), _blank(size), _blank(size)
    y = random.uniform(points[_NOSE_BRIDGE, 1], size[0])
    for _ in range(int(random.integers(1, 3))):
        text = "".join(random.choice(list(_LETTERS), int(random.integers(6, 26))))
        (width, height), _below = cv2.getTextSize(text, font, scale, thick)
        place = (int(random.uniform(-0.6 * width, size[1] - 0.4 * width)), int(y))
        cv2.putText(letters, text, place, font, scale, 255, thick, cv2.LINE_AA)
        if outline:
            cv2.putText(edge, text, place, font, scale, 255, outline, cv2.LINE_AA)
        corner = (place[0] + width + 4, place[1] + 5)
        cv2.rectangle(box, (place[0] - 4, place[1] - height - 4), corner, 255, -1)
        y += 1.5 * height + 4
    light = random.uniform(170, 255, 3) if random.random() < 0.8 else random.uniform(0, 255, 3)
    opacity, shown = np.maximum(letters, edge) / np.float32(255), picture.copy()
    if not outline and random.random() < 0.4:
        solid = box / np.float32(255) * random.uniform(0.6, 1.0)
        shown = _paint(shown, solid, np.broadcast_to(random.uniform(0, 60, 3), picture.shape))
        opacity = np.maximum(opacity, solid)
    if outline:
        shown = _paint(shown, edge / np.float32(255), np.broadcast_to(random.uniform(0, 40, 3), picture.shape))
    return _paint(shown, letters / np.float32(255), np.broadcast_to(light, picture.shape)), opacity


def _somewhere(points: Floats, random: Random) -> Floats:
    """A place on the face, rather on its lower half."""
    low, high = points.min(0), points.max(0)
    place = low + (high - low) * np.array([random.uniform(0.05, 0.95), random.beta(2.4, 1.4)])
    return np.asarray(place, np.float32)


def _draw_rectangle(size: tuple[int, int], points: Floats, random: Random) -> Floats:
    """A paper, a book, a telephone: its upper edge is on the face."""
    half, angle = random.uniform(15, 120, 2), random.normal(0, 0.3)
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    center = _somewhere(points, random) + axes[1] * half[1] * random.choice([1, 1, 1, 0, -1])
    return _fill_shape(size, center + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half @ axes)


def _draw_blob(size: tuple[int, int], points: Floats, random: Random) -> Floats:
    """A cup, a ball, food: a smooth closed shape."""
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    waves = np.sum([random.normal(0, 0.12) * np.cos(k * turns + k) for k in range(1, 5)], axis=0)
    radius = random.uniform(10, 60) * (1 + waves)
    stretch = np.array([1.0, random.uniform(0.6, 1.6)])
    return _fill_shape(
        size, _somewhere(points, random) + np.stack([np.cos(turns), np.sin(turns)], 1) * radius[:, None] * stretch
    )


def _draw_stick(size: tuple[int, int], points: Floats, random: Random) -> Floats:
    """A microphone, a fork, a pen: a stick from outside, and mostly a head on it."""
    tip, angle = _somewhere(points, random), random.normal(np.pi / 2, 0.5)
    end = tip + 400 * np.array([np.cos(angle), np.sin(angle)])
    drawn = _strokes(size, [np.array([tip, end])], random.uniform(2, 24))
    if random.random() < 0.7:
        head = _blank(size)
        axes = tuple(int(v) for v in random.uniform(8, 34, 2))
        cv2.ellipse(head, tuple(int(v) for v in tip), axes, float(np.degrees(angle)), 0, 360, 255, -1, cv2.LINE_AA)
        drawn = np.maximum(drawn, np.asarray(head, np.float32) / 255)
    return drawn


def _draw_hand(size: tuple[int, int], points: Floats, random: Random) -> Floats:
    """Fingers side by side, and a palm below them."""
    width, angle = random.uniform(10, 22), random.normal(np.pi / 2, 0.6)
    along, aside = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    start, count = _somewhere(points, random), int(random.integers(1, 5))
    lines = []
    for finger in range(count):
        tip = start + aside * finger * width * 1.02 + along * random.uniform(-0.6, 0.6) * width
        bend = aside * random.uniform(-0.15, 0.15)
        lines.append(
            np.array([tip, tip + (along + bend) * 3 * width, start + along * 7 * width + aside * finger * width])
        )
    drawn = _strokes(size, lines, width)
    palm = start + aside * (count - 1) * width / 2 + along * 8 * width
    corners = [palm - aside * 2.2 * width, palm + aside * 2.2 * width]
    corners += [corners[1] + along * 300, corners[0] + along * 300]
    return np.maximum(drawn, _fill_shape(size, np.array(corners)))


def _draw_mask(size: tuple[int, int], points: Floats, random: Random) -> Floats:
    """A mask over nose and mouth."""
    chin = [index for index in OVAL if points[index, 1] > points[2, 1]]
    ordered = sorted(chin, key=lambda index: -points[index, 0])
    center = points[1]
    outline = np.concatenate([points[list(_MASK_TOP)], points[ordered]])
    return _fill_shape(size, center + (outline - center) * random.uniform(0.95, 1.1))


def _draw_hair(size: tuple[int, int], points: Floats, random: Random) -> Floats:
    """Strands that hang from above."""
    low, high = points.min(0), points.max(0)
    middle, lines = random.uniform(low[0], high[0]), []
    spread, length = random.uniform(5, 40), random.uniform(0.2, 1.0) * (high[1] - low[1])
    lean = random.normal(0, 25)
    for _ in range(int(random.integers(3, 40))):
        x, reach = middle + random.normal(0, spread), length * random.uniform(0.5, 1.1)
        down = np.linspace(0, 1, 8)
        lines.append(np.stack([x + lean * down + random.normal(0, 12) * down**2, low[1] - 10 + reach * down], 1))
    return _strokes(size, lines, random.uniform(0.6, 2.5))


_OBJECTS: tuple[Draw, ...] = (_draw_rectangle, _draw_blob, _draw_stick, _draw_stick, _draw_hand, _draw_hand)
