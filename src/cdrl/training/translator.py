"""`cdrl train translator`: trains how a person shows each emotion, under the supervision of the two representations.

setup → stage → fit, top to bottom. Every step takes a few moments of clips, asks each person for an emotion, renders
the answer into the frames, and compares: the content with the source's, the emotion with that of people who show it.
Beside it stand the translator's own losses: what people were seen to show themselves, and trust in the fitted prior.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tyro.conf import FlagCreatePairsOff

from cdrl.datasets.prepared import Prepared
from cdrl.face.apertures import without_apertures
from cdrl.face.mesh import INNER_LIPS, OUTER_LIPS
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.manipulation.traits import FURTHER, REGIONS, code_of, traits
from cdrl.manipulation.translator import ARCHITECTURE, Translator, TranslatorConfig, as_onnx, load_translator
from cdrl.training.distributed import World
from cdrl.training.loop import LoopOptions, fit, held
from cdrl.training.performances import Performance
from cdrl.training.publish import check_target, publish_bytes
from cdrl.training.scenes import Moment, Scene, SceneOptions, Stage
from cdrl.training.settings import settings_of

# Deviations of a mode. Small: given its way in the code, training finds one grimace that the representation takes for
# every emotion and nobody else for any; what people were seen to show comes through all the same.
_CLEAR = 0.7
_CLEAR_FURTHER = [0.3] * REGIONS + [0.08, 0.1, 0.1]  # logarithms of strengths; cm of lip opening; of lids and shading
_VALIDATED = 12  # moments of people not trained on, each asked for every emotion


@dataclass(frozen=True)
class Options:
    """Train the translator on prepared data (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            Path("runs/translator"),
            steps=200,
            learning_rate=5e-3,
            warmup=30,
            weight_decay=0.0,
            average=0.98,
            validate_every=100,
        )
    )
    scene: SceneOptions = field(default_factory=SceneOptions)
    own_weight: float = 1.0
    """Of what a person was seen to show themselves."""
    trust: float = 0.2
    """Of the fitted prior: on the squares of the changes, in units of what is a clear change of each kind."""
    lips: float = 1.0
    """Of the lips' thickness as the prior has it: on the mean square of its change, mm²."""
    growth: float = 4.0
    """Of what is laid on growing: on the logarithm of its size over the prior's, where it is larger. Likeness and
    steadiness pay for every size; another shape of the same size costs them nothing."""
    cache: Path = Path("runs/cache")
    """Where measured faces are kept."""
    publish: Path | None = None
    """Where the best checkpoint goes as ONNX, entered into the list of model files."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the file that --publish names."""


def run(options: Options) -> int:
    """The command."""
    check_target(options.publish, options.overwrite)
    data = Prepared.open(options.data)
    with held(options.loop, "cdrl train translator") as world:
        task = TranslatorTask(options, data, world)
        best = fit(task, options.loop, world, settings_of(options, data.digest, prior=task.stage.fitted.sha256))
        if options.publish is not None and world.first:
            count = len({item.who for item in task.stage.train})
            origin = f"cdrl train translator on {len(task.stage.train)} clips, {count} people"
            publish_bytes(as_onnx(load_translator(best)), options.publish, origin, overwrite=options.overwrite)
    return 0


@dataclass(frozen=True)
class Asked:
    """A moment, and the code of what its person shows of the emotion, if seen."""

    moment: Moment
    own: NDArray[np.float32] | None


