"""`cdrl train vlm`: trains an image tower against a frozen text encoder, on faces and sentences about them.

faces → sentences → fit, top to bottom. A labelled face belongs with the descriptions of its emotion, a measured face
with the caption its blendshapes write. Two contrasts (faces with descriptions, faces with captions, within a batch) and
a cross-entropy over the seven emotions' mean descriptions, softened because labels of faces are noisy, and told
which emotions a person shows at all, so that nothing is gained by knowing the person.
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

from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.files import file_sha256
from cdrl.pretrained import find_model
from cdrl.representations.captions import Captioner, all_descriptions
from cdrl.representations.checkpoints import load_into, read_tensors
from cdrl.representations.emotion_losses import person_aware_entropy, sentence_contrast
from cdrl.representations.encoders import as_images
from cdrl.representations.pickles import as_safetensors
from cdrl.representations.text import MINILM, TextEncoder, embed
from cdrl.representations.vlm import ARCHITECTURE, FaceLanguageModel, VlmConfig
from cdrl.training.augmentation import Augmentation, augment, resized
from cdrl.training.distributed import World
from cdrl.training.faces import Faces, draw_batch, gathered, kinds, summary, weights
from cdrl.training.loop import LoopOptions, fit, held
from cdrl.training.publish import check_target, publish
from cdrl.training.settings import settings_of

TOWER = "efficientnet-lite0.pth"
_VALIDATED = 1400  # faces of a source, at most
_TOGETHER = 64  # faces or sentences computed at once


@dataclass(frozen=True)
class Options:
    """Train the embedded vision-language model: an image tower against a frozen text encoder."""

    data: tuple[Path, ...] = ()
    """Prepared folders (`cdrl data prepare`)."""
    fer: Path | None = None
    """An .npz of grey faces: image [n, h, h], emotion [n], split [n]."""
    stills: Path | None = None
    """A folder with stills.csv: path, emotion, person."""
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            output=Path("runs/vlm"), steps=2400, learning_rate=6e-4, validate_every=300, precision="float32"
        )
    )
    side: int = 96
    """Pixels that the tower looks at, a side."""
    batch: int = 64
    """Faces a step."""
    grey_share: float = 0.6
    """Of a batch that are grey faces (--fer)."""
    synthetic_share: float = 0.12
    """Of a batch that are made faces."""
    described_share: float = 0.15
    """Of a batch that are people seen in one emotion alone, or in an unknown one: their captions teach, no label."""
    descriptions: float = 0.5
    """Weight of the contrast between faces and descriptions of emotions."""
    captions: float = 0.5
    """Weight of the contrast between faces and captions."""
    classes: float = 1.0
    """Weight of the cross-entropy over emotions."""
    smoothing: float = 0.1
    """Of the labels in it."""
    temperature: float = 0.07
    """Of all three."""
    frozen: int = 3
    """Blocks of the tower, from the first, that stay as ImageNet made them."""
    pretrained: bool = True
    """Begin with ImageNet's weights."""
    cache: Path = Path("runs/cache")
    """Where measured landmarks of grey faces are kept."""
    publish: Path | None = None
    """Where the best checkpoint is copied, and entered into the list of model files."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the file that --publish names."""


def run(options: Options) -> int:
    """The command."""
    check_target(options.publish, options.overwrite)
    with held(options.loop, "cdrl train vlm") as world:
        console = Console(soft_wrap=True, quiet=not world.first)
        if not world.first:
            world.barrier()  # the first process measures, the others read what it kept
        faces, digest = gathered(options.data, options.fer, options.stills, options.cache, console)
        if world.first:
            world.barrier()
        task = VlmTask(options, faces, world)
        best = fit(task, options.loop, world, settings_of(options, digest))
        if options.publish is not None and world.first:
            publish(best, options.publish, f"cdrl train vlm on {summary(faces)}", overwrite=options.overwrite)
    return 0


class Sentences:
    """The sentences of a run: each emotion's descriptions, every face's caption, and their vectors."""

    def __init__(self, model: FaceLanguageModel, faces: Faces, device: torch.device) -> None:
        texts, numbers = all_descriptions()
        model.set_centre(texts)
        self.emotion = torch.tensor(numbers)
        self.descriptions = _vectors(model, texts).to(device)
        means = [self.descriptions[self.emotion == number].mean(0) for number in range(len(EMOTIONS))]
        self.classes = functional.normalize(torch.stack(means), dim=1)
        self.caption: NDArray[np.int64] = np.full(len(faces), -1, np.int64)
        """[n] number of each face's caption, -1 where nothing was measured."""
        self.captions = self.descriptions[:0]
        measured = np.flatnonzero(faces.measured)
        if len(measured):
            chosen = faces.where(faces.measured)
            write = Captioner.of(chosen.blendshapes, weights(chosen))
            written = [write(row) for row in chosen.blendshapes]
            known = {text: number for number, text in enumerate(dict.fromkeys(written))}
            self.caption[measured] = [known[text] for text in written]
            self.captions = _vectors(model, tuple(known)).to(device)


