"""Feature networks of the protocol: whose face (*recognition*: FAD, identity), what it expresses (*expression*: CSIM).

Numbers compare only within one network, so every table names the two it used. The embedded defaults are those of
`cdrl.evaluation.evaluators`. A user's own is an ONNX file: input [1,3,S,S], RGB in [0, 1], one face upright along the
eyes; output [1,D]. Metadata of the file may say otherwise: `mean` and `std` (one number or three, in the file's channel
order, of values in [0, 1]), `channels` (`RGB` or `BGR`), `box` (`half,down`: half the side of the face box in eye
distances, and how far its center lies below the eyes as a share of the way to the lips). An expression network must
not be one that an edit was trained under, the emotion representation (CERL) least of all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.assets import user_bytes
from cdrl.errors import ModelFileError
from cdrl.evaluation.evaluators import FaceRecognizer, FeatureNetwork, FerClassifier
from cdrl.evaluation.geometry import INNER_LIPS, crop_affine, eye_centers, sample_crop

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_SMALLEST, _LARGEST = 16, 1024  # pixels, sides of an input that can be a face
_METADATA = {"mean": ("0", (1, 3)), "std": ("1", (1, 3)), "box": ("1.25 0.55", (2,))}  # default, how many numbers


class OnnxNetwork:
    """A `FeatureNetwork` in an ONNX file, run by onnxruntime on one thread.

    Raises:
        ModelFileError: The file is missing, or no such network.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime  # noqa: PLC0415  a quarter of a second that the embedded networks do not need

        data = user_bytes(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise ModelFileError(f"{path}: not an ONNX network that onnxruntime can load; export it again") from error
        self.name = f"{path.name} (SHA-256 {hashlib.sha256(data).hexdigest()[:12]})"
        self._read_input(path)
        self._read_metadata(path, self._session.get_modelmeta().custom_metadata_map)
        self._check_output(path)

    def _read_input(self, path: Path) -> None:
        inputs = self._session.get_inputs()
        self._input, shape = inputs[0].name, inputs[0].shape
        side: Any = shape[-1] if len(inputs) == 1 and len(shape) == 4 else None
        shaped = shape[1:] == [3, side, side] and (shape[0] == 1 or not isinstance(shape[0], int))
        sized = isinstance(side, int) and _SMALLEST <= side <= _LARGEST
        if not (shaped and sized and inputs[0].type == "tensor(float)"):
            given = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
            takes = "a feature network takes one float [1,3,S,S], S a number"
            raise ModelFileError(f"{path}: its input is {given}; {takes}")
        self._side: int = side

    def _read_metadata(self, path: Path, metadata: Mapping[str, str]) -> None:
        numbers = {key: _parse_numbers(path, key, metadata.get(key)) for key in _METADATA}
        self._mean, self._std = numbers["mean"].reshape(-1, 1, 1), numbers["std"].reshape(-1, 1, 1)
        self._half, self._down = map(float, numbers["box"])
        channels = metadata.get("channels", "RGB").strip().upper()
        if (self._std <= 0).any() or self._half <= 0 or channels not in ("RGB", "BGR"):
            raise ModelFileError(f"{path}: its metadata make no sense: std and box above 0, channels RGB or BGR")
        self._order = slice(None, None, -1 if channels == "BGR" else 1)

    def _check_output(self, path: Path) -> None:
        """Run it once on gray, so that a network that cannot be used is refused before any work."""
        try:
            result = self._run(np.full((self._side, self._side, 3), 128, np.uint8))
        except Exception as error:
            raise ModelFileError(f"{path}: does not run: {' '.join(str(error).split())[:160]}") from error
        if result.ndim != 2 or len(result) != 1 or result.shape[1] < 2 or not np.isfinite(result).all():
            gives = f"gives {list(result.shape)}; a feature network gives finite [1,D], D of 2 or more"
            raise ModelFileError(f"{path}: {gives}")

    def _run(self, crop: Image) -> Array:
        picture = (crop[..., self._order].transpose(2, 0, 1) / 255 - self._mean) / self._std
        return np.asarray(self._session.run(None, {self._input: picture[None].astype(np.float32)})[0], np.float64)

    def __call__(self, rgb: Image, points: Array) -> Array:
        """Return the features [D] of one face; outside the picture the edge repeats.

        Args:
            rgb: [H,W,3] picture.
            points: [468,2] landmarks in pixels.

        Raises:
            ModelFileError: The features are not finite.
        """
        right, left = eye_centers(points)
        (a, b), (x, y) = left - right, (left + right) / 2
        lips = points[list(INNER_LIPS)].mean(0) - (x, y)
        down = float(a * lips[1] - b * lips[0]) / float(a * a + b * b)  # of the lips in the face frame
        size = (self._side, self._side)
        affine = crop_affine(np.array([a, b, x, y]), (0.0, self._down * down), self._half, size)
        features = np.asarray(self._run(sample_crop(rgb, affine, size))[0])
        if not np.isfinite(features).all():
            raise ModelFileError(f"{self.name}: gives features that are not finite; export it again, or take another")
        return features


def _parse_numbers(path: Path, key: str, text: str | None) -> Array:
    default, counts = _METADATA[key]
    text = default if text is None else text
    try:
        values = np.array([float(part) for part in text.translate(str.maketrans("[],", "   ")).split()])
    except ValueError:
        values = np.empty(0)
    if len(values) not in counts or not np.isfinite(values).all():
        raise ModelFileError(f"{path}: its metadata say {key} = {text!r}: give {' or '.join(map(str, counts))} numbers")
    return values


@dataclass(frozen=True)
class FeatureNetworks:
    """The two networks of a run; None is the embedded default, which is loaded when the first face is seen."""

    recognition: FeatureNetwork | None = None
    expression: FeatureNetwork | None = None

    @property
    def names(self) -> dict[str, str]:
        """Role → network, as reports name them."""
        return {
            "recognition (FAD, identity)": (self.recognition or FaceRecognizer).name,
            "expression (CSIM)": self.expression.name if self.expression else FerClassifier.features_name,
        }


def load_networks(recognition: Path | None = None, expression: Path | None = None) -> FeatureNetworks:
    """Load the networks of a command line; None takes the embedded one. `ModelFileError` for a file that is none."""
    return FeatureNetworks(*(None if path is None else OnnxNetwork(path) for path in (recognition, expression)))
