"""An independent landmarker: the older 468-point face mesh and the short-range detector, run directly in LiteRT.

It plays no part in any edit. The chain is MediaPipe's: a 128-pixel single-shot detector (896 anchors) gives a box and
two eyes; the box, rotated upright by the eyes and 1.5 times as large, is the region the 192-pixel mesh looks at; the
mesh of one frame gives the region of the next, until the face score falls under .5. One thread: a number repeats.
Its geometry is its own on purpose: a mistake in the editor's must not hide in the judge's.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from cdrl.evaluation.geometry import sample
from cdrl.pretrained import find_model

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

POINTS = 468
_DETECTOR_SIDE = 128  # pixels
_MESH_SIDE = 192  # pixels
_STRIDES = ((8, 2), (16, 6))  # stride in pixels, anchors a cell
_MINIMUM_SCORE = 0.5
_OVERLAP = 0.3  # intersection over union above which detections are one face
_REGION_SCALE = 1.5  # region side over the longer side of the box
_RIGHT_EYE_OUTER, _LEFT_EYE_OUTER = 33, 263  # mesh indices, the person's right is the picture's left


@dataclass(frozen=True)
class Region:
    """A rotated square of a picture: centre and side in pixels, angle in radians (0 upright, clockwise on screen)."""

    x: float
    y: float
    side: float
    angle: float

    def to_picture(self, size: int) -> Array:
        """[2,3] affine map from pixels of a `size` x `size` crop to pixels of the picture."""
        scale = self.side / size
        cos, sin = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        half = size / 2
        return np.array([[cos, -sin, self.x - cos * half + sin * half], [sin, cos, self.y - sin * half - cos * half]])


def interpreter(name: str, keep_all: bool = False) -> Any:
    """A LiteRT interpreter of the verified model file `name`, one thread, tensors allocated.

    `keep_all`: what layers inside the network give can be read, too, for more memory; a small network's is small.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that `keep_all` takes
        model = Interpreter(model_path=str(find_model(name)), num_threads=1, experimental_preserve_all_tensors=keep_all)
    model.allocate_tensors()
    return model


def _anchors() -> Array:
    """[896,2] anchor centres (x, y), in shares of the detector's square."""
    rows = []
    for stride, count in _STRIDES:
        cells = _DETECTOR_SIDE // stride
        y, x = np.mgrid[0:cells, 0:cells]
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        rows.append(np.repeat(centres, count, axis=0))
    return np.concatenate(rows)


def _overlap(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box [4] with [N,4], each centre x, centre y, width, height."""
    low = np.maximum(box[:2] - box[2:] / 2, boxes[:, :2] - boxes[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2)
    common: Array = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[2:]) + np.prod(boxes[:, 2:], axis=1) - common
    return np.asarray(common / np.maximum(union, 1e-12))


def merge_detections(raw: Array, logits: Array, anchors: Array) -> Array | None:
    """The best face of one picture: [16] centre, width and height, six key points (x, y), in shares of the square.

    `raw` [N,16] are offsets from the anchors in detector pixels, `logits` [N]. The detections that overlap the best one
    are averaged, weighted by score (MediaPipe's "weighted" suppression). None when no score reaches .5.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -100, 100)))
    keep = scores >= _MINIMUM_SCORE
    if not keep.any():
        return None
    found = raw[keep] / _DETECTOR_SIDE
    found[:, :2] += anchors[keep]
    found[:, 4:] += np.tile(anchors[keep], 6)
    scores = scores[keep]
    same = _overlap(found[scores.argmax(), :4], found[:, :4]) > _OVERLAP
    return np.asarray(np.average(found[same], axis=0, weights=scores[same]))


class Landmarker:
    """Tracks one face through a clip: `landmarker(rgb)` → [468,2] pixels, or None where there is no face."""

    def __init__(self) -> None:
        self._detector = interpreter("face_detection_short_range.tflite")
        self._mesh = interpreter("face_landmark.tflite")
        self._anchors = _anchors()
        self._region: Region | None = None

    def restart(self) -> None:
        """Forget the last frame; the next one is searched by the detector."""
        self._region = None

    def __call__(self, rgb: Image) -> Array | None:
        """Landmarks of a frame [H,W,3]; the frame before it, if any, says where to look."""
        tracked = self._region is not None
        region = self._region if self._region is not None else self._detect(rgb)
        points = self._look(rgb, region) if region is not None else None
        if points is None and tracked:
            region = self._detect(rgb)
            points = self._look(rgb, region) if region is not None else None
        self._region = None if points is None else self._follow(points)
        return points

    def _detect(self, rgb: Image) -> Region | None:
        height, width = rgb.shape[:2]
        side = max(height, width)
        square = Region(width / 2, height / 2, side, 0.0)
        crop = self._crop(rgb, square, _DETECTOR_SIDE)
        raw, logits = self._run(self._detector, crop / 127.5 - 1)
        best = merge_detections(raw.reshape(-1, 16), logits.ravel(), self._anchors)
        if best is None:
            return None
        best = best.reshape(8, 2)
        best[1] *= side
        best[[0, *range(2, 8)]] = best[[0, *range(2, 8)]] * side + [(width - side) / 2, (height - side) / 2]
        dx, dy = best[3] - best[2]
        return Region(best[0, 0], best[0, 1], best[1].max() * _REGION_SCALE, float(np.arctan2(dy, dx)))

    def _look(self, rgb: Image, region: Region) -> Array | None:
        points, logit = self._run(self._mesh, self._crop(rgb, region, _MESH_SIDE) / 255)
        if 1 / (1 + np.exp(-float(logit.ravel()[0]))) < _MINIMUM_SCORE:
            return None
        flat = points.reshape(POINTS, 3)[:, :2]
        affine = region.to_picture(_MESH_SIDE)
        return np.asarray(flat @ affine[:, :2].T + affine[:, 2])

    @staticmethod
    def _follow(points: Array) -> Region:
        """The region of the next frame: the upright box of these points, 1.5 times as large."""
        dx, dy = points[_LEFT_EYE_OUTER] - points[_RIGHT_EYE_OUTER]
        angle = float(np.arctan2(dy, dx))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        upright = points @ turn
        low, high = upright.min(axis=0), upright.max(axis=0)
        x, y = turn @ ((low + high) / 2)
        return Region(float(x), float(y), float((high - low).max()) * _REGION_SCALE, angle)

    @staticmethod
    def _crop(rgb: Image, region: Region, size: int) -> NDArray[np.float32]:
        return sample(rgb, region.to_picture(size), (size, size)).astype(np.float32)

    @staticmethod
    def _run(model: Any, picture: NDArray[Any]) -> tuple[Array, Array]:
        model.set_tensor(model.get_input_details()[0]["index"], picture[None].astype(np.float32))
        model.invoke()
        first, second = (model.get_tensor(item["index"]) for item in model.get_output_details())
        return first.astype(np.float64), second.astype(np.float64)
