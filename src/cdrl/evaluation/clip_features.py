"""What the evaluators see in one clip: landmarks, mouth flow, emotion, identity, upper face, sharpness, by frame.

Two passes over the decoded frames, so memory does not grow with their size: the first finds the face, the second takes
crops that ride with the (smoothed) head. A clip that is compared with a source is measured in the *source's* layout:
same template, same crop boxes, same scale.

Features of clips that do not change are kept on disk by content, so that a table is made again in seconds. The name of
an entry is a hash of the file's bytes, the tile of it, the layout it was measured in, the feature networks, and the
evaluators' version.
"""

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import FaceError, OutputError
from cdrl.evaluation import geometry
from cdrl.evaluation.clips import Frames, Image, decode_frames, read_frame_rate, read_frames
from cdrl.evaluation.evaluators import CLASSES, FaceRecognizer, FerClassifier
from cdrl.evaluation.feature_networks import FeatureNetworks
from cdrl.evaluation.geometry import INNER_LIPS, FaceLayout, crop_affine, sample_crop
from cdrl.evaluation.landmarker import LANDMARKER_MODELS, N_POINTS, Landmarker
from cdrl.files import atomic_write, file_sha256
from cdrl.pretrained import MODELS

Array = NDArray[np.float64]

_MOUTH = (96, 80)  # pixels, width and height of the crop optical flow sees
_MOUTH_HALF = 0.75  # half its width, face-frame units
_UPPER = (48, 28)  # pixels of the low-resolution upper face
_UPPER_CENTER, _UPPER_HALF = (0.0, -0.2), 1.1
_THUMB = 64  # pixels, aligned gray face kept of every frame
_FACE_CENTER = (0.0, 0.5)
_IDENTITY_FRAMES = 6  # recognition is slow (0.2 s) and steady: spread over the clip
_EXPRESSION_FRAMES = 100  # that a network of the user's sees; the embedded one runs on every frame anyway
_SAMPLED_RATE = 8  # frames a second of which only landmarks are wanted
_SAMPLED_FRAMES = 30 * _SAMPLED_RATE  # of a long clip its beginning
_BLACK = 8.0  # mean gray level under which a frame is padding
_EMBEDDED = FeatureNetworks()
_VERSION = "3"  # raise it whenever what an evaluator sees changes
# What reading an npz raises that is damaged, or of other arrays.
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
_TYPES = {"thumbs": np.uint8, "expression": np.float16}
"""How arrays are kept, others in single precision; of an expression vector, one a frame, only the direction counts."""

# One of each a process: they take half a second to load.
_landmarker, _fer_classifier, _face_recognizer = cache(Landmarker), cache(FerClassifier), cache(FaceRecognizer)


@dataclass(frozen=True)
class ClipFeatures:
    """One clip of T frames as the evaluators saw it; NaN where there was no face."""

    points: Array
    """[T,468,2] landmarks in pixels."""
    emotion: Array
    """[T,7] probabilities, in the order of `evaluators.CLASSES`."""
    flow_spread: Array
    """[T] vertical motion within the mouth, see `measure_flow`; NaN at frame 0."""
    flow_opening: Array
    """[T] opening and closing by optical flow, see `measure_flow`; NaN at frame 0."""
    upper: Array
    """[T,28,48] gray levels of the upper face."""
    thumbs: NDArray[np.uint8]
    """[T,64,64] gray levels of the aligned face."""
    sharpness: Array
    """[T] Laplacian variance of the aligned face."""
    identity: Array
    """[K,D] recognition vectors of 6 frames."""
    expression: Array
    """[M,D'] expression vectors of length 1 of the frames with a face (at most 100 where the network is the user's)."""
    layout: FaceLayout

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """[T] whether a face is visible in the frame."""
        return np.isfinite(self.points[:, 0, 0])


def track_landmarks(frames: Frames) -> Array:
    """Find the face in every frame: landmarks [T,468,2] in pixels, NaN in frames without a face or black throughout."""
    landmarker = _landmarker()
    landmarker.restart()
    rows = []
    for rgb in frames():
        points = landmarker(rgb) if rgb.mean() > _BLACK else None
        rows.append(np.full((N_POINTS, 2), np.nan) if points is None else points)
    return np.stack(rows) if rows else np.empty((0, N_POINTS, 2))


