"""`cdrl train ned`: trains NED's translator, the baseline, as published or under supervision.

setup → codes → fit, top to bottom. Its own losses, all of weight one: adversarial (least squares), style
reconstruction, cycle, and the mouth's correlation. With supervision, some windows are rendered into their frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from cdrl.datasets.prepared import Prepared
from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.manipulation.ned import ARCHITECTURE, WINDOW, Ned, NedConfig, load_ned
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.manipulation.traits import OPENING, codes
from cdrl.training.distributed import World
from cdrl.training.loop import LoopOptions, fit, held
from cdrl.training.performances import Performance
from cdrl.training.scenes import Moment, Scene, SceneOptions, Stage
from cdrl.training.settings import settings_of

_HELD_OUT = 70  # windows, ten an emotion


@dataclass(frozen=True)
class Options:
    """Train NED's translator on prepared data (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            Path("runs/ned"), steps=600, learning_rate=3e-4, warmup=20, weight_decay=0.0, average=0.98
        )
    )
    # Free in every frame, it would buy emotion with trembling, had it to stand out as plainly as ours.
    scene: SceneOptions = field(default_factory=lambda: SceneOptions(length=WINDOW, contrast_weight=5.0))
    batch: int = 48
    """Windows of a step."""
    hidden: int = 256
    """Of the recurrent layers, each way."""
    start: Path | None = None
    """A checkpoint of this command to begin with, so that supervision can be added to what was trained without."""
    cache: Path = Path("runs/cache")
    """Where measured faces are kept."""


def run(options: Options) -> int:
    """The command."""
    data = Prepared.open(options.data)
    with held(options.loop, "cdrl train ned") as world:
        task = NedTask(options, data, world)
        fit(task, options.loop, world, settings_of(options, data.digest, prior=task.stage.fitted.sha256))
    return 0