def _vectors(model: FaceLanguageModel, texts: tuple[str, ...]) -> Tensor:
    with torch.no_grad():
        parts = [embed(model.text, texts[at : at + _TOGETHER]) for at in range(0, len(texts), _TOGETHER)]
        return model.centred(torch.cat(parts))


class VlmTask:
    """The model, its draws and its losses; see `cdrl.training.loop.Task`."""

    rates: Mapping[str, float] = {"project.": 3.0}

    def __init__(self, options: Options, faces: Faces, world: World, text: TextEncoder | None = None) -> None:
        self.options, self.world = options, world
        self.train, self.held_out = faces.of("train"), faces.of("validation")
        if not self.held_out.labelled.any():
            raise UsageError("no labelled face of the people to validate on: see the split of people, or add --fer")
        self.model = FaceLanguageModel(VlmConfig(options.side), text)
        if options.pretrained:
            path = as_safetensors(TOWER)
            tensors = {name: value for name, value in read_tensors(path)[0].items() if not name.startswith("_fc.")}
            load_into(self.model.tower, tensors, path)
        tower = self.model.tower
        for part in (tower._conv_stem, tower._bn0, *tower._blocks[: options.frozen]):
            part.requires_grad_(False)
        self.model.to(world.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._priors = torch.from_numpy(self.train.priors).to(world.device)
        self._telling = torch.from_numpy(self.train.telling).to(world.device)
        self.sentences = Sentences(self.model, self.train, world.device)
        shares = (options.grey_share, options.synthetic_share, options.described_share)
        self._kinds = kinds(self.train, options.batch, *shares)

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """The terms of a step; every process draws the whole batch and looks at its slice of it."""
        options, texts = self.options, self.sentences
        draw = np.random.default_rng((options.loop.seed, step))
        rows = draw_batch(self._kinds, draw)
        said = np.array([self._described(int(number), draw) for number in self.train.emotion[rows]])
        mine = world.slice(len(rows))
        found = world.gather(self.model.image(self._seen(rows, step, range(len(rows))[mine])))
        device = found.device
        emotion, caption = (torch.from_numpy(v[rows]).to(device) for v in (self.train.emotion, texts.caption))
        drawn = torch.from_numpy(rows).to(device)
        known, measured = self._telling[drawn], caption >= 0
        spoken = texts.descriptions[torch.from_numpy(said).to(device)[known]]
        terms = {
            "descriptions": sentence_contrast(found[known], spoken, emotion[known], options.temperature),
            "captions": sentence_contrast(
                found[measured], texts.captions[caption[measured]], caption[measured], options.temperature
            ),
            "classes": person_aware_entropy(
                found[known] @ texts.classes.T / options.temperature,
                emotion[known],
                self._priors[drawn][known],
                options.smoothing,
            ),
        }
        loss = sum((getattr(options, name) * term for name, term in terms.items()), torch.zeros((), device=device))
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    def _described(self, emotion: int, draw: np.random.Generator) -> int:
        """One of the descriptions of an emotion."""
        pool = np.flatnonzero(self.sentences.emotion.numpy() == max(emotion, 0))
        return int(draw.choice(pool))

    def _seen(self, rows: NDArray[np.int64], step: int, mine: range) -> Tensor:
        """This process's pictures [n, 3, side, side], each varied in a way that its place in the batch decides."""
        seed, side, how = self.options.loop.seed, self.options.side, Augmentation()
        varied = [
            augment(self.train.pictures[rows[at]], side, how, np.random.default_rng((seed, step, at, 1))) for at in mine
        ]
        return as_images(np.stack(varied), self.world.device)

    def validate(self) -> dict[str, float]:
        """Balanced accuracy by source and, the score, over all sources alike."""
        found, held = {}, self.held_out
        for source in sorted(set(held.source[held.labelled].tolist())):
            rows = np.flatnonzero((held.source == source) & held.labelled)
            rows = rows[:: -(-len(rows) // _VALIDATED)]
            vectors = image_vectors(self.model, [held.pictures[row] for row in rows], self.options.side)
            right = (vectors @ self.sentences.classes.T).argmax(1).cpu().numpy() == held.emotion[rows]
            found[source] = float(np.mean([right[held.emotion[rows] == k].mean() for k in set(held.emotion[rows])]))
        return {"score": float(np.mean(list(found.values()))), **found}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        text = {"text": self.model.text.name}
        if self.model.text.name == "all-MiniLM-L6-v2":
            text["text_sha256"] = file_sha256(find_model(MINILM))
        return self.model.state_dict(), ARCHITECTURE, {**asdict(self.model.config), **text}


def image_vectors(model: FaceLanguageModel, pictures: list[NDArray[np.uint8]], side: int) -> Tensor:
    """Vectors [n, width] of pictures as they are."""
    found = []
    with torch.no_grad():
        for at in range(0, len(pictures), _TOGETHER):
            batch = np.stack([resized(picture, side) for picture in pictures[at : at + _TOGETHER]])
            found.append(model.image(as_images(batch, next(model.parameters()).device)))
    return torch.cat(found)
