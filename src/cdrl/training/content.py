"""Trains the content representation (CCRL) on moments that are spoken twice, in two emotions.

The image encoder stays frozen, so its maps are computed once. Every step sees some people, two pairs of takes of each,
and the same moments in both takes; in part of them the speech is removed or is another moment's, so that the picture
has to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cdrl.datasets.prepared import PreparedClip, PreparedDataset
from cdrl.errors import UsageError
from cdrl.representations.content import (
    ARCHITECTURE,
    SPEECH_OFFSETS,
    ContentConfig,
    ContentModel,
    gather_speech_windows,
    window_indices,
)
from cdrl.representations.losses import emotion_aware_contrast, moment_contrast
from cdrl.training.distributed import World
from cdrl.training.feature_cache import UNAUGMENTED, FeatureMaps, FeatureRequest, cached_maps
from cdrl.training.options import ContentOptions
from cdrl.training.pair_sampling import (
    ClipPair,
    FrameNumbers,
    draw_moments,
    find_pairs,
    mark_same_content,
    self_pairs,
)
from cdrl.training.people import open_data, record_people
from cdrl.training.presets import use_paper_setting
from cdrl.training.recipe import recipe_settings, train_recipe
from cdrl.training.release import check_target

_MAX_VALIDATION_PAIRS = 60
_CANDIDATES = 32  # moments among which one is retrieved in validation
OWN, NONE, OTHER = "own", "none", "other"
"""The speech that a moment gets: its own, none, or another moment's."""


def train_content(options: ContentOptions) -> None:
    """Train the content representation.

    Raises:
        CdrlError: An option, the data or the folder of the run is wrong.
    """
    options = use_paper_setting(options)
    check_target(options.release.publish, options.release.overwrite)
    data = open_data(options)
    train_recipe("content", options, lambda world: ContentTask(options, data, world))


@dataclass(frozen=True)
class _ClipView:
    """Moments of a clip, the speech that they get, and the augmentation of the pictures."""

    clip: PreparedClip
    frames: FrameNumbers
    speech: str
    variant: int = UNAUGMENTED


