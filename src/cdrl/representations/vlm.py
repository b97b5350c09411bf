"""Vision-language models: pictures of faces and sentences about them in one space.

The default is small and ours: an image tower trained against a frozen text encoder (`cdrl train vlm`). CLIP is used in
its place where a user has it (`cdrl.representations.clip`). Paper: the visual-language prior of CERL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.assets import VLM, verified_path
from cdrl.errors import UsageError
from cdrl.files import file_sha256
from cdrl.representations.checkpoints import load_into, load_model, parse_config
from cdrl.representations.text import MiniLM, embed, load_minilm
from cdrl.representations.vision import LITE0, BlockStage, EfficientNet

if TYPE_CHECKING:
    from cdrl.representations.clip import ClipModel

ARCHITECTURE = "vlm"
LUMA = (0.299, 0.587, 0.114)


VisionLanguageModel: TypeAlias = "FaceLanguageModel | ClipModel"
"""Frozen: pictures and sentences → unit vectors that are near each other where they say the same."""


def embed_sentences(model: VisionLanguageModel, texts: Sequence[str]) -> Tensor:
    """Unit vectors [n, width] of sentences, in the space of the pictures."""
    return model.words(*model.text.words(texts))


@dataclass(frozen=True)
class VlmConfig:
    """What the embedded model is made of."""

    side: int = 96
    """Pixels that the tower looks at, a side."""
    width: int = 384
    """Of the space: that of the text encoder."""
    stages: tuple[tuple[int, ...], ...] = tuple((s.repeats, s.kernel, s.stride, s.expansion, s.width) for s in LITE0)
    """Of the tower; see `cdrl.representations.vision.BlockStage`."""
    stem: int = 32
    head: int = 1280
    """Channels of its first and last layer."""


def normalize_luma(images: Tensor) -> Tensor:
    """RGB in [0, 1], [B, 3, h, w] → luma less its mean over its deviation, three times: [B, 3, h, w].

    Emotion is not in the color, nor in the light; the many faces to learn from are gray, those to judge are not.
    """
    luma = (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    mean = luma.mean((2, 3), keepdim=True)
    spread = (luma - mean).square().mean((2, 3), keepdim=True).add(1e-4).sqrt()
    return ((luma - mean) / spread).expand(-1, 3, -1, -1)


class FaceLanguageModel(nn.Module):
    """The embedded vision-language model. Trained: `tower` and `project`; the text encoder is frozen and apart."""

    spec = "embedded"
    """How it is asked for, see `load_vision_language_model`."""
    digest = ""
    """SHA-256 of its weights."""
    center: Tensor

    def __init__(self, config: VlmConfig) -> None:
        super().__init__()
        self.config, self.width = config, config.width
        stages = tuple(BlockStage(*row) for row in config.stages)
        self.tower = EfficientNet(stages, config.stem, config.head)
        self.project = nn.Linear(self.tower.width, config.width)
        # Sentences about faces are all alike to a text encoder; what they share is taken off.
        self.register_buffer("center", torch.zeros(config.width))

    @property
    def text(self) -> MiniLM:
        """The text encoder; loaded when it is first asked for."""
        return load_minilm()

    def image(self, images: Tensor) -> Tensor:
        """Embed RGB in [0, 1], [B, 3, 224, 224], as unit vectors [B, width]; gradients reach the images."""
        side = self.config.side
        if images.shape[-1] != side or images.shape[-2] != side:
            images = functional.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return functional.normalize(self.project(self.tower(normalize_luma(images))).float(), dim=1)

    def words(self, words: Tensor, there: Tensor) -> Tensor:
        """Embed vectors of words (`text.words`, with a learned context or not) as unit vectors [n, width]."""
        return self.center_vectors(self.text.encode(words, there))

    def center_vectors(self, vectors: Tensor) -> Tensor:
        """Sentence vectors [n, width] without what all sentences about faces share, unit."""
        return functional.normalize(vectors - self.center.to(vectors.device), dim=1)

    def set_center(self, texts: Sequence[str]) -> None:
        """Take the mean of these sentences' vectors as what all of them share."""
        with torch.no_grad():
            self.center.copy_(embed(self.text, texts).mean(0))


def load_vlm(path: Path | None = None) -> FaceLanguageModel:
    """The embedded model at `path`, or the one that ships; frozen. Raises InputError for another checkpoint."""
    spec = "embedded" if path is None else str(path)
    path = path or verified_path(VLM)
    tensors, stored = load_model(path, ARCHITECTURE)
    model = FaceLanguageModel(parse_config(VlmConfig, stored, path))
    load_into(model, tensors, path)
    model.digest, model.spec = file_sha256(path), spec
    model.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def load_vision_language_model(which: str) -> VisionLanguageModel:
    """`embedded` (the one that ships), a checkpoint of `cdrl train vlm`, or `clip:FOLDER`."""
    kind, _, place = which.partition(":")
    if kind == "clip":
        from cdrl.representations.clip import load_clip  # noqa: PLC0415  slow to import

        if not place:
            raise UsageError("clip: name the folder of the model, as in clip:models/clip-vit-base-patch32")
        return load_clip(Path(place))
    return load_vlm(None if which == "embedded" else Path(which))
