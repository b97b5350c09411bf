"""The segmenter of occluders and background, and its training on real people.

Occluders are drawn in front of faces; a part of the pictures has none, so that beards, teeth, shadows and hair count as
face. The background is known where it is even, as a studio's wall is, and is replaced by other pictures there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cdrl.datasets.prepared import SIZE, PreparedClip, PreparedDataset
from cdrl.datasets.splits import check_people, list_people
from cdrl.errors import UsageError
from cdrl.face.mesh import EYE_CONTOURS
from cdrl.face.segmentation import SIDE
from cdrl.representations.checkpoints import load_network
from cdrl.training.augmentation import Augmentation, degrade
from cdrl.training.backgrounds import UNKNOWN, key_background, replace_background
from cdrl.training.distributed import World
from cdrl.training.occluders import add_occluder
from cdrl.training.onnx_export import export_network
from cdrl.training.options import SegmenterOptions
from cdrl.training.people import list_trained, open_data, record_people
from cdrl.training.progress import track
from cdrl.training.recipe import recipe_settings, train_recipe
from cdrl.training.release import check_target
from cdrl.training.unet import UNet

ARCHITECTURE = "segmenter"
LAYERS = "occluded", "background"
"""What the network's two maps are probabilities of."""
_FRAMES = 24  # of a clip
_LIGHT = Augmentation(gray=0.1, low_resolution=0.3, min_side=64, contrast=(0.6, 1.6))
_TURN, _ZOOM, _SHIFT = 10.0, (0.85, 1.15), 0.06  # degrees, factors, share of the side: how the face is framed
_EYES_RADIUS = 0.2  # of the side: within it of an eye, glasses that somebody wears are not labeled
VALIDATION_PICTURES = 300
_SEEN = 0.5  # probability from which a pixel counts as marked


def train_segmenter(options: SegmenterOptions) -> None:
    """Train the segmenter of occluders and background.

    Raises:
        CdrlError: An option, the data or the folder of the run is wrong.
    """
    check_target(options.release.publish, options.release.overwrite)
    data = open_data(options)
    train_recipe(
        "segmenter",
        options,
        lambda world: SegmenterTask(options, data, world),
        lambda best: export_onnx(load_segmenter(best)),
    )


@dataclass(frozen=True)
class SegmenterConfig:
    """What the network is made of."""

    widths: tuple[int, ...] = (16, 24, 32, 48, 64)
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's side."""


