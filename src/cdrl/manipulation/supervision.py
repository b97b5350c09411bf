"""Supervision of a speech-preserving generator by the two frozen representations (the paper's regularisation).

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


class Content(Protocol):
    """What is asked of a content representation; see `ContentModel`."""

    def __call__(self, images: Tensor, speech: Tensor | None = None) -> Tensor:
        """[B, T, 3, 224, 224] and [B, T, width] or None → [B, T, D], unit length."""


class Emotion(Protocol):
    """What is asked of an emotion representation; see `EmotionModel`."""

    def tower(self, images: Tensor) -> Tensor:
        """[B, 3, 224, 224] → [B, W]."""

    def weighed(self, feature: Tensor) -> Tensor:
        """[B, W] → per-class vectors ⊙ prompts [B, 7, W]."""

    @property
    def temperature(self) -> float:
        """Of the logits, which are sums of `weighed` over it."""


@dataclass(frozen=True)
class Shown:
    """What faces show of the emotion that is asked for: `vectors` [B, R, W] of its class ⊙ its prompt, and `plainly`
    [B, R]: log of the probability of the emotion among the seven."""

    vectors: Tensor
    plainly: Tensor


class CDRLSupervision(nn.Module):
    """The content and the emotion consistency of generated clips.

    ```python
    supervision = CDRLSupervision(load_content(), load_emotion())
    terms = supervision(source, generated, reference, audio, emotion)
    loss = own + 70 * terms["content"] + 50 * terms["emotion"] + 5 * terms["contrast"]
    ```

    Both representations are frozen here; gradients go through them into `generated`.
    """

    def __init__(self, content: ContentModel, emotion: EmotionModel) -> None:
        super().__init__()
        self.content: Content = content.eval().requires_grad_(False)
        self.emotion: Emotion = emotion.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> CDRLSupervision:
        """The representations stay as they were trained."""
        super().train(mode)
        for part in self.children():
            part.eval()
        return self

    def forward(
        self, source: Tensor, generated: Tensor, reference: Tensor, audio: Tensor | None, emotion: Tensor
    ) -> dict[str, Tensor]:
        """The terms, all ≥ 0: "content" and "emotion" as the paper has them, and "contrast" beside the second.

        `source`, `generated` [B, T, 3, 224, 224]: aligned crops of consecutive frames at 25 to 30 frames/s, RGB in
        [0, 1]; `reference` [B, R, 3, 224, 224]: frames of anyone who shows the emotion; `audio` [B, T, width]: speech
        features of the source at its frames, None where there is none (then the silent query asks); `emotion` [B]:
        numbers in EMOTIONS.
        """
        with torch.no_grad():
            wanted = self.shown(reference, emotion)
        return {
            "content": self.content_consistency(source, generated, audio),
            **self.emotion_consistency(wanted, generated, emotion),
        }

    def content_consistency(self, source: Tensor, generated: Tensor, audio: Tensor | None) -> Tensor:
        """Mean of 1 − cos(content of source, content of generated) over clips and frames, in [0, 2]; see `forward`."""
        with torch.no_grad():
            wanted = self.content(source, audio)
        return (1 - content_similarity(self.content(generated, audio), wanted)).mean()

    def emotion_consistency(self, wanted: Shown, generated: Tensor, emotion: Tensor) -> dict[str, Tensor]:
        """How far generated clips [B, T, 3, 224, 224] are from what references show; both terms are means over frames.

        "emotion": 1 − cos(E(reference) ⊙ t, E(generated) ⊙ t) with the prompt t of the clip's emotion, in [0, 2]; the
        references of a clip are averaged, as what counts is the emotion and not which of them shows it. Faces of all
        emotions come close to one another there (a neutral one to an angry one .97), so there is "contrast": by how
        much less plainly than in the references the emotion stands out among the seven, in log probability, ≥ 0.
        """
        found = self.shown(generated, emotion)
        near = functional.cosine_similarity(found.vectors, wanted.vectors.mean(1, keepdim=True), dim=2)
        short = wanted.plainly.mean(1, keepdim=True) - found.plainly
        return {"emotion": (1 - near).mean(), "contrast": short.clamp(min=0).mean()}

    def shown(self, images: Tensor, emotion: Tensor) -> Shown:
        """[B, R, 3, 224, 224] → what they show of each clip's emotion."""
        count, length = images.shape[:2]
        every = self.emotion.weighed(self.emotion.tower(images.flatten(0, 1))).float()
        rows, numbers = torch.arange(len(every), device=every.device), emotion.repeat_interleave(length)
        plainly = (every.sum(2) / self.emotion.temperature).log_softmax(1)
        shape = count, length
        return Shown(every[rows, numbers].reshape(*shape, -1), plainly[rows, numbers].reshape(shape))
