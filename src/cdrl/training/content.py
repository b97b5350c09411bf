"""`cdrl train content`: trains the content representation (CCRL) on moments said twice, in two emotions.

setup → maps → fit, top to bottom. The image encoder stays frozen, so its maps are computed once. Every step sees some
people, two pairs of takes of each, and the same moments in both takes; in part of them the speech is taken away or is
another moment's, so that the picture has to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from tyro.conf import FlagCreatePairsOff

from cdrl.datasets.prepared import Prepared, PreparedClip
from cdrl.errors import UsageError
from cdrl.representations.content import ARCHITECTURE, WINDOW, ContentConfig, ContentModel, window_rows
from cdrl.representations.losses import emotion_aware_contrast, moment_contrast
from cdrl.training.distributed import World
from cdrl.training.loop import LoopOptions, fit, held
from cdrl.training.maps import PLAIN, Maps, Wanted, cached_maps
from cdrl.training.moments import Numbers, Twins, draw_moments, twins_of, twins_of_themselves
from cdrl.training.publish import check_target, publish
from cdrl.training.settings import settings_of

_VALIDATED = 60  # pairs of takes
_OF = 32  # moments that one is found among


@dataclass(frozen=True)
class Options:
    """Train the content representation on prepared data (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    loop: LoopOptions = field(default_factory=lambda: LoopOptions(Path("runs/content"), steps=800, learning_rate=2e-3))
    encoder: str = "landmarks"
    """Image encoder: landmarks, or iresnet50:FILE."""
    width: int = 96
    """Channels of the mapping."""
    dimensions: int = 16
    """Of the content vector: few, or it tells takes of the same words apart."""
    offsets: tuple[int, ...] = tuple(range(-4, 5))
    """Frames that are seen, counted from the one in question."""
    audio: bool = True
    """Let speech guide; without it a learned query asks alone."""
    loss: Literal["both", "infonce", "paper", "pull"] = "both"
    """Contrast: InfoNCE over moments, the paper's emotion-aware form, both, or none (pull alone, for comparison)."""
    temperature: float = 0.1
    """Of InfoNCE."""
    paper_weight: float = 20.0
    """Of the paper's form beside InfoNCE."""
    people: int = 8
    """Synthetic people a step, two pairs of takes each."""
    real: int = 4
    """Real clips a step, each beside a varied copy of itself."""
    moments: int = 8
    """Moments of each pair."""
    deaf: float = 0.3
    """Share of takes whose speech is taken away."""
    mistaken: float = 0.1
    """Share of takes that hear another moment's speech."""
    variants: int = 1
    """In how many ways a clip's pictures are varied."""
    jitter: float = 0.2
    """Deviation of the log of a random gain on each channel of a take's maps: other people, other light."""
    cache: Path = Path("runs/cache")
    """Where feature maps are kept."""
    publish: Path | None = None
    """Where the best checkpoint is copied, and entered into the list of model files."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the file that --publish names."""


def run(options: Options) -> int:
    """The command."""
    check_target(options.publish, options.overwrite)
    data = Prepared.open(options.data)
    with held(options.loop, "cdrl train content") as world:
        task = ContentTask(options, data, world)
        best = fit(task, options.loop, world, settings_of(options, data.digest))
        if options.publish is not None and world.first:
            count = len({pair.person for pair in task.pairs + task.alone})
            publish(
                best,
                options.publish,
                f"cdrl train content on {len(data.clips)} clips, {count} people",
                overwrite=options.overwrite,
            )
    return 0


@dataclass(frozen=True)
class _Seen:
    """Moments of a clip, the speech that is heard with them (own, none, other), and how its pictures are varied."""

    clip: PreparedClip
    frames: Numbers
    hears: str
    variant: int = PLAIN


class ContentTask:
    """The model, its draws and its losses; see `cdrl.training.loop.Task`."""

    rates: Mapping[str, float] = {}

    def __init__(self, options: Options, data: Prepared, world: World) -> None:
        self.options, self.world = options, world
        if 0 not in options.offsets:
            raise UsageError(f"--offsets {' '.join(map(str, options.offsets))}: the frame in question, 0, is missing")
        if options.variants < 1:
            raise UsageError(f"--variants {options.variants}: give 1 or more")
        widths = {clip.speech.shape[1] for clip in data.clips if clip.speech is not None}
        if len(widths) > 1:
            raise UsageError("the prepared folders hold different speech features: prepare them with one --speech")
        config = ContentConfig(
            options.encoder, data.speech, widths.pop() if widths else 384, options.width, 8, options.dimensions,
            options.offsets, audio=options.audio and any(clip.speech is not None for clip in data.clips),
        )  # fmt: skip
        self.model = ContentModel(config).to(world.device)
        encoder: Any = self.model.encoder
        self._channels = int(encoder.channels)
        self._reach = max(map(abs, config.offsets))
        part = {name: [clip for clip in data.clips if clip.facts.part == name] for name in ("train", "validation")}
        self.pairs = twins_of(part["train"], options.moments)
        self.alone = twins_of_themselves(part["train"], options.moments) if options.real else []
        self.held_out = twins_of(part["validation"], options.moments)[:_VALIDATED]
        people = sorted({pair.person for pair in self.pairs})
        if len(people) < options.people or not self.held_out:
            raise UsageError(
                f"{len(people)} people say the same words in two emotions to train on, and {len(self.held_out)} pairs "
                f"of takes are there to validate: {options.people} people and one pair at least are needed; prepare "
                "more data (cdrl data synth makes some), or lower --people"
            )
        self.maps = self._maps(data)
        self._spoken, self._speech = self._all_speech()
        self._of_person = {person: [pair for pair in self.pairs if pair.person == person] for person in people}

    def _maps(self, data: Prepared) -> Maps:
        """Synthetic people look too much alike, so their pictures are varied; real ones are there plain and varied."""
        wanted: dict[tuple[str, int], Wanted] = {}
        for pair in self.pairs + self.held_out + self.alone:
            for side, clip in enumerate(pair.clips):
                used = pair.frames[:, side]
                near = range(max(int(used.min()) - self._reach, 0), min(int(used.max()) + self._reach + 1, clip.count))
                for variant in self._variants(pair, side):
                    item = Wanted(clip, near if pair.own else range(clip.count), variant)
                    wanted.setdefault(item.key, item)
        options, world = self.options, self.world
        console = Console(soft_wrap=True, quiet=not world.first)
        given = (list(wanted.values()), self.model, data.digest, options.cache, world.device)
        if world.first:
            cached_maps(*given, console)
        world.barrier()
        return cached_maps(*given, console)

    def _all_speech(self) -> tuple[dict[str, int], Tensor]:
        """At which row each clip's speech begins, and all of it [rows, width], a row of NaN last."""
        starts: dict[str, int] = {}
        parts: list[NDArray[np.float32]] = []
        at = 0
        for clip in {
            clip.facts.id: clip for pair in self.pairs + self.held_out + self.alone for clip in pair.clips
        }.values():
            if clip.speech is not None:
                starts[clip.facts.id] = at
                parts.append(clip.speech)
                at += len(clip.speech)
        parts.append(np.full((1, self.model.config.speech_width), np.nan, np.float32))
        return starts, torch.from_numpy(np.concatenate(parts)).to(self.world.device)

    def _variants(self, pair: Twins, side: int) -> range:
        """The ways in which that side of a pair is shown."""
        plain = pair.first.facts.part != "train" or (pair.own and side == 0)
        return range(PLAIN, PLAIN + 1) if plain else range(1, 1 + self.options.variants)

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """The terms of a step; every process draws the whole batch and computes its slice of the pairs."""
        options = self.options
        draw = np.random.default_rng((options.loop.seed, step))
        pairs = self._draw_pairs(draw)
        drawn = [draw_moments(pair, options.moments, draw) for pair in pairs]
        heard = [self._hearing(pair, draw) for pair in pairs]
        gains = np.exp(options.jitter * draw.standard_normal((2, len(pairs), self._channels))).astype(np.float32)
        mine = world.slice(len(pairs))
        both = []
        for side in (0, 1):
            variants = [self._variants(pair, side) for pair in pairs]
            seen = [
                _Seen(pair.clips[side], frames[:, side], hears[side], ways[draw.integers(len(ways))])
                for pair, frames, hears, ways in zip(pairs, drawn, heard, variants, strict=True)
            ]
            both.append(world.gather(self._embed(seen[mine], gains[side][mine])))
        first, second = both
        return self._terms(first, second, draw)

    def _draw_pairs(self, draw: np.random.Generator) -> list[Twins]:
        people = draw.choice(sorted(self._of_person), self.options.people, replace=False)
        chosen = []
        for person in people:
            theirs = self._of_person[person]
            chosen += [theirs[index] for index in draw.choice(len(theirs), 2, replace=len(theirs) < 2)]
        if self.alone:
            chosen += [self.alone[index] for index in draw.choice(len(self.alone), self.options.real)]
        return chosen

    def _hearing(self, pair: Twins, draw: np.random.Generator) -> tuple[str, str]:
        """What each side of a pair hears: its own speech, none, or another moment's.

        A clip beside a copy of itself would be found by its sound alone, so one side at least is deaf."""
        options = self.options
        kinds = draw.choice(
            ["own", "none", "other"], 2, p=[1 - options.deaf - options.mistaken, options.deaf, options.mistaken]
        )
        if pair.own:
            kinds[draw.integers(2)] = "none"
        return str(kinds[0]), str(kinds[1])

    def _embed(self, seen: list[_Seen], gains: NDArray[np.float32] | None = None) -> Tensor:
        """Content [clips, moments, D]; `gains` [clips, C] on the channels of their maps."""
        shown, heard = [], []
        for item in seen:
            around = self.model.windows(torch.from_numpy(item.frames), item.clip.count).numpy()
            shown.append(self.maps.places(item.clip, around, item.variant))
            heard.append(self._heard(item))
        device = self.world.device
        maps = self.maps.at(np.concatenate(shown)).to(device).float()
        if gains is not None:
            maps = maps * torch.from_numpy(gains.repeat(len(shown[0]), 0)).to(device)[:, None, :, None, None]
        speech = self._speech[torch.from_numpy(np.concatenate(heard)).to(device)]
        found, _ = self.model.embed(maps, speech)
        return found.reshape(len(seen), -1, found.shape[1])

    def _heard(self, item: _Seen) -> Numbers:
        """Rows [n, WINDOW] of all speech that are heard with the moments; the last, not a number, where nothing is."""
        start = self._spoken.get(item.clip.facts.id)
        if start is None or item.hears == "none":
            return np.full((len(item.frames), WINDOW), -1)
        frames = item.frames
        if item.hears == "other":
            frames = (frames + item.clip.count // 3 + 1) % item.clip.count
        return start + np.asarray(window_rows(torch.from_numpy(frames), item.clip.count))

    def _terms(self, first: Tensor, second: Tensor, draw: np.random.Generator) -> dict[str, Tensor]:
        options = self.options
        x, y = first.flatten(0, 1), second.flatten(0, 1)
        order = (np.arange(options.moments) + draw.integers(1, options.moments)) % options.moments
        others = second[:, order].flatten(0, 1)
        terms = {
            "same": (x * y).sum(1).mean().detach(),
            "other": (x * others).sum(1).mean().detach(),
        }
        loss = x.new_zeros(())
        if options.loss in {"both", "infonce"}:
            terms["infonce"] = moment_contrast(first, second, options.temperature)
            loss = loss + terms["infonce"]
        if options.loss in {"both", "paper"}:
            terms["paper"] = emotion_aware_contrast(x, y, others)
            loss = loss + (options.paper_weight if options.loss == "both" else 1.0) * terms["paper"]
        if options.loss == "pull":
            loss = loss + (1 - (x * y).sum(1)).mean()
        return {"loss": loss, **terms}

    def validate(self) -> dict[str, float]:
        """On people not trained on: cosines of same and other content, and how often a moment is found."""
        found: dict[str, list[float]] = {"same": [], "other": [], "found": [], "found_deaf": []}
        draw = np.random.default_rng(0)
        for pair in self.held_out:
            frames = draw_moments(pair, min(_OF, len(pair.frames) // 2), draw)
            for name, hears in (("found", "own"), ("found_deaf", "none")):
                x, y = (self._embed([_Seen(clip, frames[:, side], hears)])[0] for side, clip in enumerate(pair.clips))
                cosines = x @ y.T
                nearest = cosines.argmax(1).cpu()
                found[name].append(float((nearest == torch.arange(len(x))).float().mean()))
                if hears == "own":
                    found["same"].append(float(cosines.diagonal().mean()))
                    found["other"].append(float((cosines.sum() - cosines.trace()) / (cosines.numel() - len(x))))
        means = {name: float(np.mean(values)) for name, values in found.items()}
        score = means["found"] + means["found_deaf"] + means["same"] - max(means["other"], 0.0)
        return {"score": score, **means}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """The trained head; the frozen encoder is named only."""
        return self.model.head.state_dict(), ARCHITECTURE, asdict(self.model.config)
