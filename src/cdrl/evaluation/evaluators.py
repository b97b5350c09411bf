"""The networks that evaluate: which emotion a face shows, and whose face it is. Neither plays a part in any edit.

*Emotion*: the quantized network of `fer` 25.10.3 (trained on FER-2013), fed as that package feeds it: a square gray
face box, 64 x 64, scaled to [-1, 1]. *Identity*: dlib's recognition ResNet, 128 numbers a face, on dlib's own 150-pixel
chip aligned by its five-point model. *Expression*: what the emotion network knows of a face before it names a class.
"""

import importlib
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import ModelFileError
from cdrl.evaluation.geometry import INNER_LIPS, LEFT_EYE, RIGHT_EYE, eye_distance, sample_square
from cdrl.evaluation.landmarker import load_interpreter
from cdrl.pretrained import find_model

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

CLASSES = ("angry", "disgusted", "fear", "happy", "sad", "surprised", "neutral")
"""The emotions that the network tells apart, in its own order."""
_LAST_FEATURES = "model_1_1/add_4_1/Add"  # [1,4,4,128], the input of the last convolution
_SIDE = 64  # pixels, the emotion network's input
# Square face boxes in eye distances, from landmarks so that they cannot jump between frames as a detector's do: half
# the side, and how far below the eyes the center lies as a share of the way to the lips. The network depends much on
# the framing (disgust needs it tight, anger wide), so three framings are averaged; chosen on people outside the
# report set.
_EMOTION_BOXES = ((1.1, 0.3), (1.25, 0.3), (1.4, 0.3))
_DLIB_BOX = (1.25, 0.55)  # of dlib's own detector


class FeatureNetwork(Protocol):
    """`network(rgb, points)` → vector [D] of one face: `rgb` [H,W,3], `points` [468,2] pixels."""

    @property
    def name(self) -> str:
        """As tables name it; another network, or another file of it, has another name."""
        ...

    def __call__(self, rgb: Image, points: Array) -> Array:
        """Return the features; always of the same width."""
        ...


def _face_box(points: Array, half: float, down: float) -> tuple[Array, float]:
    """Center [2] and half side, in pixels, of a square around the face."""
    eyes = points[[*RIGHT_EYE, *LEFT_EYE]].mean(0)
    lips = points[list(INNER_LIPS)].mean(0)
    return eyes + down * (lips - eyes), half * float(eye_distance(points))


class FerClassifier:
    """`classifier(rgb, points)` → (probability of each of `CLASSES` [7], which sum to 1; expression features [128])."""

    name = "fer 25.10.3"
    features_name = f"{name}, last feature map"
    """As tables name the expression features: an average over places; a convolution to the classes follows it."""

    def __init__(self) -> None:
        self._model = load_interpreter("emotion_model_quantized.tflite", keep_all=True)
        self._input = self._model.get_input_details()[0]["index"]
        self._output = self._model.get_output_details()[0]["index"]
        details = self._model.get_tensor_details()
        self._features = next(item["index"] for item in details if item["name"] == _LAST_FEATURES)

    def __call__(self, rgb: Image, points: Array) -> tuple[Array, Array]:
        """Classify one face; both results are means over three framings. Outside the picture the edge repeats.

        Args:
            rgb: [H,W,3] picture.
            points: [468,2] landmarks in pixels.
        """
        framed = [self._classify_box(rgb, *_face_box(points, *box)) for box in _EMOTION_BOXES]
        classes, features = zip(*framed, strict=True)
        return np.asarray(np.mean(classes, axis=0)), np.asarray(np.mean(features, axis=0))

    def _classify_box(self, rgb: Image, center: Array, half: float) -> tuple[Array, Array]:
        gray = cv2.cvtColor(sample_square(rgb, center, half, _SIDE), cv2.COLOR_RGB2GRAY).astype(np.float32)
        self._model.set_tensor(self._input, (gray / 127.5 - 1)[None, :, :, None])
        self._model.invoke()
        classes = np.asarray(self._model.get_tensor(self._output)[0], np.float64)
        features = np.asarray(self._model.get_tensor(self._features)[0], np.float64)
        return classes, features.mean((0, 1))


class FaceRecognizer:
    """dlib's recognition network, a `FeatureNetwork` of 128 numbers; compare by cosine (`measures.identity_cosine`).

    Raises:
        ModelFileError: dlib is not installed, or a model file is missing.
    """

    name = "dlib ResNet v1"
    weights = "dlib_face_recognition_resnet_model_v1.dat"
    """The pretrained file, see `cdrl.pretrained`."""

    def __init__(self) -> None:
        try:
            self._dlib = importlib.import_module("dlib")
        except ModuleNotFoundError as error:
            raise ModelFileError("judging identity needs dlib: run `pip install dlib-bin==20.0.1`") from error
        self._shape = self._dlib.shape_predictor(str(find_model("shape_predictor_5_face_landmarks.dat")))
        self._network = self._dlib.face_recognition_model_v1(str(find_model(self.weights)))

    def __call__(self, rgb: Image, points: Array) -> Array:
        """Return the recognition vector [128]; `points` only say where the face is, dlib's model aligns it."""
        center, half = _face_box(points, *_DLIB_BOX)
        low, high = np.round(center - half).astype(int), np.round(center + half).astype(int)
        box = self._dlib.rectangle(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        return np.asarray(self._network.compute_face_descriptor(rgb, self._shape(rgb, box)), np.float64)
