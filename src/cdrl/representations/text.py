"""Sentences and learned prompts → unit vectors, by a frozen text encoder: MiniLM, from its package, by default.

A prompt is learned in front of the words, as vectors of the kind that the encoder's first layer gives words. So an
encoder takes either sentences or such vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cdrl.errors import InputError
from cdrl.pretrained import find_model
from cdrl.representations.checkpoints import load_into, read_tensors

MINILM, TOKENIZER = "minilm-l6-v2.safetensors", "minilm-l6-v2-tokenizer.json"
_LONGEST = 128  # tokens
_NOT_USED = ("embeddings.position_ids", "pooler.")


def prepend_context(context: Tensor, words: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Learned vectors `context` [n, k, d] after the beginning mark and before the words: [n, k + L, d], [n, k + L]."""
    present = there.new_ones(context.shape[:2])
    return (
        torch.cat([words[:, :1], context.to(words.dtype), words[:, 1:]], 1),
        torch.cat([there[:, :1], present, there[:, 1:]], 1),
    )


class SentenceTokenizer:
    """A tokenizer file (`tokenizer.json`), its sentences padded at the end."""

    def __init__(self, path: Path, longest: int) -> None:
        from tokenizers import Tokenizer  # noqa: PLC0415  comes with the train extra

        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more precise
            raise InputError(f"{path}: not a tokenizer.json, or none there ({error})") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)

    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Numbers [n, L] and which are there [n, L] bool."""
        result = [encoding.ids for encoding in self._tokenizer.encode_batch(list(sentences))]
        longest = max(map(len, result))
        numbers = torch.tensor([ids + [0] * (longest - len(ids)) for ids in result])
        return numbers, torch.arange(longest)[None] < torch.tensor([[len(ids)] for ids in result])

    def look_up(self, sentences: Sequence[str], table: Any) -> tuple[Tensor, Tensor]:
        """Vectors of words [n, L, width] by an encoder's embedding `table`, and which are there [n, L] bool."""
        numbers, there = (part.to(table.weight.device) for part in self(sentences))
        return table(numbers), there


class MiniLM(nn.Module):
    """all-MiniLM-L6-v2: six transformer layers, mean over the words, unit length.

    Frozen, and differentiable in the vectors of words.
    """

    name = "all-MiniLM-L6-v2"
    width = word_width = 384

    def __init__(self, weights: Path, tokenizer: Path) -> None:
        from transformers import BertConfig, BertModel  # noqa: PLC0415  slow to import

        super().__init__()
        self._tokenize = SentenceTokenizer(tokenizer, _LONGEST)
        config = BertConfig(
            vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
        self.model: Any = BertModel(config, add_pooling_layer=False)
        tensors, _ = read_tensors(weights)
        kept = {name: value for name, value in tensors.items() if not name.startswith(_NOT_USED)}
        load_into(self.model, {name: value.float() for name, value in kept.items()}, weights)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> MiniLM:
        """Stays as it was trained: no dropout."""
        return super().train(False)

    def words(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Vectors of words [n, L, word_width], first the beginning mark, and which of them are there [n, L] bool."""
        return self._tokenize.look_up(sentences, self.model.embeddings.word_embeddings)

    def encode(self, words: Tensor, there: Tensor) -> Tensor:
        """Vectors of words, as `words` gives them → [n, width], unit."""
        states = self.model(inputs_embeds=words, attention_mask=there.long()).last_hidden_state
        weight = there[..., None].to(states.dtype)
        return normalize((states * weight).sum(1) / weight.sum(1), dim=1)


def embed(encoder: MiniLM, sentences: Sequence[str]) -> Tensor:
    """Unit vectors [n, width] of sentences."""
    if not sentences:
        return torch.zeros(0, encoder.width)
    return encoder.encode(*encoder.words(sentences))


@cache
def load_minilm() -> MiniLM:
    """The text encoder from its package, verified; loaded once. Raises ModelFileError where the package is missing."""
    return MiniLM(find_model(MINILM), find_model(TOKENIZER))