class NedTask:
    """The networks, their windows and their losses; see `cdrl.training.loop.Task`."""

    rates: Mapping[str, float] = {}

    def __init__(self, options: Options, data: Prepared, world: World) -> None:
        self.options, self.world = options, world
        if options.scene.length != WINDOW:
            raise UsageError(f"--scene.length {options.scene.length}: these networks translate {WINDOW} frames")
        self.stage = Stage(options.scene, data, options.cache, world.device, not world.first)
        prior = self.stage.fitted
        self.codes = {id(item): codes(item.shapes, item.person.neutral, prior) for item in self.stage.every}
        count = len(prior.expression_deviation) + 1
        self.model = Ned(NedConfig(count, options.hidden, prior_sha256=prior.sha256)).to(world.device)
        if options.start is not None:
            begun = load_ned(options.start)
            if begun.config != self.model.config:
                raise UsageError(f"--start {options.start}: networks of another size, or for another prior")
            self.model.load_state_dict(begun.state_dict())
        named = [(item, EMOTIONS.index(item.clip.facts.emotion)) for item in self.stage.train if _labelled(item)]
        self._showing = {n: [item for item, number in named if number == n] for n in range(len(EMOTIONS))}
        missing = [EMOTIONS[number] for number, found in self._showing.items() if not found]
        if missing:
            raise UsageError(f"nobody to train on shows {', '.join(missing)}: prepare such clips")

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """The terms of a step; every process draws the whole batch and computes its slice of it."""
        options = self.options
        draw = np.random.default_rng((options.loop.seed, step))
        everybody = self.stage.train
        sources = [self._window(everybody[draw.integers(len(everybody))], draw) for _ in range(options.batch)]
        target = draw.integers(len(EMOTIONS), size=options.batch)
        real = [self._real(int(number), draw) for number in target]
        noise = self._noise(options.batch, draw)
        by_label = draw.random(options.batch) < 0.5
        mine = world.slice(options.batch)
        given = (np.array(sources)[mine], np.array(real)[mine], target[mine], noise[mine], by_label[mine])
        terms = self._own(*(torch.from_numpy(part).to(world.device) for part in given))
        if options.scene.supervised:
            moments = [self.stage.draw(draw) for _ in range(options.scene.clips)]
            mine = world.slice(len(moments))
            more, found = self._supervised(moments[mine], self._noise(len(moments), draw)[mine])
            terms = {**terms, **found, "loss": terms["loss"] + more}
        return terms

    def _noise(self, count: int, draw: np.random.Generator) -> NDArray[np.float32]:
        return draw.standard_normal((count, self.model.config.noise)).astype(np.float32)

    def _real(self, emotion: int, draw: np.random.Generator) -> NDArray[np.float32]:
        """A window of somebody to train on who shows an emotion."""
        showing = self._showing[emotion]
        return self._window(showing[draw.integers(len(showing))], draw)

    def _window(self, item: Performance, draw: np.random.Generator) -> NDArray[np.float32]:
        start = int(item.frames[draw.integers(len(item.frames))])
        return self.codes[id(item)][start : start + WINDOW]

    def _own(self, source: Tensor, real: Tensor, target: Tensor, noise: Tensor, by_label: Tensor) -> dict[str, Tensor]:
        model = self.model
        style = torch.where(by_label[:, None], model.label_style(target, noise), model.reference_style(real, target))
        made = model.translate(source, style)
        neutral = torch.full_like(target, EMOTIONS.index("neutral"))  # the way back: most sources are
        back = model.translate(made, model.reference_style(source, neutral))
        told = (model.judge(real, target) - 1).square(), model.judge(made.detach(), target).square()
        terms = {
            "adversarial": (self._judged_by_constants(made, target) - 1).square().mean(),
            "style": (model.reference_style(made, target) - style.detach()).abs().mean(),
            "cycle": (back - source).abs().mean(),
            "mouth": (1 - _correlation(made[:, :, -1], source[:, :, -1])).mean(),
            "judges": told[0].mean() + told[1].mean(),
        }
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def _judged_by_constants(self, made: Tensor, target: Tensor) -> Tensor:
        """`Ned.judge` whose weights get no gradient: the discriminators must not learn what the generator wants."""
        constant = {f"model.{name}": value.detach() for name, value in self.model.named_parameters()}
        found: Tensor = functional_call(_Judging(self.model), constant, (made, target))
        return found

    def _supervised(self, moments: list[Moment], noise: NDArray[np.float32]) -> tuple[Tensor, dict[str, Tensor]]:
        device = self.world.device
        windows = [self.codes[id(m.performance)][m.start : m.start + WINDOW] for m in moments]
        source = torch.from_numpy(np.array(windows)).to(device)
        target = torch.tensor([EMOTIONS.index(EXPRESSIVE[moment.emotion]) for moment in moments], device=device)
        made = self.model.translate(source, self.model.label_style(target, torch.from_numpy(noise).to(device)))
        return self.stage.supervised(moments, lambda scene: self._rendered(moments, scene, made.float() - source))

    def _rendered(self, moments: list[Moment], scene: Scene, change: Tensor) -> Tensor:
        """The scene's frames with changes of codes [B, T, c] laid over them, and the prior's shading of the emotion."""
        prior = self.stage.prior
        gains = torch.stack([prior.gain[moment.emotion] for moment in moments])
        return scene.rendered(prior.coded(change[..., :-1], OPENING * change[..., -1], scene.shapes), gains)

    def validate(self) -> dict[str, float]:
        """On people not trained on: its own terms but the adversarial ones, which only say who is ahead, and how far
        the mean code of each emotion is from that of people who show it, in deviations."""
        draw = np.random.default_rng(0)
        held_out = self.stage.held_out
        source = [self._window(held_out[draw.integers(len(held_out))], draw) for _ in range(_HELD_OUT)]
        target = np.arange(_HELD_OUT) % len(EMOTIONS)
        real = np.array([self._real(int(number), draw) for number in target])
        given = (np.array(source), real, target, self._noise(_HELD_OUT, draw), np.ones(_HELD_OUT, bool))
        tensors = [torch.from_numpy(part).to(self.world.device) for part in given]
        terms = self._own(*tensors)
        made = self.model.translate(tensors[0], self.model.label_style(tensors[2], tensors[3])).cpu().numpy()
        found = {name: float(terms[name]) for name in ("style", "cycle", "mouth")}
        far = [np.abs(made[target == n].mean((0, 1)) - real[target == n].mean((0, 1))) for n in range(len(EMOTIONS))]
        found["far"] = float(np.mean(far))
        return {"score": -sum(found.values()), **found}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """The networks."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)


class _Judging(torch.nn.Module):
    """`Ned.judge` as a module's forward, so that it can be called with other weights."""

    def __init__(self, model: Ned) -> None:
        super().__init__()
        self.model = model

    def forward(self, windows: Tensor, emotion: Tensor) -> Tensor:
        return self.model.judge(windows, emotion)


def _labelled(item: Performance) -> bool:
    return item.clip.facts.emotion in EMOTIONS


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson correlation [B] over time of [B, T] and [B, T]."""
    return functional.cosine_similarity(one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True), dim=1)
