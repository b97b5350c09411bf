"""`cdrl train emotion`: trains the emotion representation (CERL) on a frozen vision-language model.

faces → views → fit, top to bottom. Every face is seen in a few views whose content was changed (another mouth, another
light and frame); what the frozen model makes of them is computed once. A step sees pairs with the same emotion and
other content: two views of a face, two moments of a clip, or two people. Only prompts and class networks are trained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from tyro.conf import FlagCreatePairsOff

from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.representations.captions import all_descriptions
from cdrl.representations.emotion import ARCHITECTURE, EmotionConfig, Heads
from cdrl.representations.emotion_losses import emotion_augmented_contrast
from cdrl.representations.encoders import as_images
from cdrl.representations.prompts import Prompts
from cdrl.representations.vlm import VisionLanguageModel, sentences, vision_language_model
from cdrl.training.augmentation import Augmentation, augment, resized
from cdrl.training.content_change import change_content
from cdrl.training.distributed import World
from cdrl.training.faces import SIDE, UNKNOWN, Faces, draw_batch, gathered, kinds, summary
from cdrl.training.kept import Rows, kept_array
from cdrl.training.loop import LoopOptions, fit, held
from cdrl.training.probing import read_linearly
from cdrl.training.publish import check_target, publish
from cdrl.training.settings import settings_of

_TOGETHER = 64  # pictures computed at once
_VIEW = Augmentation(zoom=(0.92, 1.1), shift=0.03, turn=8, cutout=0.2)
_VERSION = 1  # of the views; raise when they change


@dataclass(frozen=True)
class Options:
    """Train the emotion representation: prompts and one small network per emotion, on a frozen model."""

    data: tuple[Path, ...] = ()
    """Prepared folders (`cdrl data prepare`)."""
    fer: Path | None = None
    """An .npz of grey faces: image [n, h, h], emotion [n], split [n]."""
    stills: Path | None = None
    """A folder with stills.csv: path, emotion, person."""
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            output=Path("runs/emotion"), steps=1200, learning_rate=1e-3, validate_every=250, precision="float32"
        )
    )
    vlm: str = "embedded"
    """The vision-language model: embedded (the one that ships), a checkpoint of `cdrl train vlm`, or clip:FOLDER."""
    prompts: Literal["learned", "fixed"] = "learned"
    """Learned words in front of the written ones, or the written ones alone (for comparison)."""
    contrast: bool = True
    """Contrast between emotions; without it a face is only pulled to its own prompt (for comparison)."""
    hidden: int = 192
    """Width of the networks' outer layers."""
    middle: int = 64
    """Width of their middle."""
    batch: int = 128
    """Pairs of faces a step."""
    grey_share: float = 0.4
    """Of a batch that are grey faces (--fer)."""
    synthetic_share: float = 0.2
    """Of a batch that are made faces."""
    described_share: float = 0.25
    """Of a batch that are people seen in one emotion alone, or in an unknown one: no label of theirs is used."""
    views: int = 4
    """Of each face, computed once."""
    still: float = 1.0
    """Weight of the term that keeps the representation still where only the content changes."""
    prior: float = 1.0
    """Weight of the term that keeps the representation near what the frozen model says of the plain picture."""
    language: float = 0.5
    """Weight of the term that keeps prompts near the sentences about their emotion."""
    temperature: float = 0.07
    """Of the contrast."""
    cache: Path = Path("runs/cache")
    """Where what the frozen model sees is kept."""
    publish: Path | None = None
    """Where the best checkpoint is copied, and entered into the list of model files."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the file that --publish names."""


def run(options: Options) -> int:
    """The command."""
    check_target(options.publish, options.overwrite)
    with held(options.loop, "cdrl train emotion") as world:
        console = Console(soft_wrap=True, quiet=not world.first)
        vlm: Any = vision_language_model(options.vlm)
        if not world.first:
            world.barrier()  # the first process computes, the others read what it kept
        faces, digest = gathered(options.data, options.fer, options.stills, options.cache, console)
        views = Views.of(vlm.to(world.device), faces, options, digest, console)
        if world.first:
            world.barrier()
        task = EmotionTask(options, faces, views, vlm, world)
        best = fit(task, options.loop, world, settings_of(options, digest, vlm_sha256=vlm.digest))
        if options.publish is not None and world.first:
            publish(best, options.publish, f"cdrl train emotion on {summary(faces)}", overwrite=options.overwrite)
    return 0


