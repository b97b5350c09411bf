"""Emotion representation (CERL): what a face shows of each emotion, whoever shows it and whatever is said.

A frozen vision-language model encodes the picture; one small network per emotion takes from its feature what speaks
for that emotion; the emotion's learned prompt weighs it. Paper: section on CERL; deviations stand in docs/paper.md.
What is stored holds the prompts' final vectors, so that using it needs no text encoder, and names the vision-language
model by its SHA-256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.assets import EMOTION, VLM, load_manifest, verified_path
from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError
from cdrl.representations.checkpoints import load_into, load_model, parse_config
from cdrl.representations.vlm import VisionLanguageModel, embed_sentences, load_vision_language_model

ARCHITECTURE = "emotion"


@dataclass(frozen=True)
class EmotionConfig:
    """What an emotion model is made of."""

    vlm: str = "embedded"
    """The vision-language model: embedded, a checkpoint, or clip:FOLDER."""
    vlm_sha256: str = ""
    """SHA-256 of its weights."""
    width: int = 384
    """Length of its vectors."""
    hidden: int = 192
    """Width of the heads' outer layers."""
    middle: int = 64
    """Width of the heads' middle, the narrowest layer: it has no room for what does not serve emotion."""
    temperature: float = 0.07
    """Temperature of the contrast."""


class ClassHeads(nn.Module):
    """One network per class, all computed at once: width → hidden → middle → hidden → width, unit length.

    The paper's are 512 → 256 → 256 → 512.
    """

    def __init__(self, config: EmotionConfig) -> None:
        super().__init__()
        sizes = (config.width, config.hidden, config.middle, config.hidden, config.width)
        classes = len(EMOTIONS)
        self.weights = nn.ParameterList(
            torch.randn(classes, before, after) * (2 / before) ** 0.5 for before, after in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(classes, 1, after) for after in sizes[1:])

    def forward(self, feature: Tensor) -> Tensor:
        """Compute class vectors [B, 7, width], unit, of features [B, width], unit."""
        values = (feature * feature.shape[1] ** 0.5).expand(len(EMOTIONS), -1, -1)
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = functional.gelu(values) if place else values
            values = torch.baddbmm(bias.to(values.dtype), values, weight.to(values.dtype))
        return functional.normalize(values.float(), dim=2).transpose(0, 1)


class EmotionHead(nn.Module):
    """What is trained and stored: the class networks, and the prompts' final vectors [7, width], unit."""

    prompts: Tensor

    def __init__(self, config: EmotionConfig) -> None:
        super().__init__()
        self.networks = ClassHeads(config)
        self.register_buffer("prompts", torch.zeros(len(EMOTIONS), config.width))


class EmotionModel(nn.Module):
    """The emotion representation: the trained `head` on a frozen vision-language model."""

    def __init__(self, config: EmotionConfig, vlm: VisionLanguageModel) -> None:
        super().__init__()
        self.config = config
        self.vlm = vlm
        self.head = EmotionHead(config)

    @property
    def prompts(self) -> Tensor:
        """Vectors of the prompts [7, width], unit."""
        return self.head.prompts

    @property
    def temperature(self) -> float:
        """Temperature of the logits."""
        return self.config.temperature

    def encode(self, images: Tensor) -> Tensor:
        """Encode RGB in [0, 1], [B, 3, 224, 224], as image features [B, width], unit; gradients reach the images."""
        return self.vlm.image(images)

    def class_vectors(self, feature: Tensor) -> Tensor:
        """Compute per-class vectors [B, 7, width], unit, of image features [B, width]."""
        vectors: Tensor = self.head.networks(feature)
        return vectors

    def weigh(self, feature: Tensor) -> Tensor:
        """Weigh the class vectors of image features [B, width] by the prompts: [B, 7, width]."""
        return self.class_vectors(feature) * self.prompts

    def features(self, images: Tensor) -> Tensor:
        """Compute the emotion representation [B, 7 · width] of images [B, 3, 224, 224]."""
        return self.weigh(self.encode(images)).flatten(1)

    def logits(self, images: Tensor) -> Tensor:
        """Compute the cosine of each class's vector to its prompt over the temperature, [B, 7]."""
        return self.weigh(self.encode(images)).sum(2) / self.temperature

    def similarity(self, first: Tensor, second: Tensor, emotion: int | str) -> Tensor:
        """Compare what two images show of an emotion.

        Paper: the emotion consistency, 1 − cos(E(reference) ⊙ t, E(generated) ⊙ t).

        Args:
            first: Images [B, 3, 224, 224].
            second: Images [B, 3, 224, 224].
            emotion: Its name, or its number in EMOTIONS.

        Returns:
            Cosine [B] of the class vectors, weighed by the prompt.
        """
        number = EMOTIONS.index(emotion) if isinstance(emotion, str) else emotion
        one, other = (self.weigh(self.encode(images))[:, number] for images in (first, second))
        return functional.cosine_similarity(one, other, dim=1)

    def sentences(self, texts: Sequence[str]) -> Tensor:
        """Embed sentences as unit vectors [n, width], to be compared with the prompts; needs the text encoder."""
        return embed_sentences(self.vlm, texts)

    def forward(self, images: Tensor) -> Tensor:
        """The features."""
        return self.features(images)


def load_emotion(path: Path | None = None, vlm: VisionLanguageModel | None = None) -> EmotionModel:
    """The emotion model at `path`, or the one that ships; frozen and ready to be used.

    `vlm` takes the place of the vision-language model that the checkpoint names. Raises InputError for another
    checkpoint, and where the vision-language model is not the one it was trained on.
    """
    path = path or verified_path(EMOTION)
    tensors, stored = load_model(path, ARCHITECTURE)
    config = parse_config(EmotionConfig, stored, path)
    shipped = load_manifest().get(VLM)
    # The one that ships where it is the very same file: the place it was trained in may be gone.
    is_shipped = shipped is not None and shipped.sha256 == config.vlm_sha256
    beneath = vlm or load_vision_language_model("embedded" if is_shipped else config.vlm)
    if beneath.digest != config.vlm_sha256:
        raise InputError(
            f"{path}: was trained on another vision-language model than {config.vlm} (SHA-256 "
            f"{config.vlm_sha256[:12]}...): put that one there, or train it again with `cdrl train emotion`"
        )
    model = EmotionModel(config, beneath)
    load_into(model.head, tensors, path)
    return model.eval().requires_grad_(False)
