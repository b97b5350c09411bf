"""`cdrl train translator`: trains how a person shows each emotion, under the supervision of the two representations.

setup → references → fit, top to bottom. Every step takes a few moments of clips, asks each person for an emotion,
renders the answer into the frames, and compares: the content with the source's, the emotion with that of people who
show it.
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
from rich.console import Console
from torch import Tensor
from torch.nn import functional

from cdrl.datasets.prepared import SIZE, Prepared
from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.manipulation.differentiable import DifferentiablePrior, Patterns
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.manipulation.supervision import CDRLSupervision, Shown
from cdrl.manipulation.traits import Example, code_of, own_offset, style, traits
from cdrl.manipulation.translator import ARCHITECTURE, Translator, TranslatorConfig, as_onnx, load_translator
from cdrl.rendering.differentiable import render_images
from cdrl.representation.content import load_content
from cdrl.representation.emotion import load_emotion
from cdrl.representation.encoders import as_images
from cdrl.training.augmentation import resized
from cdrl.training.distributed import World, started
from cdrl.training.faces import Faces, clip_faces, fer_faces, joined
from cdrl.training.loop import LoopOptions, fit, settings_of
from cdrl.training.performances import Performance, performances
from cdrl.training.prior import EMPHASIS, emphasised
from cdrl.training.publish import publish_bytes

_VALIDATED = 12  # moments of people not trained on, each asked for every emotion
_TOGETHER = 64


@dataclass(frozen=True)
class Options:
    """Train the translator on prepared data (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            Path("runs/translator"),
            steps=600,
            learning_rate=2e-3,
            warmup=30,
            weight_decay=0.0,
            average=0.98,
            validate_every=100,
        )
    )
    prior: Path | None = None
    """The fitted prior that is adapted; the shipped one by default."""
    content: Path | None = None
    """Content representation; the shipped one by default."""
    emotion: Path | None = None
    """Emotion representation; the shipped one by default."""
    fer: Path | None = None
    """Grey faces (.npz) that show emotions, too, beside those of the clips."""
    content_weight: float = 10.0
    """Of the content consistency; 0 trains without."""
    emotion_weight: float = 50.0
    """Of the emotion consistency; 0 trains without, and without the contrast."""
    contrast_weight: float = 1.0
    """Of the emotion standing out among the others as plainly as in the references."""
    own_weight: float = 1.0
    """Of what a person was seen to show themselves."""
    trust: float = 1.0
    """Of the fitted prior: on the square of every change, in deviations."""
    clips: int = 3
    """Moments a step."""
    length: int = 9
    """Frames of each."""
    made: float = 0.34
    """Share of the moments that are of synthetic people."""
    references: int = 8
    """Faces that show the emotion, a moment."""
    enrolled: float = 0.5
    """Share of the moments in which the person was seen to show the emotion before, where there is such a clip."""
    leave: tuple[str, ...] = ()
    """People (DATASET/ACTOR) who are left out."""
    cache: Path = Path("runs/cache")
    """Where measured faces are kept."""
    publish: Path | None = None
    """Where the best checkpoint is copied, and entered into the list of model files."""


def run(options: Options) -> int:
    """The command."""
    data = Prepared.open(options.data)
    with started(options.loop.device, options.loop.seed) as world:
        task = TranslatorTask(options, data, world)
        best = fit(task, options.loop, world, settings_of(options, data.digest))
    if options.publish is not None and world.first:
        count = len({item.who for item in task.train})
        origin = f"cdrl train translator on {len(task.train)} clips, {count} people"
        publish_bytes(as_onnx(load_translator(best)), options.publish, origin)
    return 0


@dataclass(frozen=True)
class Moment:
    """What is asked in one place of a batch: consecutive frames from `start`, one emotion, and what is known."""

    performance: Performance
    start: int
    emotion: int
    style: NDArray[np.float32]
    own: NDArray[np.float32] | None
    references: NDArray[np.int64]


