"""What the models make of the moments: every picture goes through an encoder once, whatever sound is laid beside it.

Checkpoints that stand on the same image encoder share its feature maps, so that an ablation costs its head alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cdrl.datasets.prepared import PreparedClip
from cdrl.evaluation.representation.moments import Ints, Moments
from cdrl.representations.content import ContentModel, speech_windows
from cdrl.representations.encoders import as_images


class EmotionModel(Protocol):
    """What is asked of an emotion model: `cdrl.representations.emotion` has it."""

    @property
    def prompts(self) -> Tensor:
        """[7, W] unit vectors, one an emotion."""

    def tower(self, images: Tensor) -> Tensor:
        """RGB in [0, 1], [B, 3, 224, 224] → the raw image feature [B, W]."""

    def heads(self, feature: Tensor) -> Tensor:
        """[B, W] → unit vectors [B, 7, W], one an emotion."""

    def sentences(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [n, W] of sentences, in the prompts' space."""


Floats = NDArray[np.float32]
Progress = Callable[[int], None]
"""Called with the number of pictures that are done."""

OWN, FIXED, SHUFFLED, SILENT, ALONE = (
    "own sound",
    "one sound for all",
    "sound shuffled",
    "silent query",
    "one picture for all, own sound",
)
CONDITIONS = (OWN, FIXED, SHUFFLED, SILENT, ALONE)
"""What is laid beside a picture: its own speech; one window of speech for all pictures; the window of another frame of
its clip; nothing, so that the learned query asks; and, to see how far the sound alone would carry, one picture for all
with each moment's own speech."""

BATCH = 32
_POOL = 2  # cells a side of the pooled encoder map that probes read


@dataclass(frozen=True)
class ContentFeatures:
    """Of N moments: `vectors` by condition [N, D] (NaN where a clip has no sound for it), `attention` [N, h·w] by
    condition over the whole picture, `grid` (h, w) of it, `pooled` [N, P]: the raw encoder's maps of the moment's own
    frame, averaged over quarters of the picture."""

    vectors: Mapping[str, Floats]
    attention: Mapping[str, Floats]
    grid: tuple[int, int]
    pooled: Floats


@dataclass(frozen=True)
class EmotionFeatures:
    """Of the moments `rows` [m]: `tower` [m, W] the raw image feature, `features` [m, 7·W] what represents emotion,
    `logits` [m, 7]."""

    rows: Ints
    tower: Floats
    features: Floats
    logits: Floats


def window(moments: Moments, rows: Ints) -> Tensor | None:
    """Each row's own speech window [n, 9, width]; None where one of the clips has no sound."""
    found = []
    for row in rows:
        speech = moments.clips[moments.clip[row]].speech
        if speech is None:
            return None
        found.append(speech_windows(torch.from_numpy(speech), torch.tensor([int(moments.frame[row])])))
    return torch.cat(found)


