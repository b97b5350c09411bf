"""The networks of the neural renderer: itself, and those that judge its pictures in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.rendering.neural import CHANNELS, SIDE
from cdrl.representations.checkpoints import load_network
from cdrl.representations.encoders import LandmarkEncoder
from cdrl.representations.vision import EfficientNet, load_imagenet_weights
from cdrl.training.onnx_export import export_network
from cdrl.training.unet import UNet
from cdrl.training.vlm import TOWER

ARCHITECTURE = "renderer"
_BLOCKS = (0, 2, 4)  # of EfficientNet-lite0, at 1/2, 1/4 and 1/8 of the side
_FINE = 8.0  # factor on what is fine in a picture, for the discriminator


@dataclass(frozen=True)
class RendererConfig:
    """What the network is made of."""

    widths: tuple[int, ...] = (24, 40, 64, 96)
    """Channels at 1/2, 1/4, 1/8 and 1/16 of the picture's side."""
    blocks: int = 2
    """Convolutions on the way up at each of them."""


class RendererNetwork(nn.Module):
    """Predicts the residual of a warped face."""

    def __init__(self, config: RendererConfig | None = None) -> None:
        super().__init__()
        self.config = config or RendererConfig()
        self.unet = UNet(3 + CHANNELS, 3, self.config.widths, self.config.blocks)
        self.unet.start_silent()

    def forward(self, images: Tensor, maps: Tensor) -> Tensor:
        """Predict residuals.

        Args:
            images: Warped faces, RGB in [0, 1], [B, 3, SIDE, SIDE].
            maps: [B, CHANNELS, SIDE, SIDE], see `cdrl.rendering.neural.Conditions`.

        Returns:
            Differences in RGB, [B, 3, SIDE, SIDE].
        """
        residual: Tensor = 0.1 * self.unet(torch.cat([2 * images - 1, maps], 1))
        # A smooth residual cannot take the face's own detail away.
        smooth = functional.avg_pool2d(residual, 3, 1, 1, count_include_pad=False)
        return functional.avg_pool2d(smooth, 3, 1, 1, count_include_pad=False)


class PatchDiscriminator(nn.Module):
    """Tells patches of rendered faces from real ones, by what is fine in them above all."""

    def __init__(self, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 6
        for width in widths:
            layers += [nn.Conv2d(before, width, 4, 2, 1), nn.GroupNorm(width // 8, width), nn.LeakyReLU(0.2)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Score patches of images [B, 3, SIDE, SIDE]: [B, 1, SIDE / 8, SIDE / 8], 1 for real ones, -1 for others."""
        fine = images - functional.avg_pool2d(images, 5, 1, 2, count_include_pad=False)
        scores: Tensor = self.layers(torch.cat([2 * images - 1, _FINE * fine], 1))
        return scores


class PerceptualDistance(nn.Module):
    """Distance of two pictures in maps of frozen networks that know pictures, and faces."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = EfficientNet()
        load_imagenet_weights(self.tower, TOWER)
        self.landmarks = LandmarkEncoder()
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, real: Tensor) -> Tensor:
        """Compute the distance of RGB in [0, 1], [B, 3, SIDE, SIDE]: [B]; 1 is that of unlike maps, roughly."""
        seen, wanted = self.encode(images), self.encode(real)
        return torch.stack(
            [(a - b).abs().mean((1, 2, 3)) / b.abs().mean((1, 2, 3)) for a, b in zip(seen, wanted, strict=True)]
        ).mean(0)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Compute the maps of both networks."""
        return [*self.tower.early_maps(2 * images - 1, _BLOCKS), self.landmarks(images)]


def load_renderer(path: Path) -> RendererNetwork:
    """Load a trained renderer, frozen.

    Raises:
        InputError: The file is another checkpoint, or none.
    """
    return load_network(path, ARCHITECTURE, RendererConfig, RendererNetwork)


class _ByteInput(nn.Module):
    """The network with a picture [1, SIDE, SIDE, 3] of bytes, as a frame has it."""

    def __init__(self, model: RendererNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor, maps: Tensor) -> Tensor:
        result: Tensor = self.model(picture.permute(0, 3, 1, 2).float() / 255, maps)
        return result


def export_onnx(model: RendererNetwork) -> bytes:
    """Return the network as ONNX for `cdrl.rendering.neural.NeuralRenderer`."""
    inputs = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8), torch.zeros(1, CHANNELS, SIDE, SIDE)
    return export_network(_ByteInput(model).eval(), inputs, (["picture", "maps"], ["residual"]), {})