def measure_flow(flow: NDArray[np.float32]) -> tuple[float, float]:
    """Summarize one optical flow field [H,W,2] of the mouth crop, in pixels of the crop a frame.

    Returns:
        The standard deviation of the vertical component v over the crop: any vertical motion *within* the mouth, none
        of the head's. And the slope of v over y, times the crop's height: positive when the lower part moves down from
        the upper.
    """
    vertical = flow[..., 1].astype(np.float64)
    y = np.linspace(-0.5, 0.5, flow.shape[0])
    slope = float((vertical.mean(1) * y).sum() / (y * y).sum())
    return float(vertical.std()), slope


class _CropMeter:
    """Measures crops of one clip, frame by frame, in a layout."""

    def __init__(self, layout: FaceLayout) -> None:
        lips = layout.template[list(INNER_LIPS)].mean(0)
        self._mouth_center = (float(lips[0]), float(lips[1]))
        self._size = (layout.face_size, layout.face_size)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._last: Image | None = None
        unit = 2 * geometry.FACE_HALF / layout.face_size
        hull = (layout.template - _FACE_CENTER) / unit + layout.face_size / 2
        mask = np.zeros(self._size, np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(hull.astype(np.int32)), 1)
        self._mask = mask.astype(bool)

    def measure_mouth(self, gray: Image, pose: Array) -> tuple[float, float]:
        """`measure_flow` since the frame before; NaN at the first."""
        crop = sample_crop(gray, crop_affine(pose, self._mouth_center, _MOUTH_HALF, _MOUTH), _MOUTH)
        last, self._last = self._last, crop
        if last is None:
            return np.nan, np.nan
        flow = np.zeros((*crop.shape, 2), np.float32)
        return measure_flow(np.asarray(self._flow.calc(last, crop, flow), np.float32))

    def reduce_upper_face(self, gray: Image, pose: Array) -> Array:
        """[28,48] gray levels."""
        fine = (_UPPER[0] * 4, _UPPER[1] * 4)
        crop = sample_crop(gray, crop_affine(pose, _UPPER_CENTER, _UPPER_HALF, fine), fine)
        return np.asarray(cv2.resize(crop.astype(np.float32), _UPPER, interpolation=cv2.INTER_AREA), np.float64)

    def measure_face(self, gray: Image, pose: Array) -> tuple[float, Image]:
        """Laplacian variance and thumbnail [64,64] of the aligned face."""
        crop = sample_crop(gray, crop_affine(pose, _FACE_CENTER, geometry.FACE_HALF, self._size), self._size)
        laplacian = cv2.Laplacian(crop, cv2.CV_64F)[self._mask]
        thumb = cv2.resize(crop, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
        return float(laplacian.var()), np.asarray(thumb, np.uint8)


def _spread_frames(visible: NDArray[np.intp], count: int) -> set[int]:
    """About `count` of the frames, spread over the clip."""
    return set(visible[np.linspace(0, len(visible) - 1, count).round().astype(int)].tolist())


def extract_features(
    frames: Frames, layout: FaceLayout | None = None, networks: FeatureNetworks = _EMBEDDED
) -> ClipFeatures:
    """Show a clip to every evaluator.

    Args:
        frames: Passes over the clip's RGB frames.
        layout: Of the source that the clip is compared with; its own by default.
        networks: For the recognition and expression vectors.

    Raises:
        FaceError: No frame shows a face.
    """
    points = track_landmarks(frames)
    count, visible = len(points), np.flatnonzero(np.isfinite(points[:, 0, 0]))
    if not len(visible):
        raise FaceError(f"there is no face in any of {count} frames")
    layout = layout if layout is not None else geometry.fit_layout(points)
    pose = geometry.estimate_poses(points, layout)
    meter, last = _CropMeter(layout), -1
    recognize = networks.recognition or _face_recognizer()
    identified, expressed = _spread_frames(visible, _IDENTITY_FRAMES), _spread_frames(visible, _EXPRESSION_FRAMES)
    emotion, flow = np.full((count, len(CLASSES)), np.nan), np.full((count, 2), np.nan)
    upper, sharpness = np.full((count, _UPPER[1], _UPPER[0]), np.nan), np.full(count, np.nan)
    thumbs = np.zeros((count, _THUMB, _THUMB), np.uint8)
    identity, expression = [], []
    for index, rgb in enumerate(frames()):
        if not np.isfinite(points[index, 0, 0]):
            continue
        if last != index - 1:
            meter = _CropMeter(layout)  # flow across a gap means nothing
        last = index
        gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        flow[index] = meter.measure_mouth(gray, pose[index])
        upper[index] = meter.reduce_upper_face(gray, pose[index])
        sharpness[index], thumbs[index] = meter.measure_face(gray, pose[index])
        emotion[index], features = _fer_classifier()(rgb, points[index])
        if networks.expression is None:
            expression.append(features)
        elif index in expressed:
            expression.append(networks.expression(rgb, points[index]))
        if index in identified:
            identity.append(recognize(rgb, points[index]))
    expressions = np.stack(expression)
    expressions /= np.maximum(np.linalg.norm(expressions, axis=1, keepdims=True), 1e-12)
    vectors = np.stack(identity), expressions
    return ClipFeatures(points, emotion, flow[:, 0], flow[:, 1], upper, thumbs, sharpness, *vectors, layout)


def save_features(features: ClipFeatures, path: Path) -> None:
    """Write features as compressed npz; the name appears only when it is whole.

    Raises:
        OutputError: It cannot be written.
    """
    names = [field.name for field in fields(ClipFeatures) if field.name != "layout"]
    arrays = {name: getattr(features, name).astype(np.float32).astype(_TYPES.get(name, np.float32)) for name in names}
    template = features.layout.template.astype(np.float32)
    _save_arrays(path, face_size=np.array(features.layout.face_size), template=template, **arrays)


def _save_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays as compressed npz. Raises OutputError where the folder cannot be made."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror}): choose another --cache") from error
    atomic_write(path, [buffer.getvalue()])


