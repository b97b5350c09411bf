"""What the models make of the frames: every picture goes through an encoder once, whatever sound is laid beside it.

Checkpoints that stand on the same image encoder share its feature maps, so that an ablation costs its head alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cdrl.datasets.prepared import PreparedClip
from cdrl.evaluation.representation.frame_index import FrameIndex, Ints
from cdrl.representations.content import ContentModel, gather_speech_windows
from cdrl.representations.emotion import EmotionModel
from cdrl.representations.encoders import images_to_tensor

Floats = NDArray[np.float32]
Progress = Callable[[int], None]
"""Called with the number of pictures that are done."""

OWN, FIXED, SHUFFLED, SILENT = "own sound", "one sound for all", "sound shuffled", "silent query"
ALONE = "one picture for all, own sound"
CONDITIONS = (OWN, FIXED, SHUFFLED, SILENT, ALONE)
"""What is laid beside a picture: its own speech; one window of speech for all pictures; the window of another frame of
its clip; nothing, so that the learned query asks; and, to see how far the sound alone would carry, one picture for all
with each frame's own speech."""

BATCH = 32
_POOL = 2  # cells a side of the pooled encoder map that probes read


@dataclass(frozen=True)
class ContentFeatures:
    """What a content model makes of N frames."""

    vectors: Mapping[str, Floats]
    """Content vectors [N, D] by condition; NaN where a clip has no sound for it."""
    attention: Mapping[str, Floats]
    """Attention [N, h·w] over the whole picture by condition."""
    grid: tuple[int, int]
    """Height and width (h, w) of the attention."""
    pooled: Floats
    """The raw encoder's maps [N, P] of the frame itself, averaged over quarters of the picture."""


@dataclass(frozen=True)
class EmotionFeatures:
    """What an emotion model makes of m frames."""

    rows: Ints
    """Rows [m] of the frames."""
    tower: Floats
    """Raw image features [m, W]."""
    features: Floats
    """The representation of emotion [m, 7·W]."""
    logits: Floats
    """Logits [m, 7]."""


def speech_of(index: FrameIndex, rows: Ints) -> Tensor | None:
    """Cut each row's own speech window [n, 9, width]; None where one of the clips has no sound."""
    windows = []
    for row in rows:
        speech = index.clips[index.clip[row]].speech
        if speech is None:
            return None
        windows.append(gather_speech_windows(torch.from_numpy(speech), torch.tensor([int(index.frame[row])])))
    return torch.cat(windows)


