"""People made of bars: what they say, how they feel and what is heard can be read off a picture without a network.

A picture's lower half shows the moment of a sentence as sixteen bars; a stripe above shows the emotion as seven. Models
that read the one, the other, or only listen are judged here as what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch

from cdrl.datasets.prepared import ClipMetadata, GroundTruth
from cdrl.emotions import EMOTIONS
from cdrl.face.mesh import canonical_points

SIZE, BARS = 224, 16


def code(sentence: int, moment: int) -> np.ndarray:
    """Sixteen bars, half of them dark: what is said in one moment of a sentence."""
    return np.random.default_rng(1000 * sentence + moment).permutation(np.repeat([0.2, 0.8], BARS // 2))


def face(opening: np.ndarray) -> np.ndarray:
    """Landmarks [T, 478, 3] in a crop; the mouth opens by `opening` [T] pixels."""
    base = canonical_points().astype(np.float64)
    low, high = base[:, :2].min(0), base[:, :2].max(0)
    base[:, :2] = (base[:, :2] - (low + high) / 2) * (SIZE / 1.2 / (high - low).max()) + SIZE / 2
    points = np.repeat(base[None], len(opening), 0)
    below = (base[:, 1] > base[13, 1] + 0.2) & (np.abs(base[:, 0] - base[13, 0]) < 30)
    points[:, below, 1] += opening[:, None]
    return points.astype(np.float32)


@dataclass
class MadeClip:
    """Like a `PreparedClip`, in memory."""

    metadata: ClipMetadata
    times: np.ndarray
    landmarks: np.ndarray
    speech: np.ndarray | None
    ground_truth: GroundTruth | None
    pictures: np.ndarray

    @property
    def count(self) -> int:
        return len(self.times)

    def image(self, index: int) -> np.ndarray:
        return self.pictures[index]


def made_clip(actor, emotion, sentence, count=48, dataset="synthetic", split="test", sound=True, shift=0) -> MadeClip:
    """One take of `count` moments; moment k of the sentence is said in frame k + `shift`, and before it nothing is."""
    moments = np.concatenate([np.zeros(shift, int), np.arange(count)])
    spoken = np.arange(count + shift) >= shift
    number = sum(map(ord, actor))
    pictures = np.full((len(moments), SIZE, SIZE, 3), 40 + number % 50, np.uint8)
    width = SIZE // BARS
    for frame, moment in enumerate(moments):
        pictures[frame, SIZE // 2 :] = np.repeat(255 * code(sentence, moment), width)[None, :, None]
    if emotion in EMOTIONS:
        place = EMOTIONS.index(emotion) * 32
        pictures[:, 56:112, place : place + 32] = 255
    speech = np.stack([code(sentence, moment) for moment in moments]).astype(np.float32)
    visemes = np.array([code(sentence, moment)[:4].round() @ [1, 2, 4, 8] % 5 for moment in moments], np.int64)
    truth = GroundTruth(moments.astype(np.float32), visemes, spoken, np.zeros((len(moments), 1), np.float32))
    name, synthetic = f"{actor}_{sentence}_{emotion}", dataset == "synthetic"
    facts = ClipMetadata(name, dataset, actor, emotion, 1, "", str(sentence), "front", synthetic, split)
    landmarks = face(9 + 8 * np.sin(moments / 2 + sentence))
    heard, known = speech if sound else None, truth if synthetic else None
    return MadeClip(facts, np.arange(len(moments)) / 25, landmarks, heard, known, pictures)


def made_people(
    people=5, emotions=("neutral", "fear", "surprised"), sentences=(1, 2), dataset="synthetic", **how
) -> list[MadeClip]:
    """People who say all sentences in all emotions; each take begins a little later than the one before."""
    return [
        made_clip(f"P{person}", emotion, sentence, dataset=dataset, shift=shift, **how)
        for person in range(people)
        for sentence in sentences
        for shift, emotion in enumerate(emotions)
    ]


class MadeContent(torch.nn.Module):
    """Reads the mouth's bars, the sound's, or the emotion's, as it is told; looks at the lower half alone."""

    grid = (16, 16)
    skipped_rows = 0

    def __init__(self, reads: str) -> None:
        super().__init__()
        self.reads = reads
        self.config = SimpleNamespace(encoder="bars", speech="made", audio=True, offsets=(0,))
        self.encoder = torch.nn.AdaptiveAvgPool2d(self.grid)

    def crop_maps(self, maps):
        return maps

    def maps(self, images):
        return self.encoder(images)

    def window_frames(self, frames, count):
        return frames[:, None]

    def embed(self, maps, speech):
        maps = maps[:, 0]
        if self.reads == "mouth":
            found = maps[:, 0, 8:].mean(1)
        elif self.reads == "sound":
            found = torch.ones(len(maps), BARS) if speech is None else speech[:, speech.shape[1] // 2].clone()
            found[:, 0] += 1e-3
        else:
            found = maps[:, 0, 5:7].mean(1)
        if self.reads != "sound" or speech is not None:
            found = found - found.mean(1, keepdim=True)
        attention = torch.zeros(len(maps), 16, 16)
        attention[:, 10:14, 4:12] = 1 / 32
        return torch.nn.functional.normalize(found, dim=1), attention.flatten(1)


class MadeEmotion(torch.nn.Module):
    """Reads the emotion's bars; where it leaks, the mouth's too."""

    def __init__(self, leaks: bool = False) -> None:
        super().__init__()
        self.leaks = leaks
        self.prompts = torch.nn.functional.normalize(torch.eye(7, 7 + BARS) + 0.01, dim=1)

    def encode(self, images):
        emotion = torch.nn.functional.adaptive_avg_pool2d(images[:, :, 60:108], (1, 7))[:, 0, 0]
        return torch.cat([emotion, images[:, 0, 150, 7::14]], 1)

    def class_vectors(self, feature):
        kept = feature.clone()
        if not self.leaks:
            kept[:, 7:] = 0
        heads = kept[:, None] * torch.ones(1, 7, 1)
        return torch.nn.functional.normalize(heads + 1e-3, dim=2)


def made_prepared(clips, speech="made"):
    """Like `Prepared`."""
    return SimpleNamespace(clips=tuple(clips), digest="0" * 64, speech=speech)


def quiet(name, total):
    """A step that reports to nobody."""
    return lambda count: None
