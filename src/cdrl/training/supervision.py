"""Supervision of a speech-preserving generator by the two frozen representations (the paper's regularization).

Any generator of clips can be trained under it: `docs/supervise.md` shows how. At inference it costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.representations.content import ContentModel, content_similarity
from cdrl.representations.emotion import EmotionModel


class ContentEncoder(Protocol):
    """What supervision needs of a content representation; `ContentModel` is one."""

    def __call__(self, images: Tensor, speech: Tensor | None = None, audible: Tensor | None = None) -> Tensor:
        """Return content [B, T, D], unit length.

        Images are [B, T, 3, 224, 224], speech [B, T, width] or None, audible [B, T]: which frames have speech.
        """


class EmotionEncoder(Protocol):
    """What supervision needs of an emotion representation; `EmotionModel` is one."""

    def encode(self, images: Tensor) -> Tensor:
        """Return features [B, W] of images [B, 3, 224, 224]."""

    def weigh(self, feature: Tensor) -> Tensor:
        """Return per-class vectors ⊙ prompts [B, 7, W] of features [B, W]."""

    @property
    def temperature(self) -> float:
        """Temperature of the logits, which are sums of `weigh` over it."""


_MIN_CHANGE = 0.1  # of the wanted change: the direction of a smaller one is chance


@dataclass(frozen=True)
class EmotionEvidence:
    """What B clips of R faces show of the emotion that each is to show."""

    vectors: Tensor
    """[B, R, W]: vector of the emotion's class ⊙ its prompt."""
    log_probability: Tensor
    """[B, R]: log of the probability of the emotion among the seven."""


@dataclass(frozen=True)
class EmotionOrigin:
    """What changes of emotion are counted from, as vectors of each clip's emotion ⊙ its prompt."""

    source: Tensor
    """[B, T, W]: the source's frames."""
    neutral: Tensor
    """[B, W]: the mean over faces that show no emotion."""


class CDRLSupervision(nn.Module):
    """The content and the emotion consistency of generated clips (paper: cross-reconstructed regularization).

    ```python
    supervision = CDRLSupervision(load_content(), load_emotion())
    terms = supervision(source, generated, reference, audio, emotion)
    loss = own + 70 * terms["content"] + 50 * terms["emotion"] + 5 * terms["contrast"]
    ```

    Both representations are frozen here; gradients go through them into `generated`.
    """

    def __init__(self, content: ContentModel, emotion: EmotionModel) -> None:
        super().__init__()
        self.content: ContentEncoder = content.eval().requires_grad_(False)
        self.emotion: EmotionEncoder = emotion.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> CDRLSupervision:
        """Set the mode of this module; the representations stay in evaluation mode."""
        super().train(mode)
        for part in self.children():
            part.eval()
        return self

    def forward(
        self,
        source: Tensor,
        generated: Tensor,
        reference: Tensor,
        audio: Tensor | None,
        emotion: Tensor,
        audible: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms.

        Args:
            source: [B, T, 3, 224, 224] aligned crops of consecutive frames at 25 to 30 frames/s, RGB in [0, 1].
            generated: The same of the generated clips.
            reference: [B, R, 3, 224, 224] frames of anyone who shows the emotion.
            audio: [B, T, width] speech features of the source at its frames; None where there is none, then the silent
                query is used.
            emotion: [B] numbers in EMOTIONS.
            audible: [B, T] whether a frame has speech; None where all have.

        Returns:
            "content" and "emotion" as the paper has them, and "contrast" beside the second; all ≥ 0.
        """
        with torch.no_grad():
            wanted = self.measure_emotion(reference, emotion)
        return {
            "content": self.content_consistency(source, generated, audio, audible),
            **self.emotion_consistency(wanted, generated, emotion),
        }

    def content_consistency(
        self, source: Tensor, generated: Tensor, audio: Tensor | None, audible: Tensor | None = None
    ) -> Tensor:
        """Return the mean over clips and frames of 1 − cos(content of source, content of generated), in [0, 2].

        The arguments are those of `forward`.
        """
        with torch.no_grad():
            wanted = self.content(source, audio, audible)
        return (1 - content_similarity(self.content(generated, audio, audible), wanted)).mean()

    def emotion_consistency(
        self, wanted: EmotionEvidence, generated: Tensor, emotion: Tensor, origin: EmotionOrigin | None = None
    ) -> dict[str, Tensor]:
        """Return how far generated clips are from what references show, as means over frames.

        Faces of all emotions come close to one another in the first term (a neutral one to an angry one .97), so there
        is a second: an emotion must stand out among the seven as much as in the references.

        Args:
            wanted: What references show; those of a clip are averaged, as what counts is the emotion and not which of
                them shows it.
            generated: [B, T, 3, 224, 224].
            emotion: [B] numbers in EMOTIONS.
            origin: Where it is given, changes are compared instead of what is shown.

        Returns:
            "emotion": 1 − cos(E(reference) ⊙ t, E(generated) ⊙ t) with the prompt t of the clip's emotion, in [0, 2];
            with an origin 1 − cos(E(reference) ⊙ t − E(neutral) ⊙ t, E(generated) ⊙ t − E(source) ⊙ t), where a change
            that is smaller than a tenth of the wanted one is divided by that tenth;
            "contrast": by how much the emotion's log probability falls short of the references', ≥ 0.
        """
        measured = self.measure_emotion(generated, emotion)
        typical = wanted.vectors.mean(1, keepdim=True)
        if origin is None:
            similarity = functional.cosine_similarity(measured.vectors, typical, dim=2)
        else:
            similarity = _compare_changes(measured.vectors - origin.source, typical - origin.neutral[:, None])
        shortfall = wanted.log_probability.mean(1, keepdim=True) - measured.log_probability
        return {"emotion": (1 - similarity).mean(), "contrast": shortfall.clamp(min=0).mean()}

    def measure_emotion(self, images: Tensor, emotion: Tensor) -> EmotionEvidence:
        """Return what images [B, R, 3, 224, 224] show of each clip's emotion [B]."""
        shape = images.shape[:2]
        prompted = self.emotion.weigh(self.emotion.encode(images.flatten(0, 1))).float()
        rows, numbers = torch.arange(len(prompted), device=prompted.device), emotion.repeat_interleave(shape[1])
        log_probability = (prompted.sum(2) / self.emotion.temperature).log_softmax(1)
        return EmotionEvidence(
            prompted[rows, numbers].reshape(*shape, -1), log_probability[rows, numbers].reshape(shape)
        )


def _compare_changes(shown: Tensor, wanted: Tensor) -> Tensor:
    """Cosine [B, T] of changes [B, T, W] and wanted ones [B, 1, W], smaller where there is hardly a change."""
    size = torch.linalg.vector_norm(wanted, dim=2).clamp(min=1e-8)
    length = torch.maximum(torch.linalg.vector_norm(shown, dim=2), _MIN_CHANGE * size)
    cosine: Tensor = (shown * wanted).sum(2) / (length * size)
    return cosine
