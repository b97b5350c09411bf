"""Content representation (CCRL): what the mouth says in a frame, whoever says it and in whatever emotion.

Sound asks, the picture answers: a query made of the speech around the frame attends over the mapped feature maps of
the face, and only what it finds there enters the content vector. A frame is seen with a few before and after it: one
mouth alone says little of a moment, its movement tells it. Paper: section on CCRL; deviations stand in docs/paper.md.
A learned query takes the place of the speech where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.assets import CONTENT, verified_path
from cdrl.representations.checkpoints import config_of, load_into, load_model
from cdrl.representations.encoders import image_encoder

ARCHITECTURE = "content"
WINDOW = 9
"""Rows of speech features around a frame: what four convolutions of three see."""


@dataclass(frozen=True)
class ContentConfig:
    """What a content model is made of."""

    encoder: str = "landmarks"
    """Image encoder: landmarks, or iresnet50:FILE."""
    speech: str = "whisper-tiny.en/4, mean of 8 places"
    """Name of the speech features."""
    speech_width: int = 384
    """Numbers per row of them."""
    width: int = 96
    """Channels of the mapping."""
    heads: int = 8
    """Of the attention."""
    dimensions: int = 16
    """Of the content vector."""
    offsets: tuple[int, ...] = tuple(range(-4, 5))
    """Frames that are seen, counted from the one in question, at 25 to 30 frames/s."""
    lower: float = 0.5
    """Share of the maps' rows that is attended, from the bottom: speech is seen below the nose."""
    audio: bool = True
    """Whether speech guides; without it the learned query always asks."""


