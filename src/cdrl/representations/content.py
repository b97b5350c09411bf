"""Content representation (CCRL): what the mouth says in a frame, whoever says it and in whatever emotion.

A query made of the speech around the frame attends over the mapped feature maps of the face, and only what is there
enters the content vector. A frame is seen with a few before and after it, as the movement of a mouth tells more than
one shape. A learned query takes the place of the speech where there is none. Paper: section on CCRL; deviations stand
in docs/paper.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.assets import CONTENT, verified_path
from cdrl.representations.checkpoints import load_into, load_model, parse_config
from cdrl.representations.encoders import load_image_encoder

ARCHITECTURE = "content"
SPEECH_OFFSETS = tuple(range(-4, 5))
"""Rows of speech features around a frame, relative to it: the field of view of four convolutions of three."""


@dataclass(frozen=True)
class ContentConfig:
    """What a content model is made of."""

    encoder: str = "landmarks"
    """Image encoder: landmarks, or iresnet50:FILE."""
    speech: str = "whisper-tiny.en/4, mean of 8 places"
    """Name of the speech features."""
    speech_width: int = 384
    """Length of a row of the speech features."""
    width: int = 96
    """Channels of the mapping."""
    heads: int = 8
    """Heads of the attention."""
    dimensions: int = 16
    """Length of the content vector."""
    offsets: tuple[int, ...] = tuple(range(-4, 5))
    """Frames that the model sees, relative to the frame in question, at 25 to 30 frames/s."""
    lower: float = 0.5
    """Share of the maps' rows that is attended, from the bottom: speech shows below the nose."""
    audio: bool = True
    """Whether speech is used; without it there is only the learned query."""