class TranslatorTask:
    """The model, its moments and its losses; see `cdrl.training.loop.Task`."""

    rates: Mapping[str, float] = {}

    def __init__(self, options: Options, data: Prepared, world: World) -> None:
        self.options, self.world = options, world
        console = Console(soft_wrap=True, quiet=not world.first)
        self.fitted = EmotionPrior.load(options.prior)
        modes, people = len(self.fitted.expression_deviation), len(self.fitted.identity)
        self.model = Translator(TranslatorConfig(people + len(EXPRESSIVE) + 2, modes, prior_sha256=self.fitted.sha256))
        self.model.to(world.device)
        self.prior = DifferentiablePrior(self.fitted).to(world.device)
        self.supervision = CDRLSupervision(load_content(options.content), load_emotion(options.emotion))
        self.supervision.to(world.device)
        clips = [clip for clip in data.clips if f"{clip.facts.dataset}/{clip.facts.actor}" not in options.leave]
        every = performances(clips, self.fitted, options.length, console)
        self.train = [item for item in every if item.clip.facts.part == "train"]
        self.held_out = [item for item in every if item.clip.facts.part == "validation"]
        if not self.train or not self.held_out:
            raise UsageError(
                f"{len(self.train)} clips to train on and {len(self.held_out)} to validate show a face from the front "
                f"for {options.length} frames: one of each at least is needed; prepare more clips"
            )
        self.examples = self._examples(every)
        self._by_kind = [self._people(made) for made in (True, False)]
        self.references, self.of_emotion = self._references(data, console)

    def _examples(self, every: list[Performance]) -> dict[tuple[str, str], list[Performance]]:
        """Who was seen to show which emotion, in which clips."""
        found: dict[tuple[str, str], list[Performance]] = defaultdict(list)
        for item in every:
            if item.clip.facts.emotion in EXPRESSIVE:
                found[item.who, item.clip.facts.emotion].append(item)
        return found

    def _people(self, made: bool) -> dict[str, list[Performance]]:
        found: dict[str, list[Performance]] = defaultdict(list)
        for item in self.train:
            if item.clip.facts.synthetic == made:
                found[item.who].append(item)
        return dict(found)

    def _references(
        self, data: Prepared, console: Console
    ) -> tuple[tuple[Tensor, Tensor], dict[int, NDArray[np.int64]]]:
        """What people to train on show, [n, W] and [n] (see `Shown`), and which of them show which emotion."""
        several = [clip_faces(data, console, ("train",))]
        if self.options.fer is not None:
            several.append(fer_faces(self.options.fer, self.options.cache, console).of("train"))
        faces = joined(several)
        left = np.isin(faces.person, [name.split("/")[1] for name in self.options.leave])
        faces = faces.where(faces.labelled & ~left)
        numbers = {EMOTIONS.index(name): np.flatnonzero(faces.emotion == EMOTIONS.index(name)) for name in EXPRESSIVE}
        missing = [EMOTIONS[number] for number, rows in numbers.items() if not len(rows)]
        if missing:
            raise UsageError(f"nobody to train on shows {', '.join(missing)}: label such clips, or add --fer")
        return self._shown(faces), numbers

    @torch.inference_mode()
    def _shown(self, faces: Faces) -> tuple[Tensor, Tensor]:
        vectors, plainly = [], []
        for at in range(0, len(faces), _TOGETHER):
            pictures = np.stack([resized(picture, SIZE) for picture in faces.pictures[at : at + _TOGETHER]])
            emotion = torch.from_numpy(faces.emotion[at : at + _TOGETHER]).to(self.world.device)
            found = self.supervision.shown(as_images(pictures, self.world.device)[:, None], emotion)
            vectors.append(found.vectors[:, 0])
            plainly.append(found.plainly[:, 0])
        return torch.cat(vectors).clone(), torch.cat(plainly).clone()

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """The terms of a step; every process draws the whole batch and computes its slice of it."""
        draw = np.random.default_rng((self.options.loop.seed, step))
        moments = [self._draw(draw) for _ in range(self.options.clips)]
        return self._terms(moments[world.slice(len(moments))])

    def _draw(self, draw: np.random.Generator) -> Moment:
        made, real = self._by_kind
        group = (made if draw.random() < self.options.made and made else real) or made
        theirs = group[sorted(group)[draw.integers(len(group))]]
        performance = theirs[draw.integers(len(theirs))]
        emotion = int(draw.integers(len(EXPRESSIVE)))
        return self._moment(performance, emotion, draw, draw.random() < self.options.enrolled)

    def _moment(self, performance: Performance, emotion: int, draw: np.random.Generator, enrolled: bool) -> Moment:
        """`emotion` counts in EXPRESSIVE."""
        name = EXPRESSIVE[emotion]
        seen = self.examples.get((performance.who, name), [])
        own, examples = None, []
        if seen:
            shown = np.mean([own_offset(item.person.mean, item.person.neutral) for item in seen], 0)
            own = code_of(emphasised(shown, EMPHASIS[name]) - self.fitted.offset[emotion], self.fitted)
            if enrolled:
                examples = [Example(name, seen[draw.integers(len(seen))].person.mean)]
        number = EMOTIONS.index(name)
        return Moment(
            performance,
            int(performance.frames[draw.integers(len(performance.frames))]),
            emotion,
            style(examples, performance.person.neutral, self.fitted),
            own,
            draw.choice(self.of_emotion[number], self.options.references),
        )

    def changes(self, moments: list[Moment]) -> Tensor:
        """What the translator answers, [B, e, c + 3]."""
        told = np.array([traits(moment.performance.person, self.fitted) for moment in moments])
        known = np.array([moment.style for moment in moments])
        device = self.world.device
        found: Tensor = self.model(torch.from_numpy(told).to(device), torch.from_numpy(known).to(device))
        return found

    def render(self, moments: list[Moment], change: Tensor) -> tuple[Tensor, Tensor]:
        """The moments as they are and as they become, [B, T, 3, 224, 224] twice."""
        device, length = self.world.device, self.options.length
        chosen = [(m.performance, slice(m.start, m.start + length)) for m in moments]
        images = torch.stack([as_images(p.clip.images(range(s.start, s.stop)), device) for p, s in chosen])
        points = _tensor([p.clip.landmarks[s] for p, s in chosen], device)
        shapes, axes = (_tensor([getattr(p, name)[s] for p, s in chosen], device) for name in ("shapes", "axes"))
        amounts = functional.one_hot(torch.tensor([m.emotion for m in moments]), len(EXPRESSIVE)).float().to(device)
        taken = Patterns.of([moment.performance.shown for moment in moments]).to(device)
        closed = torch.tensor([m.performance.person.closed for m in moments], device=device)
        relief = torch.tensor([m.performance.person.relief for m in moments], device=device)
        with torch.autocast(device.type, enabled=False):  # places of pixels need float32
            patterns = self.prior.patterns(change.float(), amounts).minus(taken)
            moved = self.prior.displacement(patterns, shapes, closed) @ axes
            gain = self.prior.lit(patterns.gain, relief)[:, None].expand(-1, length, -1, -1)
            flat = (part.flatten(0, 1) for part in (images, points[..., :2], moved, gain))
            return images, render_images(*flat).reshape(images.shape)

    def _terms(self, moments: list[Moment]) -> dict[str, Tensor]:
        options = self.options
        change = self.changes(moments)
        asked = change[torch.arange(len(moments)), [moment.emotion for moment in moments]]
        terms = {"trust": change.square().mean(), "own": self._own(asked, moments)}
        loss = options.trust * terms["trust"] + options.own_weight * terms["own"]
        if options.content_weight or options.emotion_weight:
            terms |= self._supervised(moments, change)
            loss = loss + options.content_weight * terms["content"]
            if options.emotion_weight:
                loss = loss + options.emotion_weight * terms["emotion"] + options.contrast_weight * terms["contrast"]
        return {"loss": loss, **terms}

    def _own(self, asked: Tensor, moments: list[Moment]) -> Tensor:
        """Distance to what the person was seen to show, mean over the batch (0 for those who were not)."""
        found = asked.new_zeros(())
        for change, moment in zip(asked, moments, strict=True):
            if moment.own is not None:
                own = torch.from_numpy(moment.own).to(change.device)
                found = found + functional.smooth_l1_loss(change[: len(own)], own) / len(moments)
        return found

    def _supervised(self, moments: list[Moment], change: Tensor) -> dict[str, Tensor]:
        source, generated = self.render(moments, change)
        speech = [self._speech(moment) for moment in moments]
        numbers = [EMOTIONS.index(EXPRESSIVE[moment.emotion]) for moment in moments]
        emotion = torch.tensor(numbers, device=source.device)
        wanted = Shown(*(torch.stack([part[moment.references] for moment in moments]) for part in self.references))
        return {
            "content": self.supervision.content_consistency(source, generated, torch.stack(speech).to(source.device)),
            **self.supervision.emotion_consistency(wanted, generated, emotion),
        }

    def _speech(self, moment: Moment) -> Tensor:
        """Speech features [T, width] of a moment; not a number for a clip without sound."""
        speech = moment.performance.clip.speech
        if speech is None:
            content: Any = self.supervision.content
            return torch.full((self.options.length, content.config.speech_width), torch.nan)
        return torch.from_numpy(np.array(speech[moment.start : moment.start + self.options.length], np.float32))

    def validate(self) -> dict[str, float]:
        """The terms on people not trained on, who are asked for every emotion."""
        draw = np.random.default_rng(0)
        found: dict[str, list[float]] = defaultdict(list)
        for number in range(_VALIDATED):
            performance = self.held_out[number * len(self.held_out) // _VALIDATED]
            for emotion in range(len(EXPRESSIVE)):
                terms = self._terms([self._moment(performance, emotion, draw, False)])
                for name, value in terms.items():
                    found[name].append(float(value))
        means = {name: float(np.mean(values)) for name, values in found.items()}
        return {"score": -means["loss"], **means}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """The translator."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)


def _tensor(parts: list[NDArray[np.float32]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(parts)).to(device)
