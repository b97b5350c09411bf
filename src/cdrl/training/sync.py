"""`cdrl train sync`: trains the lip-sync judge of the evaluation on clips with sound.

setup → lips → fit, top to bottom. The evaluation's own face finder looks at every clip once. Every step takes a stretch
of some real and some made clips; in each, every moment of the lips must find its moment of the sound among the others
of the same stretch, and the other way round. Who speaks and what it looks like is the same throughout a stretch, so
only the movement tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.nn import functional
from tyro.conf import FlagCreatePairsOff

from cdrl.datasets.prepared import Prepared
from cdrl.errors import UsageError
from cdrl.evaluation.sync_auc import judge_of_sync
from cdrl.evaluation.sync_expert import ARCHITECTURE, CURVES, SyncConfig, SyncNetwork
from cdrl.evaluation.sync_moments import Moments, kept_moments
from cdrl.training.distributed import World
from cdrl.training.loop import LoopOptions, fit, held
from cdrl.training.progress import track
from cdrl.training.publish import check_target, publish
from cdrl.training.settings import settings_of

Array32 = NDArray[np.float32]
_FLOOR = 0.1  # of the mean spread, under which no curve is scaled up


@dataclass(frozen=True)
class Options:
    """Train the lip-sync judge on prepared data (`cdrl data prepare`), real and made people together."""

    data: tuple[Path, ...]
    """Prepared folders; clips without sound are left out."""
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            Path("runs/sync"), 600, learning_rate=2e-3, warmup=50, average=0.995, validate_every=200
        )
    )
    width: int = 96
    """Channels of the networks."""
    dimensions: int = 64
    """Of an embedding."""
    clips: int = 24
    """Stretches a step."""
    real: float = 0.5
    """Share of them that is of real people."""
    moments: int = 40
    """Moments of a stretch, 25 a second."""
    near: int = 1
    """Moments beside the right one that count neither as right nor as wrong."""
    temperature: float = 0.1
    """Of the contrast."""
    size: float = 0.25
    """Deviation of the log of how much a mouth moves, varied at random."""
    tremble: float = 0.3
    """At most this much noise on the lips, and as much on the sound, in units of their spread."""
    deaf: float = 0.1
    """Share of the speech features that is not heard."""
    cache: Path = Path("runs/cache")
    """Where the lips that were seen are kept."""
    publish: Path | None = None
    """Where the best checkpoint is copied, and entered into the list of model files."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the file that --publish names."""


def run(options: Options) -> int:
    """The command."""
    check_target(options.publish, options.overwrite)
    data = Prepared.open(options.data)
    with held(options.loop, "cdrl train sync") as world:
        task = SyncTask(options, data, world)
        best = fit(task, options.loop, world, settings_of(options, data.digest))
        if options.publish is not None and world.first:
            count = len({clip.person for clip in task.trained_on})
            publish(
                best,
                options.publish,
                f"cdrl train sync on {len(task.trained_on)} clips, {count} people",
                overwrite=options.overwrite,
            )
    return 0


