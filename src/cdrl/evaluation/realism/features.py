"""What a detector of edits knows of a picture: how the maps of an ImageNet network are spread, at five depths.

EfficientNet-lite1, frozen, as far as its stride of 16: deeper maps say what a picture shows, no longer how its skin,
hair and edges look. It plays no part in training anything that edits (`lite0` does), so that no edit has learned to
please it. Of a few thousand frames of a hundred people four convolutions learn less than this knows.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cdrl.representations.encoders import images_to_tensor
from cdrl.representations.vision import BlockStage, EfficientNet, load_imagenet_weights

Floats = NDArray[np.float32]

NETWORK = "efficientnet-lite1.pth"
"""The pretrained file, see `cdrl.pretrained`."""
LITE1 = (
    BlockStage(1, 3, 1, 1, 16),
    BlockStage(3, 3, 2, 6, 24),
    BlockStage(3, 5, 2, 6, 40),
    BlockStage(4, 3, 2, 6, 80),
    BlockStage(4, 5, 1, 6, 112),
    BlockStage(5, 5, 2, 6, 192),
    BlockStage(1, 3, 1, 6, 320),
)
_STAGES = 5  # of these are used
_BATCH = 32  # pictures


class MapStatistics(nn.Module):
    """The network up to the last map that is used: pictures in [0, 1], [B,3,h,w] → [B,1088]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet(LITE1)
        self._last = (np.cumsum([stage.repeats for stage in LITE1[:_STAGES]]) - 1).tolist()

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute mean, standard deviation, largest and smallest value of every channel after each stage."""
        maps = self.network.early_maps((pictures * 255 - 127) / 128, self._last)  # as the network was trained
        parts = [part for flat in (each.flatten(2) for each in maps) for part in _summarize_maps(flat)]
        return torch.cat(parts, 1)


def _summarize_maps(flat: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """[B,C,n] → four of [B,C]."""
    return flat.mean(2), flat.std(2), flat.amax(2), flat.amin(2)


@cache
def load_map_statistics() -> MapStatistics:
    """Load the pretrained network. Raises ModelFileError where it is missing."""
    model = MapStatistics()
    load_imagenet_weights(model.network, NETWORK)
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def describe_pictures(pictures: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Describe pictures, and their mirror images.

    Args:
        pictures: RGB [N,h,w,3].

    Returns:
        Two arrays [N,1088].
    """
    model, sides = load_map_statistics(), list[list[Floats]]()
    for start in range(0, len(pictures), _BATCH):
        images = images_to_tensor(pictures[start : start + _BATCH])
        sides.append([model(side).numpy() for side in (images, images.flip(3))])
    plain, mirrored = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    return plain, mirrored
