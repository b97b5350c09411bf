"""A small U-Net on pictures of fixed size, as it runs in onnxruntime on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_GROUP = 8  # channels normalized together


class _Block(nn.Sequential):
    """3x3, normalized over groups of channels, so never over a batch."""

    def __init__(self, inward: int, outward: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inward, outward, 3, stride, 1, bias=False), nn.GroupNorm(outward // _GROUP, outward), nn.ReLU()
        )


class UNet(nn.Module):
    """From maps [B, inward, h, w] to maps [B, outward, h, w]; both sides are multiples of 2 to the number of widths."""

    def __init__(self, inward: int, outward: int, widths: Sequence[int], blocks: int = 1) -> None:
        """Build the network.

        Args:
            inward: Channels of the input.
            outward: Channels of the output.
            widths: Channels at 1/2, 1/4, ... of the input's side; multiples of 8.
            blocks: Convolutions on the way up at each of them.
        """
        super().__init__()
        self.stem = _Block(inward, widths[0], 2)
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(_Block(a, b, 2), _Block(b, b)) for a, b in steps)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in steps)
        self.join = nn.ModuleList(nn.Sequential(*(_Block(a, a) for _ in range(blocks))) for a, _ in steps)
        self.out = nn.Conv2d(widths[0], 4 * outward, 3, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Compute the output's maps."""
        levels = [self.stem(maps)]
        for block in self.down:
            levels.append(block(levels[-1]))
        hidden = levels.pop()
        for narrow, join in zip(reversed(self.up), reversed(self.join), strict=True):
            hidden = join(levels.pop() + functional.interpolate(narrow(hidden), scale_factor=2.0, mode="nearest"))
        result: Tensor = functional.pixel_shuffle(self.out(hidden), 2)
        return result

    @torch.no_grad()
    def start_silent(self) -> None:
        """Let the network answer 0 everywhere before it is trained."""
        self.out.weight.zero_()
        if self.out.bias is not None:
            self.out.bias.zero_()
