"""The translator: predicts from what a person looks like how this person shows each emotion; and its training.

The network adapts the fitted prior, and begins as it: what it has not learned otherwise stays. People differ in how
they show an emotion far more than in how they move while they do, so it runs once a person, not once a frame; the
movement is the source's own.

It is trained by what the representations see: every step takes a few moments of clips, asks for an emotion of each
person, renders the answer into the frames, and compares: the content with the source's, the emotion with that of people
who show it. Beside it stand the translator's own losses: what people are observed to show themselves, and closeness to
the fitted prior.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cdrl.datasets.prepared import PreparedDataset
from cdrl.face.apertures import remove_apertures
from cdrl.manipulation.expression_change import ExpressionChange
from cdrl.manipulation.personalization import (
    N_EXTRA_OUTPUTS,
    N_REGIONS,
    encode_offset,
    person_features,
    split_outputs,
)
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.representations.checkpoints import load_network
from cdrl.training.differentiable_rendering import stack_changes
from cdrl.training.distributed import World
from cdrl.training.onnx_export import export_network
from cdrl.training.options import TranslatorOptions
from cdrl.training.people import list_trained, open_data, record_people
from cdrl.training.presets import use_paper_setting
from cdrl.training.recipe import recipe_settings, train_recipe
from cdrl.training.release import check_target
from cdrl.training.supervised_data import ClipBatch, SupervisedDataset, TrainingMoment
from cdrl.training.training_clips import FrontalClip

ARCHITECTURE = "translator"
_MAX_CODE = 3.0  # deviations of a mode
# Log of a factor on the offset in a region. Without a bound training makes the brows of every emotion stronger by 1.8,
# and faces less like those that really show it.
_MAX_STRENGTH = 0.3
_MAX_LIP_OPENING = 0.12  # cm
_MAX_LIDS = 0.15  # log of the lid ratio
_MAX_SHADING = 0.2  # log of the gain: representations like folds that the eye takes for dirt
# Deviations of a mode that count as a clear change. Small: with its own way in the code, training finds one grimace
# that the representation takes for every emotion; what people are observed to show comes through all the same.
_CLEAR_CHANGE = 0.7
# Logarithms of strengths; cm of lip opening; logarithms of lid ratio and shading.
_CLEAR_EXTRA_CHANGES = [0.3] * N_REGIONS + [0.08, 0.1, 0.1]
_VALIDATION_MOMENTS = 12  # of validation people, each with every target emotion


def train_translator(options: TranslatorOptions) -> None:
    """Train the translator.

    Raises:
        CdrlError: An option, the data or the folder of the run is wrong.
    """
    options = use_paper_setting(options)
    check_target(options.release.publish, options.release.overwrite)
    data = open_data(options)
    train_recipe(
        "translator",
        options,
        lambda world: TranslatorTask(options, data, world),
        lambda best: export_onnx(load_translator(best)),
    )


class TranslatorTask:
    """The translator, its moments and its losses; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {}

    def __init__(self, options: TranslatorOptions, data: PreparedDataset, world: World) -> None:
        """Load the supervised data, and collect what people are observed to show.

        Raises:
            UsageError: The data do not suffice.
        """
        self.options, self.world = options, world
        self.dataset = SupervisedDataset(
            options.supervision, data, options.cache, world.device, quiet=not world.is_main
        )
        self.fitted = self.dataset.fitted
        recorded = record_people(data.people, list_trained(data, options.supervision.exclude))
        self.settings = recipe_settings(options, data.digest, prior=self.fitted.sha256, split_people=recorded)
        modes, people = len(self.fitted.expression_deviation), len(self.fitted.identity)
        config = TranslatorConfig(people + len(EXPRESSIVE) + 2, modes, prior_sha256=self.fitted.sha256)
        self.model = Translator(config).to(world.device)
        self._examples: dict[tuple[str, str], list[FrontalClip]] = defaultdict(list)
        for item in self.dataset.all_clips:
            if not item.clip.metadata.synthetic:  # the emotions of synthetic people are drawn, not observed
                self._examples[item.person_name, item.clip.metadata.emotion].append(item)
        train = self.dataset.train
        self.data_summary = f"{len(train)} clips, {len({item.person_name for item in train})} people"

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compute the terms of a step; every process draws the whole batch and computes its slice of it."""
        random = np.random.default_rng((self.options.loop.seed, step))
        moments = [self.dataset.draw_moment(random) for _ in range(self.options.supervision.clips)]
        return self._compute_terms(moments[world.slice(len(moments))])

    def observe(self, moment: TrainingMoment) -> NDArray[np.float32] | None:
        """Return the code of what a moment's person shows of the target emotion beside their neutral clips.

        None where they are synthetic, or not seen both with and without it.
        """
        person = moment.clip.person_name
        clips, neutral = (self._examples.get((person, name)) for name in (EXPRESSIVE[moment.emotion], "neutral"))
        if not clips or not neutral:
            return None
        after, before = (np.mean([item.person.mean_shape for item in items], 0) for items in (clips, neutral))
        return encode_offset(remove_apertures(after - before) - self.fitted.offset[moment.emotion], self.fitted)

    def predict(self, moments: list[TrainingMoment]) -> Tensor:
        """Predict the changes to the prior for the people of moments, [B, e, c + N_EXTRA_OUTPUTS]."""
        features = np.array([person_features(moment.clip.person, self.fitted) for moment in moments])
        changes: Tensor = self.model(torch.from_numpy(features).to(self.world.device))
        return changes

    def generate(self, moments: list[TrainingMoment], changes: Tensor, batch: ClipBatch) -> Tensor:
        """Render the predicted emotions into the frames of a batch, [B, T, 3, 224, 224]."""
        source = stack_changes([moment.clip.shown for moment in moments], self.world.device)  # shown already
        expression = self._predict_expression(moments, changes).add(source, -1.0)
        freedom = [moment.clip.person.mouth_freedom for moment in moments]
        expression = expression.compensate(torch.tensor(freedom, device=self.world.device))
        displacement = expression[:, None].compute_displacement(batch.shapes, batch.closed_opening, batch.mean_opening)
        return batch.render(displacement, expression.gain)

    def _predict_expression(self, moments: list[TrainingMoment], changes: Tensor) -> ExpressionChange:
        """What the target emotions [B] do to the faces, by the adapted prior."""
        numbers = torch.tensor([moment.emotion for moment in moments], device=changes.device)
        amounts = functional.one_hot(numbers, len(EXPRESSIVE)).float()
        return self.dataset.prior.adapt(split_outputs(changes.float())).blend_weights(amounts)

    def _compute_terms(self, moments: list[TrainingMoment]) -> dict[str, Tensor]:
        options = self.options
        changes = self.predict(moments)
        answers = changes[torch.arange(len(moments)), [moment.emotion for moment in moments]]
        terms = {
            "prior": _measure_deviation(answers),
            "own": _compare_with_observed(answers, [self.observe(moment) for moment in moments]),
        }
        loss = options.prior_weight * terms["prior"] + options.own_weight * terms["own"]
        if options.magnitude_weight:
            terms["magnitude"] = self.measure_growth(changes, moments)
            loss = loss + options.magnitude_weight * terms["magnitude"]
        if options.supervision.supervised:
            supervised, more = self.dataset.supervise(moments, lambda batch: self.generate(moments, changes, batch))
            loss, terms = loss + supervised, terms | more
        return {"loss": loss, **terms}

    def measure_growth(self, changes: Tensor, moments: list[TrainingMoment]) -> Tensor:
        """Measure by how much the predicted offsets are larger than the prior's.

        Args:
            changes: Changes to the prior [B, e, c + N_EXTRA_OUTPUTS].
            moments: The moments [B], with their target emotions.

        Returns:
            The mean of the log ratio of the squared sizes, where it is above 0.
        """
        prior: Any = self.dataset.prior
        size = self._predict_expression(moments, changes).offset.square().sum((1, 2))
        fitted = prior.offset[[moment.emotion for moment in moments]].square().sum((1, 2))
        growth: Tensor = (size / fitted).log().clamp(min=0).mean()
        return growth

    def validate(self) -> dict[str, float]:
        """Compute the terms on validation people, with every emotion as the target."""
        random = np.random.default_rng(0)
        clips = self.dataset.validation
        measures: dict[str, list[float]] = defaultdict(list)
        for number in range(_VALIDATION_MOMENTS):
            clip = clips[number * len(clips) // _VALIDATION_MOMENTS]
            for emotion in range(len(EXPRESSIVE)):
                terms = self._compute_terms([self.dataset.make_moment(clip, emotion, random)])
                for name, value in terms.items():
                    measures[name].append(float(value))
        means = {name: float(np.mean(values)) for name, values in measures.items()}
        return {"score": -means["loss"], **means}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the translator."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)


def _measure_deviation(answers: Tensor) -> Tensor:
    """How far the answers [B, c + N_EXTRA_OUTPUTS] are from the prior, in units of a clear change."""
    clear = [_CLEAR_CHANGE] * (answers.shape[1] - N_EXTRA_OUTPUTS) + _CLEAR_EXTRA_CHANGES
    return (answers / answers.new_tensor(clear)).square().sum(1).mean()


def _compare_with_observed(answers: Tensor, observed: list[NDArray[np.float32] | None]) -> Tensor:
    """Distance to what people are observed to show, mean over the batch (0 for those who are not)."""
    total = answers.new_zeros(())
    for answer, code in zip(answers, observed, strict=True):
        if code is not None:
            target = torch.from_numpy(code).to(answer.device)
            total = total + functional.smooth_l1_loss(answer[: len(target)], target) / len(observed)
    return total


@dataclass(frozen=True)
class TranslatorConfig:
    """What a translator is made of."""

    traits: int
    """Numbers of `person_features`."""
    modes: int
    """Expression modes of the prior."""
    hidden: int = 96
    """Width of its layers."""
    prior_sha256: str = ""
    """SHA-256 of the prior that it adapts."""


class Translator(nn.Module):
    """Predicts how people show each emotion; before training it predicts no difference to the prior."""

    limits: Tensor

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = config
        hidden, wide = config.hidden, config.modes + N_EXTRA_OUTPUTS
        self.person = nn.Sequential(nn.LayerNorm(config.traits), nn.Linear(config.traits, hidden))
        self.emotion = nn.Parameter(0.1 * torch.randn(len(EXPRESSIVE), hidden))
        middle = nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        self.inner = nn.Sequential(nn.LayerNorm(hidden), *middle)
        self.norm, self.out = nn.LayerNorm(hidden), nn.Linear(hidden, wide)
        self.typical = nn.Parameter(torch.zeros(len(EXPRESSIVE), wide))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        extra = [_MAX_STRENGTH] * N_REGIONS + [_MAX_LIP_OPENING, _MAX_LIDS, _MAX_SHADING]
        limits = torch.tensor([_MAX_CODE] * config.modes + extra)
        self.register_buffer("limits", limits, persistent=False)

    def forward(self, traits: Tensor) -> Tensor:
        """Predict adaptations of the prior.

        Args:
            traits: [B, n], see `person_features`.

        Returns:
            [B, e, c + N_EXTRA_OUTPUTS], see `split_outputs`; softly bounded, so that no face is drawn out of shape.
        """
        hidden = functional.gelu(self.person(traits)[:, None] + self.emotion)
        change = self.out(self.norm(hidden + self.inner(hidden))) + self.typical
        return self.limits * torch.tanh(change)


def load_translator(path: Path) -> Translator:
    """Load a trained translator, frozen.

    Raises:
        InputError: The file is another checkpoint, or none.
    """
    return load_network(path, ARCHITECTURE, TranslatorConfig, Translator)


def export_onnx(model: Translator) -> bytes:
    """Return the translator as ONNX for `OnnxTranslator`: one person a run, with the SHA-256 of the prior it adapts."""
    inputs = (torch.zeros(1, model.config.traits),)
    facts = {"prior_sha256": model.config.prior_sha256}
    return export_network(model, inputs, (["traits"], ["change"]), facts)
