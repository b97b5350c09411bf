"""Trains an image tower against a frozen text encoder, on faces and sentences about them.

A labeled face belongs with the descriptions of its emotion, a measured face with the caption its blendshapes write. Two
contrasts (faces with descriptions, faces with captions, within a batch) and a cross-entropy over the seven emotions'
mean descriptions; the latter is smoothed because labels of faces are noisy, and told which emotions a person shows at
all, so that nothing is gained by knowing the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.nn import functional

from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.files import file_sha256
from cdrl.pretrained import find_model
from cdrl.representations.captions import Captioner, list_descriptions
from cdrl.representations.encoders import images_to_tensor
from cdrl.representations.losses import person_aware_entropy, sentence_contrast
from cdrl.representations.text import MINILM, embed
from cdrl.representations.vision import load_imagenet_weights
from cdrl.representations.vlm import ARCHITECTURE, FaceLanguageModel, VlmConfig
from cdrl.training.augmentation import Augmentation, augment, resize
from cdrl.training.distributed import World
from cdrl.training.faces import (
    FaceDataset,
    balance_weights,
    batch_strata,
    draw_batch,
    labeled_rows_by_source,
    load_faces,
    summarize,
)
from cdrl.training.options import VlmOptions
from cdrl.training.people import record_people
from cdrl.training.progress import track
from cdrl.training.recipe import recipe_settings, train_recipe
from cdrl.training.release import check_target

TOWER = "efficientnet-lite0.pth"
_MAX_VALIDATION_FACES = 1400  # of a source
_BATCH = 64  # faces or sentences computed at once


def train_vlm(options: VlmOptions) -> None:
    """Train the embedded vision-language model.

    Raises:
        CdrlError: An option, the data or the folder of the run is wrong.
    """
    check_target(options.release.publish, options.release.overwrite)
    train_recipe("vlm", options, lambda world: VlmTask(options, world))


class FaceSentences:
    """The sentences of a run: each emotion's descriptions, every face's caption, and their vectors."""

    def __init__(self, model: FaceLanguageModel, faces: FaceDataset, world: World) -> None:
        """Write the captions and embed all sentences."""
        texts, numbers = list_descriptions()
        model.set_center(texts)
        self.emotion = torch.tensor(numbers)
        """Emotion of each description."""
        self.descriptions = _embed_texts(model, texts, world.console).to(world.device)
        means = [self.descriptions[self.emotion == number].mean(0) for number in range(len(EMOTIONS))]
        self.classes = functional.normalize(torch.stack(means), dim=1)
        self.caption: NDArray[np.int64] = np.full(len(faces), -1, np.int64)
        """Number of each face's caption [n], -1 where nothing was measured."""
        self.captions = self.descriptions[:0]
        measured = np.flatnonzero(faces.measured)
        if len(measured):
            chosen = faces.select(faces.measured)
            captioner = Captioner.fit(chosen.blendshapes, balance_weights(chosen))
            written = [captioner(row) for row in chosen.blendshapes]
            known = {text: number for number, text in enumerate(dict.fromkeys(written))}
            self.caption[measured] = [known[text] for text in written]
            self.captions = _embed_texts(model, tuple(known), world.console).to(world.device)


def _embed_texts(model: FaceLanguageModel, texts: tuple[str, ...], console: Console) -> Tensor:
    with torch.no_grad():
        starts = track(range(0, len(texts), _BATCH), "embedding batches of sentences", console)
        parts = [embed(model.text, texts[start : start + _BATCH]) for start in starts]
        return model.center_vectors(torch.cat(parts))


