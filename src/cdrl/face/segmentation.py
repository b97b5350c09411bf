"""Segmentation of occluders (glasses, hands, microphones, captions, papers, hair in front of a face) and background.

The network (`cdrl train segmenter`) ships as `segmenter.onnx`. Its masks are made steady over time: an occluder counts
at once, and is forgotten slowly, so that the edit around it doesn't flicker. A face without occluders is segmented in
every second frame, and whenever something may have come in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.assets import SEGMENTER
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import Region, StillImage
from cdrl.face.mesh import EYE_CONTOURS, MESH_POINTS, MOUTH_CONTOUR, region_weights
from cdrl.face.tracking import Track
from cdrl.media import Frame
from cdrl.networks import open_network

SIDE = 128
"""Pixels a side of the aligned picture that the network sees."""
_ENLARGE = 1.2  # side of that picture over the landmark box's: 10 % more on each side
_COARSEST, _MAX_FINE = 2.0, 4  # frame pixels for a pixel seen, from which on more are read: thin rims would be lost
_SURE, _LIKELY = 0.93, 0.35  # hysteresis on probabilities: an occluder is a likely part with a sure pixel in it
_MIN_PIXELS = 40  # of an occluder, of SIDE²: less is noise
_GAP, _FILLED = 5, 0.7  # pixels: gaps in an occluder that are narrower belong to it; with this probability
_OPENING_SHARE = 0.5  # of an occluder that lies within openings of the face, from which on it is none
_NOSTRILS = (60, 20, 238, 79, 166, 99), (290, 250, 458, 309, 392, 328)
_HOLD_SECONDS = 0.12  # in which what is no longer seen is forgotten
_REST_SECONDS = 0.05  # for which masks without an occluder hold: one more frame, mostly
_EDGE_SIDE, _CHANGED = 24, 50.0  # pixels of a small picture; levels along its edge by which something may come in


@dataclass(frozen=True)
class Segmentation:
    """Occluders and background in one frame."""

    region: Region
    """Where the aligned picture lies in the frame."""
    occluded: Floats
    """[SIDE, SIDE] in 0..1: probability that something is in front of the face; 0 beside occluders."""
    background: Floats
    """[SIDE, SIDE] in 0..1: probability that there is neither head nor body."""

    @cached_property
    def is_clear(self) -> bool:
        """Whether there is no occluder."""
        return not self.occluded.any()

    def sample(self, matrix: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return `occluded` and `background` on a grid, [h, w] each.

        Beyond the aligned picture both go on as at its edge.

        Args:
            matrix: [2, 3] positions on the grid, (x, y, 1), → pixels of the frame.
            size: (w, h) of the grid.
        """
        own = np.vstack([self.region.matrix(SIDE), [0, 0, 1]])
        to_own = (np.linalg.inv(own) @ np.vstack([matrix, [0, 0, 1]]))[:2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        occluded, background = (
            np.asarray(cv2.warpAffine(part, to_own, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)
            for part in (self.occluded, self.background)
        )
        return occluded, background

    def with_occluders(self, other: Segmentation) -> Segmentation:
        """Return this segmentation with the occluders of another one, of the same place in the picture, as well."""
        if other.is_clear:
            return self
        occluded, _ = other.sample(self.region.matrix(SIDE), (SIDE, SIDE))
        return replace(self, occluded=np.maximum(self.occluded, occluded))

    def occluded_shares(self, points: Floats) -> dict[str, float]:
        """Return the share of each region of the face that is occluded, by landmarks [478, 2 or 3], pixels."""
        places = self.region.to_crop(points[:, :2], SIDE)[None]
        occluded = cv2.remap(self.occluded, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[0]
        return {name: float(weights @ occluded / weights.sum()) for name, weights in region_weights().items()}


class Segmenter:
    """Segments single frames; make one object a thread."""

    @cached_property
    def _session(self) -> Any:
        return open_network(SEGMENTER)

    def __call__(self, frame: Frame | StillImage, points: Floats) -> Segmentation:
        """Segment a frame around the face with landmarks `points` [478, 2 or 3], pixels."""
        region = find_region(points)
        side = SIDE * int(np.clip(region.side / SIDE / _COARSEST, 1, _MAX_FINE))
        picture = frame.rgb_crop(region.matrix(side), (side, side))
        if side > SIDE:
            picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        occluded, background = self._session.run(None, {"picture": picture[None]})[0]
        return Segmentation(region, keep_occluders(occluded, draw_openings(points, region)), background)


class SegmentationTracker:
    """Segments a clip's frames, in order, and keeps the masks steady."""

    def __init__(self, segmenter: Segmenter | None = None) -> None:
        """Prepare; `segmenter` segments single frames, by default with the network that ships."""
        self._segmenter = segmenter or Segmenter()
        self._last: Segmentation | None = None
        self._edge: Floats | None = None
        self._shot = -1
        self._time = 0.0

    def update(self, frame: Frame, track: Track) -> Segmentation:
        """Segment the next frame around the face in it."""
        now = float(frame.time)
        passed = now - self._time
        last = self._last if track.shot == self._shot and 0 <= passed <= _HOLD_SECONDS else None
        region = find_region(track.points)
        edge = _sample_edge(frame, region)
        if last is not None and last.is_clear and passed < _REST_SECONDS and _is_calm(edge, self._edge):
            return replace(last, region=region)  # the background's mask moves with the head
        self._edge = edge
        seen = self._segmenter(frame, track.points)
        if last is not None:
            kept = last.occluded * np.float32(1 - passed / _HOLD_SECONDS)
            seen = replace(seen, occluded=np.maximum(seen.occluded, kept))
        self._last, self._shot, self._time = seen, track.shot, now
        return seen


def find_region(points: Floats) -> Region:
    """Return the square around landmarks [478, 2 or 3] that is segmented: 10 % beside their box, upright."""
    flat = points[:MESH_POINTS, :2]
    x, y = points[263, :2] - points[33, :2]
    angle = float(np.arctan2(y, x))
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    upright = flat @ axes.T
    low, high = upright.min(0), upright.max(0)
    center = (low + high) / 2 @ axes
    return Region(float(center[0]), float(center[1]), _ENLARGE * float((high - low).max()), angle)


def _sample_edge(frame: Frame, region: Region) -> Floats:
    """Return the green along the edge of what is segmented, where occluders come in, of a small picture."""
    small = frame.rgb_crop(region.matrix(_EDGE_SIDE), (_EDGE_SIDE, _EDGE_SIDE))[..., 1].astype(np.float32)
    return np.concatenate([small[:2].ravel(), small[-2:].ravel(), small[2:-2, :2].ravel(), small[2:-2, -2:].ravel()])


def _is_calm(edge: Floats, before: Floats | None) -> bool:
    """Return whether an edge looks as before, so that nothing has come in."""
    return before is not None and float(np.abs(edge - before).max()) < _CHANGED


def draw_openings(points: Floats, region: Region) -> NDArray[np.bool_]:
    """Return where in the aligned picture eyes, nostrils and the inside of the mouth are, [SIDE, SIDE]."""
    places = region.to_crop(points[:, :2], SIDE)
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    for contour in (*EYE_CONTOURS, MOUTH_CONTOUR, *_NOSTRILS):
        cv2.fillConvexPoly(drawn, cv2.convexHull(np.round(places[list(contour)]).astype(np.int32)), 1)
    return np.asarray(cv2.dilate(drawn, np.ones((3, 3), np.uint8)), np.bool_)


def keep_occluders(occluded: Floats, openings: NDArray[np.bool_]) -> Floats:
    """Return probabilities where they belong to an occluder that is surely there and not tiny; 0 elsewhere.

    What lies mostly within the openings of a face is an iris, a nostril, teeth: no occluder.

    Args:
        occluded: [h, w] probabilities.
        openings: [h, w], see `draw_openings`.
    """
    likely = (occluded > _LIKELY).astype(np.uint8)
    if not likely.any():
        return np.zeros_like(occluded)
    # Gaps in an occluder, as between the strokes of letters, belong to it.
    closed = cv2.morphologyEx(likely, cv2.MORPH_CLOSE, np.ones((_GAP, _GAP), np.uint8))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    surest = np.zeros(count, np.float32)
    np.maximum.at(surest, labels.ravel(), occluded.ravel())
    area = facts[:, cv2.CC_STAT_AREA]
    within = np.bincount(labels[openings], minlength=count)
    keeps: NDArray[np.bool_] = (surest >= _SURE) & (area >= _MIN_PIXELS) & (within < _OPENING_SHARE * area)
    keeps[0] = False
    return np.asarray(np.where(keeps[labels], np.maximum(occluded, closed * _FILLED), 0), np.float32)
