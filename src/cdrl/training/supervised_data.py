"""What training a generator under supervision shares: moments of clips, their frames, and the supervised terms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from cdrl.datasets.prepared import SIZE, PreparedDataset
from cdrl.datasets.splits import check_people, list_people
from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.manipulation.expression_change import apply_shading
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.representations.content import load_content
from cdrl.representations.emotion import load_emotion
from cdrl.representations.encoders import images_to_tensor
from cdrl.training.array_cache import ArrayRequest, cached_array
from cdrl.training.augmentation import resize
from cdrl.training.differentiable_rendering import prior_to_tensors, render_images
from cdrl.training.faces import FaceDataset, concat, load_clip_faces, load_gray_faces
from cdrl.training.feature_cache import digest_weights
from cdrl.training.options import SupervisionOptions
from cdrl.training.supervision import CDRLSupervision, EmotionEvidence, EmotionOrigin
from cdrl.training.training_clips import FrontalClip, find_frontal_clips

_BATCH = 64  # faces encoded at once
_NEUTRAL_FACES = 512  # over which what neutral faces show is averaged


@dataclass(frozen=True)
class TrainingMoment:
    """Consecutive frames of a clip, the target emotion, and reference faces that show it."""

    clip: FrontalClip
    start: int
    """Number of the first frame."""
    emotion: int
    """Number of the target emotion in EXPRESSIVE."""
    references: NDArray[np.int64]
    """Numbers of the reference faces [R]."""


@dataclass(frozen=True)
class ClipBatch:
    """B moments of T frames."""

    images: Tensor
    """RGB in [0, 1], [B, T, 3, 224, 224]."""
    points: Tensor
    """Landmarks [B, T, 478, 3] in pixels."""
    shapes: Tensor
    """Pose-free shapes [B, T, 478, 3] in cm."""
    axes: Tensor
    """Projections [B, T, 3, 2] from cm to pixels."""
    closed_opening: Tensor
    """Lip opening [B, 1] in cm that counts as closed."""
    mean_opening: Tensor
    """Mean lip opening [B, 1] in cm of the person's talk."""
    relief: Tensor
    """Strength of the skin's relief [B]."""

    def render(self, displacement: Tensor, gain: Tensor) -> Tensor:
        """Render the frames with a displacement and a shading.

        Args:
            displacement: [B, T, 478, 3] in cm.
            gain: Log luma [B, SIZE, SIZE].

        Returns:
            RGB in [0, 1], [B, T, 3, 224, 224].
        """
        shading = apply_shading(gain, self.relief)[:, None].expand(-1, self.images.shape[1], -1, -1)
        flat = (part.flatten(0, 1) for part in (self.images, self.points[..., :2], displacement @ self.axes, shading))
        return render_images(*flat).reshape(self.images.shape)