class SyncTask:
    """The networks, their draws and their loss; see `cdrl.training.loop.Task`."""

    rates: Mapping[str, float] = {}

    def __init__(self, options: Options, data: Prepared, world: World) -> None:
        self.options, self.world = options, world
        seen = {part: self._look(data, part) for part in ("train", "validation")}
        long = [clip for clip in seen["train"] if len(clip.seen) >= options.moments]
        # As many of either kind as the share says, where there are both.
        self._kinds = [[c for c in long if c.synthetic == made] for made in (False, True)]
        self.trained_on, self.held_out = long, seen["validation"]
        if not long or not self.held_out:
            raise UsageError(
                f"{len(long)} clips with sound are long enough to train on and {len(self.held_out)} are there to "
                "validate: prepare more data, or lower --moments"
            )
        self.model = SyncNetwork(
            SyncConfig(data.speech, long[0].speech.shape[1], options.width, options.dimensions)
        ).to(world.device)
        self._scale()

    def _look(self, data: Prepared, part: Any) -> list[Moments]:
        console = Console(soft_wrap=True, quiet=not self.world.first)

        def shown(clips: Any) -> Any:
            return track(clips, f"looking at lips ({part})", console)

        given = (data.of(part), data.digest, self.options.cache, shown)
        if self.world.first:
            kept_moments(*given)
        self.world.barrier()
        return kept_moments(*given)

    def _scale(self) -> None:
        """What is trained on has unit spread; curves that hardly move are not blown up."""
        curves = np.concatenate([clip.curves[clip.seen] for clip in self.trained_on])
        spread = curves.std(0)
        speech = np.concatenate([clip.speech for clip in self.trained_on])
        model = self.model
        for buffer, values in (
            (model.lips_scale, spread + _FLOOR * spread.mean()),
            (model.speech_mean, speech.mean(0)),
            (model.speech_scale, speech.std(0) + 1e-3),
        ):
            # As it will be stored, so that what is validated is what is written.
            buffer.copy_(torch.from_numpy(values).half().float())

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Contrast of the moments of each stretch; every process draws the whole batch and computes its slice."""
        options = self.options
        draw = np.random.default_rng((options.loop.seed, step))
        drawn = [self._stretch(self._draw(number, draw), draw) for number in range(options.clips)]
        mine = drawn[world.slice(len(drawn))]
        curves, speech = (torch.from_numpy(np.stack(side)).to(world.device) for side in zip(*mine, strict=True))
        seen, heard = self.model.see(curves), self.model.hear(speech)
        alike = torch.einsum("btd,bsd->bts", seen, heard) / options.temperature
        places = torch.arange(options.moments, device=world.device)
        apart = (places[:, None] - places).abs()
        alike = alike.masked_fill((apart > 0) & (apart <= options.near), -torch.inf)
        right = places.expand(len(mine), -1)
        found = functional.cross_entropy(alike.transpose(1, 2), right)
        told = functional.cross_entropy(alike, right)
        hits = (alike.argmax(2) == places).float().mean()
        return {"loss": found + told, "found": hits.detach()}

    def _draw(self, number: int, draw: np.random.Generator) -> Moments:
        real, made = self._kinds
        wanted = real if number < round(self.options.real * self.options.clips) else made
        among = wanted or real or made
        return among[int(draw.integers(len(among)))]

    def _stretch(self, clip: Moments, draw: np.random.Generator) -> tuple[Array32, Array32]:
        """Lips [moments, CURVES] and speech [moments, width] of a stretch, varied."""
        options = self.options
        first = int(draw.integers(len(clip.seen) - options.moments + 1))
        part = slice(first, first + options.moments)
        curves, speech = clip.curves[part], clip.speech[part]
        lips_scale, speech_mean, speech_scale = (
            buffer.cpu().numpy() for buffer in (self.model.lips_scale, self.model.speech_mean, self.model.speech_scale)
        )
        tremble = options.tremble * draw.random() * draw.standard_normal(curves.shape)
        other = options.tremble * draw.standard_normal(CURVES)  # another mouth at rest
        lips = curves * np.exp(options.size * draw.standard_normal()) + lips_scale * (tremble + other)
        sound = speech + speech_scale * options.tremble * draw.standard_normal(speech.shape)
        sound = np.where(draw.random(speech.shape[1]) < options.deaf, speech_mean, sound)
        return lips.astype(np.float32), sound.astype(np.float32)

    def validate(self) -> dict[str, float]:
        """On people not trained on; real ones choose, where there are any."""
        rows = judge_of_sync(self.model, self.held_out)
        found = {(row.people, row.measure, row.condition): row.found.value for row in rows}
        values = {
            f"{people}_{name}": value
            for people in ("real", "made")
            for name, condition in (("clips", "whole clips"), ("windows", "windows of 1 s"))
            if (value := found[people, "AUC", condition]) is not None
        }
        chosen = [value for name, value in values.items() if name.startswith("real")] or list(values.values())
        return {"score": float(np.mean(chosen)), **values}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Both networks."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)
