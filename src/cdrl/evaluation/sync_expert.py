"""The lip-sync judge that ships: two small networks, one of the lips' movement, one of what is heard.

The lips are the landmarks of the evaluation's own face finder in the face's own frame, less their mean over the clip,
so that neither who is seen nor how they hold their head nor whether they smile throughout counts. The sound is
Whisper's features. Nothing that takes part in an edit is used, nor the content representation that supervises some.
`cdrl train sync` trains it; docs/model-card-sync.md says on what and how well it tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cdrl.assets import SYNC, verified_path
from cdrl.errors import InputError
from cdrl.evaluation.geometry import layout_of, poses
from cdrl.evaluation.sync import Array, Footage, grid
from cdrl.representations.checkpoints import config_of, load_into, load_model
from cdrl.speech.audio import SAMPLE_RATE, Samples
from cdrl.speech.features import SpeechEncoder
from cdrl.speech.loading import load_speech_encoder

ARCHITECTURE = "sync"
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    148, 176, 152, 400, 377,
)  # fmt: skip
"""Mesh indices of the outer lips, the inner lips and the chin."""
CURVES = 4 * len(LIPS)
"""Numbers a moment: x and y of each, and how fast they change."""

_NEAR = 0.06  # seconds to the nearest frame with a face, beyond which a moment is not seen
_QUICK = 2.0  # how much the change from moment to moment weighs beside the place
_SEEN, _HEARD = (5, 3, 3), (3, 3, 3)  # moments that each convolution sees
_FEWEST = 2  # frames with a face


@dataclass(frozen=True)
class SyncConfig:
    """What the judge is made of."""

    speech: str = "whisper-tiny.en/4, mean of 8 places"
    """Name of the speech features."""
    speech_width: int = 384
    """Numbers in one of them."""
    width: int = 96
    """Channels."""
    dimensions: int = 64
    """Of an embedding."""


class SyncNetwork(nn.Module):
    """Convolutions over time: a picture's embedding sees nine moments, a sound's seven."""

    lips_scale: Tensor
    speech_mean: Tensor
    speech_scale: Tensor

    def __init__(self, config: SyncConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("lips_scale", torch.ones(CURVES))
        self.register_buffer("speech_mean", torch.zeros(config.speech_width))
        self.register_buffer("speech_scale", torch.ones(config.speech_width))
        first = (nn.Conv1d(config.speech_width, config.width, 1), nn.GELU())
        self.seen = nn.Sequential(*_layers(CURVES, _SEEN, config))
        self.heard = nn.Sequential(*first, *_layers(config.width, _HEARD, config))

    def see(self, curves: Tensor) -> Tensor:
        """[B, T, CURVES] (`mouth_curves`) → [B, T, D] of unit length."""
        return functional.normalize(self.seen((curves / self.lips_scale).transpose(1, 2)).transpose(1, 2), dim=2)

    def hear(self, speech: Tensor) -> Tensor:
        """[B, T, speech_width] at 25 rows a second → [B, T, D] of unit length."""
        scaled = (speech - self.speech_mean) / self.speech_scale
        return functional.normalize(self.heard(scaled.transpose(1, 2)).transpose(1, 2), dim=2)


def _layers(channels: int, sizes: tuple[int, ...], config: SyncConfig) -> list[nn.Module]:
    found: list[nn.Module] = []
    for size in sizes:
        # Normalised over a clip's channels and moments, so never over a batch.
        found += [nn.Conv1d(channels, config.width, size, padding=size // 2), nn.GroupNorm(1, config.width), nn.GELU()]
        channels = config.width
    return [*found, nn.Conv1d(channels, config.dimensions, 1)]


def load_sync(path: Path | None = None) -> SyncNetwork:
    """The networks at `path`, or those that ship; frozen. Raises AssetError, InputError for another checkpoint."""
    path = path or verified_path(SYNC)
    tensors, found = load_model(path, ARCHITECTURE)
    network = SyncNetwork(config_of(SyncConfig, found, path))
    load_into(network, tensors, path)
    return network.eval().requires_grad_(False)


def mouth_curves(points: Array, times: Array) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The lips' movement [n, CURVES] at 0, 1/25, 2/25, ... s, and [n] whether a face is seen there.

    `points` [T, 468, 2] in pixels, NaN where no face is seen, at `times` [T] s. Units: distances between the eyes. What
    is not seen is interpolated.
    """
    moments = grid(float(times[-1]) if len(times) else -1.0)
    found = np.isfinite(points[:, 0, 0])
    if found.sum() < _FEWEST:
        return np.zeros((len(moments), CURVES), np.float32), np.zeros(len(moments), bool)
    a, b, x, y = poses(points, layout_of(points))[found].T[..., None]
    lips = points[found][:, list(LIPS)] - np.stack([x, y], -1)
    power = a**2 + b**2
    across = (a * lips[..., 0] + b * lips[..., 1]) / power
    down = (a * lips[..., 1] - b * lips[..., 0]) / power
    rows = at_moments(np.concatenate([across, down], 1), times[found], moments)
    after = np.searchsorted(times[found], moments).clip(1, int(found.sum()) - 1)
    seen = np.minimum(*(np.abs(moments - times[found][side]) for side in (after - 1, after))) <= _NEAR
    rows = rows - rows[seen].mean(0) if seen.any() else rows
    change = np.gradient(rows, axis=0) if len(rows) > 1 else np.zeros_like(rows)
    return np.concatenate([rows, _QUICK * change], 1).astype(np.float32), seen