@dataclass(frozen=True)
class Views:
    """What the frozen model makes of faces: `changed` [train faces, views, width], `plain` [held-out faces, width]."""

    changed: NDArray[np.float32]
    plain: NDArray[np.float32]

    @classmethod
    def of(cls, vlm: VisionLanguageModel, faces: Faces, options: Options, digest: str, console: Console) -> Views:
        """Computed, or read where they were kept."""
        train, held_out = faces.of("train"), faces.of("validation")
        seed, count = options.loop.seed, options.views
        about = f"{_VERSION} {digest} {vlm.digest} {len(faces)}"

        donors = _alike(train)

        def changed(done: int) -> Iterator[NDArray[np.float32]]:
            numbers = (divmod(number, count) for number in range(done, len(train) * count))
            return _features(vlm, (_view(train, row, view, donors, seed) for row, view in numbers))

        def plain(done: int) -> Iterator[NDArray[np.float32]]:
            return _features(vlm, (resized(picture, SIDE) for picture in held_out.pictures[done:]))

        given = f"{about} {seed} {count}".encode()
        shown = Rows("views", "looking at faces", given, len(train) * count, changed, _TOGETHER)
        seen = Rows("plain", "looking at faces", about.encode(), len(held_out), plain, _TOGETHER)
        views = kept_array(options.cache, shown, console)
        return cls(views.reshape(len(train), count, -1), kept_array(options.cache, seen, console))


