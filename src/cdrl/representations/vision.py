"""The image tower: EfficientNet-lite0, ImageNet-pretrained, without its classifier, in front of one linear map.

Architecture: Tan and Le, EfficientNet (2019), "lite" variant: no squeeze-and-excitation, ReLU6, stem and head of fixed
width. Parameter names are those of the widely used PyTorch port, so that its published state dict loads key for key.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import relu6

from cdrl.representations.checkpoints import load_into, read_tensors
from cdrl.representations.pickles import convert_to_safetensors

EPSILON = 1e-3  # of the batch norms, as trained


@dataclass(frozen=True)
class BlockStage:
    """One row of the paper's table 1: `repeats` blocks of `expansion`, square `kernel`, first `stride`, `width`."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


LITE0 = (
    BlockStage(1, 3, 1, 1, 16),
    BlockStage(2, 3, 2, 6, 24),
    BlockStage(2, 5, 2, 6, 40),
    BlockStage(3, 3, 2, 6, 80),
    BlockStage(3, 5, 1, 6, 112),
    BlockStage(4, 5, 2, 6, 192),
    BlockStage(1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280  # channels


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a row of `length`, as TensorFlow's SAME: the odd one comes after."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Weights of a convolution without bias that pads as TensorFlow does; `apply_normed` applies it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, 0, groups=groups, bias=False)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch norm by the pretrained statistics, in training as in use: no item of a batch depends on another."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)


def apply_normed(values: Tensor, convolution: SameConv2d, norm: FrozenBatchNorm2d) -> Tensor:
    """norm(convolution(values)): [B, c, h, w] → [B, C, ceil(h / stride), ceil(w / stride)].

    A norm with fixed statistics is a scale and a shift, so it goes into the weights: one pass over the maps, not two.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("a frozen batch norm has statistics")
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = convolution.weight * scale[:, None, None, None]
    shift = norm.bias - norm.running_mean * scale
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    top, bottom = same_padding(values.shape[-2], kernel, stride)
    left, right = same_padding(values.shape[-1], kernel, stride)
    if top == bottom == left == right:
        return nn.functional.conv2d(values, weight, shift, stride, top, 1, convolution.groups)
    padded = nn.functional.pad(values, (left, right, top, bottom))
    return nn.functional.conv2d(padded, weight, shift, stride, 0, 1, convolution.groups)


class InvertedResidual(nn.Module):
    """Inverted residual: expand, depthwise, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, stage: BlockStage, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expansion
        self._expand = stage.expansion != 1
        if self._expand:
            self._expand_conv = SameConv2d(inputs, inner, 1)
            self._bn0 = FrozenBatchNorm2d(inner)
        self._depthwise_conv = SameConv2d(inner, inner, stage.kernel, stride, inner)
        self._bn1 = FrozenBatchNorm2d(inner)
        self._project_conv = SameConv2d(inner, stage.width, 1)
        self._bn2 = FrozenBatchNorm2d(stage.width)
        self._shortcut = stride == 1 and inputs == stage.width

    def forward(self, values: Tensor) -> Tensor:
        """Apply the block to feature maps [B, C, H, W]."""
        inner = relu6(apply_normed(values, self._expand_conv, self._bn0)) if self._expand else values
        inner = relu6(apply_normed(inner, self._depthwise_conv, self._bn1))
        inner = apply_normed(inner, self._project_conv, self._bn2)
        return values + inner if self._shortcut else inner


class EfficientNet(nn.Module):
    """The convolutional part: [B, 3, h, w] normalized → [B, 1280], the mean over positions."""

    def __init__(self, stages: tuple[BlockStage, ...] = LITE0, stem: int = STEM, head: int = HEAD) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, stem, 3, 2)
        self._bn0 = FrozenBatchNorm2d(stem)
        blocks, width = [], stem
        for stage in stages:
            for index in range(stage.repeats):
                blocks.append(InvertedResidual(width, stage, stage.stride if index == 0 else 1))
                width = stage.width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(width, head, 1)
        self._bn1 = FrozenBatchNorm2d(head)
        self.width = head

    def maps(self, images: Tensor) -> Tensor:
        """[B, 1280, h / 32, w / 32]."""
        values = relu6(apply_normed(images, self._conv_stem, self._bn0))
        for block in self._blocks:
            values = block(values)
        return relu6(apply_normed(values, self._conv_head, self._bn1))

    def early_maps(self, images: Tensor, blocks: Collection[int]) -> list[Tensor]:
        """Return what the blocks with these numbers make of images [B, 3, H, W], finest first."""
        values = relu6(apply_normed(images, self._conv_stem, self._bn0))
        found = []
        for number in range(max(blocks) + 1):
            values = self._blocks[number](values)
            if number in blocks:
                found.append(values)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Embed images [B, 3, H, W]."""
        return self.maps(images).mean((2, 3))


def load_imagenet_weights(network: EfficientNet, name: str) -> None:
    """Give a network the weights of a pretrained file, but for its classifier.

    Raises:
        ModelFileError: The package that carries the file is not installed.
    """
    path = convert_to_safetensors(name)
    tensors = {key: value for key, value in read_tensors(path)[0].items() if not key.startswith("_fc.")}
    load_into(network, tensors, path)