class ContentTask:
    """The content model, its draws and its losses; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {}

    def __init__(self, options: ContentOptions, data: PreparedDataset, world: World) -> None:
        """Pair the clips and encode their frames.

        Raises:
            UsageError: An option is wrong, or the data do not suffice.
        """
        self.options, self.world = options, world
        if 0 not in options.offsets:
            raise UsageError(f"--offsets {' '.join(map(str, options.offsets))}: the frame in question, 0, is missing")
        if options.variants < 0:
            raise UsageError(f"--variants {options.variants}: give 0 or more")
        if options.moments < 2:
            raise UsageError(f"--moments {options.moments}: a moment is told from another one, so give 2 or more")
        self.model = ContentModel(_make_config(options, data)).to(world.device)
        train, console = data.select("train"), world.console
        self.pairs = find_pairs(train, options.moments, console, options.pairs == "neutral")
        self.self_pairs = self_pairs(train, options.moments, console) if options.real else []
        validation_pairs = find_pairs(data.select("validation"), options.moments, console)
        self.validation_pairs = validation_pairs[:_MAX_VALIDATION_PAIRS]
        people = sorted({pair.person for pair in self.pairs})
        if len(people) < options.people or not self.validation_pairs:
            raise UsageError(
                f"{len(people)} people say the same words in two emotions to train on, and "
                f"{len(self.validation_pairs)} pairs of takes are there to validate: {options.people} people and one "
                "pair at least are needed; prepare more data (cdrl data synth makes some), or lower --people"
            )
        labels = [pair.first.metadata for pair in self.pairs + self.self_pairs]
        recorded = record_people(data.people, (each.actor for each in labels if not each.synthetic))
        self.settings = recipe_settings(options, data.digest, split_people=recorded)
        every = self.pairs + self.validation_pairs + self.self_pairs
        self.maps = self._encode(every, data.digest)
        self._speech = {
            clip.metadata.id: torch.from_numpy(clip.speech).to(world.device)
            for pair in every
            for clip in pair.clips
            if clip.speech is not None
        }
        self._pairs_of = {person: [pair for pair in self.pairs if pair.person == person] for person in people}
        count = len({pair.person for pair in self.pairs + self.self_pairs})
        self.data_summary = f"{len(data.clips)} clips, {count} people"

    def _encode(self, pairs: Sequence[ClipPair], digest: str) -> FeatureMaps:
        """Compute the maps of pairs. Synthetic people look too much alike, so their pictures are augmented."""
        requests: dict[tuple[str, int], FeatureRequest] = {}
        reach = max(map(abs, self.options.offsets))
        for pair in pairs:
            for side, clip in enumerate(pair.clips):
                used = pair.frames[:, side]
                near = range(max(int(used.min()) - reach, 0), min(int(used.max()) + reach + 1, clip.count))
                for variant in self.list_variants(pair, side):
                    item = FeatureRequest(clip, near if pair.is_self else range(clip.count), variant)
                    requests.setdefault(item.key, item)
        with self.world.main_first():
            return cached_maps(list(requests.values()), self.model, digest, self.options.cache, self.world)

    def list_variants(self, pair: ClipPair, side: int) -> range:
        """Return the augmentations in which a side of a pair is shown."""
        plain = pair.first.metadata.split != "train" or (pair.is_self and side == 0) or not self.options.variants
        return range(UNAUGMENTED, UNAUGMENTED + 1) if plain else range(1, 1 + self.options.variants)

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compute the terms of a step; every process draws the whole batch and computes its slice of the pairs."""
        options = self.options
        random = np.random.default_rng((options.loop.seed, step))
        pairs = self._draw_pairs(random)
        moments = [draw_moments(pair, options.moments, random) for pair in pairs]
        speech = [self._draw_speech(pair, random) for pair in pairs]
        channels: Any = self.model.encoder.channels
        gains = np.exp(options.jitter * random.standard_normal((2, len(pairs), int(channels)))).astype(np.float32)
        mine = world.slice(len(pairs))
        sides = []
        for side in (0, 1):
            variants = [self.list_variants(pair, side) for pair in pairs]
            views = [
                _ClipView(pair.clips[side], frames[:, side], kinds[side], choice[random.integers(len(choice))])
                for pair, frames, kinds, choice in zip(pairs, moments, speech, variants, strict=True)
            ]
            sides.append(world.gather(self._embed(views[mine], gains[side][mine])))
        first, second = sides
        same = torch.from_numpy(mark_same_content(pairs, moments)).to(world.device) if options.mask_positives else None
        return self._combine_losses(first, second, same, random)

    def _draw_pairs(self, random: np.random.Generator) -> list[ClipPair]:
        people = random.choice(sorted(self._pairs_of), self.options.people, replace=False)
        chosen = []
        for person in people:
            pairs = self._pairs_of[person]
            chosen += [pairs[index] for index in random.choice(len(pairs), 2, replace=len(pairs) < 2)]
        if self.self_pairs:
            chosen += [self.self_pairs[index] for index in random.choice(len(self.self_pairs), self.options.real)]
        return chosen

    def _draw_speech(self, pair: ClipPair, random: np.random.Generator) -> tuple[str, str]:
        """Draw which speech each side of a pair gets.

        A clip would be matched to its own copy by the sound alone, so at least one side of such a pair has none.
        """
        dropout, mismatch = self.options.audio_dropout, self.options.audio_mismatch
        kinds = random.choice([OWN, NONE, OTHER], 2, p=[1 - dropout - mismatch, dropout, mismatch])
        if pair.is_self:
            kinds[random.integers(2)] = NONE
        return str(kinds[0]), str(kinds[1])

    def _embed(self, views: list[_ClipView], gains: NDArray[np.float32] | None = None) -> Tensor:
        """Content [clips, moments, D]; `gains` [clips, C] on the channels of their maps."""
        rows, windows, audible, device = [], [], [], self.world.device
        for view in views:
            frames = torch.from_numpy(view.frames)
            around = window_indices(frames, self.model.config.offsets, view.clip.count).numpy()
            rows.append(self.maps.find_rows(view.clip, around, view.variant))
            speech = self._gather_speech(view)
            audible.append(torch.full((len(frames),), speech is not None))
            silence = torch.zeros(len(frames), len(SPEECH_OFFSETS), self.model.config.speech_width, device=device)
            windows.append(silence if speech is None else speech)
        maps = self.maps.read(np.concatenate(rows)).to(device).float()
        if gains is not None:
            maps = maps * torch.from_numpy(gains.repeat(len(rows[0]), 0)).to(device)[:, None, :, None, None]
        content, _ = self.model.embed(maps, torch.cat(windows), torch.cat(audible).to(device))
        return content.reshape(len(views), -1, content.shape[1])

    def _gather_speech(self, view: _ClipView) -> Tensor | None:
        """Speech windows [n, window, width] of the moments of a view; None where they get none."""
        speech = self._speech.get(view.clip.metadata.id)
        if speech is None or view.speech == NONE:
            return None
        frames = view.frames
        if view.speech == OTHER:
            frames = (frames + view.clip.count // 3 + 1) % view.clip.count
        return gather_speech_windows(speech, torch.from_numpy(frames).to(speech.device))

    def _combine_losses(
        self, first: Tensor, second: Tensor, same: Tensor | None, random: np.random.Generator
    ) -> dict[str, Tensor]:
        options = self.options
        x, y = first.flatten(0, 1), second.flatten(0, 1)
        order = (np.arange(options.moments) + random.integers(1, options.moments)) % options.moments
        others = second[:, order].flatten(0, 1)  # of the same pair, so never of the same content
        terms = {"same": (x * y).sum(1).mean().detach(), "other": (x * others).sum(1).mean().detach()}
        loss = x.new_zeros(())
        if options.loss in {"both", "infonce"}:
            terms["infonce"] = moment_contrast(first, second, options.temperature, same)
            loss = loss + terms["infonce"]
        if options.loss in {"both", "paper"}:
            terms["paper"] = emotion_aware_contrast(x, y, others)
            loss = loss + (options.paper_weight if options.loss == "both" else 1.0) * terms["paper"]
        if options.loss == "alignment":
            loss = loss + (1 - (x * y).sum(1)).mean()
        return {"loss": loss, **terms}

    def validate(self) -> dict[str, float]:
        """Measure cosines of same and other content, and how often a moment is retrieved, on validation people."""
        names = ("same", "other", "retrieved", "retrieved_silent")
        measures: dict[str, list[float]] = {name: [] for name in names}
        random = np.random.default_rng(0)
        for pair in self.validation_pairs:
            frames = draw_moments(pair, min(_CANDIDATES, len(pair.frames) // 2), random)
            for name, speech in (("retrieved", OWN), ("retrieved_silent", NONE)):
                x, y = (
                    self._embed([_ClipView(clip, frames[:, side], speech)])[0] for side, clip in enumerate(pair.clips)
                )
                cosines = x @ y.T
                nearest = cosines.argmax(1).cpu()
                measures[name].append(float((nearest == torch.arange(len(x))).float().mean()))
                if speech == OWN:
                    measures["same"].append(float(cosines.diagonal().mean()))
                    measures["other"].append(float((cosines.sum() - cosines.trace()) / (cosines.numel() - len(x))))
        means = {name: float(np.mean(values)) for name, values in measures.items()}
        score = means["retrieved"] + means["retrieved_silent"] + means["same"] - max(means["other"], 0.0)
        return {"score": score, **means}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the trained head; the frozen encoder is named only."""
        return self.model.head.state_dict(), ARCHITECTURE, asdict(self.model.config)


def _make_config(options: ContentOptions, data: PreparedDataset) -> ContentConfig:
    widths = {clip.speech.shape[1] for clip in data.clips if clip.speech is not None}
    if len(widths) > 1:
        raise UsageError("the prepared folders hold different speech features: prepare them with one --speech")
    return ContentConfig(
        encoder=options.encoder,
        speech=data.speech,
        speech_width=widths.pop() if widths else 384,
        width=options.width,
        dimensions=options.dimensions,
        offsets=options.offsets,
        audio=options.audio and any(clip.speech is not None for clip in data.clips),
    )