def load_features(path: Path) -> ClipFeatures:
    """Read what `save_features` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] if name == "thumbs" else file[name].astype(np.float64) for name in file}
    layout = FaceLayout(arrays.pop("template"), int(arrays.pop("face_size")))
    return ClipFeatures(**arrays, layout=layout)


def _load_landmarks(path: Path) -> Array:
    """What `FeatureCache.sample_landmarks` kept. Raises FaceError where no frame shows a face."""
    with np.load(path, allow_pickle=False) as file:
        points = file["points"].astype(np.float64)
    visible = points[np.isfinite(points).all((1, 2))]
    if not len(visible):
        raise FaceError(f"there is no face in any of {len(points)} sampled frames")
    return np.asarray(visible)


def _thin_frames(path: Path, step: int) -> Frames:
    """Passes over every `step`-th frame of a file's first 30 s."""
    return lambda: islice(decode_frames(path), 0, step * _SAMPLED_FRAMES, step)


class FeatureCache:
    """Extracts features of files through a folder."""

    def __init__(self, folder: Path, networks: FeatureNetworks = _EMBEDDED) -> None:
        self._folder = folder
        self._networks = networks

    def extract(
        self, path: Path, layout: FaceLayout | None = None, *, tile: str = "", frames: Frames | None = None
    ) -> ClipFeatures:
        """Return the features of a video file, as they are kept: what is read again equals what was read first.

        Args:
            path: The file.
            layout: Of the source that it is compared with; its own by default.
            tile: Name of the part of each frame that is looked at; empty for all of it.
            frames: Passes over that part's frames; the file's by default.

        Raises:
            FaceError: No frame shows a face.
            InputError: The file cannot be read.
            OutputError: The folder cannot be written.
        """
        entry = self._folder / f"{self._key(path, tile, layout)}.npz"
        try:
            return load_features(entry)
        except _DAMAGED:  # or not there
            save_features(extract_features(frames or read_frames(path), layout, self._networks), entry)
        return load_features(entry)

    def sample_landmarks(self, path: Path) -> Array:
        """Return the landmarks [N,468,2] of about 8 frames a second of a file's first 30 s, as they are kept.

        Raises:
            FaceError: No frame shows a face.
            InputError: The file cannot be read.
            OutputError: The folder cannot be written.
        """
        models = (MODELS[name].sha256 for name in LANDMARKER_MODELS)
        parts = [_VERSION, "sampled landmarks", file_sha256(path), *models]
        entry = self._folder / f"{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}.npz"
        try:
            return _load_landmarks(entry)
        except _DAMAGED:  # or not there
            step = max(1, round(read_frame_rate(path) / _SAMPLED_RATE))
            _save_arrays(entry, points=track_landmarks(_thin_frames(path, step)).astype(np.float32))
        return _load_landmarks(entry)

    def _key(self, path: Path, tile: str, layout: FaceLayout | None) -> str:
        models = (model.sha256 for model in MODELS.values() if model.purpose == "judging")
        parts = [_VERSION, file_sha256(path), tile, *models, *self._networks.names.values()]
        digest = hashlib.sha256("|".join(parts).encode())
        if layout is not None:
            digest.update(layout.template.astype("<f4").tobytes() + str(layout.face_size).encode())
        return digest.hexdigest()[:32]
