"""NED's translator on the package's expression codes: the published baseline.

Papantoniou et al., *Neural Emotion Director* (CVPR 2022): windows of ten frames go through a recurrent generator; the
style of an emotion comes from its label and noise (mapping network) or from a window that shows it (style encoder,
which is given no label); for each emotion a discriminator tells generated windows from real ones. A code is what a face
does in a frame: the expression modes in their deviations, and the opening of the lips (theirs: 50 numbers of expression
and one of the jaw).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.arrays import Array, array_namespace, scale
from cdrl.emotions import EMOTIONS
from cdrl.face.apertures import lips, remove_apertures
from cdrl.face.bundle import Floats
from cdrl.manipulation.expression_change import MIN_OPENING
from cdrl.manipulation.personalization import encode_offset
from cdrl.manipulation.prior import EmotionPrior
from cdrl.representations.checkpoints import load_network

ARCHITECTURE = "ned"
WINDOW = 10
"""Frames that are translated together."""
OPENING_UNIT = 0.4
"""cm of lip opening that count as one in a code."""


@dataclass(frozen=True)
class NedConfig:
    """Sizes of the networks."""

    codes: int
    """Numbers of a code."""
    hidden: int = 256
    """Width of the recurrent layers in each direction (theirs: 512)."""
    style: int = 16
    """Numbers of a style."""
    noise: int = 4
    """Numbers of noise beside a label."""
    prior_sha256: str = ""
    """SHA-256 of the prior whose modes the codes count."""


class _Recurrent(nn.Module):
    """Windows [B, T, n] → [B, T, 2 · hidden]: a linear layer, then two layers of a bidirectional LSTM."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inward = nn.Linear(inputs, hidden)
        self.lstm = nn.LSTM(hidden, hidden, 2, batch_first=True, bidirectional=True)

    def forward(self, windows: Tensor) -> Tensor:
        states: Tensor = self.lstm(functional.leaky_relu(self.inward(windows), 0.2))[0]
        return states


def _perceptron(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


class Ned(nn.Module):
    """Generator, mapping network, style encoder and discriminators of NED (its section 3.3)."""

    def __init__(self, config: NedConfig) -> None:
        super().__init__()
        self.config = config
        hidden, classes = config.hidden, len(EMOTIONS)
        self.generator = _Recurrent(config.codes + config.style, hidden)
        self.answer = _perceptron(2 * hidden, hidden, config.codes)
        self.mapping = _perceptron(classes + config.noise, hidden, hidden, config.style)
        self.encoder = _Recurrent(config.codes, hidden // 2)
        self.encoded = nn.Linear(hidden, config.style)
        self.judges = _Recurrent(config.codes, hidden // 2)
        self.judged = nn.Linear(hidden, classes)

    def translate(self, windows: Tensor, style: Tensor) -> Tensor:
        """Translate codes [B, T, c] into a style [B, s]; returns codes [B, T, c]."""
        inputs = torch.cat([windows, style[:, None].expand(-1, windows.shape[1], -1)], 2)
        translated: Tensor = windows + self.answer(self.generator(inputs))
        return translated

    def label_style(self, emotion: Tensor, noise: Tensor) -> Tensor:
        """Map indices of `EMOTIONS` [B] and noise [B, n] to styles [B, s]."""
        label = functional.one_hot(emotion, len(EMOTIONS)).to(noise.dtype)
        style: Tensor = self.mapping(torch.cat([label, noise], 1))
        return style

    def encode_style(self, windows: Tensor) -> Tensor:
        """Encode the style [B, s] of codes [B, T, c], whatever they show."""
        style: Tensor = self.encoded(self.encoder(windows).mean(1))
        return style

    def forward(self, windows: Tensor, emotion: Tensor) -> Tensor:
        """Discriminate: return how real codes [B, T, c] look as an emotion [B]: scores [B], 1 is real."""
        scores = self.judged(self.judges(windows).mean(1))
        score: Tensor = scores.gather(1, emotion[:, None])[:, 0]
        return score


def load_ned(path: Path) -> Ned:
    """Load trained networks, frozen.

    Raises:
        InputError: The file is another checkpoint.
    """
    return load_network(path, ARCHITECTURE, NedConfig, Ned)


def encode_shapes(shapes: Floats, neutral_shape: Floats, prior: EmotionPrior) -> Floats:
    """Return what a face does in each frame.

    Args:
        shapes: [T, 478, 3] cm, pose-free.
        neutral_shape: [478, 3] cm, of the same person.
        prior: Whose expression modes the code counts.

    Returns:
        [T, c + 1]: deviations along the expression modes, without apertures, and lip opening in `OPENING_UNIT`.
    """
    code = encode_offset(remove_apertures(shapes - neutral_shape), prior)
    return np.concatenate([code, lips().opening(shapes)[:, None] / OPENING_UNIT], 1).astype(np.float32)


def decode_change(change: Array, shapes: Array, prior: EmotionPrior) -> Array:
    """Return the displacement [..., 478, 3] cm of shapes [..., 478, 3] whose codes change by `change` [..., c + 1].

    Lips close no farther than shut. Takes NumPy arrays, or tensors where the prior's arrays are tensors.
    """
    xp = array_namespace(change)
    modes = remove_apertures(prior.expression * prior.expression_deviation[:, None, None])
    vectors, opening = lips().vectors(shapes), lips().opening(shapes)
    farther = xp.maximum(OPENING_UNIT * change[..., -1], -opening) / xp.clip(opening, MIN_OPENING, None)
    return xp.tensordot(change[..., :-1], modes, axes=1) + lips().opening_displacement(scale(vectors, farther))