class SegmenterNetwork(UNet):
    """Segments occluders and background of an aligned picture."""

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        self.config = config or SegmenterConfig()
        super().__init__(3, len(LAYERS), self.config.widths)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of being occluded and of being background.

        Args:
            images: RGB in [0, 1], [B, 3, h, w]; sides are multiples of 32.

        Returns:
            [B, 2, h, w].
        """
        return super().forward(2 * images - 1)


@dataclass(frozen=True)
class _Faces:
    """Frames of clips, as they are prepared."""

    pictures: list[NDArray[np.uint8]]
    """Each RGB [SIZE, SIZE, 3]."""
    points: NDArray[np.float32]
    """[n, 478, 2] landmarks."""
    backgrounds: list[NDArray[np.uint8] | None]
    """Each [SIZE, SIZE] or None, see `key_background`."""
    wears_glasses: NDArray[np.bool_]
    """[n]"""
    by_person: list[NDArray[np.intp]]
    """Numbers of the frames of each person."""


class SegmenterTask:
    """The network, its pictures and its loss; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {}

    def __init__(self, options: SegmenterOptions, data: PreparedDataset, world: World) -> None:
        """Read the faces.

        Raises:
            UsageError: There are none to train on or to validate on, or an option is wrong.
        """
        self.options, self.world = options, world
        if options.batch < 1:
            raise UsageError(f"--batch {options.batch}: at least one picture is needed")
        for name in ("clean", "second", "replaced"):
            if not 0 <= getattr(options, name) <= 1:
                raise UsageError(f"--{name} {getattr(options, name):g}: a share, from 0 to 1")
        check_people(options.glasses, list_people(clip.metadata for clip in data.clips), "--glasses")
        self.model = SegmenterNetwork().to(world.device)
        recorded = record_people(data.people, list_trained(data))
        self.settings = recipe_settings(options, data.digest, split_people=recorded)
        clips = {split: data.select(split, synthetic=False) for split in ("train", "validation")}
        if not all(clips.values()):
            raise UsageError("real people to train on and to validate on are needed: prepare more clips")
        self._train, validation = (self._read_faces(of) for of in clips.values())
        self._validation = [
            self._make_picture(validation, np.random.default_rng(number)) for number in range(VALIDATION_PICTURES)
        ]
        self.data_summary = f"{len(clips['train'])} clips, {len(self._train.by_person)} people"

    def _read_faces(self, clips: Sequence[PreparedClip]) -> _Faces:
        pictures, points, glasses, owners = [], [], [], []
        for clip in track(clips, "reading faces", self.world.console):
            person = f"{clip.metadata.dataset}/{clip.metadata.actor}"
            chosen = np.unique(np.linspace(0, clip.count - 1, min(_FRAMES, clip.count)).round().astype(int))
            pictures += list(clip.images(chosen))
            points.append(clip.landmarks[chosen, :, :2])
            glasses += [person in self.options.glasses] * len(chosen)
            owners += [person] * len(chosen)
        _, row = np.unique(owners, return_inverse=True)
        groups = [np.flatnonzero(row == number) for number in range(row.max() + 1)]
        marks = np.concatenate(points)
        backgrounds = [key_background(picture, each) for picture, each in zip(pictures, marks, strict=True)]
        return _Faces(pictures, marks, backgrounds, np.array(glasses), groups)

    def _make_picture(
        self, faces: _Faces, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """A picture [SIDE, SIDE, 3]; of each pixel how far it is occluded and background, and whether that is known.

        The latter two are [2, SIDE, SIDE].
        """

        def draw() -> int:
            return int(random.choice(faces.by_person[random.integers(len(faces.by_person))]))

        number, other = draw(), draw()
        picture, points = faces.pictures[number], faces.points[number]
        occluded, known = np.zeros((SIZE, SIZE), np.float32), np.ones((SIZE, SIZE), np.float32)
        keyed = faces.backgrounds[number]
        background = np.zeros((SIZE, SIZE), np.float32) if keyed is None else (keyed == 1).astype(np.float32)
        told = np.zeros((SIZE, SIZE), np.float32) if keyed is None else (keyed != UNKNOWN).astype(np.float32)
        if keyed is not None and random.random() < self.options.replaced:
            picture, background = replace_background(picture, background, faces.pictures[other], random)
        if faces.wears_glasses[number]:
            for contour in EYE_CONTOURS:
                x, y = points[list(contour)].mean(0)
                cv2.circle(known, (round(float(x)), round(float(y))), round(_EYES_RADIUS * SIZE), 0, -1)
        if random.random() >= self.options.clean:
            for _ in range(1 + (random.random() < self.options.second)):
                picture, opacity = add_occluder(picture, points, faces.pictures[other], random)
                occluded = np.maximum(occluded, opacity)
        known = np.maximum(known, occluded > _SEEN).astype(np.float32)
        matrix = _draw_framing(random)
        framed = [
            cv2.warpAffine(part, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP, borderMode=border)
            for part, border in (
                (picture, cv2.BORDER_REPLICATE),
                (occluded, cv2.BORDER_REPLICATE),
                (background * (1 - occluded), cv2.BORDER_REPLICATE),
                (known, cv2.BORDER_CONSTANT),
                (told, cv2.BORDER_CONSTANT),
            )
        ]
        if random.random() < 0.5:
            framed = [part[:, ::-1] for part in framed]
        shown = degrade(np.ascontiguousarray(framed[0]), _LIGHT, random)
        return shown, np.stack(framed[1:3]), np.stack(framed[3:])

    def _stack(self, drawn: Sequence[tuple[NDArray[Any], ...]]) -> tuple[Tensor, Tensor, Tensor]:
        pictures, shown, known = (
            torch.from_numpy(np.stack(part)).to(self.world.device) for part in zip(*drawn, strict=True)
        )
        return pictures.permute(0, 3, 1, 2).float() / 255, shown, known

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compare what is seen with what was drawn; every process computes its slice of the batch."""
        numbers = range(self.options.batch)[world.slice(self.options.batch)]
        seeds = [np.random.default_rng((self.options.loop.seed, step, number)) for number in numbers]
        images, shown, known = self._stack([self._make_picture(self._train, random) for random in seeds])
        logits = self.model(images).float()
        pixels = functional.binary_cross_entropy_with_logits(logits, shown, reduction="none")
        likely = torch.sigmoid(logits) * known
        common = (likely * shown).sum((2, 3))
        total = (likely + shown * known).sum((2, 3))
        shows = (shown * known).amax((2, 3)) > _SEEN
        overlap = 1 - (2 * common + 1) / (total + 1)
        each = (pixels * known).sum((1, 2, 3)) / known.sum((1, 2, 3))
        terms = {"pixels": each.mean(), "overlap": (overlap * shows).mean()}
        return {"loss": terms["pixels"] + self.options.overlap_weight * terms["overlap"], **terms}

    def validate(self) -> dict[str, float]:
        """Measure, on validation people, how well what is seen overlaps what is there, and the share seen falsely."""
        common, union, false, absent = (torch.zeros(2) for _ in range(4))
        for start in range(0, len(self._validation), self.options.batch):
            images, shown, known = self._stack(self._validation[start : start + self.options.batch])
            seen, there, valid = torch.sigmoid(self.model(images)) > _SEEN, shown > _SEEN, known > _SEEN
            clear = valid & ~there
            common += _count(seen & there & valid)
            union += _count((seen | there) & valid)
            false += _count(seen & clear)
            absent += _count(clear)
        overlap, falsely = common / union.clamp(min=1), false / absent.clamp(min=1)
        return {
            "score": float(overlap.mean()),
            **{f"{name}_overlap": float(overlap[row]) for row, name in enumerate(LAYERS)},
            **{f"{name}_false": float(falsely[row]) for row, name in enumerate(LAYERS)},
        }

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the network."""
        return self.model.state_dict(), ARCHITECTURE, asdict(self.model.config)


def _count(pixels: Tensor) -> Tensor:
    """How many pixels [B, 2, h, w] of each layer are marked, [2]."""
    return pixels.sum((0, 2, 3)).cpu()


def _draw_framing(random: np.random.Generator) -> NDArray[np.float64]:
    """Positions in a prepared picture for those of a picture of SIDE pixels, [2, 3]."""
    scale = SIZE / SIDE / random.uniform(*_ZOOM)
    angle = np.radians(random.uniform(-_TURN, _TURN))
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = SIZE * (0.5 + random.uniform(-_SHIFT, _SHIFT, 2))
    return np.column_stack([linear, middle - linear @ np.full(2, SIDE / 2)])


def load_segmenter(path: Path) -> SegmenterNetwork:
    """Load a trained network, frozen.

    Raises:
        InputError: The file is another checkpoint, or none.
    """
    return load_network(path, ARCHITECTURE, SegmenterConfig, SegmenterNetwork)


class _Probability(nn.Module):
    """From RGB bytes [1, SIDE, SIDE, 3], as a frame has them, to probabilities [2, SIDE, SIDE]."""

    def __init__(self, model: SegmenterNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor) -> Tensor:
        return torch.sigmoid(self.model(picture.permute(0, 3, 1, 2).float() / 255))[0]


def export_onnx(model: SegmenterNetwork) -> bytes:
    """Return the network as ONNX for `cdrl.face.segmentation.Segmenter`."""
    inputs = (torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8),)
    return export_network(_Probability(model).eval(), inputs, (["picture"], ["layers"]), {})
