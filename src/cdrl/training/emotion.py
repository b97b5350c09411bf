"""Trains the emotion representation (CERL) on a frozen vision-language model.

Every face is seen in a few views whose content was changed (another mouth, another light and frame); what the frozen
model makes of them is computed once. A step sees pairs with the same emotion and other content: two views of a face,
two moments of a clip, or two people. Only prompts and class networks are trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.representations.captions import list_descriptions
from cdrl.representations.checkpoints import read_trained_people
from cdrl.representations.emotion import ARCHITECTURE, ClassHeads, EmotionConfig
from cdrl.representations.encoders import images_to_tensor
from cdrl.representations.losses import emotion_augmented_contrast
from cdrl.representations.prompts import EmotionPrompts
from cdrl.representations.vlm import VisionLanguageModel, embed_sentences, load_vision_language_model
from cdrl.training.array_cache import ArrayRequest, cached_array
from cdrl.training.augmentation import Augmentation, augment, change_content, resize
from cdrl.training.distributed import World
from cdrl.training.faces import (
    SIDE,
    UNKNOWN,
    FaceDataset,
    batch_strata,
    draw_batch,
    labeled_rows_by_source,
    load_faces,
    summarize,
)
from cdrl.training.linear_probe import linear_probe_accuracy
from cdrl.training.options import EmotionOptions
from cdrl.training.people import record_people
from cdrl.training.presets import use_paper_setting
from cdrl.training.recipe import recipe_settings, train_recipe
from cdrl.training.release import check_target

_BATCH = 64  # pictures encoded at once
_VIEW = Augmentation(zoom=(0.92, 1.1), shift=0.03, turn=8, cutout=0.2)
_VERSION = 1  # of the views; raise it when they change


def train_emotion(options: EmotionOptions) -> None:
    """Train the emotion representation.

    Raises:
        CdrlError: An option, the data or the folder of the run is wrong.
    """
    options = use_paper_setting(options)
    check_target(options.release.publish, options.release.overwrite)
    train_recipe("emotion", options, lambda world: EmotionTask(options, world))


def encode_views(
    vlm: VisionLanguageModel, faces: FaceDataset, options: EmotionOptions, digest: str, console: Console
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Encode the views of faces, or read them from the cache.

    Args:
        vlm: The frozen model.
        faces: All faces.
        options: Options of the recipe.
        digest: Digest of the faces.
        console: Where progress is printed.

    Returns:
        Features of the views of the faces to train on [faces, views, width], view 0 is plain; features of the faces to
        validate on [faces, width].
    """
    train, validation = faces.of("train"), faces.of("validation")
    seed, count = options.loop.seed, options.views
    # Faces that share source and emotion may exchange their mouths.
    labels = [f"{source} {number}" for source, number in zip(train.source, train.emotion, strict=True)]
    donors = _group_rows(np.array(labels))

    def encode_changed(done: int) -> Iterator[NDArray[np.float32]]:
        numbers = (divmod(number, count) for number in range(done, len(train) * count))
        return _encode(vlm, (_draw_view(train, row, view, donors[labels[row]], seed) for row, view in numbers))

    def encode_plain(done: int) -> Iterator[NDArray[np.float32]]:
        return _encode(vlm, (resize(picture, SIDE) for picture in validation.pictures[done:]))

    about = f"{_VERSION} {digest} {vlm.digest} {len(faces)}"
    key, activity, cache = f"{about} {seed} {count}".encode(), "encoding faces", options.faces.cache
    changed = ArrayRequest("views", activity, key, len(train) * count, encode_changed, _BATCH)
    plain = ArrayRequest("plain", activity, about.encode(), len(validation), encode_plain, _BATCH)
    views = cached_array(cache, changed, console).reshape(len(train), count, -1)
    return views, cached_array(cache, plain, console)