class VlmTask:
    """The model, its draws and its losses; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {"project.": 3.0}

    def __init__(self, options: VlmOptions, world: World) -> None:
        """Load the faces, build the model and embed the sentences.

        Raises:
            UsageError: No face to validate on is labeled.
        """
        with world.main_first():
            faces, digest, people = load_faces(options.faces, world.console)
        self.options, self.world = options, world
        self.settings = recipe_settings(options, digest, split_people=record_people(people, faces.trained_people))
        self.train, self.validation = faces.of("train"), faces.of("validation")
        if not self.validation.labeled.any():
            raise UsageError("no labeled face of the people to validate on: see the split of people, or add --fer")
        self.model = FaceLanguageModel(VlmConfig(options.side))
        if options.pretrained:
            load_imagenet_weights(self.model.tower, TOWER)
        tower = self.model.tower
        for part in (tower._conv_stem, tower._bn0, *tower._blocks[: options.frozen]):
            part.requires_grad_(False)
        self.model.to(world.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._priors = torch.from_numpy(self.train.priors).to(world.device)
        self._informative = torch.from_numpy(self.train.informative).to(world.device)
        self.sentences = FaceSentences(self.model, self.train, world)
        self._strata = batch_strata(self.train, options.batch, options.faces)
        self.data_summary = summarize(faces)

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compute the terms of a step; every process draws the whole batch and encodes its slice of it."""
        options, texts = self.options, self.sentences
        random = np.random.default_rng((options.loop.seed, step))
        rows = draw_batch(self._strata, random)
        described = np.array([self._draw_description(int(number), random) for number in self.train.emotion[rows]])
        images = self._draw_images(rows, step, range(len(rows))[world.slice(len(rows))])
        vectors = world.gather(self.model.image(images))
        device = vectors.device
        emotion, caption = (torch.from_numpy(v[rows]).to(device) for v in (self.train.emotion, texts.caption))
        drawn = torch.from_numpy(rows).to(device)
        known, measured = self._informative[drawn], caption >= 0
        descriptions = texts.descriptions[torch.from_numpy(described).to(device)[known]]
        terms = {
            "descriptions": sentence_contrast(vectors[known], descriptions, emotion[known], options.temperature),
            "captions": sentence_contrast(
                vectors[measured], texts.captions[caption[measured]], caption[measured], options.temperature
            ),
            "classes": person_aware_entropy(
                vectors[known] @ texts.classes.T / options.temperature,
                emotion[known],
                self._priors[drawn][known],
                options.smoothing,
            ),
        }
        weighted = (getattr(options, f"{name}_weight") * term for name, term in terms.items())
        loss = sum(weighted, torch.zeros((), device=device))
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    def _draw_description(self, emotion: int, random: np.random.Generator) -> int:
        """Number of one of the descriptions of an emotion."""
        pool = np.flatnonzero(self.sentences.emotion.numpy() == max(emotion, 0))
        return int(random.choice(pool))

    def _draw_images(self, rows: NDArray[np.int64], step: int, mine: range) -> Tensor:
        """This process's pictures [n, 3, side, side], each augmented in a way that its place in the batch decides."""
        seed, side, how = self.options.loop.seed, self.options.side, Augmentation()
        augmented = [
            augment(self.train.pictures[rows[place]], side, how, np.random.default_rng((seed, step, place, 1)))
            for place in mine
        ]
        return images_to_tensor(np.stack(augmented), self.world.device)

    def validate(self) -> dict[str, float]:
        """Measure balanced accuracy by source; the score is its mean over sources."""
        measures, faces = {}, self.validation
        for source, labeled in labeled_rows_by_source(faces):
            rows = labeled[:: -(-len(labeled) // _MAX_VALIDATION_FACES)]
            emotion = faces.emotion[rows]
            vectors = encode_pictures(self.model, [faces.pictures[row] for row in rows], self.options.side)
            right = (vectors @ self.sentences.classes.T).argmax(1).cpu().numpy() == emotion
            measures[source] = float(np.mean([right[emotion == k].mean() for k in set(emotion)]))
        return {"score": float(np.mean(list(measures.values()))), **measures}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the tower and the projection, with the name of the text encoder."""
        text = {"text": self.model.text.name, "text_sha256": file_sha256(find_model(MINILM))}
        return self.model.state_dict(), ARCHITECTURE, {**asdict(self.model.config), **text}


@torch.no_grad()
def encode_pictures(model: FaceLanguageModel, pictures: list[NDArray[np.uint8]], side: int) -> Tensor:
    """Encode unaugmented pictures as vectors [n, width]."""
    device, vectors = next(model.parameters()).device, []
    for start in range(0, len(pictures), _BATCH):
        batch = np.stack([resize(picture, side) for picture in pictures[start : start + _BATCH]])
        vectors.append(model.image(images_to_tensor(batch, device)))
    return torch.cat(vectors)