class _ResidualBlock(nn.Module):
    """Depth-wise 3x3, then two 1x1 around a wider middle; normalized over channels, so never over a batch."""

    def __init__(self, width: int, widen: int = 2) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.wide = nn.Conv2d(width, widen * width, 1)
        self.back = nn.Conv2d(widen * width, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        wide = functional.gelu(self.wide(self.norm(self.near(maps))))
        summed: Tensor = maps + self.back(wide)
        return summed


class SpeechHead(nn.Module):
    """Encodes speech windows: a projection, then four convolutions of three over time."""

    def __init__(self, speech_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(speech_width)
        self.project = nn.Linear(speech_width, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(4))

    def forward(self, speech: Tensor) -> Tensor:
        """Encode windows [B, window, speech_width] → [B, width]."""
        hidden = self.project(self.norm(speech)).transpose(1, 2)
        for convolution in self.convolutions:
            hidden = convolution(functional.gelu(hidden))
        encoded: Tensor = hidden.squeeze(2)
        return encoded


class ContentHead(nn.Module):
    """The trained part: from feature maps and speech to content. There are no batch statistics."""

    def __init__(self, config: ContentConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.norm = nn.GroupNorm(1, channels)
        self.inward = nn.Conv2d(len(config.offsets) * channels, width, 1)
        self.place = nn.Parameter(0.02 * torch.randn(1, width, *grid))
        self.mapping = nn.Sequential(*(_ResidualBlock(width) for _ in range(4)))
        self.keys = nn.Conv2d(width, width, 1)
        self.values = nn.Conv2d(width, width, 1)
        self.speech = SpeechHead(config.speech_width, width)
        self.silent = nn.Parameter(0.02 * torch.randn(width))
        self.query = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, config.dimensions)
        )

    def make_queries(self, speech: Tensor | None, audible: Tensor | None, count: int) -> Tensor:
        """Make the queries [count, width]; see `forward`."""
        queries = self.silent.expand(count, -1)
        if speech is not None and self.config.audio:
            encoded = self.speech(speech)
            silent = queries.to(encoded.dtype)
            queries = encoded if audible is None else torch.where(audible[:, None], encoded, silent)
        result: Tensor = self.query(queries)
        return result

    def forward(self, maps: Tensor, speech: Tensor | None, audible: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute content from maps and speech.

        Args:
            maps: Attended maps [B, offsets, C, h, w].
            speech: Windows [B, window, speech_width]; None: the learned query is used for all.
            audible: Whether each moment [B] has speech; None: all have. The others get the learned query.

        Returns:
            Content [B, D], unit length, and attention [B, h·w], mean over heads, sum 1.
        """
        count, heads = len(maps), self.config.heads
        # The encoder computes channels-last, for which PyTorch's group norm has no safe backward pass on a CPU.
        each = self.norm(maps.flatten(0, 1).contiguous()).reshape(count, -1, *maps.shape[3:])
        mapped = self.mapping(self.inward(each) + self.place)
        split = (count, heads, self.config.width // heads, -1)
        keys, values = self.keys(mapped).reshape(split), self.values(mapped).reshape(split)
        query = self.make_queries(speech, audible, count).reshape(count, heads, -1, 1)
        attention = ((query * keys).sum(2).float() / keys.shape[2] ** 0.5).softmax(2)
        attended = torch.einsum("bhcp,bhp->bhc", values, attention.to(values.dtype)).flatten(1)
        return functional.normalize(self.out(attended).float(), dim=1), attention.mean(1)


class ContentModel(nn.Module):
    """The content representation: a frozen image encoder and the trained `head` on it."""

    def __init__(self, config: ContentConfig | None = None, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config or ContentConfig()
        beneath: Any = encoder or load_image_encoder(self.config.encoder)
        self.encoder = beneath.eval().requires_grad_(False)
        height, width = (int(side) for side in beneath.grid)
        self.skipped_rows = height - round(self.config.lower * height)
        """Upper rows of the encoder's maps that are not attended."""
        self.grid = height - self.skipped_rows, width
        """Height and width of the attention map: the lowest rows of the encoder's."""
        self.head = ContentHead(self.config, beneath.channels, self.grid)

    def train(self, mode: bool = True) -> ContentModel:
        """Set the mode; the frozen encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def crop_maps(self, maps: Tensor) -> Tensor:
        """Crop the encoder's maps [B, C, H, w] to the attended rows [B, C, h, w]."""
        return maps[:, :, self.skipped_rows :]

    def maps(self, images: Tensor) -> Tensor:
        """Encode RGB in [0, 1], [B, 3, 224, 224], as attended maps [B, C, h, w]; gradients reach the images."""
        return self.crop_maps(self.encoder(images))

    def embed(self, maps: Tensor, speech: Tensor | None, audible: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute content and attention; see `ContentHead.forward`."""
        content: tuple[Tensor, Tensor] = self.head(maps, speech, audible)
        return content

    def window_frames(self, frames: Tensor, count: int) -> Tensor:
        """Return the frames [n, offsets] that the model sees for frames [n] of a clip of `count` frames."""
        return window_indices(frames, self.config.offsets, count)

    def forward(self, images: Tensor, speech: Tensor | None = None, audible: Tensor | None = None) -> Tensor:
        """Compute the content of every frame of clips.

        Args:
            images: Consecutive frames, RGB in [0, 1], [B, T, 3, 224, 224].
            speech: Speech features [B, T, speech_width]; None where no clip has sound.
            audible: Whether each frame [B, T] has sound; None: all have.

        Returns:
            Content [B, T, D], unit length.
        """
        count, length = images.shape[:2]
        maps = self.maps(images.flatten(0, 1))
        maps = maps.reshape(count, length, *maps.shape[1:])
        frames = torch.arange(length, device=images.device)
        seen = maps[:, self.window_frames(frames, length)].flatten(0, 1)
        heard = None if speech is None else torch.cat([gather_speech_windows(clip, frames) for clip in speech])
        return self.embed(seen, heard, None if audible is None else audible.flatten())[0].reshape(count, length, -1)


def window_indices(frames: Tensor, offsets: Sequence[int], count: int) -> Tensor:
    """Return the frames at offsets around frames of a clip; the first and the last frame hold beyond the ends.

    Args:
        frames: Frame numbers [n].
        offsets: Offsets [k].
        count: Frames of the clip.

    Returns:
        Frame numbers [n, k].
    """
    return (frames[:, None] + torch.tensor(offsets, device=frames.device)).clamp(0, count - 1)


def gather_speech_windows(speech: Tensor, frames: Tensor) -> Tensor:
    """Gather the windows [n, window, width] of a clip's speech features [T, width] around frames [n]."""
    return speech[window_indices(frames, SPEECH_OFFSETS, len(speech))]


def content_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine [...] of content vectors [..., D], unclamped, in [-1, 1]."""
    return functional.cosine_similarity(first, second, dim=-1)


def load_content(path: Path | None = None, encoder: nn.Module | None = None) -> ContentModel:
    """Load a content model, frozen.

    Args:
        path: The checkpoint; the shipped one by default.
        encoder: Image encoder instead of the one that the configuration names.

    Raises:
        InputError: The file is another checkpoint, or damaged.
    """
    path = path or verified_path(CONTENT)
    tensors, stored = load_model(path, ARCHITECTURE)
    model = ContentModel(parse_config(ContentConfig, stored, path), encoder)
    load_into(model.head, tensors, path)
    return model.eval().requires_grad_(False)