def _draw_view(faces: FaceDataset, row: int, view: int, donors: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """View 0 is plain; of the others two thirds have the mouth of a donor, where the emotion is known."""
    random = np.random.default_rng((seed, row, view))
    picture = resize(faces.pictures[row], SIDE)
    if view == 0:
        return picture
    if faces.emotion[row] != UNKNOWN and random.random() < 2 / 3:
        donor = resize(faces.pictures[int(random.choice(donors))], SIDE)
        picture = change_content(picture, donor, random)
    return augment(picture, SIDE, _VIEW, random)


def _encode(vlm: VisionLanguageModel, pictures: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
    """Features of pictures, [k, width] at a time; a batch of none last."""
    device = next((parameter.device for parameter in vlm.parameters()), torch.device("cpu"))
    remaining = iter(pictures)
    while batch := list(islice(remaining, _BATCH)):
        with torch.inference_mode():
            features = vlm.image(images_to_tensor(np.stack(batch), device)).cpu().numpy()
        yield features.astype(np.float32)
    yield np.zeros((0, vlm.width), np.float32)


class EmotionLearner(nn.Module):
    """What is trained: class networks and prompts."""

    def __init__(self, config: EmotionConfig, vlm: VisionLanguageModel, learned: bool) -> None:
        """Start from random networks, and from prompts in words."""
        super().__init__()
        self.networks = ClassHeads(config)
        self.prompts = EmotionPrompts(vlm, learned)


class EmotionTask:
    """The learner, its draws and its losses; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {"prompts.": 0.5}

    def __init__(self, options: EmotionOptions, world: World) -> None:
        """Load and encode the faces, and embed the sentences about emotions.

        Raises:
            UsageError: The faces do not suffice.
        """
        vlm = load_vision_language_model(options.vlm)
        with world.main_first():
            faces, digest, people = load_faces(options.faces, world.console)
            views = encode_views(vlm.to(world.device), faces, options, digest, world.console)
        beneath = read_trained_people(Path(options.vlm)) if Path(options.vlm).is_file() else frozenset[str]()
        recorded = record_people(people, beneath.union(faces.trained_people))
        self.settings = recipe_settings(options, digest, vlm_sha256=vlm.digest, split_people=recorded)
        self.options, self.vlm = options, vlm
        self.train, self.validation = faces.of("train"), faces.of("validation")
        if not self.validation.labeled.any():
            raise UsageError("no labeled face of the people to validate on: see the split of people, or add --fer")
        if not self.train.informative.any():
            raise UsageError("no person to train on shows two emotions: label more clips, or add --fer")
        self.informative = self.train.informative
        self.changed, self.plain = (torch.from_numpy(features).to(world.device) for features in views)
        self.config = EmotionConfig(
            vlm.spec, vlm.digest, vlm.width, options.hidden, options.middle, options.temperature
        )
        self.model = EmotionLearner(self.config, vlm, options.prompts == "learned").to(world.device)
        self._strata = batch_strata(self.train, options.batch, options.faces)
        self._rows_of_clip = _group_rows(self.train.clip)
        self._rows_of_emotion = _group_rows(np.where(self.informative, self.train.emotion, UNKNOWN))
        self.data_summary = summarize(faces)
        texts, numbers = list_descriptions()
        with torch.no_grad():
            self.sentences = embed_sentences(vlm, texts)
        self.sentence_emotion = torch.tensor(numbers, device=self.sentences.device)
        means = [self.sentences[self.sentence_emotion == number].mean(0) for number in range(len(EMOTIONS))]
        self.classes = functional.normalize(torch.stack(means), dim=1)

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compute the terms of a step; every process draws the whole batch and computes its slice."""
        options = self.options
        random = np.random.default_rng((options.loop.seed, step))
        rows = draw_batch(self._strata, random)
        partners, same_person = self.draw_partners(rows, random)
        views = np.stack([random.integers(0, options.views, len(rows)) for _ in range(2)])
        mine = world.slice(len(rows))
        prompts = self.model.prompts(self.vlm)
        sides = [self.changed[chosen[mine], view[mine]] for chosen, view in zip((rows, partners), views, strict=True)]
        first, second = (world.gather(self.model.networks(side)) for side in sides)
        vectors, every = torch.cat([first, second]), np.concatenate([rows, partners])
        distance = 1 - functional.cosine_similarity((first * prompts).flatten(1), (second * prompts).flatten(1), dim=1)
        counted = torch.from_numpy(same_person).to(world.device)
        terms = {
            "contrast": self._contrast(vectors, prompts, every),
            "consistency": (distance * counted).sum() / counted.sum().clamp(min=1),
            "prior": self._diverge_from_prior(vectors, prompts, every),
            "language": functional.cross_entropy(
                self.sentences @ prompts.T / options.temperature, self.sentence_emotion
            ),
        }
        loss = terms["contrast"] + options.consistency_weight * terms["consistency"]
        loss = loss + options.prior_weight * terms["prior"]
        if options.prompts == "learned":
            loss = loss + options.language_weight * terms["language"]
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    def _contrast(self, vectors: Tensor, prompts: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """The contrast between emotions, over the faces [n, 7, width] of `rows` whose labels are informative."""
        informative = torch.from_numpy(self.informative[rows]).to(vectors.device)
        emotion = torch.from_numpy(self.train.emotion[rows]).to(vectors.device)[informative]
        vectors = vectors[informative]
        if self.options.contrast:
            return emotion_augmented_contrast(vectors, prompts, emotion, self.options.temperature)
        return 1 - (vectors[torch.arange(len(emotion)), emotion] * prompts[emotion]).sum(1).mean()

    def _diverge_from_prior(self, vectors: Tensor, prompts: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Divergence of the predicted emotions from those that the frozen model tells from the plain picture."""
        prior = (self.changed[rows, 0] @ self.classes.T / self.options.temperature).log_softmax(1)
        predicted = ((vectors * prompts).sum(2) / self.options.temperature).log_softmax(1)
        return functional.kl_div(predicted, prior, reduction="batchmean", log_target=True)

    def draw_partners(
        self, rows: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Draw a partner with the same emotion for each face.

        It is the face itself or another moment of its clip (three times in four, and wherever the label is not
        informative), or another person.

        Args:
            rows: The faces [n].
            random: Generator that decides.

        Returns:
            The partners [n], and whether only the content changes [n].
        """
        own = (random.random(len(rows)) < 0.75) | ~self.informative[rows]
        pools = [
            self._rows_of_clip[self.train.clip[row]] if same else self._rows_of_emotion[self.train.emotion[row]]
            for row, same in zip(rows, own, strict=True)
        ]
        return np.array([random.choice(pool) for pool in pools]), own.astype(np.float32)

    def validate(self) -> dict[str, float]:
        """Measure balanced accuracy by source; the score is its mean less what is readable of the viseme."""
        prompts = self.model.prompts(self.vlm)
        weighted = (self.model.networks(self.plain) * prompts).cpu()
        predicted = weighted.sum(2).argmax(1).numpy()
        measures, faces = {}, self.validation
        for source, rows in labeled_rows_by_source(faces):
            emotion = faces.emotion[rows]
            measures[source] = float(np.mean([(predicted[rows[emotion == k]] == k).mean() for k in set(emotion)]))
        score = float(np.mean(list(measures.values())))
        probe = linear_probe_accuracy(weighted.flatten(1), faces.viseme, faces.person)
        if probe is not None:
            accuracy, chance = probe
            measures |= {"viseme_accuracy": accuracy, "viseme_chance": chance}
            score -= max(0.0, accuracy - chance - 0.05)
        right = (self.sentences @ prompts.T).argmax(1) == self.sentence_emotion
        return {"score": score, **measures, "sentences": float(right.float().mean())}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the networks, and the final vectors of the prompts."""
        tensors = {f"networks.{name}": value for name, value in self.model.networks.state_dict().items()}
        tensors["prompts"] = self.model.prompts(self.vlm).detach()
        return tensors, ARCHITECTURE, asdict(self.config)


def _group_rows(labels: NDArray[Any]) -> dict[Any, NDArray[np.int64]]:
    """Label → rows."""
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))
