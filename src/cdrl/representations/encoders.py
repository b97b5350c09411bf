"""Image encoders beneath the content representation: frozen networks whose feature maps know faces.

The embedded default is the landmark bundle's own network; the paper's is ArcFace's iResNet-50, from a user's
checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cdrl.errors import UsageError
from cdrl.representations.landmark_network import INPUT, LandmarkNetwork

CROP = 224  # pixels: the aligned face crop, the landmarks' box and 10 % around it
_BOX = 1.2  # side of the crop over the box's
_REGION = 1.5  # side of the region that the landmark network was trained on over the box's
_FACE = round(INPUT * _BOX / _REGION / 2) * 2  # pixels that the crop takes in the network's input
_GRID = 16


def images_to_tensor(pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Convert pictures uint8 [n, h, w, 3] to RGB in [0, 1], [n, 3, h, w]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float() / 255


def tensor_to_images(images: Tensor) -> NDArray[np.uint8]:
    """Convert RGB in [0, 1], [n, 3, h, w], to pictures uint8 [n, h, w, 3], rounded."""
    return np.asarray((images.detach().permute(0, 2, 3, 1) * 255).round().byte().cpu())


class LandmarkEncoder(nn.Module):
    """Feature maps of the landmark network at two depths, the coarser one enlarged to the finer one's grid.

    [B, 3, 224, 224] → [B, 256, 16, 16]. The crop is laid into the wider region that the network was trained on, its
    borders repeated. In channels-last order, which is faster on a CPU.
    """

    channels = 256
    grid = (_GRID, _GRID)

    def __init__(self) -> None:
        super().__init__()
        self.network = LandmarkNetwork()
        self._taps = (self.network.last_of(_GRID), self.network.last_of(_GRID // 2))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the maps of images [B, 3, 224, 224] → [B, 256, 16, 16]."""
        fine, coarse = self.network(pad_to_region(images), self._taps)
        return torch.cat([fine, functional.interpolate(coarse, self.grid, mode="bilinear")], 1)


def pad_to_region(images: Tensor) -> Tensor:
    """Pad aligned crops [B, 3, 224, 224] to the landmark network's input [B, 3, 256, 256]."""
    small = functional.interpolate(images, (_FACE, _FACE), mode="bilinear", antialias=True)
    wide = functional.pad(small, ((INPUT - _FACE) // 2,) * 4, mode="replicate")
    return wide.contiguous(memory_format=torch.channels_last)


def load_image_encoder(specification: str) -> nn.Module:
    """Load a frozen encoder of aligned crops, with `channels` and `grid` (h, w) of its maps.

    Args:
        specification: `landmarks`, or `iresnet50:PATH` with ArcFace's weights as safetensors (`cdrl convert` makes
            them).

    Raises:
        UsageError: The specification names no encoder.
        InputError: The checkpoint does not fit.
    """
    kind, _, path = specification.partition(":")
    if kind == "landmarks" and not path:
        encoder: nn.Module = LandmarkEncoder()
    elif kind == "iresnet50" and path:
        from cdrl.representations.iresnet import load_iresnet50  # noqa: PLC0415  only where it is asked for

        encoder = load_iresnet50(Path(path))
    else:
        raise UsageError(f"unknown image encoder {specification!r}: choose landmarks, or iresnet50:FILE.safetensors")
    return encoder.eval().requires_grad_(False)
