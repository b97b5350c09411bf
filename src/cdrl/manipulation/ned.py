"""NED's translator on our expression codes: the published way that ours is measured against.

Papantoniou et al., *Neural Emotion Director* (CVPR 2022): windows of ten frames go through a recurrent generator; the
style of an emotion comes from its label and noise (mapping network) or from a reference (style encoder); for each
emotion a discriminator tells made windows from real ones. A code is what a face does in a frame: the expression modes
in their deviations, and the opening of the lips (theirs: 50 numbers of expression and one of the jaw).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.emotions import EMOTIONS
from cdrl.representations.checkpoints import config_of, load_into, load_model

ARCHITECTURE = "ned"
WINDOW = 10
"""Frames that are translated together."""


@dataclass(frozen=True)
class NedConfig:
    """What the networks are made of."""

    codes: int
    """Numbers of a code."""
    hidden: int = 256
    """Of the recurrent layers, each way (theirs: 512)."""
    style: int = 16
    """Numbers of a style."""
    noise: int = 4
    """Numbers of noise beside a label."""
    prior_sha256: str = ""
    """Of the prior whose modes the codes count."""


class _Recurrent(nn.Module):
    """Windows [B, T, n] → [B, T, 2 · hidden]: a layer, then two of a bidirectional LSTM."""

    def __init__(self, given: int, hidden: int) -> None:
        super().__init__()
        self.inward = nn.Linear(given, hidden)
        self.lstm = nn.LSTM(hidden, hidden, 2, batch_first=True, bidirectional=True)

    def forward(self, windows: Tensor) -> Tensor:
        found: Tensor = self.lstm(functional.leaky_relu(self.inward(windows), 0.2))[0]
        return found


def _layers(*sizes: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in pairwise(sizes):
        parts += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts[:-1])


class Ned(nn.Module):
    """Generator, mapping network, style encoder and discriminators."""

    def __init__(self, config: NedConfig) -> None:
        super().__init__()
        self.config = config
        hidden, classes = config.hidden, len(EMOTIONS)
        self.generator = _Recurrent(config.codes + config.style, hidden)
        self.answer = _layers(2 * hidden, hidden, config.codes)
        self.mapping = _layers(classes + config.noise, hidden, hidden, config.style)
        self.encoder = _Recurrent(config.codes, hidden // 2)
        self.encoded = nn.Linear(hidden, classes * config.style)
        self.judges = _Recurrent(config.codes, hidden // 2)
        self.judged = nn.Linear(hidden, classes)

    def translate(self, windows: Tensor, style: Tensor) -> Tensor:
        """Codes [B, T, c] in a style [B, s] → codes [B, T, c]."""
        given = torch.cat([windows, style[:, None].expand(-1, windows.shape[1], -1)], 2)
        found: Tensor = windows + self.answer(self.generator(given))
        return found

    def label_style(self, emotion: Tensor, noise: Tensor) -> Tensor:
        """Numbers of EMOTIONS [B] and noise [B, n] → style [B, s]."""
        label = functional.one_hot(emotion, len(EMOTIONS)).to(noise.dtype)
        found: Tensor = self.mapping(torch.cat([label, noise], 1))
        return found

    def reference_style(self, windows: Tensor, emotion: Tensor) -> Tensor:
        """Codes [B, T, c] that show an emotion [B] → their style [B, s]."""
        every = self.encoded(self.encoder(windows).mean(1)).unflatten(1, (len(EMOTIONS), -1))
        found: Tensor = every[torch.arange(len(emotion), device=emotion.device), emotion]
        return found

    def judge(self, windows: Tensor, emotion: Tensor) -> Tensor:
        """How real codes [B, T, c] look as that emotion [B], [B]: 1 is real."""
        every = self.judged(self.judges(windows).mean(1))
        found: Tensor = every.gather(1, emotion[:, None])[:, 0]
        return found


def load_ned(path: Path) -> Ned:
    """Trained networks, frozen. Raises InputError for another checkpoint."""
    tensors, found = load_model(path, ARCHITECTURE)
    model = Ned(config_of(NedConfig, found, path))
    load_into(model, tensors, path)
    return model.eval().requires_grad_(False)
