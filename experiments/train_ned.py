"""Trains NED's translator, the baseline, as published or under supervision.

`python -m experiments.train_ned --data PREPARED... --output RUN`. NED's own losses, all of weight one: adversarial
(least squares), style reconstruction, cycle (back to the source, in the source's own style), and the mouth's
correlation. With supervision, some windows are rendered into their frames.
"""

from __future__ import annotations

import sys
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
from tyro.conf import FlagCreatePairsOff

from cdrl.datasets.prepared import PreparedDataset
from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.training.distributed import World
from cdrl.training.loop import fit, open_run
from cdrl.training.options import LoopOptions, SupervisionOptions
from cdrl.training.people import list_trained, open_data, record_people
from cdrl.training.presets import use_paper_setting
from cdrl.training.recipe import recipe_settings
from cdrl.training.supervised_data import ClipBatch, SupervisedDataset, TrainingMoment
from cdrl.training.training_clips import FrontalClip
from experiments.commands import run_command
from experiments.ned_networks import ARCHITECTURE, WINDOW, Ned, NedConfig, decode_change, encode_shapes, load_ned

PROGRAM = "python -m experiments.train_ned"
_VALIDATION_WINDOWS = 70  # ten of each emotion


@dataclass(frozen=True)
class Options:
    """Train NED's translator on prepared data (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    split: str = "auto"
    """Split by person; see cdrl data check."""
    paper: FlagCreatePairsOff[bool] = False
    """Set width, batch and optimizer as NED has them, and weigh the representations as the paper does; options that say
    otherwise are refused, but for a weight of 0, which leaves a representation out."""
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            Path("runs/ned"), steps=600, learning_rate=3e-4, warmup=20, weight_decay=0.0, average=0.98
        )
    )
    # The generator is free in every frame: with the contrast weight of our own, it buys emotion with jitter.
    supervision: SupervisionOptions = field(
        default_factory=lambda: SupervisionOptions(length=WINDOW, contrast_weight=5.0)
    )
    batch: int = 48
    """Windows in a step."""
    hidden: int = 256
    """Width of the recurrent layers in each direction."""
    start: Path | None = None
    """Checkpoint of this command to start from, so that supervision can be added to networks trained without."""
    cache: Path = Path("runs/cache")
    """Folder for the cache of measured faces."""
    check_people: bool = True
    """Refuse people of different splits whose faces are those of one person; off for twins."""

    @property
    def PAPER(self) -> Mapping[str, Any]:  # noqa: N802
        """The paper's own setting, see `use_paper_setting`.

        The paper's table has rows without either representation, so a weight of 0 goes with it.
        """
        weights = {"content_weight": 10.0, "emotion_weight": 50.0}
        supervision = {name: value for name, value in weights.items() if getattr(self.supervision, name)}
        fixed = {"length": WINDOW, "contrast_weight": 0.0, "emotion_target": "absolute"}
        optimizer = {"learning_rate": 1e-4, "betas": (0.0, 0.99), "warmup": 0, "weight_decay": 0.0, "average": 0.0}
        return {"hidden": 512, "batch": 64, "loop": optimizer, "supervision": {**supervision, **fixed}}


def run(options: Options) -> int:
    """Train, and write checkpoints and the log into the run's folder."""
    options = use_paper_setting(options)
    data = open_data(options)
    with open_run(options.loop, PROGRAM) as world:
        task = NedTask(options, data, world)
        recorded = record_people(data.people, list_trained(data, options.supervision.exclude))
        settings = recipe_settings(options, data.digest, prior=task.dataset.fitted.sha256, split_people=recorded)
        fit(task, options.loop, world, settings)
    return 0