class TranslatorTask:
    """The model, its moments and its losses; see `cdrl.training.loop.Task`."""

    rates: Mapping[str, float] = {}

    def __init__(self, options: Options, data: Prepared, world: World) -> None:
        self.options, self.world = options, world
        self.stage = Stage(options.scene, data, options.cache, world.device, not world.first)
        self.fitted = self.stage.fitted
        modes, people = len(self.fitted.expression_deviation), len(self.fitted.identity)
        config = TranslatorConfig(people + len(EXPRESSIVE) + 2, modes, prior_sha256=self.fitted.sha256)
        self.model = Translator(config).to(world.device)
        self.examples: dict[tuple[str, str], list[Performance]] = defaultdict(list)
        for item in self.stage.every:
            if item.clip.facts.emotion in EXPRESSIVE:
                self.examples[item.who, item.clip.facts.emotion].append(item)

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """The terms of a step; every process draws the whole batch and computes its slice of it."""
        draw = np.random.default_rng((self.options.loop.seed, step))
        asked = []
        for _ in range(self.options.scene.clips):
            moment = self.stage.draw(draw)
            asked.append(self.asked(moment))
        return self._terms(asked[world.slice(len(asked))])

    def asked(self, moment: Moment) -> Asked:
        """A moment with what is known of its person."""
        name = EXPRESSIVE[moment.emotion]
        seen = self.examples.get((moment.performance.who, name), [])
        if not seen:
            return Asked(moment, None)
        shown = np.mean([without_apertures(item.person.mean - item.person.neutral) for item in seen], 0)
        own = self.fitted.emphasised({name: 1.0}, shown) - self.fitted.offset[moment.emotion]
        return Asked(moment, code_of(own, self.fitted))

    def changes(self, asked: list[Asked]) -> Tensor:
        """What the translator answers, [B, e, c + FURTHER]."""
        told = np.array([traits(item.moment.performance.person, self.fitted) for item in asked])
        found: Tensor = self.model(torch.from_numpy(told).to(self.world.device))
        return found

    def generated(self, asked: list[Asked], change: Tensor, scene: Scene) -> Tensor:
        """The scene's frames with the answers laid over them, [B, T, 3, 224, 224]."""
        numbers = torch.tensor([item.moment.emotion for item in asked], device=change.device)
        amounts = functional.one_hot(numbers, len(EXPRESSIVE)).float()
        prior = self.stage.prior
        taken = self.stage.taken([item.moment for item in asked])
        patterns = prior.patterns(change.float(), amounts).minus(taken)
        return scene.rendered(prior.displacement(patterns, scene.shapes, scene.closed), patterns.gain)

    def _terms(self, asked: list[Asked]) -> dict[str, Tensor]:
        options = self.options
        change = self.changes(asked)
        answers = change[torch.arange(len(asked)), [item.moment.emotion for item in asked]]
        terms = {"trust": self._distrust(answers), "lips": self._lips(answers), "own": self._own(answers, asked)}
        loss = options.trust * terms["trust"] + options.lips * terms["lips"] + options.own_weight * terms["own"]
        if options.growth:
            terms["growth"] = self._growth(change, [item.moment.emotion for item in asked])
            loss = loss + options.growth * terms["growth"]
        if options.scene.supervised:
            moments = [item.moment for item in asked]
            more, found = self.stage.supervised(moments, lambda scene: self.generated(asked, change, scene))
            loss, terms = loss + more, terms | found
        return {"loss": loss, **terms}

    @staticmethod
    def _distrust(answers: Tensor) -> Tensor:
        """How far the answers [B, c + FURTHER] go from the prior."""
        clear = [_CLEAR] * (answers.shape[1] - FURTHER) + _CLEAR_FURTHER
        return (answers / answers.new_tensor(clear)).square().sum(1).mean()

    def _lips(self, answers: Tensor) -> Tensor:
        """Mean square of how much thicker the lips get, mm²: thin ones look parted where they are closed."""
        outer, inner = ([*pair[0], *pair[1]] for pair in (OUTER_LIPS, INNER_LIPS))
        modes = self.stage.prior.modes
        thicker = torch.einsum("bc,cpk->bpk", answers[:, :-FURTHER], modes[:, outer] - modes[:, inner])
        return (10 * thicker).square().sum(2).mean()

    def _growth(self, change: Tensor, emotions: list[int]) -> Tensor:
        """Mean logarithm, where above 0, of the size of the offsets that are asked for over that of the prior's."""
        prior = self.stage.prior
        amounts = functional.one_hot(torch.tensor(emotions, device=change.device), len(EXPRESSIVE)).float()
        size = prior.patterns(change.float(), amounts).offset.square().sum((1, 2))
        return (size / prior.offset[emotions].square().sum((1, 2))).log().clamp(min=0).mean()

    def _own(self, answers: Tensor, asked: list[Asked]) -> Tensor:
        """Distance to what the person was seen to show, mean over the batch (0 for those who were not)."""
        found = answers.new_zeros(())
        for change, item in zip(answers, asked, strict=True):
            if item.own is not None:
                own = torch.from_numpy(item.own).to(change.device)
                found = found + functional.smooth_l1_loss(change[: len(own)], own) / len(asked)
        return found

    def validate(self) -> dict[str, float]:
        """The terms on people not trained on, who are asked for every emotion."""
        draw = np.random.default_rng(0)
        held_out = self.stage.held_out
        found: dict[str, list[float]] = defaultdict(list)
        for number in range(_VALIDATED):
            performance = held_out[number * len(held_out) // _VALIDATED]
            for emotion in range(len(EXPRESSIVE)):
                terms = self._terms([self.asked(self.stage.moment(performance, emotion, draw))])
                for name, value in terms.items():
                    found[name].append(float(value))
        means = {name: float(np.mean(values)) for name, values in found.items()}
        return {"score": -means["loss"], **means}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """The translator."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)
