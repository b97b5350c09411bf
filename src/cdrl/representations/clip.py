"""CLIP (Radford et al. 2021) as the vision-language model, through `transformers`, from a folder of the user's.

The pictures are prepared here: RGB, bicubic to the size the model was trained at, CLIP's own mean and deviation. The
positional embeddings stay. (The paper's released code fed BGR with ImageNet's normalization, and dropped them.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.errors import InputError, InputNotFoundError
from cdrl.files import file_sha256
from cdrl.representations.text import SentenceTokenizer

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_PICKLE = "pytorch_model.bin"


def clip_input(images: Tensor, side: int) -> Tensor:
    """RGB in [0, 1], [B, 3, h, h] → what CLIP's image tower takes, [B, 3, side, side]; differentiable."""
    if images.shape[-2:] != (side, side):
        images = functional.interpolate(images, (side, side), mode="bicubic", antialias=True, align_corners=False)
        images = images.clamp(0, 1)
    mean, deviation = (torch.tensor(v, device=images.device)[:, None, None] for v in (MEAN, DEVIATION))
    return (images - mean) / deviation


class ClipText:
    """CLIP's text tower, with the methods of `cdrl.representations.text.MiniLM`."""

    def __init__(self, model: Any, tokenizer: Path) -> None:
        self._model = model
        config = model.config.text_config
        self._longest = int(config.max_position_embeddings)
        self._tokenize = SentenceTokenizer(tokenizer, self._longest)
        self.width = int(model.config.projection_dim)
        self.word_width = int(config.hidden_size)

    def words(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Vectors of words and which are there; see `MiniLM.words`."""
        return self._tokenize.look_up(sentences, self._model.text_model.embeddings.token_embedding)

    def encode(self, words: Tensor, there: Tensor) -> Tensor:
        """Causal attention; the state at the end mark, the last that is there, speaks for the sentence."""
        if words.shape[1] > self._longest:  # a context was put in front: the end mark must stay inside
            words, there = _truncate(words, there, self._longest)
        text = self._model.text_model
        states = text.embeddings(inputs_embeds=words)
        length = states.shape[1]
        later = torch.full((length, length), torch.finfo(states.dtype).min, device=states.device).triu(1)
        mask = later.to(states.dtype).expand(len(states), 1, length, length)
        result = text.encoder(inputs_embeds=states, attention_mask=mask).last_hidden_state
        result = text.final_layer_norm(result)
        end = there.sum(1) - 1
        spoken = result[torch.arange(len(result), device=result.device), end]
        return functional.normalize(self._model.text_projection(spoken), dim=1)


def _truncate(words: Tensor, there: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """At most `longest` words, the end mark kept as the last."""
    rows = torch.arange(len(words), device=words.device)
    marks = words[rows, there.sum(1) - 1]
    words, there = words[:, :longest].clone(), there[:, :longest]
    words[rows, there.sum(1) - 1] = marks
    return words, there


class ClipModel(nn.Module):
    """A CLIP model, frozen; see `cdrl.representations.vlm.VisionLanguageModel`."""

    def __init__(self, model: Any, tokenizer: Path, digest: str, spec: str) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.digest, self.spec = digest, spec
        self.text = ClipText(model, tokenizer)
        self.width = self.text.width
        self._side = int(model.config.vision_config.image_size)

    def train(self, mode: bool = True) -> ClipModel:
        """Stays as it was trained."""
        return super().train(False)

    def image(self, images: Tensor) -> Tensor:
        """Embed images; see `FaceLanguageModel`."""
        pooled = self.model.vision_model(pixel_values=clip_input(images, self._side)).pooler_output
        return functional.normalize(self.model.visual_projection(pooled).float(), dim=1)

    def words(self, words: Tensor, there: Tensor) -> Tensor:
        """Embed tokens; see `FaceLanguageModel`."""
        return self.text.encode(words, there)


def load_clip(folder: Path) -> ClipModel:
    """The CLIP model in a folder as `transformers` saves it (config.json, model.safetensors, tokenizer.json).

    Raises InputNotFoundError for what is missing and InputError for what is damaged or a pickle.
    """
    weights, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    if not weights.is_file() and (folder / _PICKLE).is_file():
        raise InputError(f"{folder / _PICKLE}: a pickle is never loaded; run `cdrl convert` on it, to {weights}")
    for path in (folder / "config.json", weights, tokenizer):
        if not path.is_file():
            raise InputNotFoundError(f"{path}: no such file; clip: takes a folder that holds a CLIP model")
    from transformers import CLIPModel  # noqa: PLC0415  slow to import
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = CLIPModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    except Exception as error:  # the library raises nothing more precise
        raise InputError(f"{folder}: no CLIP model, or damaged ({str(error).splitlines()[0]})") from error
    return ClipModel(model, tokenizer, file_sha256(weights), f"clip:{folder}")
