"""The networks that judge: which emotion a face shows, and whose face it is. Neither plays a part in any edit.

*Emotion*: the quantised network of `fer` 25.10.3 (trained on FER-2013), fed as that package feeds it: a square grey
face box, 64 x 64, scaled to [-1, 1]. *Identity*: dlib's recognition ResNet, 128 numbers a face, on dlib's own 150-pixel
chip aligned by its five-point model. *Expression*: what the emotion network knows of a face before it names a class.
"""

import importlib

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import AssetError
from cdrl.evaluation.geometry import sample
from cdrl.evaluation.landmarker import interpreter
from cdrl.pretrained import find_model

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

EMOTIONS = ("angry", "disgusted", "fear", "happy", "sad", "surprised", "neutral")  # the network's own order
_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)  # mesh indices of the lid corners
_INNER_LIPS = (13, 14)
_LAST_FEATURES = "model_1_1/add_4_1/Add"  # [1,4,4,128], the input of the last convolution
_SIDE = 64  # pixels, the emotion network's input
# Square face boxes in eye distances, from landmarks so that they cannot jump between frames as a detector's do: half
# the side, and how far below the eyes the centre lies as a share of the way to the lips. The network depends much on
# the framing (disgust needs it tight, anger wide), so three framings are averaged; chosen on people outside the
# report set.
_EMOTION_BOXES = ((1.1, 0.3), (1.25, 0.3), (1.4, 0.3))
_DLIB_HALF = 1.25  # half the side of dlib's own detector box, in eye distances
_DLIB_DOWN = 0.55


def eye_distance(points: Array) -> Array:
    """Distance between the two eyes' centres (mid lid corners), pixels; `points` [...,468,2] → [...]."""
    right, left = points[..., _RIGHT_EYE, :].mean(-2), points[..., _LEFT_EYE, :].mean(-2)
    return np.asarray(np.linalg.norm(left - right, axis=-1))


def _box(points: Array, half: float, down: float) -> tuple[Array, float]:
    eyes = points[[*_RIGHT_EYE, *_LEFT_EYE]].mean(0)
    lips = points[list(_INNER_LIPS)].mean(0)
    return eyes + down * (lips - eyes), half * float(eye_distance(points))


class EmotionJudge:
    """`judge(rgb, points)` → probability of each of `EMOTIONS`, [7], sums to 1."""

    def __init__(self) -> None:
        self._model = interpreter("emotion_model_quantized.tflite", keep_all=True)
        self._input = self._model.get_input_details()[0]["index"]
        self._output = self._model.get_output_details()[0]["index"]
        found = [item["index"] for item in self._model.get_tensor_details() if item["name"] == _LAST_FEATURES]
        self._features = found[0]

    def __call__(self, rgb: Image, points: Array) -> Array:
        """`rgb` [H,W,3], `points` [468,2] pixels of one face. Outside the picture the edge repeats."""
        return self.look(rgb, points)[0]

    def look(self, rgb: Image, points: Array) -> tuple[Array, Array]:
        """(probabilities [7], expression features [128]) of one run; each is the mean over the three framings."""
        framed = [self._framed(rgb, *_box(points, *box)) for box in _EMOTION_BOXES]
        classes, features = zip(*framed, strict=True)
        return np.asarray(np.mean(classes, axis=0)), np.asarray(np.mean(features, axis=0))

    def _framed(self, rgb: Image, centre: Array, half: float) -> tuple[Array, Array]:
        scale = 2 * half / _SIDE
        affine = np.array([[scale, 0, centre[0] - half], [0, scale, centre[1] - half]])
        grey = cv2.cvtColor(sample(rgb, affine, (_SIDE, _SIDE)), cv2.COLOR_RGB2GRAY).astype(np.float32)
        self._model.set_tensor(self._input, (grey / 127.5 - 1)[None, :, :, None])
        self._model.invoke()
        classes = np.asarray(self._model.get_tensor(self._output)[0], np.float64)
        features = np.asarray(self._model.get_tensor(self._features)[0], np.float64)
        return classes, features.mean((0, 1))


class ExpressionFeatures:
    """`features(rgb, points)` → expression vector [128]: the emotion network's last feature map, averaged over places.

    A convolution to the seven classes is all that follows it in the network. An `EmotionJudge` that looks anyway gives
    the same vector without a second run.
    """

    name = "fer 25.10.3, last feature map"
    what = "features of an emotion network trained on FER-2013, which plays no part in training or editing"

    def __init__(self, judge: EmotionJudge | None = None) -> None:
        self._judge = judge if judge is not None else EmotionJudge()

    def __call__(self, rgb: Image, points: Array) -> Array:
        """`rgb` [H,W,3], `points` [468,2] pixels of one face."""
        return self._judge.look(rgb, points)[1]


class IdentityJudge:
    """`judge(rgb, points)` → recognition vector [128] of a face; compare by cosine (`measures.identity_cosine`)."""

    name = "dlib ResNet v1"
    what = "a face recognition network that plays no part in training or editing"

    def __init__(self) -> None:
        try:
            self._dlib = importlib.import_module("dlib")
        except ModuleNotFoundError as error:
            raise AssetError("judging identity needs dlib: run `pip install dlib-bin==20.0.1`") from error
        self._shape = self._dlib.shape_predictor(str(find_model("shape_predictor_5_face_landmarks.dat")))
        self._network = self._dlib.face_recognition_model_v1(
            str(find_model("dlib_face_recognition_resnet_model_v1.dat"))
        )

    def __call__(self, rgb: Image, points: Array) -> Array:
        """`rgb` [H,W,3], `points` [468,2] pixels: they only say where the face is, dlib's model aligns it."""
        centre, half = _box(points, _DLIB_HALF, _DLIB_DOWN)
        low, high = np.round(centre - half).astype(int), np.round(centre + half).astype(int)
        box = self._dlib.rectangle(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        shape = self._shape(rgb, box)
        return np.asarray(self._network.compute_face_descriptor(rgb, shape), np.float64)
