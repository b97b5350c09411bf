"""Landmarks [478, 3] and ARKit blendshapes [52] of a face.

Regions of interest follow the bundle's own graph: a detection gives a square turned upright along the eyes and
enlarged 1.5 times; landmarks of one frame give the region of the next the same way.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats, TFLiteModel
from cdrl.media import Frame

CROP = 256
"""Pixels, side of the landmark network's input."""
DETECTOR_CROP = 128
"""Pixels, side of the detector's input."""
PRESENCE = 0.5
"""Probability below which a crop holds no face."""
_DETECTION = 0.5  # probability below which a detection does not count
_OVERLAP = 0.3  # intersection over union from which two detections are one face
_TILE = 0.6  # side of a closer look, over the shorter side of the picture
_ENLARGE = 1.5  # region side over the face box's longer side

# Points of the 478 that the blendshape network reads, and the names of its outputs (interface of the bundle).
# fmt: off
BLENDSHAPE_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)
BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)
# fmt: on


@dataclass(frozen=True)
class StillImage:
    """A picture in memory that faces can be looked for in, as in a `Frame`."""

    rgb: NDArray[np.uint8]
    """[h, w, 3]."""

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.rgb.shape[0])

    def rgb_crop(
        self, matrix: NDArray[np.floating], size: tuple[int, int], border: Literal["replicate", "black"] = "replicate"
    ) -> NDArray[np.uint8]:
        """Crop as `Frame.rgb_crop` does, with bilinear interpolation."""
        beyond = cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_CONSTANT
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(self.rgb, np.asarray(matrix, np.float64), size, flags=flags, borderMode=beyond)
        return np.asarray(crop, np.uint8)