def choose_fixed_sound(blocks: Mapping[str, FrameIndex]) -> Tensor | None:
    """Cut the window [1, 9, width] for all: the middle of the first clip with sound; None where no clip has any."""
    for index in blocks.values():
        for number, clip in enumerate(index.clips):
            if clip.speech is not None:
                rows = index.rows_of([number], speaking=False)
                return speech_of(index, rows[len(rows) // 2 : len(rows) // 2 + 1])
    return None


def _encode_clip(models: Iterable[ContentModel], clip: PreparedClip, frames: range) -> dict[str, Tensor]:
    """Maps [frames, C, H, W] of frames of a clip, by the name of the encoder."""
    maps: dict[str, list[Tensor]] = defaultdict(list)
    encoders = {model.config.encoder: model.encoder for model in models}
    for start in range(0, len(frames), BATCH):
        images = images_to_tensor(np.stack([clip.image(frame) for frame in frames[start : start + BATCH]]))
        for name, encoder in encoders.items():
            maps[name].append(encoder(images))
    return {name: torch.cat(parts) for name, parts in maps.items()}


@torch.inference_mode()
def compute_content_features(
    models: Mapping[str, ContentModel], index: FrameIndex, fixed: Tensor | None, advance: Progress, seed: int = 0
) -> dict[str, ContentFeatures]:
    """Compute every model's features of all frames; `fixed` is the one sound for all."""
    random = np.random.default_rng(seed)
    batches: dict[str, list[dict[str, tuple[Tensor, Tensor]]]] = {name: [] for name in models}
    pooled: dict[str, list[Tensor]] = {name: [] for name in models}
    one_picture: dict[str, Tensor] = {}
    reach = max(abs(offset) for model in models.values() for offset in model.config.offsets)
    for number, clip in enumerate(index.clips):
        frames = index.frame[index.rows_of([number], speaking=False)]
        speech = None if clip.speech is None else torch.from_numpy(clip.speech)
        shuffled = random.permutation(frames)
        first = max(int(frames.min()) - reach, 0)
        maps = _encode_clip(models.values(), clip, range(first, min(int(frames.max()) + reach + 1, clip.count)))
        for start in range(0, len(frames), BATCH):
            part = torch.from_numpy(frames[start : start + BATCH])
            sounds: dict[str, Tensor | None] = {SILENT: None}
            if speech is not None and fixed is not None:
                sounds[OWN] = gather_speech_windows(speech, part)
                sounds[SHUFFLED] = gather_speech_windows(speech, torch.from_numpy(shuffled[start : start + BATCH]))
                sounds[FIXED] = fixed.expand(len(part), -1, -1)
            for name, model in models.items():
                whole = maps[model.config.encoder]
                windows = model.crop_maps(whole)[model.window_frames(part, clip.count) - first]
                batch = {condition: model.embed(windows, sound) for condition, sound in sounds.items()}
                one = one_picture.setdefault(name, windows[:1].clone())
                if OWN in sounds:
                    batch[ALONE] = model.embed(one.expand(len(part), -1, -1, -1, -1), sounds[OWN])
                batches[name].append(batch)
                pooled[name].append(functional.adaptive_avg_pool2d(whole[part - first], _POOL).flatten(1))
            advance(len(part))
    return {name: _join(parts, torch.cat(pooled[name]).numpy(), models[name]) for name, parts in batches.items()}


def _join(batches: list[dict[str, tuple[Tensor, Tensor]]], pooled: Floats, model: ContentModel) -> ContentFeatures:
    """One long row of what was computed batch by batch; NaN where a batch lacks a condition."""
    vectors, attention = {}, {}
    for condition in CONDITIONS:
        if any(condition in batch for batch in batches):
            silent = ([torch.full_like(part, np.nan) for part in batch[SILENT]] for batch in batches)
            parts = [batch.get(condition) or lacking for batch, lacking in zip(batches, silent, strict=True)]
            rows, weights = (torch.cat(list(side)) for side in zip(*parts, strict=True))
            vectors[condition] = rows.numpy()
            attention[condition] = functional.pad(weights, (model.skipped_rows * model.grid[1], 0)).numpy()
    return ContentFeatures(vectors, attention, (model.skipped_rows + model.grid[0], model.grid[1]), pooled)


@torch.inference_mode()
def compute_emotion_features(
    models: Mapping[str, EmotionModel], index: FrameIndex, every: int, advance: Progress
) -> dict[str, EmotionFeatures]:
    """Compute every model's features of each clip's every `every`-th frame."""
    rows = np.concatenate([index.rows_of([number], speaking=False)[::every] for number in range(len(index.clips))])
    batches: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {name: [] for name in models}
    for start in range(0, len(rows), BATCH):
        images = images_to_tensor(index.images(rows[start : start + BATCH]))
        for name, model in models.items():
            batches[name].append(represent_emotion(model, images))
        advance(len(images))
    return {
        name: EmotionFeatures(rows, *(torch.cat(list(side)).numpy() for side in zip(*parts, strict=True)))
        for name, parts in batches.items()
    }


def represent_emotion(model: EmotionModel, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the tower's feature [B, W], the emotion representation [B, 7·W] and the logits [B, 7] in one pass."""
    tower = model.encode(images)
    weighted = model.class_vectors(tower) * model.prompts
    return tower, weighted.flatten(1), weighted.sum(2)
