"""Feature networks of the protocol: whose face (*recognition*: FAD, identity), what it expresses (*expression*: CSIM).

Numbers compare only within one network, so every table names the two it used. The embedded defaults are those of
`cdrl.evaluation.judges`. A user's own is an ONNX file: input [1,3,S,S], RGB in [0, 1], one face upright along the eyes;
output [1,D]. Metadata of the file may say otherwise: `mean` and `std` (one number or three, in the file's channel
order, of values in [0, 1]), `channels` (`RGB` or `BGR`), `box` (`half,down`: half the side of the face box in eye
distances, and how far its centre lies below the eyes as a share of the way to the lips). An expression network must
not be one that an edit was trained under, the emotion representation (CERL) least of all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cdrl.assets import user_bytes
from cdrl.errors import AssetError
from cdrl.evaluation.geometry import crop_map, sample
from cdrl.evaluation.judges import ExpressionFeatures, IdentityJudge

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)  # mesh indices of the lid corners
_INNER_LIPS = (13, 14)
_BOX = (1.25, 0.55)  # half the side, how far down: about what a face detector frames
_SMALLEST, _LARGEST = 16, 1024  # pixels, sides of an input that can be a face


class FeatureNetwork(Protocol):
    """`network(rgb, points)` → vector [D] of one face: `rgb` [H,W,3], `points` [468,2] pixels."""

    @property
    def name(self) -> str:
        """As tables name it; another network, or another file of it, has another name."""
        ...

    @property
    def what(self) -> str:
        """What it is, in a few words."""
        ...

    def __call__(self, rgb: Image, points: Array) -> Array:
        """The features; always the same width."""
        ...


class OnnxNetwork:
    """A feature network in an ONNX file, run by onnxruntime on one thread. `AssetError` where it is none."""

    def __init__(self, path: Path) -> None:
        import onnxruntime  # noqa: PLC0415  a quarter of a second that the embedded networks do not need

        data = user_bytes(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise AssetError(f"{path}: not an ONNX network that onnxruntime can load; export it again") from error
        self.name = f"{path.name} (SHA-256 {hashlib.sha256(data).hexdigest()[:12]})"
        self.what = "a network of the user's"
        self._side = self._input_side(path)
        self._read_metadata(path)
        self._try(path)

    def _input_side(self, path: Path) -> int:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 and len(outputs) >= 1 else []
        fixed = [size if isinstance(size, int) else None for size in shape]
        right = len(fixed) == 4 and fixed[0] in (1, None) and fixed[1] == 3 and fixed[2] == fixed[3]
        side = fixed[2] if right else None
        if side is None or not _SMALLEST <= side <= _LARGEST or inputs[0].type != "tensor(float)":
            said = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
            raise AssetError(f"{path}: its input is {said}; a feature network takes one float [1,3,S,S], S a number")
        self._input = inputs[0].name
        return side

    def _read_metadata(self, path: Path) -> None:
        facts = self._session.get_modelmeta().custom_metadata_map
        self._mean = _numbers(path, facts, "mean", (0.0,), (1, 3)).reshape(-1, 1, 1)
        self._std = _numbers(path, facts, "std", (1.0,), (1, 3)).reshape(-1, 1, 1)
        half, down = _numbers(path, facts, "box", _BOX, (2,))
        channels = facts.get("channels", "RGB").strip().upper()
        if (self._std <= 0).any() or half <= 0 or channels not in ("RGB", "BGR"):
            raise AssetError(f"{path}: its metadata make no sense: std and box above 0, channels RGB or BGR")
        self._half, self._down, self._reversed = float(half), float(down), channels == "BGR"

    def _try(self, path: Path) -> None:
        """Run it once on grey, so that a network that cannot be used is told before any work."""
        try:
            result = self._run(np.full((self._side, self._side, 3), 128, np.uint8))
        except Exception as error:
            raise AssetError(f"{path}: does not run: {' '.join(str(error).split())[:160]}") from error
        if result.ndim != 2 or len(result) != 1 or result.shape[1] < 2 or not np.isfinite(result).all():
            raise AssetError(
                f"{path}: gives {list(result.shape)}; a feature network gives finite [1,D], D of 2 or more"
            )

    def _run(self, crop: Image) -> Array:
        ordered = crop[..., ::-1] if self._reversed else crop
        picture = (ordered.transpose(2, 0, 1) / 255 - self._mean) / self._std
        return np.asarray(self._session.run(None, {self._input: picture[None].astype(np.float32)})[0], np.float64)

    def __call__(self, rgb: Image, points: Array) -> Array:
        """See `FeatureNetwork`. Outside the picture the edge repeats."""
        right, left = points[list(_RIGHT_EYE)].mean(0), points[list(_LEFT_EYE)].mean(0)
        (a, b), (x, y) = left - right, (left + right) / 2
        lips = points[list(_INNER_LIPS)].mean(0) - (x, y)
        down = float(a * lips[1] - b * lips[0]) / float(a * a + b * b)  # of the lips in the face frame
        size = (self._side, self._side)
        affine = crop_map(np.array([a, b, x, y]), (0.0, self._down * down), self._half, size)
        found = np.asarray(self._run(sample(rgb, affine, size))[0])
        if not np.isfinite(found).all():
            raise AssetError(f"{self.name}: gives features that are not finite; export it again, or take another")
        return found


def _numbers(path: Path, facts: dict[str, str], key: str, default: tuple[float, ...], counts: tuple[int, ...]) -> Array:
    text = facts.get(key)
    if text is None:
        return np.array(default)
    try:
        values = np.array([float(part) for part in text.replace("[", " ").replace("]", " ").replace(",", " ").split()])
    except ValueError:
        values = np.empty(0)
    if len(values) not in counts or not np.isfinite(values).all():
        raise AssetError(f"{path}: its metadata say {key} = {text!r}: give {' or '.join(map(str, counts))} numbers")
    return values


@dataclass(frozen=True)
class Networks:
    """The two networks a run uses; None is the embedded default, which is loaded when the first face is seen."""

    recognition: FeatureNetwork | None = None
    expression: FeatureNetwork | None = None

    @property
    def names(self) -> dict[str, str]:
        """Role → network, as reports name them."""
        return {
            "recognition (FAD, identity)": (self.recognition or IdentityJudge).name,
            "expression (CSIM)": (self.expression or ExpressionFeatures).name,
        }


def read_networks(recognition: Path | None = None, expression: Path | None = None) -> Networks:
    """The networks of a command line; None takes the embedded one. `AssetError` for a file that is no such network."""
    return Networks(
        OnnxNetwork(recognition) if recognition is not None else None,
        OnnxNetwork(expression) if expression is not None else None,
    )