def one_sound(blocks: Mapping[str, Moments]) -> Tensor | None:
    """The window [1, 9, width] for all: the middle of the first clip with sound; None where no clip has any."""
    for moments in blocks.values():
        for number, clip in enumerate(moments.clips):
            if clip.speech is not None:
                rows = moments.rows(number)
                return window(moments, rows[len(rows) // 2 : len(rows) // 2 + 1])
    return None


def embedded(model: ContentModel, images: Tensor, speech: Tensor | None) -> Tensor:
    """RGB of the frames that are seen for moments [n, offsets, 3, 224, 224], with their speech windows → [n, D]."""
    maps = model.maps(images.flatten(0, 1))
    return model.embed(maps.reshape(*images.shape[:2], *maps.shape[1:]), speech)[0]


def encoded(models: Iterable[ContentModel], clip: PreparedClip, frames: range) -> dict[str, Tensor]:
    """Maps [frames, C, H, W] of frames of a clip, by the name of the encoder."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    beneath = {model.config.encoder: model.encoder for model in models}
    for start in range(0, len(frames), BATCH):
        images = as_images(np.stack([clip.image(frame) for frame in frames[start : start + BATCH]]))
        for name, encoder in beneath.items():
            found[name].append(encoder(images))
    return {name: torch.cat(maps) for name, maps in found.items()}


@torch.inference_mode()
def content_features(
    models: Mapping[str, ContentModel], moments: Moments, fixed: Tensor | None, advance: Progress, seed: int = 0
) -> dict[str, ContentFeatures]:
    """Every model's features of all moments; `fixed` is the one sound for all."""
    random = np.random.default_rng(seed)
    collected: dict[str, list[dict[str, tuple[Tensor, Tensor]]]] = {name: [] for name in models}
    pooled: dict[str, list[Tensor]] = {name: [] for name in models}
    alone: dict[str, Tensor] = {}
    reach = max(abs(offset) for model in models.values() for offset in model.config.offsets)
    for number, clip in enumerate(moments.clips):
        frames = moments.frame[moments.rows(number)]
        speech = None if clip.speech is None else torch.from_numpy(clip.speech)
        shuffled = random.permutation(frames)
        first = max(int(frames.min()) - reach, 0)
        beneath = encoded(models.values(), clip, range(first, min(int(frames.max()) + reach + 1, clip.count)))
        for start in range(0, len(frames), BATCH):
            part = torch.from_numpy(frames[start : start + BATCH])
            sounds: dict[str, Tensor | None] = {SILENT: None}
            if speech is not None and fixed is not None:
                sounds[OWN] = speech_windows(speech, part)
                sounds[SHUFFLED] = speech_windows(speech, torch.from_numpy(shuffled[start : start + BATCH]))
                sounds[FIXED] = fixed.expand(len(part), -1, -1)
            for name, model in models.items():
                whole = beneath[model.config.encoder]
                maps = model.attended(whole)[model.windows(part, clip.count) - first]
                found = {condition: model.embed(maps, sound) for condition, sound in sounds.items()}
                one = alone.setdefault(name, maps[:1].clone())
                if OWN in sounds:
                    found[ALONE] = model.embed(one.expand(len(part), -1, -1, -1, -1), sounds[OWN])
                collected[name].append(found)
                pooled[name].append(functional.adaptive_avg_pool2d(whole[part - first], _POOL).flatten(1))
            advance(len(part))
    return {
        name: _content_table(found, torch.cat(pooled[name]).numpy(), models[name]) for name, found in collected.items()
    }


def _content_table(
    batches: list[dict[str, tuple[Tensor, Tensor]]], pooled: Floats, model: ContentModel
) -> ContentFeatures:
    """One long row of what was found batch by batch; NaN where a batch lacks a condition."""
    vectors, attention = {}, {}
    for condition in CONDITIONS:
        if not any(condition in batch for batch in batches):
            continue
        rows: list[Tensor] = []
        maps: list[Tensor] = []
        for batch in batches:
            vector, weights = batch.get(condition) or tuple(torch.full_like(found, np.nan) for found in batch[SILENT])
            rows.append(vector)
            maps.append(weights)
        vectors[condition] = torch.cat(rows).numpy()
        attention[condition] = functional.pad(torch.cat(maps), (model.above * model.grid[1], 0)).numpy()
    return ContentFeatures(vectors, attention, (model.above + model.grid[0], model.grid[1]), pooled)


@torch.inference_mode()
def emotion_features(
    models: Mapping[str, EmotionModel], moments: Moments, every: int, advance: Progress
) -> dict[str, EmotionFeatures]:
    """Every model's features of each clip's every `every`-th moment."""
    rows = np.concatenate([moments.rows(number)[::every] for number in range(len(moments.clips))])
    found: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {name: [] for name in models}
    for start in range(0, len(rows), BATCH):
        images = as_images(moments.images(rows[start : start + BATCH]))
        for name, model in models.items():
            found[name].append(emotion_of(model, images))
        advance(len(images))
    return {
        name: EmotionFeatures(rows, *(torch.cat(list(parts)).numpy() for parts in zip(*batches, strict=True)))
        for name, batches in found.items()
    }


def emotion_of(model: EmotionModel, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The tower's feature [B, W], the emotion representation [B, 7·W] and the logits [B, 7], by one pass."""
    tower = model.tower(images)
    weighted = model.heads(tower) * model.prompts
    return tower, weighted.flatten(1), weighted.sum(2)