class NedTask:
    """Networks, windows and losses of NED; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {}

    def __init__(self, options: Options, data: PreparedDataset, world: World) -> None:
        self.options, self.world = options, world
        if options.supervision.length != WINDOW:
            raise UsageError(f"--length {options.supervision.length}: these networks translate {WINDOW} frames")
        self.dataset = SupervisedDataset(options.supervision, data, options.cache, world.device, not world.is_main)
        prior = self.dataset.fitted
        self.codes = {
            id(item): encode_shapes(item.shapes, item.person.neutral_shape, prior) for item in self.dataset.all_clips
        }
        count = len(prior.expression_deviation) + 1
        self.model = Ned(NedConfig(count, options.hidden, prior_sha256=prior.sha256)).to(world.device)
        if options.start is not None:
            initial = load_ned(options.start)
            if initial.config != self.model.config:
                raise UsageError(f"--start {options.start}: networks of another size, or for another prior")
            self.model.load_state_dict(initial.state_dict())
        train = self.dataset.train
        self._showing = [[item for item in train if item.clip.metadata.emotion == name] for name in EMOTIONS]
        missing = [name for name, clips in zip(EMOTIONS, self._showing, strict=True) if not clips]
        if missing:
            raise UsageError(f"no training clip shows {', '.join(missing)}: prepare such clips")

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compute the terms of a step; every process draws the whole batch and computes its slice of it."""
        options = self.options
        draw = np.random.default_rng((options.loop.seed, step))
        sources = [self._draw_window(self.dataset.train, draw) for _ in range(options.batch)]
        target = draw.integers(len(EMOTIONS), size=options.batch)
        real = [self._draw_window(self._showing[number], draw) for number in target]
        noise = self._noise(options.batch, draw)
        by_label = draw.random(options.batch) < 0.5
        mine = world.slice(options.batch)
        batch = (np.array(sources)[mine], np.array(real)[mine], target[mine], noise[mine], by_label[mine])
        terms = self._ned_terms(*(torch.from_numpy(part).to(world.device) for part in batch))
        if options.supervision.supervised:
            moments = [self.dataset.draw_moment(draw) for _ in range(options.supervision.clips)]
            mine = world.slice(len(moments))
            supervision, details = self._supervised(moments[mine], self._noise(len(moments), draw)[mine])
            terms = {**terms, **details, "loss": terms["loss"] + supervision}
        return terms

    def _noise(self, count: int, draw: np.random.Generator) -> NDArray[np.float32]:
        return draw.standard_normal((count, self.model.config.noise)).astype(np.float32)

    def _draw_window(self, clips: list[FrontalClip], draw: np.random.Generator) -> NDArray[np.float32]:
        item = clips[draw.integers(len(clips))]
        start = int(item.frames[draw.integers(len(item.frames))])
        return self.codes[id(item)][start : start + WINDOW]

    def _ned_terms(
        self, source: Tensor, real: Tensor, target: Tensor, noise: Tensor, by_label: Tensor
    ) -> dict[str, Tensor]:
        model = self.model
        style = torch.where(by_label[:, None], model.label_style(target, noise), model.encode_style(real))
        generated = model.translate(source, style)
        cycled = model.translate(generated, model.encode_style(source))
        taken_for_real = (model(real, target) - 1).square().mean() + model(generated.detach(), target).square().mean()
        # Discriminators get no gradient here: they must not learn from the generator's loss.
        constant = {name: value.detach() for name, value in model.named_parameters()}
        scores: Tensor = functional_call(model, constant, (generated, target))
        terms = {
            "adversarial": (scores - 1).square().mean(),
            "style": (model.encode_style(generated) - style.detach()).abs().mean(),
            "cycle": (cycled - source).abs().mean(),
            "mouth": (1 - _correlation(generated[:, :, -1], source[:, :, -1])).mean(),
            "discriminators": taken_for_real,
        }
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def _supervised(
        self, moments: list[TrainingMoment], noise: NDArray[np.float32]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        device = self.world.device
        windows = [self.codes[id(m.clip)][m.start : m.start + WINDOW] for m in moments]
        source = torch.from_numpy(np.array(windows)).to(device)
        target = torch.tensor([EMOTIONS.index(EXPRESSIVE[moment.emotion]) for moment in moments], device=device)
        generated = self.model.translate(source, self.model.label_style(target, torch.from_numpy(noise).to(device)))
        return self.dataset.supervise(moments, lambda batch: self._rendered(moments, batch, generated.float() - source))

    def _rendered(self, moments: list[TrainingMoment], batch: ClipBatch, change: Tensor) -> Tensor:
        """Render changes of codes [B, T, c] and the prior's shading of the emotion into the batch's frames."""
        prior = self.dataset.prior
        gains = torch.stack([prior.gain[moment.emotion] for moment in moments])
        return batch.render(decode_change(change, batch.shapes, prior), gains)

    def validate(self) -> dict[str, float]:
        """Measure on people not trained on.

        NED's terms without the adversarial ones, which say little of quality, and `far`, the distance of each emotion's
        mean code to that of people who show it, in deviations.
        """
        draw = np.random.default_rng(0)
        target = np.arange(_VALIDATION_WINDOWS) % len(EMOTIONS)
        source = np.array([self._draw_window(self.dataset.validation, draw) for _ in target])
        real = np.array([self._draw_window(self._showing[number], draw) for number in target])
        batch = (source, real, target, self._noise(len(target), draw), np.ones(len(target), bool))
        tensors = [torch.from_numpy(part).to(self.world.device) for part in batch]
        terms = self._ned_terms(*tensors)
        generated = self.model.translate(tensors[0], self.model.label_style(tensors[2], tensors[3])).cpu().numpy()
        scores = {name: float(terms[name]) for name in ("style", "cycle", "mouth")}
        means = [(generated[target == n].mean((0, 1)), real[target == n].mean((0, 1))) for n in range(len(EMOTIONS))]
        scores["far"] = float(np.mean([np.abs(mine - theirs) for mine, theirs in means]))
        return {"score": -sum(scores.values()), **scores}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the networks' tensors, their architecture and their configuration."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson correlation [B] over time of [B, T] and [B, T]."""
    return functional.cosine_similarity(one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True), dim=1)


if __name__ == "__main__":
    sys.exit(run_command(Options, run, PROGRAM))