@dataclass(frozen=True)
class Region:
    """A turned square of the picture."""

    x: float
    """Pixels, of its center."""
    y: float
    """Pixels, of its center."""
    side: float
    """Pixels."""
    angle: float
    """Radians, clockwise on the screen."""

    def matrix(self, crop: int) -> Floats:
        """Return [2, 3]: pixels of a crop of that side → pixels of the picture."""
        scale = self.side / crop
        cosine, sine = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        half = crop / 2
        return np.array(
            [[cosine, -sine, self.x - half * (cosine - sine)], [sine, cosine, self.y - half * (sine + cosine)]],
            np.float32,
        )

    def to_crop(self, positions: Floats, crop: int) -> Floats:
        """Return where picture pixels [n, 2] lie in a crop of that side, the inverse of `matrix`."""
        matrix = self.matrix(crop).astype(np.float64)
        return np.asarray((positions - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T, np.float32)

    @classmethod
    def around(cls, low: Floats, high: Floats, right_eye: Floats, left_eye: Floats) -> "Region":
        """Return the enlarged square around the box (`low`, `high`), upright along the eyes; [2] pixels each."""
        angle = np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0])
        center = (low + high) / 2
        side = float(np.max(high - low)) * _ENLARGE
        return cls(float(center[0]), float(center[1]), side, float(angle))

    @classmethod
    def of_landmarks(cls, points: Floats) -> "Region":
        """Return the region in which the next frame's landmarks are looked for, from landmarks [478, 3]."""
        return cls.around(points[:, :2].min(0), points[:, :2].max(0), points[33, :2], points[263, :2])


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one face."""

    points: Floats
    """[478, 3] picture pixels; z in the same unit, negative towards the viewer."""
    presence: float
    """Probability, in [0, 1], that there is a face."""


@cache
def _anchors() -> Floats:
    """Return anchor centers [896, 2] in [0, 1]: two on each cell of a 16x16 grid, six on each of an 8x8 grid."""
    grids = []
    for cells, each in ((16, 2), (8, 6)):
        centers = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(centers, centers, indexing="ij")
        grids.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), each, 0))
    return np.concatenate(grids)


class BundleDetector:
    """Finds faces in a picture and their 478 points in a region, with the shipped bundle; make one object a thread."""

    def __init__(self) -> None:
        self._detector = TFLiteModel("face_detector.tflite")
        self._landmarks = TFLiteModel("face_landmarks_detector.tflite")
        self._blendshapes = TFLiteModel("face_blendshapes.tflite")

    def detect_faces(self, picture: Frame | StillImage) -> list[Region]:
        """Return the regions of all faces found, most certain first; small ones are found by a closer look."""
        side = float(max(picture.width, picture.height))
        regions = self._detect_in_square(picture, picture.width / 2, picture.height / 2, side)
        if regions:
            return regions
        # The detector sees 128 pixels: a face below a tenth of the picture needs a closer look.
        near = min(picture.width, picture.height) * _TILE
        centers = [(x, y) for y in _tile_centers(picture.height, near) for x in _tile_centers(picture.width, near)]
        closer = [region for x, y in centers for region in self._detect_in_square(picture, x, y, near)]
        return _drop_duplicates(closer)

    def _detect_in_square(self, picture: Frame | StillImage, x: float, y: float, side: float) -> list[Region]:
        """Return the faces in the square of that center and side."""
        matrix = Region(x, y, side, 0.0).matrix(DETECTOR_CROP)
        crop = picture.rgb_crop(matrix, (DETECTOR_CROP, DETECTOR_CROP), "black").astype(np.float32)
        boxes, logits = self._detector(crop[None] / 127.5 - 1)
        scores = _sigmoid(logits).reshape(-1)
        keep = np.flatnonzero(scores >= _DETECTION)
        raw = boxes.reshape(-1, 8, 2)[keep] / DETECTOR_CROP
        raw[:, [0, 2, 3, 4, 5, 6, 7]] += _anchors()[keep][:, None]
        corner = np.array([x - side / 2, y - side / 2], np.float32)
        regions = []
        for face in _merge_overlaps(raw, scores[keep]):
            center, half = face[0] * side + corner, face[1] * side / 2
            eyes = face[2] * side + corner, face[3] * side + corner
            regions.append(Region.around(center - half, center + half, *eyes))
        return regions

    def estimate_landmarks(self, picture: Frame | StillImage, region: Region) -> Landmarks:
        """Return the points of the face in a region, whether or not there is one: see `Landmarks.presence`."""
        matrix = region.matrix(CROP)
        crop = picture.rgb_crop(matrix, (CROP, CROP)).astype(np.float32)
        raw, presence, _ = self._landmarks(crop[None] / 255)  # the third is the tongue
        points = raw.reshape(478, 3).copy()
        points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        points[:, 2] *= region.side / CROP
        return Landmarks(points, _sigmoid(presence).item())

    def estimate_blendshapes(self, points: Floats) -> Floats:
        """Return ARKit coefficients [52] in [0, 1], in the order of `BLENDSHAPES`, of landmarks [478, 3] in pixels."""
        subset = np.ascontiguousarray(points[list(BLENDSHAPE_POINTS), :2], np.float32)
        return self._blendshapes(subset[None])[0].reshape(52)


def _sigmoid(logits: Floats) -> Floats:
    """Return the logistic function, without overflow."""
    probability: Floats = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    return probability


def _tile_centers(length: int, side: float) -> list[float]:
    """Return centers of squares of that side that cover a length, half overlapping."""
    count = max(int(np.ceil((length - side) / (side / 2))), 0) + 1
    return [length / 2] if count == 1 else list(np.linspace(side / 2, length - side / 2, count))


def _drop_duplicates(regions: list[Region]) -> list[Region]:
    """Return regions of which none lies in the middle of another: neighboring tiles see one face twice."""
    distinct: list[Region] = []
    for region in sorted(regions, key=lambda region: -region.side):
        if all(np.hypot(region.x - other.x, region.y - other.y) > 0.4 * other.side for other in distinct):
            distinct.append(region)
    return distinct


def _merge_overlaps(raw: Floats, scores: Floats) -> list[Floats]:
    """Suppress non-maxima: overlapping detections [n, 8, 2] become their score-weighted mean."""
    low, high = raw[:, 0] - raw[:, 1] / 2, raw[:, 0] + raw[:, 1] / 2
    area = np.prod(high - low, 1)
    left = np.argsort(-scores)
    merged = []
    while left.size:
        best = left[0]
        corner = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])
        inter = np.prod(np.clip(corner, 0, None), 1)
        same = inter / (area[best] + area[left] - inter) > _OVERLAP
        same[0] = True
        group = left[same]
        merged.append(np.average(raw[group], 0, scores[group]).astype(np.float32))
        left = left[~same]
    return merged
