"""An independent landmarker: the older 468-point face mesh and the short-range detector, run directly in LiteRT.

It plays no part in any edit. The chain is MediaPipe's: a 128-pixel single-shot detector (896 anchors) gives a box and
two eyes; the box, rotated upright by the eyes and 1.5 times as large, is the region that the 192-pixel mesh sees; the
mesh of one frame gives the region of the next, until the face score falls under .5. One thread: a number repeats.
Its geometry is its own on purpose: a mistake in the editor's must not hide in the evaluation's.
"""

import warnings
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from cdrl.evaluation.geometry import crop_affine, sample_crop
from cdrl.pretrained import find_model

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

N_POINTS = 468
LANDMARKER_MODELS = ("face_detection_short_range.tflite", "face_landmark.tflite")
"""The detector's and the mesh's model file, see `cdrl.pretrained`."""
_DETECTOR_SIDE = 128  # pixels
_MESH_SIDE = 192  # pixels
_STRIDES = ((8, 2), (16, 6))  # stride in pixels, anchors a cell
_MINIMUM_SCORE = 0.5
_OVERLAP = 0.3  # intersection over union above which detections are one face
_REGION_SCALE = 1.5  # region side over the longer side of the box
_RIGHT_EYE_OUTER, _LEFT_EYE_OUTER = 33, 263  # mesh indices, the person's right is the picture's left


def load_interpreter(name: str, keep_all: bool = False) -> Any:
    """Return a LiteRT interpreter of the verified model file `name`: one thread, tensors allocated.

    Args:
        name: Of a file in `cdrl.pretrained.MODELS`.
        keep_all: Whether the outputs of layers inside the network can be read, too, for more memory.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that `keep_all` takes
        model = Interpreter(model_path=str(find_model(name)), num_threads=1, experimental_preserve_all_tensors=keep_all)
    model.allocate_tensors()
    return model


def make_anchors() -> Array:
    """Return the anchors' centers [896,2] (x, y), in shares of the detector's square."""
    rows = []
    for stride, count in _STRIDES:
        cells = _DETECTOR_SIDE // stride
        y, x = np.mgrid[0:cells, 0:cells]
        rows.append(np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells, count, axis=0))
    return np.concatenate(rows)


def merge_detections(raw: Array, logits: Array, anchors: Array) -> Array | None:
    """Return the best face of one picture: MediaPipe's "weighted" non-maximum suppression of the best detection.

    Args:
        raw: [N,16] offsets from the anchors in detector pixels.
        logits: [N] of the faces' scores.
        anchors: [N,2] centers in shares of the square.

    Returns:
        [8,2] center, (width, height), six key points, in shares of the square: the score-weighted mean of the
        detections that overlap the best one. None when no score reaches .5.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -100, 100)))
    keep = scores >= _MINIMUM_SCORE
    if not keep.any():
        return None
    scores, faces = scores[keep], raw[keep].reshape(-1, 8, 2) / _DETECTOR_SIDE
    faces[:, [0, 2, 3, 4, 5, 6, 7]] += anchors[keep][:, None]
    low, high = faces[:, 0] - faces[:, 1] / 2, faces[:, 0] + faces[:, 1] / 2
    best = scores.argmax()
    common = np.prod(np.clip(np.minimum(high, high[best]) - np.maximum(low, low[best]), 0, None), axis=1)
    area = np.prod(faces[:, 1], axis=1)
    same = common / np.maximum(area + area[best] - common, 1e-12) > _OVERLAP
    return np.asarray(np.average(faces[same], axis=0, weights=scores[same]))


def _make_region(center: Array, longer_side: float, eye_axis: Array) -> Array:
    """The region's pose [4]: `crop_affine` of half width 1 cuts it out, enlarged and upright along the eyes."""
    half = longer_side * _REGION_SCALE / 2
    return np.array([*(eye_axis / np.linalg.norm(eye_axis) * half), *center])


def _follow_face(points: Array) -> Array:
    """The region of the next frame: the box of these points that is upright along the eyes, 1.5 times as large."""
    axis = points[_LEFT_EYE_OUTER] - points[_RIGHT_EYE_OUTER]
    cos, sin = axis / np.linalg.norm(axis)
    turn = np.array([[cos, -sin], [sin, cos]])
    upright = points @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    return _make_region(turn @ ((low + high) / 2), (high - low).max(), axis)


def _run(model: Any, picture: NDArray[Any]) -> tuple[Array, Array]:
    """The network's two outputs."""
    model.set_tensor(model.get_input_details()[0]["index"], picture[None].astype(np.float32))
    model.invoke()
    first, second = (model.get_tensor(item["index"]) for item in model.get_output_details())
    return first.astype(np.float64), second.astype(np.float64)


class Landmarker:
    """Tracks one face through a clip: `landmarker(rgb)` → [468,2] pixels, or None where there is no face."""

    def __init__(self) -> None:
        self._detector, self._mesh = (load_interpreter(name) for name in LANDMARKER_MODELS)
        self._anchors = make_anchors()
        self._region: Array | None = None

    def restart(self) -> None:
        """Forget the last frame; the next one is searched by the detector."""
        self._region = None

    def __call__(self, rgb: Image) -> Array | None:
        """Return the landmarks [468,2] of a frame [H,W,3]; the frame before it, if any, says where to look."""
        points = self._fit_mesh(rgb, self._region)
        if points is None:
            points = self._fit_mesh(rgb, self._detect(rgb))
        self._region = None if points is None else _follow_face(points)
        return points

    def _detect(self, rgb: Image) -> Array | None:
        height, width = rgb.shape[:2]
        side = max(height, width)
        affine = crop_affine(np.array([side / 2, 0, width / 2, height / 2]), (0, 0), 1, (_DETECTOR_SIDE,) * 2)
        crop = sample_crop(rgb, affine, (_DETECTOR_SIDE,) * 2)
        raw, logits = _run(self._detector, crop.astype(np.float32) / 127.5 - 1)
        best = merge_detections(raw.reshape(-1, 16), logits.ravel(), self._anchors)
        if best is None:
            return None
        face = best * side
        corner = np.array([(width - side) / 2, (height - side) / 2])
        return _make_region(face[0] + corner, face[1].max(), face[3] - face[2])

    def _fit_mesh(self, rgb: Image, region: Array | None) -> Array | None:
        if region is None:
            return None
        affine = crop_affine(region, (0, 0), 1, (_MESH_SIDE,) * 2)
        points, logit = _run(self._mesh, sample_crop(rgb, affine, (_MESH_SIDE,) * 2).astype(np.float32) / 255)
        if 1 / (1 + np.exp(-float(logit.ravel()[0]))) < _MINIMUM_SCORE:
            return None
        flat = points.reshape(N_POINTS, 3)[:, :2]
        return np.asarray(flat @ affine[:, :2].T + affine[:, 2])