class _Residual(nn.Module):
    """Depth-wise 3x3, then two 1x1 around a wider middle; normalised over channels, so never over a batch."""

    def __init__(self, width: int, widen: int = 2) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv2d(width, widen * width, 1)
        self.back = nn.Conv2d(widen * width, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        wide = functional.gelu(self.wide(self.norm(self.near(maps))))
        found: Tensor = maps + self.back(wide)
        return found


class SpeechHead(nn.Module):
    """[B, WINDOW, speech_width] → [B, width]: projection, then four convolutions of three over time."""

    def __init__(self, speech_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(speech_width)
        self.project = nn.Linear(speech_width, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(4))

    def forward(self, speech: Tensor) -> Tensor:
        found = self.project(self.norm(speech)).transpose(1, 2)
        for convolution in self.convolutions:
            found = convolution(functional.gelu(found))
        asked: Tensor = found.squeeze(2)
        return asked


class ContentHead(nn.Module):
    """What is trained: feature maps and speech → content. No batch statistics anywhere."""

    def __init__(self, config: ContentConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.norm = nn.GroupNorm(1, channels)
        self.inward = nn.Conv2d(len(config.offsets) * channels, width, 1)
        self.place = nn.Parameter(0.02 * torch.randn(1, width, *grid))
        self.mapping = nn.Sequential(*(_Residual(width) for _ in range(4)))
        self.keys = nn.Conv2d(width, width, 1)
        self.values = nn.Conv2d(width, width, 1)
        self.speech = SpeechHead(config.speech_width, width)
        self.silent = nn.Parameter(0.02 * torch.randn(width))
        self.query = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, config.dimensions)
        )

    def queries(self, speech: Tensor | None, count: int) -> Tensor:
        """[B, WINDOW, speech_width] → [B, width]; the learned query where `speech` is None, or where a row of it is
        not a number (a frame without sound among others that have it)."""
        found = self.silent.expand(count, -1)
        if speech is not None and self.config.audio:
            absent = speech.isnan().flatten(1).any(1)
            heard = self.speech(speech.masked_fill(absent[:, None, None], 0.0))
            found = torch.where(absent[:, None], found.to(heard.dtype), heard)
        asked: Tensor = self.query(found)
        return asked

    def forward(self, maps: Tensor, speech: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attended maps [B, offsets, C, h, w] and speech [B, WINDOW, speech_width] or None → content [B, D], unit
        length, and attention [B, h·w], mean over heads, adding up to one."""
        count, heads = len(maps), self.config.heads
        # The encoder computes channels-last, for which PyTorch's group norm has no safe backward pass on a CPU.
        each = self.norm(maps.flatten(0, 1).contiguous()).reshape(count, -1, *maps.shape[3:])
        mapped = self.mapping(self.inward(each) + self.place)
        split = (count, heads, self.config.width // heads, -1)
        keys, values = self.keys(mapped).reshape(split), self.values(mapped).reshape(split)
        query = self.queries(speech, count).reshape(count, heads, -1, 1)
        attention = ((query * keys).sum(2).float() / keys.shape[2] ** 0.5).softmax(2)
        found = torch.einsum("bhcp,bhp->bhc", values, attention.to(values.dtype)).flatten(1)
        return functional.normalize(self.out(found).float(), dim=1), attention.mean(1)


class ContentModel(nn.Module):
    """The content representation: a frozen image encoder and the trained `head` on it."""

    def __init__(self, config: ContentConfig | None = None, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config or ContentConfig()
        beneath: Any = encoder or image_encoder(self.config.encoder)
        self.encoder = beneath.eval().requires_grad_(False)
        height, width = (int(side) for side in beneath.grid)
        self.above = height - round(self.config.lower * height)
        """Rows of the encoder's maps that are not attended."""
        self.grid = height - self.above, width
        """Height and width of the attention map: the lowest rows of the encoder's."""
        self.head = ContentHead(self.config, beneath.channels, self.grid)

    def train(self, mode: bool = True) -> ContentModel:
        """As usual, but the frozen encoder stays as it was trained."""
        super().train(mode)
        self.encoder.eval()
        return self

    def attended(self, maps: Tensor) -> Tensor:
        """The encoder's maps [B, C, H, w] → their rows that are attended [B, C, h, w]."""
        return maps[:, :, self.above :]

    def maps(self, images: Tensor) -> Tensor:
        """RGB in [0, 1], [B, 3, 224, 224] → attended feature maps [B, C, h, w]; gradients reach the images."""
        return self.attended(self.encoder(images))

    def embed(self, maps: Tensor, speech: Tensor | None) -> tuple[Tensor, Tensor]:
        """Content [B, D] and attention [B, h·w] of attended maps [B, offsets, C, h, w]; see `ContentHead`."""
        found: tuple[Tensor, Tensor] = self.head(maps, speech)
        return found

    def windows(self, frames: Tensor, count: int) -> Tensor:
        """Frames [n] of a clip of `count` frames → the frames [n, offsets] that are seen for them, ends held."""
        return (frames[:, None] + torch.tensor(self.config.offsets, device=frames.device)).clamp(0, count - 1)

    def forward(self, images: Tensor, speech: Tensor | None = None) -> Tensor:
        """Clips of consecutive frames, RGB in [0, 1], [B, T, 3, 224, 224], and their speech features
        [B, T, speech_width] or None → content [B, T, D], unit length."""
        count, length = images.shape[:2]
        maps = self.maps(images.flatten(0, 1))
        maps = maps.reshape(count, length, *maps.shape[1:])
        frames = torch.arange(length, device=images.device)
        seen = maps[:, self.windows(frames, length)].flatten(0, 1)
        heard = None if speech is None else torch.cat([speech_windows(clip, frames) for clip in speech])
        return self.embed(seen, heard)[0].reshape(count, length, -1)


def speech_windows(speech: Tensor, frames: Tensor) -> Tensor:
    """Rows around the frames [n] of a clip's speech features [T, width], ends held: [n, WINDOW, width]."""
    return speech[window_rows(frames, len(speech))]


def window_rows(frames: Tensor, count: int) -> Tensor:
    """Which rows [n, WINDOW] of `count` are heard around the frames [n]."""
    reach = WINDOW // 2
    return (frames[:, None] + torch.arange(-reach, reach + 1, device=frames.device)).clamp(0, count - 1)


def content_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Cosine [...] of content vectors [..., D], unclamped, in [-1, 1]."""
    return functional.cosine_similarity(first, second, dim=-1)


def load_content(path: Path | None = None, encoder: nn.Module | None = None) -> ContentModel:
    """The content model at `path`, or the one that ships; frozen and ready to be used.

    `encoder` takes the place of the one that its configuration names. Raises InputError for another checkpoint.
    """
    path = path or verified_path(CONTENT)
    tensors, found = load_model(path, ARCHITECTURE)
    model = ContentModel(config_of(ContentConfig, found, path), encoder)
    load_into(model.head, tensors, path)
    return model.eval().requires_grad_(False)
