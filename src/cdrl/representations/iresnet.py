"""ArcFace's iResNet-50 up to its third stage: the paper's image encoder, from a user's checkpoint.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019; the improved residual block is
that of Duta et al., "Improved Residual Networks", 2020. Names and shapes are those of insightface's `iresnet50`.
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from cdrl.representations.checkpoints import load_into, read_tensors

_EPSILON = 1e-5
# What the whole network has beyond the cut, and the counters of batches that its norms saw in training.
_BEYOND = re.compile(r"(layer4|bn2|fc|features)\.|.*\.num_batches_tracked$")


class ImprovedResidualBlock(nn.Module):
    """Norm, 3x3, norm, PReLU, 3x3 (which steps), norm; added to the input, itself brought to size where it must be."""

    def __init__(self, channels: int, wanted: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels, eps=_EPSILON)
        self.conv1 = nn.Conv2d(channels, wanted, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wanted, eps=_EPSILON)
        self.prelu = nn.PReLU(wanted)
        self.conv2 = nn.Conv2d(wanted, wanted, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wanted, eps=_EPSILON)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != wanted:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, wanted, 1, stride, bias=False), nn.BatchNorm2d(wanted, eps=_EPSILON)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """[B, channels, h, w] → [B, wanted, h / stride, w / stride]."""
        inner = self.prelu(self.bn2(self.conv1(self.bn1(maps))))
        summed: Tensor = self.bn3(self.conv2(inner)) + self.downsample(maps)
        return summed


class RecognitionEncoder(nn.Module):
    """Feature maps of a face for `representation.content`: frozen, and in evaluation mode whatever its owner is in.

    The network was trained on 112x112 faces; the paper gives it 224x224, so the third stage's maps are 28x28.
    """

    channels = 256
    grid = (28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=_EPSILON)
        self.prelu = nn.PReLU(64)
        self.layer1 = _make_stage(64, 64, 3)
        self.layer2 = _make_stage(64, 128, 4)
        self.layer3 = _make_stage(128, 256, 14)  # the fourth, of 3 blocks of 512 channels, is cut off
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> RecognitionEncoder:
        """Stays in evaluation mode: its norms keep the statistics of its own training."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, 224, 224] RGB in [0, 1] → [B, 256, 28, 28]. Gradients pass to the images, never to the weights."""
        maps = self.prelu(self.bn1(self.conv1((images - 0.5) / 0.5)))
        result: Tensor = self.layer3(self.layer2(self.layer1(maps)))
        return result


def _make_stage(channels: int, wanted: int, count: int) -> nn.Sequential:
    """Residual blocks, the first of which halves the size of the maps."""
    further = (ImprovedResidualBlock(wanted, wanted, 1) for _ in range(count - 1))
    return nn.Sequential(ImprovedResidualBlock(channels, wanted, 2), *further)


def load_iresnet50(path: Path) -> RecognitionEncoder:
    """The encoder with ArcFace's weights: safetensors of insightface's `iresnet50`, whole or cut.

    Raises InputNotFoundError where there is no file, and InputError for a pickle (naming `cdrl convert`), a damaged
    file, or the weights of another network.
    """
    encoder = RecognitionEncoder()
    tensors, _ = read_tensors(path)
    kept = {name: value for name, value in tensors.items() if not _BEYOND.match(name)}
    # The counters must be somewhere for the check of names to be strict; what they count means nothing here.
    counters = {name: value for name, value in encoder.state_dict().items() if _BEYOND.match(name)}
    load_into(encoder, counters | kept, path)
    return encoder
