"""SyncNet, the lip-sync evaluator of the literature, from a user's weights (`cdrl convert syncnet_v2.model`).

Chung & Zisserman, "Out of Time: Automated Lip Sync in the Wild", 2016. The layers are those of the published
`syncnet_v2.model`, the measure's preparation that of the code published with it: 25 pictures and 100 MFCC rows a
second, five pictures (0.2 s) beside twenty rows, channels in OpenCV's order (blue first), values 0 to 255.

One thing differs: the square that is cut out lies around the evaluation's landmarks, not around the box of the
detector that the authors used, so numbers come close to published ones and need not equal them.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor, nn

from cdrl.errors import ModelFileError
from cdrl.evaluation.sync_metrics import Array, FaceFootage, embedding_times
from cdrl.representations.checkpoints import load_into, read_tensors
from cdrl.speech.audio import SAMPLE_RATE, Samples

SIDE = 224  # pixels of a picture
FRAMES = 5  # pictures of a window
ROWS, COEFFICIENTS = 20, 13  # of MFCC beside them
_STEP = 4  # MFCC rows a picture
_WIDTH = 1024  # of an embedding
_MARGIN = 0.4  # of half the face's box: how much wider the square is, and how far it is moved down
_GRAY = (110, 110, 110)  # beyond the picture
_SMOOTH = 13  # frames that a box is the median of
_BATCH = 16  # windows at once
# DataParallel and the authors' own wrapper put these before the names.
_PREFIX = re.compile(r"^(module\.|S\.|__S__\.)+")
_COUNTER = "num_batches_tracked"


class SyncNet(nn.Module):
    """Both networks, in evaluation mode for good; names and shapes are those of the published state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_sound_layer(1, 64), nn.MaxPool2d(1, 1),
            *_sound_layer(64, 192), nn.MaxPool2d(3, (1, 2)),
            *_sound_layer(192, 384), *_sound_layer(384, 256), *_sound_layer(256, 256), nn.MaxPool2d(3, 2),
            *_sound_layer(256, 512, (5, 4), 0),
        )  # fmt: skip
        self.netfcaud = _projection()
        self.netcnnlip = nn.Sequential(
            *_picture_layer(3, 96, (FRAMES, 7, 7), 2, 0), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_picture_layer(96, 256, (1, 5, 5), 2, 1), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_picture_layer(256, 256), *_picture_layer(256, 256), *_picture_layer(256, 256),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_picture_layer(256, 512, (1, 6, 6), 1, 0),
        )  # fmt: skip
        self.netfclip = _projection()
        self.eval().requires_grad_(False)

    def embed_audio(self, rows: Tensor) -> Tensor:
        """Embed MFCC [B, 1, 13, 20] as [B, 1024]."""
        embedding: Tensor = self.netfcaud(self.netcnnaud(rows).flatten(1))
        return embedding

    def embed_video(self, pictures: Tensor) -> Tensor:
        """Embed pictures [B, 3, 5, 224, 224], blue, green, red in 0 … 255, as [B, 1024]."""
        embedding: Tensor = self.netfclip(self.netcnnlip(pictures).flatten(1))
        return embedding


def _sound_layer(
    before: int, channels: int, kernel: tuple[int, int] = (3, 3), padding: int = 1
) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(before, channels, kernel, padding=padding), nn.BatchNorm2d(channels), nn.ReLU()