def at_moments(rows: NDArray[np.floating], times: Array, moments: Array) -> Array:
    """Rows [T, C] known at `times` [T] → [n, C] at `moments` [n], linear between them, held beyond."""
    right = np.clip(np.searchsorted(times, moments), 1, max(len(times) - 1, 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    share = np.clip((moments - times[left]) / np.maximum(times[right] - times[left], 1e-9), 0, 1)[:, None]
    return np.asarray(rows[left] * (1 - share) + rows[right] * share)


class ExpertJudge:
    """`cdrl.evaluation.sync.SyncJudge` of the network that ships."""

    name = "cdrl"
    padded = False

    def __init__(self, network: SyncNetwork, encoder: SpeechEncoder) -> None:
        self._network, self._encoder = network, encoder

    @classmethod
    def load(cls, path: Path | None = None) -> ExpertJudge:
        """With Whisper's features; see `load_sync`. Raises AssetError where Whisper's file is missing."""
        network = load_sync(path)
        encoder = load_speech_encoder("whisper")
        if encoder.name != network.config.speech:
            raise InputError(
                f"{path or SYNC}: trained on speech features {network.config.speech!r}, but files are heard by "
                f"{encoder.name!r}: prepare the data with --speech whisper and train it again"
            )
        return cls(network, encoder)

    def video(self, footage: Footage) -> Array:
        """[n, D]; NaN where no face is seen."""
        return embedded_lips(self._network, *mouth_curves(footage.points, footage.times))

    def sound(self, samples: Samples) -> Array:
        """[m, D]"""
        return embedded_speech(self._network, self._encoder(samples).resample(grid(len(samples) / SAMPLE_RATE)))


def embedded_lips(network: SyncNetwork, curves: NDArray[np.float32], seen: NDArray[np.bool_]) -> Array:
    """[n, D] of what `mouth_curves` gives; NaN where no face is seen."""
    return np.where(seen[:, None], _embedded(network.see, curves, network), np.nan)


def embedded_speech(network: SyncNetwork, speech: NDArray[np.float32]) -> Array:
    """[m, D] of speech features [m, speech_width], 25 rows a second."""
    return _embedded(network.hear, speech, network)


def _embedded(half: Callable[[Tensor], Tensor], rows: NDArray[np.float32], network: SyncNetwork) -> Array:
    if not len(rows):
        return np.empty((0, network.config.dimensions))
    with torch.inference_mode():
        given = torch.from_numpy(np.ascontiguousarray(rows))[None].to(network.lips_scale.device)
        return np.asarray(half(given)[0].cpu().numpy(), np.float64)