class SupervisedDataset:
    """Clips, references and supervision: everything a supervised recipe needs but its generator."""

    def __init__(
        self, options: SupervisionOptions, data: PreparedDataset, cache: Path, device: torch.device, quiet: bool
    ) -> None:
        """Find the clips, load the representations, and encode the references.

        Args:
            options: What is supervised.
            data: PreparedDataset clips.
            cache: Folder that keeps what references show.
            device: Where to compute.
            quiet: Whether to print no progress.

        Raises:
            UsageError: No clip is left to train or to validate on, or nobody shows one of the emotions.
        """
        self.options, self.device = options, device
        console = Console(soft_wrap=True, quiet=quiet)
        self.fitted = EmotionPrior.load(options.prior)
        self.prior = prior_to_tensors(self.fitted, device)
        check_people(options.exclude, list_people(clip.metadata for clip in data.clips), "--exclude")
        clips = [clip for clip in data.clips if f"{clip.metadata.dataset}/{clip.metadata.actor}" not in options.exclude]
        self.all_clips = find_frontal_clips(clips, self.fitted, options.length, console)
        self.train, self.validation = (
            [item for item in self.all_clips if item.clip.metadata.split == split] for split in ("train", "validation")
        )
        if not self.train or not self.validation:
            raise UsageError(
                f"{len(self.train)} clips to train on and {len(self.validation)} to validate show a face from the "
                f"front for {options.length} frames: one of each at least is needed; prepare more clips"
            )
        # Clips of each person, of synthetic people and of real ones.
        self._clips_of_people: dict[bool, dict[str, list[FrontalClip]]] = {True: {}, False: {}}
        for item in self.train:
            people = self._clips_of_people[item.clip.metadata.synthetic]
            people.setdefault(item.person_name, []).append(item)
        if options.supervised:
            self.supervision = CDRLSupervision(load_content(options.content), load_emotion(options.emotion)).to(device)
            self._evidence, self._reference_rows = self._load_references(data, cache, console)

    def _load_references(
        self, data: PreparedDataset, cache: Path, console: Console
    ) -> tuple[tuple[Tensor, Tensor], dict[int, NDArray[np.int64]]]:
        """What faces to train on show, [n, W] and [n] (see `EmotionEvidence`), and which of them show which emotion."""
        datasets = [load_clip_faces(data, console, ("train",))]
        if self.options.fer is not None:
            datasets.append(load_gray_faces(self.options.fer, cache, console).of("train"))
        faces = concat(datasets)
        faces = faces.select(faces.labeled)
        digest = hashlib.sha256(faces.emotion.tobytes())
        for picture in faces.pictures:
            digest.update(picture.tobytes())
        emotion_model: Any = self.supervision.emotion
        digest.update(digest_weights(emotion_model).encode())
        encode = partial(self._encode_references, faces)
        request = ArrayRequest("references", "encoding faces", digest.digest(), len(faces), encode, _BATCH)
        evidence = torch.from_numpy(cached_array(cache, request, console)).to(self.device)
        people = [f"{source}/{person}" for source, person in zip(faces.source, faces.person, strict=True)]
        excluded = np.isin(people, np.array(self.options.exclude, np.str_))
        if self.options.emotion_target == "difference":
            neutral = faces.select((faces.emotion == EMOTIONS.index("neutral")) & ~excluded)
            self._neutral = self._measure_neutral(neutral, digest.digest(), cache, console)
        rows = {
            number: np.flatnonzero((faces.emotion == EMOTIONS.index(name)) & ~excluded)
            for number, name in enumerate(EXPRESSIVE)
        }
        if missing := [EXPRESSIVE[number] for number, chosen in rows.items() if not len(chosen)]:
            raise UsageError(f"nobody to train on shows {', '.join(missing)}: label such clips, or add --fer")
        return (evidence[:, :-1], evidence[:, -1]), rows

    def _measure_neutral(self, faces: FaceDataset, digest: bytes, cache: Path, console: Console) -> Tensor:
        """What neutral faces show of each emotion on average, [7, W]; see `EmotionOrigin`."""
        if not len(faces):
            raise UsageError(
                "--emotion-target difference: nobody to train on is neutral: label such clips, or add --fer"
            )
        some = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), _NEUTRAL_FACES)).round().astype(int))
        chosen = faces.select(np.isin(np.arange(len(faces)), some))

        @torch.inference_mode()
        def encode(done: int) -> Iterator[NDArray[np.float32]]:
            for start in range(done, len(chosen), _BATCH):
                images = self._stack_pictures(chosen, start)
                yield self.supervision.emotion.weigh(self.supervision.emotion.encode(images)).float().cpu().numpy()

        key = digest + str(sorted(self.options.exclude)).encode()
        request = ArrayRequest("neutral", "encoding neutral faces", key, len(chosen), encode, _BATCH)
        return torch.from_numpy(cached_array(cache, request, console).mean(0)).to(self.device)

    def _stack_pictures(self, faces: FaceDataset, start: int) -> Tensor:
        """The next batch of pictures, [k, 3, SIZE, SIZE]."""
        pictures = [resize(picture, SIZE) for picture in faces.pictures[start : start + _BATCH]]
        return images_to_tensor(np.stack(pictures), self.device)

    @torch.inference_mode()
    def _encode_references(self, faces: FaceDataset, done: int) -> Iterator[NDArray[np.float32]]:
        """`EmotionEvidence` of the faces from number `done` on, [k, W + 1]: the vector, then the log probability."""
        for start in range(done, len(faces), _BATCH):
            emotion = torch.from_numpy(faces.emotion[start : start + _BATCH]).to(self.device)
            shown = self.supervision.measure_emotion(self._stack_pictures(faces, start)[:, None], emotion)
            yield torch.cat([shown.vectors[:, 0], shown.log_probability], 1).cpu().numpy()

    def draw_moment(self, random: np.random.Generator) -> TrainingMoment:
        """Draw a moment of a person to train on, with a target emotion."""
        synthetic, real = self._clips_of_people[True], self._clips_of_people[False]
        use_synthetic = random.random() < self.options.synthetic_fraction and synthetic
        people = (synthetic if use_synthetic else real) or synthetic
        clips = people[sorted(people)[random.integers(len(people))]]
        return self.make_moment(clips[random.integers(len(clips))], int(random.integers(len(EXPRESSIVE))), random)

    def make_moment(self, clip: FrontalClip, emotion: int, random: np.random.Generator) -> TrainingMoment:
        """Draw a moment of a clip and its references for a target emotion, a number in EXPRESSIVE."""
        start = int(clip.frames[random.integers(len(clip.frames))])
        references = np.zeros(0, np.int64)
        if self.options.supervised:
            references = random.choice(self._reference_rows[emotion], self.options.references)
        return TrainingMoment(clip, start, emotion, references)

    def load_batch(self, moments: list[TrainingMoment]) -> ClipBatch:
        """Read the frames of moments from the shards."""
        length, device = self.options.length, self.device
        chosen = [(moment.clip, slice(moment.start, moment.start + length)) for moment in moments]
        people = [moment.clip.person for moment in moments]

        def stack(parts: list[NDArray[np.float32]]) -> Tensor:
            return torch.from_numpy(np.stack(parts)).to(device)

        return ClipBatch(
            torch.stack([images_to_tensor(c.clip.images(range(s.start, s.stop)), device) for c, s in chosen]),
            stack([c.clip.landmarks[s] for c, s in chosen]),
            stack([c.shapes[s] for c, s in chosen]),
            stack([c.axes[s] for c, s in chosen]),
            torch.tensor([[person.closed_opening] for person in people], device=device),
            torch.tensor([[person.mean_opening] for person in people], device=device),
            torch.tensor([person.relief for person in people], device=device),
        )

    def supervise(
        self, moments: list[TrainingMoment], generate: Callable[[ClipBatch], Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare generated frames with the sources' content and the references' emotion.

        Args:
            moments: The moments of a batch.
            generate: Makes frames [B, T, 3, 224, 224] of the batch.

        Returns:
            The weighted sum of the supervised terms, and the terms.
        """
        options = self.options
        batch = self.load_batch(moments)
        with torch.autocast(self.device.type, enabled=False):  # positions of pixels need float32
            generated = generate(batch)
        numbers = [EMOTIONS.index(EXPRESSIVE[moment.emotion]) for moment in moments]
        emotion = torch.tensor(numbers, device=self.device)
        target = EmotionEvidence(
            *(torch.stack([part[moment.references] for moment in moments]) for part in self._evidence)
        )
        speech, audible = self._load_speech(moments)
        origin = None
        if options.emotion_target == "difference":
            with torch.no_grad():
                source = self.supervision.measure_emotion(batch.images, emotion).vectors
            origin = EmotionOrigin(source, self._neutral[emotion])
        terms = {
            "content": self.supervision.content_consistency(batch.images, generated, speech, audible),
            **self.supervision.emotion_consistency(target, generated, emotion, origin),
        }
        loss = options.content_weight * terms["content"]
        if options.emotion_weight:
            loss = loss + options.emotion_weight * terms["emotion"] + options.contrast_weight * terms["contrast"]
        return loss, terms

    def _load_speech(self, moments: list[TrainingMoment]) -> tuple[Tensor, Tensor]:
        """Speech features [B, T, width], and which frames have sound [B, T]."""
        content: Any = self.supervision.content
        length = self.options.length
        speech = torch.zeros(len(moments), length, content.config.speech_width)
        audible = torch.zeros(len(moments), length, dtype=torch.bool)
        for row, moment in enumerate(moments):
            features = moment.clip.clip.speech
            if features is not None:
                speech[row] = torch.from_numpy(np.array(features[moment.start : moment.start + length], np.float32))
                audible[row] = True
        return speech.to(self.device), audible.to(self.device)
