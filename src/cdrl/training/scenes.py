"""What training a generator under supervision shares: moments of clips, their frames, and the supervised terms."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from cdrl.datasets.prepared import SIZE, Prepared
from cdrl.datasets.splits import check_people, people_of
from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.manipulation.differentiable import DifferentiablePrior, Patterns
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.manipulation.supervision import CDRLSupervision, Shown
from cdrl.rendering.differentiable import render_images
from cdrl.representations.content import load_content
from cdrl.representations.emotion import load_emotion
from cdrl.representations.encoders import as_images
from cdrl.training.augmentation import resized
from cdrl.training.faces import Faces, clip_faces, fer_faces, joined
from cdrl.training.kept import Rows, kept_array
from cdrl.training.maps import weights_digest
from cdrl.training.performances import Performance, performances

_TOGETHER = 64


@dataclass(frozen=True)
class SceneOptions:
    """What is supervised, and how much it counts."""

    prior: Path | None = None
    """The fitted prior whose modes and shading are used; the shipped one by default."""
    content: Path | None = None
    """Content representation; the shipped one by default."""
    emotion: Path | None = None
    """Emotion representation; the shipped one by default."""
    fer: Path | None = None
    """Grey faces (.npz) that show emotions, too, beside those of the clips."""
    content_weight: float = 70.0
    """Of the content consistency; 0 trains without."""
    emotion_weight: float = 50.0
    """Of the emotion consistency; 0 trains without, and without the contrast."""
    contrast_weight: float = 20.0
    """Of the emotion standing out among the others as plainly as in the references."""
    clips: int = 3
    """Supervised moments a step."""
    length: int = 9
    """Frames of each."""
    made: float = 0.34
    """Share of the moments that are of synthetic people."""
    references: int = 8
    """Faces that show the emotion, a moment."""
    leave: tuple[str, ...] = ()
    """People (DATASET/ACTOR) who are left out."""

    @property
    def supervised(self) -> bool:
        """Whether anything is."""
        return bool(self.content_weight or self.emotion_weight)


@dataclass(frozen=True)
class Moment:
    """Consecutive frames from `start`, the emotion asked for (its number in EXPRESSIVE), and who shows it."""

    performance: Performance
    start: int
    emotion: int
    references: NDArray[np.int64]


@dataclass(frozen=True)
class Scene:
    """B moments of T frames: `images` [B, T, 3, 224, 224], `points` [B, T, 478, 3] pixels, `shapes` [B, T, 478, 3] cm,
    `axes` [B, T, 3, 2] from cm to pixels, `closed`, `relief` [B]."""

    images: Tensor
    points: Tensor
    shapes: Tensor
    axes: Tensor
    closed: Tensor
    relief: Tensor

    def rendered(self, displacement: Tensor, gain: Tensor) -> Tensor:
        """The frames with `displacement` [B, T, 478, 3] (cm) and `gain` [B, SIZE, SIZE] laid over them."""
        lit = DifferentiablePrior.lit(gain, self.relief)[:, None].expand(-1, self.images.shape[1], -1, -1)
        flat = (part.flatten(0, 1) for part in (self.images, self.points[..., :2], displacement @ self.axes, lit))
        return render_images(*flat).reshape(self.images.shape)


class Stage:
    """Who performs and who judges: everything a supervised recipe needs but its generator."""

    def __init__(self, options: SceneOptions, data: Prepared, cache: Path, device: torch.device, quiet: bool) -> None:
        """Raises UsageError where nobody is left to train or to validate on, or an emotion is shown by nobody."""
        self.options, self.device = options, device
        console = Console(soft_wrap=True, quiet=quiet)
        self.fitted = EmotionPrior.load(options.prior)
        self.prior = DifferentiablePrior(self.fitted).to(device)
        check_people(options.leave, people_of(clip.facts for clip in data.clips), "--leave")
        clips = [clip for clip in data.clips if f"{clip.facts.dataset}/{clip.facts.actor}" not in options.leave]
        self.every = performances(clips, self.fitted, options.length, console)
        self.train = [item for item in self.every if item.clip.facts.part == "train"]
        self.held_out = [item for item in self.every if item.clip.facts.part == "validation"]
        if not self.train or not self.held_out:
            raise UsageError(
                f"{len(self.train)} clips to train on and {len(self.held_out)} to validate show a face from the front "
                f"for {options.length} frames: one of each at least is needed; prepare more clips"
            )
        self._groups = [self._people(made) for made in (True, False)]
        if options.supervised:
            self.supervision = CDRLSupervision(load_content(options.content), load_emotion(options.emotion)).to(device)
            self._known, self._showing = self._references(data, cache, console)

    def _people(self, made: bool) -> dict[str, list[Performance]]:
        found: dict[str, list[Performance]] = defaultdict(list)
        for item in self.train:
            if item.clip.facts.synthetic == made:
                found[item.who].append(item)
        return dict(found)

    def _references(
        self, data: Prepared, cache: Path, console: Console
    ) -> tuple[tuple[Tensor, Tensor], dict[int, NDArray[np.int64]]]:
        """What people to train on show, [n, W] and [n] (see `Shown`), and which of them show which emotion."""
        several = [clip_faces(data, console, ("train",))]
        if self.options.fer is not None:
            several.append(fer_faces(self.options.fer, cache, console).of("train"))
        faces = joined(several)
        faces = faces.where(faces.labelled)

        def shown(done: int) -> Iterator[NDArray[np.float32]]:
            return self._shown(faces, done)

        given = Rows("shown", "looking at faces", self._given(faces), len(faces), shown, _TOGETHER)
        known = kept_array(cache, given, console)
        named = [f"{source}/{person}" for source, person in zip(faces.source, faces.person, strict=True)]
        left = np.isin(named, np.array(self.options.leave, np.str_))
        rows = {
            number: np.flatnonzero((faces.emotion == EMOTIONS.index(name)) & ~left)
            for number, name in enumerate(EXPRESSIVE)
        }
        missing = [EXPRESSIVE[number] for number, found in rows.items() if not len(found)]
        if missing:
            raise UsageError(f"nobody to train on shows {', '.join(missing)}: label such clips, or add --fer")
        found = torch.from_numpy(known).to(self.device)
        return (found[:, :-1], found[:, -1]), rows

    def _given(self, faces: Faces) -> bytes:
        """A hash of what is shown, and of the representation that reads it."""
        digest = hashlib.sha256(faces.emotion.tobytes())
        for picture in faces.pictures:
            digest.update(picture.tobytes())
        emotion: Any = self.supervision.emotion
        digest.update(weights_digest(emotion).encode())
        return digest.digest()

    @torch.inference_mode()
    def _shown(self, faces: Faces, done: int) -> Iterator[NDArray[np.float32]]:
        """`Shown` of the faces from number `done` on, [k, W + 1]: the vector of each, and how plainly it shows its
        emotion."""
        for at in range(done, len(faces), _TOGETHER):
            pictures = np.stack([resized(picture, SIZE) for picture in faces.pictures[at : at + _TOGETHER]])
            emotion = torch.from_numpy(faces.emotion[at : at + _TOGETHER]).to(self.device)
            found = self.supervision.shown(as_images(pictures, self.device)[:, None], emotion)
            yield torch.cat([found.vectors[:, 0], found.plainly], 1).cpu().numpy()

    def draw(self, draw: np.random.Generator) -> Moment:
        """A moment of somebody to train on, asked for an emotion."""
        made, real = self._groups
        group = (made if draw.random() < self.options.made and made else real) or made
        theirs = group[sorted(group)[draw.integers(len(group))]]
        return self.moment(theirs[draw.integers(len(theirs))], int(draw.integers(len(EXPRESSIVE))), draw)

    def moment(self, performance: Performance, emotion: int, draw: np.random.Generator) -> Moment:
        """A moment of a performance, asked for an emotion of EXPRESSIVE."""
        start = int(performance.frames[draw.integers(len(performance.frames))])
        none = np.zeros(0, np.int64)
        who = draw.choice(self._showing[emotion], self.options.references) if self.options.supervised else none
        return Moment(performance, start, emotion, who)

    def scene(self, moments: list[Moment]) -> Scene:
        """Their frames, read from the shards."""
        length, device = self.options.length, self.device
        chosen = [(m.performance, slice(m.start, m.start + length)) for m in moments]
        people = [moment.performance.person for moment in moments]
        return Scene(
            torch.stack([as_images(p.clip.images(range(s.start, s.stop)), device) for p, s in chosen]),
            self._tensor([p.clip.landmarks[s] for p, s in chosen]),
            self._tensor([p.shapes[s] for p, s in chosen]),
            self._tensor([p.axes[s] for p, s in chosen]),
            torch.tensor([person.closed for person in people], device=device),
            torch.tensor([person.relief for person in people], device=device),
        )

    def taken(self, moments: list[Moment]) -> Patterns:
        """What the people show already, to be taken out."""
        return Patterns.of([moment.performance.shown for moment in moments]).to(self.device)

    def supervised(
        self, moments: list[Moment], generate: Callable[[Scene], Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the supervised terms of what `generate` makes of the moments' scene, and the terms."""
        options = self.options
        scene = self.scene(moments)
        with torch.autocast(self.device.type, enabled=False):  # places of pixels need float32
            generated = generate(scene)
        numbers = [EMOTIONS.index(EXPRESSIVE[moment.emotion]) for moment in moments]
        emotion = torch.tensor(numbers, device=self.device)
        wanted = Shown(*(torch.stack([part[moment.references] for moment in moments]) for part in self._known))
        speech = torch.stack([self._speech(moment) for moment in moments]).to(self.device)
        terms = {
            "content": self.supervision.content_consistency(scene.images, generated, speech),
            **self.supervision.emotion_consistency(wanted, generated, emotion),
        }
        loss = options.content_weight * terms["content"]
        if options.emotion_weight:
            loss = loss + options.emotion_weight * terms["emotion"] + options.contrast_weight * terms["contrast"]
        return loss, terms

    def _speech(self, moment: Moment) -> Tensor:
        """Speech features [T, width] of a moment; not a number for a clip without sound."""
        speech = moment.performance.clip.speech
        if speech is None:
            content: Any = self.supervision.content
            return torch.full((self.options.length, content.config.speech_width), torch.nan)
        return torch.from_numpy(np.array(speech[moment.start : moment.start + self.options.length], np.float32))

    def _tensor(self, parts: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(self.device)
