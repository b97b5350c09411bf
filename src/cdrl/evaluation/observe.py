"""What the judges see in one clip: landmarks, mouth flow, emotion, identity, upper face, sharpness, frame by frame.

Two passes over the decoded frames, so memory does not grow with their size: the first finds the face, the second looks
at crops that ride with the (smoothed) head. A clip that is compared with a source is observed in the *source's* layout:
same template, same crop boxes, same scale.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import FaceError
from cdrl.evaluation import geometry
from cdrl.evaluation.clips import Frames, Image
from cdrl.evaluation.geometry import Layout
from cdrl.evaluation.judges import EMOTIONS, EmotionJudge, IdentityJudge
from cdrl.evaluation.landmarker import POINTS, Landmarker
from cdrl.evaluation.networks import Networks

Array = NDArray[np.float64]

_MOUTH = (96, 80)  # pixels, width and height of the crop optical flow sees
_MOUTH_HALF = 0.75  # half its width, face-frame units
_INNER_LIPS = (13, 14)
_UPPER = (48, 28)  # pixels of the low-resolution upper face
_UPPER_CENTRE, _UPPER_HALF = (0.0, -0.2), 1.1
_THUMB = 64  # pixels, aligned grey face kept of every frame
_FACE_CENTRE = (0.0, 0.5)
_IDENTITY_FRAMES = 6  # recognition is slow (0.2 s) and steady: spread over the clip
_EXPRESSION_FRAMES = 100  # that a network of the user's sees; the embedded one runs on every frame anyway
_BLACK = 8.0  # mean grey level under which a frame is padding


_EMBEDDED = Networks()


@dataclass(frozen=True)
class Observation:
    """One clip of T frames as the judges saw it; NaN where there was no face.

    `points` [T,468,2] pixels · `emotion` [T,7] (order `judges.EMOTIONS`) · `flow_spread`, `flow_opening` [T] (see
    `measures.flow_spread`, `flow_opening`; NaN at frame 0) · `upper` [T,28,48] grey levels · `thumbs` [T,64,64] grey ·
    `sharpness` [T] Laplacian variance · `identity` [K,D] recognition vectors of 6 frames · `expression` [M,D']
    expression vectors of length 1 of the frames with a face (of at most 100, where the network is the user's).
    """

    points: Array
    emotion: Array
    flow_spread: Array
    flow_opening: Array
    upper: Array
    thumbs: NDArray[np.uint8]
    sharpness: Array
    identity: Array
    expression: Array
    layout: Layout

    @property
    def found(self) -> NDArray[np.bool_]:
        """[T] frames in which the judge sees a face."""
        return np.isfinite(self.points[:, 0, 0])


@cache
def _landmarker() -> Landmarker:
    return Landmarker()


@cache
def _emotion_judge() -> EmotionJudge:
    return EmotionJudge()


@cache
def _identity_judge() -> IdentityJudge:
    return IdentityJudge()


def find_points(frames: Frames) -> Array:
    """First pass: landmarks [T,468,2] in pixels, NaN in frames without a face or black throughout."""
    landmarker = _landmarker()
    landmarker.restart()
    rows = []
    for rgb in frames():
        points = landmarker(rgb) if rgb.mean() > _BLACK else None
        rows.append(np.full((POINTS, 2), np.nan) if points is None else points)
    return np.stack(rows) if rows else np.empty((0, POINTS, 2))


def flow_moments(flow: NDArray[np.float32]) -> tuple[float, float]:
    """(spread, opening) of one flow field [H,W,2] of the mouth crop, in pixels of the crop a frame.

    spread = standard deviation of the vertical component v over the crop: any vertical motion *within* the mouth,
    none of the head's. opening = slope of v over y, times the crop's height: positive when the lower part moves down
    from the upper.
    """
    vertical = flow[..., 1].astype(np.float64)
    y = np.linspace(-0.5, 0.5, flow.shape[0])
    slope = float((vertical.mean(1) * y).sum() / (y * y).sum())
    return float(vertical.std()), slope


class _SecondPass:
    """Crops of one clip, frame by frame, in a layout."""

    def __init__(self, layout: Layout) -> None:
        lips = layout.template[list(_INNER_LIPS)].mean(0)
        self._mouth_centre = (float(lips[0]), float(lips[1]))
        self._size = layout.face_size
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._last: Image | None = None
        unit = 2 * geometry.FACE_HALF / self._size
        hull = (layout.template - _FACE_CENTRE) / unit + self._size / 2
        mask = np.zeros((self._size, self._size), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(hull.astype(np.int32)), 1)
        self._mask = mask.astype(bool)

    def mouth(self, grey: Image, pose: Array) -> tuple[float, float]:
        crop = geometry.sample(grey, geometry.crop_map(pose, self._mouth_centre, _MOUTH_HALF, _MOUTH), _MOUTH)
        last, self._last = self._last, crop
        if last is None:
            return np.nan, np.nan
        flow = np.zeros((*crop.shape, 2), np.float32)
        return flow_moments(np.asarray(self._flow.calc(last, crop, flow), np.float32))

    def upper(self, grey: Image, pose: Array) -> Array:
        fine = (_UPPER[0] * 4, _UPPER[1] * 4)
        crop = geometry.sample(grey, geometry.crop_map(pose, _UPPER_CENTRE, _UPPER_HALF, fine), fine)
        return np.asarray(cv2.resize(crop.astype(np.float32), _UPPER, interpolation=cv2.INTER_AREA), np.float64)

    def face(self, grey: Image, pose: Array) -> tuple[float, Image]:
        size = (self._size, self._size)
        crop = geometry.sample(grey, geometry.crop_map(pose, _FACE_CENTRE, geometry.FACE_HALF, size), size)
        laplacian = cv2.Laplacian(crop, cv2.CV_64F)[self._mask]
        thumb = cv2.resize(crop, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
        return float(laplacian.var()), np.asarray(thumb, np.uint8)


def _spread(found: NDArray[np.bool_], count: int) -> set[int]:
    """About `count` frames with a face, spread over the clip."""
    seen = np.flatnonzero(found)
    return set(seen[np.linspace(0, len(seen) - 1, count).round().astype(int)].tolist())


def observe(frames: Frames, layout: Layout | None = None, networks: Networks = _EMBEDDED) -> Observation:
    """Look at a clip with every judge, in the given layout or its own. `FaceError` when no frame has a face."""
    points = find_points(frames)
    found = np.isfinite(points[:, 0, 0])
    if not found.any():
        raise FaceError(f"the judge sees no face in any of {len(points)} frames")
    layout = layout if layout is not None else geometry.layout_of(points)
    pose = geometry.poses(points, layout)
    crops, count = _SecondPass(layout), len(points)
    recognition = networks.recognition or _identity_judge()
    recognised, expressed = _spread(found, _IDENTITY_FRAMES), _spread(found, _EXPRESSION_FRAMES)
    emotion = np.full((count, len(EMOTIONS)), np.nan)
    flow = np.full((count, 2), np.nan)
    upper = np.full((count, _UPPER[1], _UPPER[0]), np.nan)
    thumbs = np.zeros((count, _THUMB, _THUMB), np.uint8)
    sharpness = np.full(count, np.nan)
    identity, expression = [], []
    for index, rgb in enumerate(frames()):
        if not found[index]:
            crops = _SecondPass(layout)  # flow across a gap means nothing
            continue
        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        flow[index] = crops.mouth(grey, pose[index])
        upper[index] = crops.upper(grey, pose[index])
        sharpness[index], thumbs[index] = crops.face(grey, pose[index])
        emotion[index], features = _emotion_judge().look(rgb, points[index])
        if networks.expression is None:
            expression.append(features)
        elif index in expressed:
            expression.append(networks.expression(rgb, points[index]))
        if index in recognised:
            identity.append(recognition(rgb, points[index]))
    expressions = np.stack(expression)
    expressions /= np.maximum(np.linalg.norm(expressions, axis=1, keepdims=True), 1e-12)
    vectors = np.stack(identity), expressions
    return Observation(points, emotion, flow[:, 0], flow[:, 1], upper, thumbs, sharpness, *vectors, layout)