def _alike(faces: Faces) -> dict[tuple[str, int], NDArray[np.int64]]:
    """Faces by source and emotion: whose mouths may be exchanged."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(faces.source.tolist(), faces.emotion.tolist(), strict=True)):
        found[key].append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def _view(
    faces: Faces, row: int, view: int, donors: Mapping[tuple[str, int], NDArray[np.int64]], seed: int
) -> NDArray[np.uint8]:
    """View 0 is plain; of the others two thirds have another mouth, where the emotion is known."""
    draw = np.random.default_rng((seed, row, view))
    picture = resized(faces.pictures[row], SIDE)
    if view == 0:
        return picture
    if faces.emotion[row] != UNKNOWN and draw.random() < 2 / 3:
        donor = int(draw.choice(donors[str(faces.source[row]), int(faces.emotion[row])]))
        picture = change_content(picture, resized(faces.pictures[donor], SIDE), draw)
    return augment(picture, SIDE, _VIEW, draw)


def _features(vlm: VisionLanguageModel, pictures: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
    """What the model makes of pictures, [k, width] at a time; a batch of none last."""
    device, waiting = _device(vlm), iter(pictures)
    while batch := list(islice(waiting, _TOGETHER)):
        with torch.inference_mode():
            features = vlm.image(as_images(np.stack(batch), device)).cpu().numpy()
        yield features.astype(np.float32)
    yield np.zeros((0, vlm.width), np.float32)


def _device(vlm: Any) -> torch.device:
    return next((parameter.device for parameter in vlm.parameters()), torch.device("cpu"))


class Learner(nn.Module):
    """What is trained: class networks and prompts."""

    def __init__(self, config: EmotionConfig, vlm: VisionLanguageModel, learned: bool) -> None:
        super().__init__()
        self.networks = Heads(config)
        self.prompts = Prompts(vlm, learned)


class EmotionTask:
    """The learner, its draws and its losses; see `cdrl.training.loop.Task`."""

    rates: Mapping[str, float] = {"prompts.": 0.5}

    def __init__(self, options: Options, faces: Faces, views: Views, vlm: VisionLanguageModel, world: World) -> None:
        self.options, self.vlm, self.world, self.views = options, vlm, world, views
        train = faces.of("train")
        self.held_out = faces.of("validation")
        if not self.held_out.labelled.any():
            raise UsageError("no labelled face of the people to validate on: see the split of people, or add --fer")
        if not train.telling.any():
            raise UsageError("no person to train on shows two emotions: label more clips, or add --fer")
        self.train, self.telling = train, train.telling
        self.changed = torch.from_numpy(views.changed).to(world.device)
        self.plain = torch.from_numpy(views.plain).to(world.device)
        self.config = EmotionConfig(
            vlm.spec, vlm.digest, vlm.width, options.hidden, options.middle, options.temperature
        )
        self.model = Learner(self.config, vlm, options.prompts == "learned").to(world.device)
        shares = (options.grey_share, options.synthetic_share, options.described_share)
        self._kinds = kinds(train, options.batch, *shares)
        self._clips = _rows_of(train.clip)
        self._emotions = _rows_of(np.where(self.telling, train.emotion, UNKNOWN))
        texts, numbers = all_descriptions()
        with torch.no_grad():
            self.spoken = sentences(vlm, texts)
        self.meant = torch.tensor(numbers, device=self.spoken.device)
        means = [self.spoken[self.meant == number].mean(0) for number in range(len(EMOTIONS))]
        self.classes = functional.normalize(torch.stack(means), dim=1)

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """The terms of a step; every process draws the whole batch and computes its slice."""
        options = self.options
        draw = np.random.default_rng((options.loop.seed, step))
        rows = draw_batch(self._kinds, draw)
        others, still = self._partners(rows, draw)
        seen = np.stack([draw.integers(0, options.views, len(rows)) for _ in range(2)])
        mine = world.slice(len(rows))
        prompts = self.model.prompts(self.vlm)
        sides = [self.changed[chosen[mine], view[mine]] for chosen, view in zip((rows, others), seen, strict=True)]
        first, second = (world.gather(self.model.networks(side)) for side in sides)
        both, each = torch.cat([first, second]), np.concatenate([rows, others])
        apart = 1 - functional.cosine_similarity((first * prompts).flatten(1), (second * prompts).flatten(1), dim=1)
        kept = torch.from_numpy(still).to(world.device)
        terms = {
            "contrast": self._contrast(both, prompts, each),
            "still": (apart * kept).sum() / kept.sum().clamp(min=1),
            "prior": self._prior(both, prompts, each),
            "language": functional.cross_entropy(self.spoken @ prompts.T / options.temperature, self.meant),
        }
        loss = terms["contrast"] + options.still * terms["still"] + options.prior * terms["prior"]
        if options.prompts == "learned":
            loss = loss + options.language * terms["language"]
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    def _contrast(self, vectors: Tensor, prompts: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """The contrast between emotions, over the faces [n, 7, width] of `rows` whose labels tell something."""
        telling = torch.from_numpy(self.telling[rows]).to(vectors.device)
        emotion = torch.from_numpy(self.train.emotion[rows]).to(vectors.device)[telling]
        vectors = vectors[telling]
        if self.options.contrast:
            return emotion_augmented_contrast(vectors, prompts, emotion, self.options.temperature)
        return 1 - (vectors[torch.arange(len(emotion)), emotion] * prompts[emotion]).sum(1).mean()

    def _prior(self, vectors: Tensor, prompts: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Divergence of the emotions found from those that the frozen model tells in the plain picture."""
        said = (self.changed[rows, 0] @ self.classes.T / self.options.temperature).log_softmax(1)
        found = ((vectors * prompts).sum(2) / self.options.temperature).log_softmax(1)
        return functional.kl_div(found, said, reduction="batchmean", log_target=True)

    def _partners(
        self, rows: NDArray[np.int64], draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Each face's partner, of the same emotion: itself or another moment of its clip (of three in four, and
        wherever the label tells nothing), or another person; and whether only the content changed [n]."""
        own = (draw.random(len(rows)) < 0.75) | ~self.telling[rows]
        pools = [
            self._clips[self.train.clip[row]] if mine else self._emotions[self.train.emotion[row]]
            for row, mine in zip(rows, own, strict=True)
        ]
        return np.array([draw.choice(pool) for pool in pools]), own.astype(np.float32)

    def validate(self) -> dict[str, float]:
        """Balanced accuracy by source and, the score, over all sources alike less what tells the viseme."""
        prompts = self.model.prompts(self.vlm)
        weighed = (self.model.networks(self.plain) * prompts).cpu()
        guessed = weighed.sum(2).argmax(1).numpy()
        found, held = {}, self.held_out
        for source in sorted(set(held.source[held.labelled].tolist())):
            rows = np.flatnonzero((held.source == source) & held.labelled)
            wanted = held.emotion[rows]
            found[source] = float(np.mean([(guessed[rows[wanted == k]] == k).mean() for k in set(wanted)]))
        score = float(np.mean(list(found.values())))
        leak = read_linearly(weighed.flatten(1), held.viseme, held.person)
        if leak is not None:
            found |= {"viseme_read": leak.found, "viseme_chance": leak.chance}
            score -= max(0.0, leak.found - leak.chance - 0.05)
        right = (self.spoken @ prompts.T).argmax(1) == self.meant
        return {"score": score, **found, "sentences": float(right.float().mean())}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        tensors = {f"networks.{name}": value for name, value in self.model.networks.state_dict().items()}
        tensors["prompts"] = self.model.prompts(self.vlm).detach()
        return tensors, ARCHITECTURE, asdict(self.config)


def _rows_of(labels: NDArray[Any]) -> dict[Any, NDArray[np.int64]]:
    """Label → rows."""
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))
