"""Emotion prompts: learned words in front of a written description, through the frozen text encoder.

Paper: CERL, 8 context tokens a class in front of its expression descriptor; the learning of prompts is CoOp's (Zhou et
al. 2022).
"""

from __future__ import annotations

from torch import Tensor, nn

from cdrl.emotions import DESCRIPTORS, EMOTIONS
from cdrl.representations.text import prepend_context
from cdrl.representations.vlm import VisionLanguageModel

CONTEXT = 8
"""Learned words a class."""
_START = "a picture of the face of a person"  # eight words, from which learning starts


def descriptors() -> tuple[str, ...]:
    """What stands behind the learned words of each class: its name and what a face does in it."""
    return tuple(f"{emotion}: {', '.join(DESCRIPTORS[emotion])}" for emotion in EMOTIONS)


class EmotionPrompts(nn.Module):
    """The prompts of all classes. `learned`: else the written words alone speak, and nothing here is trained."""

    context: Tensor
    words: Tensor
    there: Tensor

    def __init__(self, model: VisionLanguageModel, learned: bool = True) -> None:
        super().__init__()
        words, there = model.text.words(descriptors())
        self.register_buffer("words", words.detach().clone(), persistent=False)
        self.register_buffer("there", there, persistent=False)
        self.learned = learned
        if learned:
            start, _ = model.text.words([_START])
            first = start[0, 1 : 1 + CONTEXT].detach().clone()
            self.context = nn.Parameter(first.expand(len(EMOTIONS), -1, -1).clone())

    def forward(self, model: VisionLanguageModel) -> Tensor:
        """Unit vectors [7, width]."""
        if self.learned:
            return model.words(*prepend_context(self.context, self.words, self.there))
        return model.words(self.words, self.there)
