"""Trains the lip-sync network of the evaluation on clips with sound.

The evaluation's own face finder looks at every clip once. Every step takes a stretch of some real and some synthetic
clips; in each, every moment of the lips must find its moment of the sound among the others of the same stretch, and the
other way round (InfoNCE in both directions). Who speaks, and how that looks, is the same throughout a stretch, so only
the movement tells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cdrl.datasets.prepared import PreparedClip, PreparedDataset
from cdrl.errors import UsageError
from cdrl.evaluation import sync_auc
from cdrl.evaluation.lip_clips import LipClip, read_lip_clip
from cdrl.pretrained import MODELS
from cdrl.representations.lip_sync import ARCHITECTURE, LIP_FEATURES, LipSyncConfig, LipSyncNetwork
from cdrl.training.array_cache import read_npz, write_npz
from cdrl.training.distributed import World
from cdrl.training.options import SyncOptions
from cdrl.training.people import list_trained, open_data, record_people
from cdrl.training.progress import track
from cdrl.training.recipe import recipe_settings, train_recipe
from cdrl.training.release import check_target

Array32 = NDArray[np.float32]
_MIN_SPREAD = 0.1  # of the mean spread: lip features that move less are not scaled up
_CACHE_VERSION = 1  # raise it whenever the cached lips change


def train_sync(options: SyncOptions) -> None:
    """Train the lip-sync network.

    Raises:
        CdrlError: An option, the data or the folder of the run is wrong.
    """
    check_target(options.release.publish, options.release.overwrite)
    data = open_data(options)
    train_recipe("sync", options, lambda world: SyncTask(options, data, world))


class SyncTask:
    """The network, its draws and its loss; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {}

    def __init__(self, options: SyncOptions, data: PreparedDataset, world: World) -> None:
        self.options, self.world = options, world
        recorded = record_people(data.people, list_trained(data))
        self.settings = recipe_settings(options, data.digest, split_people=recorded)
        train, self.validation = (self._read_lips(data, split) for split in ("train", "validation"))
        self.trained_on = [clip for clip in train if len(clip.visible) >= options.moments]
        self._real, self._synthetic = (
            [clip for clip in self.trained_on if clip.synthetic == synthetic] for synthetic in (False, True)
        )
        if not self.trained_on or not self.validation:
            raise UsageError(
                f"{len(self.trained_on)} clips with sound are long enough to train on and {len(self.validation)} are "
                "there to validate: prepare more data, or lower --moments"
            )
        width = self.trained_on[0].speech.shape[1]
        config = LipSyncConfig(data.speech, width, options.width, options.dimensions)
        self.model = LipSyncNetwork(config).to(world.device)
        self._fit_scales()
        people = len({clip.person for clip in self.trained_on})
        self.data_summary = f"{len(self.trained_on)} clips, {people} people"

    def _read_lips(self, data: PreparedDataset, split: Any) -> list[LipClip]:
        clips = [clip for clip in data.select(split) if clip.speech is not None]
        watched = track(clips, f"looking at lips ({split})", self.world.console)
        with self.world.main_first():
            return read_cached_lips(watched, data.digest, self.options.cache)

    def _fit_scales(self) -> None:
        """Scale what is trained on to unit spread; lip features that hardly move are not blown up."""
        spread = np.concatenate([clip.lips[clip.visible] for clip in self.trained_on]).std(0)
        speech = np.concatenate([clip.speech for clip in self.trained_on])
        model = self.model
        for buffer, values in (
            (model.lips_scale, spread + _MIN_SPREAD * spread.mean()),
            (model.speech_mean, speech.mean(0)),
            (model.speech_scale, speech.std(0) + 1e-3),
        ):
            # As it will be stored, so that what is validated is what is written.
            buffer.copy_(torch.from_numpy(values).half().float())

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Contrast the moments of each stretch; every process draws the whole batch and computes its slice of it."""
        options = self.options
        random = np.random.default_rng((options.loop.seed, step))
        drawn = [self._draw_stretch(self._draw_clip(number, random), random) for number in range(options.clips)]
        mine = drawn[world.slice(len(drawn))]
        lips, speech = (torch.from_numpy(np.stack(side)).to(world.device) for side in zip(*mine, strict=True))
        video, audio = self.model.embed_video(lips), self.model.embed_audio(speech)
        similarity = torch.einsum("btd,bsd->bts", video, audio) / options.temperature
        places = torch.arange(options.moments, device=world.device)
        apart = (places[:, None] - places).abs()
        similarity = similarity.masked_fill((apart > 0) & (apart <= options.ignore_radius), -torch.inf)
        targets = places.expand(len(mine), -1)
        to_audio = functional.cross_entropy(similarity.transpose(1, 2), targets)
        to_video = functional.cross_entropy(similarity, targets)
        accuracy = (similarity.argmax(2) == places).float().mean()
        return {"loss": to_audio + to_video, "accuracy": accuracy.detach()}

    def _draw_clip(self, number: int, random: np.random.Generator) -> LipClip:
        """Draw a real clip where `number` lies within the share of them, else a synthetic one, where there is one."""
        real = number < round(self.options.real * self.options.clips)
        clips = (self._real if real else self._synthetic) or self.trained_on
        return clips[int(random.integers(len(clips)))]

    def _draw_stretch(self, clip: LipClip, random: np.random.Generator) -> tuple[Array32, Array32]:
        """Draw lips [moments, LIP_FEATURES] and speech [moments, width] of a stretch, augmented."""
        options = self.options
        first = int(random.integers(len(clip.visible) - options.moments + 1))
        part = slice(first, first + options.moments)
        lips, speech = clip.lips[part], clip.speech[part]
        lips_scale, speech_mean, speech_scale = (
            buffer.cpu().numpy() for buffer in (self.model.lips_scale, self.model.speech_mean, self.model.speech_scale)
        )
        jitter = options.noise * random.random() * random.standard_normal(lips.shape)
        rest = options.noise * random.standard_normal(LIP_FEATURES)  # another mouth at rest
        lips = lips * np.exp(options.scale_jitter * random.standard_normal()) + lips_scale * (jitter + rest)
        noisy = speech + speech_scale * options.noise * random.standard_normal(speech.shape)
        noisy = np.where(random.random(speech.shape[1]) < options.audio_dropout, speech_mean, noisy)
        return lips.astype(np.float32), noisy.astype(np.float32)

    def validate(self) -> dict[str, float]:
        """Measure the AUC on people not trained on; real ones decide, where there are any."""
        values = {}
        for people, synthetic in sync_auc.PEOPLE.items():
            chosen = [clip for clip in self.validation if clip.synthetic == synthetic]
            pairs = sync_auc.compare_shifted_sound(chosen, sync_auc.embed_clips(self.model, chosen))
            for name, condition in (("clips", sync_auc.WHOLE), ("windows", sync_auc.WINDOWS)):
                values[f"{people}_{name}"] = sync_auc.estimate_auc(pairs[condition]).value
        known = {name: value for name, value in values.items() if value is not None}
        deciding = [value for name, value in known.items() if name.startswith("real")] or list(known.values())
        return {"score": float(np.mean(deciding)), **known}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the network's tensors, its architecture and its configuration."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)


def read_cached_lips(clips: Iterable[PreparedClip], digest: str, folder: Path) -> list[LipClip]:
    """Read the lips of clips, from a cache where they were looked at before.

    Args:
        clips: Clips of prepared data that have sound.
        digest: Digest of that data.
        folder: Folder of the cache.

    Raises:
        OutputError: The cache cannot be written.
    """
    finders = [model.sha256 for model in MODELS.values() if model.purpose == "judging"]
    read = []
    for clip in clips:
        facts = [_CACHE_VERSION, LIP_FEATURES, digest, finders, clip.metadata.id]
        path = folder / f"lips_{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]}.npz"
        cached = _read_cache(path, clip)
        if cached is None and (seen := read_lip_clip(clip)) is not None:
            write_npz(path, curves=seen.lips.astype(np.float16), seen=seen.visible)
            cached = _read_cache(path, clip) or seen  # as it will be read the next time
        read += [cached] if cached is not None else []
    return read


def _read_cache(path: Path, clip: PreparedClip) -> LipClip | None:
    """The cached lips of a clip; None where there are none, or they are damaged."""
    arrays = read_npz(path, "curves", "seen")
    return None if arrays is None else LipClip.from_prepared(clip, arrays[0].astype(np.float32), arrays[1])
