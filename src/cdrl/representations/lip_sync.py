"""The lip-sync network that ships: one half embeds the movement of lips, the other the speech that is heard.

Moments of lips and speech that belong together are near each other in one space, as in SyncNet (Chung & Zisserman, "Out
of Time: Automated Lip Sync in the Wild", 2016). `cdrl train sync` trains it; docs/model-card-sync.md says on what, and
how well it tells.
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
from cdrl.representations.checkpoints import load_network

ARCHITECTURE = "sync"
LIP_POINTS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    148, 176, 152, 400, 377,
)  # fmt: skip
"""Mesh indices of the outer lips, the inner lips and the chin."""
LIP_FEATURES = 4 * len(LIP_POINTS)
"""Numbers of a moment: x and y of each point, and how fast they change."""

_LIP_KERNELS, _SPEECH_KERNELS = (5, 3, 3), (3, 3, 3)  # moments that each convolution covers


@dataclass(frozen=True)
class LipSyncConfig:
    """Sizes of the network, and the speech features that it takes."""

    speech: str = "whisper-tiny.en/4, mean of 8 places"
    """Name of the speech features."""
    speech_width: int = 384
    """Length of a speech feature vector."""
    width: int = 96
    """Channels of the convolutions."""
    dimensions: int = 64
    """Length of an embedding."""


class LipSyncNetwork(nn.Module):
    """Convolutions over time: the embedding of lips covers nine moments, that of speech seven."""

    lips_scale: Tensor
    speech_mean: Tensor
    speech_scale: Tensor

    def __init__(self, config: LipSyncConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("lips_scale", torch.ones(LIP_FEATURES))
        self.register_buffer("speech_mean", torch.zeros(config.speech_width))
        self.register_buffer("speech_scale", torch.ones(config.speech_width))
        # The names of both halves are those of the checkpoint's tensors.
        self.seen = nn.Sequential(*_convolutions(LIP_FEATURES, _LIP_KERNELS, config))
        projection = (nn.Conv1d(config.speech_width, config.width, 1), nn.GELU())
        self.heard = nn.Sequential(*projection, *_convolutions(config.width, _SPEECH_KERNELS, config))

    def embed_video(self, lips: Tensor) -> Tensor:
        """Embed the movement of lips.

        Args:
            lips: Features [B, T, LIP_FEATURES] of `cdrl.evaluation.lip_clips.lip_features`, 25 rows a second.

        Returns:
            Unit vectors [B, T, dimensions].
        """
        return functional.normalize(self.seen((lips / self.lips_scale).transpose(1, 2)).transpose(1, 2), dim=2)

    def embed_audio(self, speech: Tensor) -> Tensor:
        """Embed speech features [B, T, speech_width], 25 rows a second, as unit vectors [B, T, dimensions]."""
        scaled = (speech - self.speech_mean) / self.speech_scale
        return functional.normalize(self.heard(scaled.transpose(1, 2)).transpose(1, 2), dim=2)


def _convolutions(channels: int, kernels: tuple[int, ...], config: LipSyncConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for size in kernels:
        # Normalized over a clip's channels and moments, so never over a batch.
        layers += [nn.Conv1d(channels, config.width, size, padding=size // 2), nn.GroupNorm(1, config.width), nn.GELU()]
        channels = config.width
    return [*layers, nn.Conv1d(channels, config.dimensions, 1)]


def load_lip_sync(path: Path | None = None) -> LipSyncNetwork:
    """Load the network at `path`, or the one that ships, frozen.

    Raises:
        ModelFileError: The file that ships is missing or damaged.
        InputError: The file is another checkpoint.
    """
    return load_network(path or verified_path(SYNC), ARCHITECTURE, LipSyncConfig, LipSyncNetwork)


def embed_lips(network: LipSyncNetwork, lips: NDArray[np.float32], visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Embed lip features [n, LIP_FEATURES] of one clip as [n, dimensions]; NaN where no face is `visible` [n]."""
    return np.where(visible[:, None], _embed(network.embed_video, lips, network), np.nan)


def embed_speech(network: LipSyncNetwork, speech: NDArray[np.float32]) -> NDArray[np.float64]:
    """Embed speech features [n, speech_width] of one clip as [n, dimensions]."""
    return _embed(network.embed_audio, speech, network)


def _embed(half: Callable[[Tensor], Tensor], rows: NDArray[np.float32], network: LipSyncNetwork) -> NDArray[np.float64]:
    if not len(rows):
        return np.empty((0, network.config.dimensions))
    with torch.inference_mode():
        batch = torch.from_numpy(np.ascontiguousarray(rows))[None].to(network.lips_scale.device)
        return np.asarray(half(batch)[0].cpu().numpy(), np.float64)