def _picture_layer(
    before: int, channels: int, kernel: tuple[int, int, int] = (1, 3, 3), stride: int = 1, padding: int = 1
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Strides and borders across the picture, never over time."""
    convolution = nn.Conv3d(before, channels, kernel, (1, stride, stride), (0, padding, padding))
    return convolution, nn.BatchNorm3d(channels), nn.ReLU()


def _projection() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, _WIDTH))


def load_syncnet(path: Path) -> SyncNet:
    """Load a user's weights: safetensors of the published state dict, whatever prefix its names have.

    Raises:
        InputNotFoundError: There is no such file.
        InputError: The file is a pickle (`cdrl convert` is named), damaged, or of another network.
    """
    network = SyncNet()
    tensors = {_PREFIX.sub("", name): value for name, value in read_tensors(path)[0].items()}
    # Old files have no counters of batches, and what they count means nothing here.
    counters = {name: value for name, value in network.state_dict().items() if name.endswith(_COUNTER)}
    weights = {name: value.float() for name, value in tensors.items() if not name.endswith(_COUNTER)}
    load_into(network, counters | weights, path)
    return network


class SyncNetEvaluator:
    """The `cdrl.evaluation.sync_metrics.SyncEvaluator` of SyncNet. Moment i is the 0.2 s that begin at i / 25 s."""

    name = "syncnet"
    padded = True

    def __init__(self, network: SyncNet) -> None:
        self._network = network

    @classmethod
    def load(cls, path: Path) -> SyncNetEvaluator:
        """Load the networks as `load_syncnet`; ModelFileError, too, where the library for MFCC is not installed."""
        _import_mfcc()
        return cls(load_syncnet(path))

    def embed_video(self, footage: FaceFootage) -> Array:
        """Embed windows of five pictures as [n, 1024]; NaN where one of a window's faces is not seen."""
        pictures, seen = _resample_faces(footage)
        windows = _slide(pictures[..., ::-1], FRAMES).transpose(0, 4, 1, 2, 3)  # [n, 5, H, W, blue-green-red]
        embeddings = _embed_windows(windows, lambda batch: self._network.embed_video(batch.permute(0, 4, 1, 2, 3)))
        embeddings[~_slide(seen, FRAMES).all(1)] = np.nan
        return embeddings

    def embed_audio(self, samples: Samples) -> Array:
        """Embed windows of 0.2 s of mono sound at 16 kHz as [m, 1024]."""
        windows = _slide(mfcc(samples), ROWS)[::_STEP]  # [m, 13, 20]
        return _embed_windows(windows, lambda batch: self._network.embed_audio(batch[:, None]))


def _slide(rows: NDArray[Any], length: int) -> NDArray[Any]:
    """Every `length` rows that follow one another, as the last axis: [T, ...] → [T − length + 1, ..., length]."""
    if len(rows) < length:
        return np.empty((0, *rows.shape[1:], length), rows.dtype)
    return np.lib.stride_tricks.sliding_window_view(rows, length, axis=0)


def _embed_windows(windows: NDArray[Any], half: Callable[[Tensor], Tensor]) -> Array:
    """Embed windows [n, ...] as [n, 1024], a few at a time."""
    embeddings = np.empty((len(windows), _WIDTH))
    with torch.inference_mode():
        for first in range(0, len(windows), _BATCH):
            batch = torch.from_numpy(windows[first : first + _BATCH].copy()).float()
            embeddings[first : first + _BATCH] = half(batch).numpy()
    return embeddings


def mfcc(samples: Samples) -> Array:
    """Compute MFCC [n, 13], 100 rows a second, of sound at 16 kHz in [-1, 1], taken as 16-bit numbers as published."""
    numbers = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return np.asarray(_import_mfcc().mfcc(numbers, SAMPLE_RATE, numcep=COEFFICIENTS), np.float64)


def _import_mfcc() -> Any:
    try:
        return importlib.import_module("python_speech_features")
    except ModuleNotFoundError as error:
        needed = "python_speech_features: run `pip install python_speech_features==0.6`"
        raise ModelFileError(f"SyncNet needs {needed}") from error


def face_squares(points: Array) -> Array:
    """Fit squares [T, 3] (left, top, side) in pixels around faces [T, 468, 2], as wide and low as SyncNet's were.

    A lost face's square is that of the nearest frames; medians over 13 frames keep it still.
    """
    low, high = points.min(1), points.max(1)
    boxes = np.column_stack([(low + high) / 2, (high - low).max(1) / 2])
    seen = np.flatnonzero(np.isfinite(boxes[:, 0]))
    places = np.arange(len(boxes))
    filled = np.column_stack([np.interp(places, seen, boxes[seen, column]) for column in range(3)])
    x, y, half = median_filter(filled, (_SMOOTH, 1), mode="nearest").T
    return np.column_stack([x - half * (1 + _MARGIN), y - half, 2 * half * (1 + _MARGIN)])


def _resample_faces(footage: FaceFootage) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Face pictures [n, 224, 224, 3] RGB at 25 a second, each the nearest frame's; and [n] whether a face is there."""
    times, points = footage.times, footage.points
    nearest = np.searchsorted((times[:-1] + times[1:]) / 2, embedding_times(float(times[-1])))
    pictures = np.stack(list(_crop_faces(footage, face_squares(points))))
    return pictures[nearest], np.isfinite(points[nearest, 0, 0])


def _crop_faces(footage: FaceFootage, squares: Array) -> Iterator[NDArray[np.uint8]]:
    for rgb, (left, top, side) in zip(footage.frames(), squares, strict=True):
        pad = max(int(side), 1)
        wide = cv2.copyMakeBorder(rgb, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=_GRAY)
        # A face that has left the picture is cut out as near to it as there are pixels.
        y, x = (int(np.clip(int(v) + pad, 0, n - pad)) for v, n in zip((top, left), wide.shape[:2], strict=True))
        yield np.asarray(cv2.resize(wide[y : y + pad, x : x + pad], (SIDE, SIDE)), np.uint8)
