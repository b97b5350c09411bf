"""Does closing the lips in the picture change the content?

The same moment, the same sound, only the mouth is closed, in the frame and in those around it that the model sees. The
control raises the brows by a warp of the same size: what only disturbs a picture must change the content much less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cdrl.datasets.pairs import measure_mouth_opening
from cdrl.evaluation.estimates import Measurement, Threshold, mean_estimate, missing
from cdrl.evaluation.representation.features import OWN, SILENT, speech_of
from cdrl.evaluation.representation.frame_index import SYNTHETIC, FrameIndex, Ints, pick_evenly
from cdrl.face.landmarks import BundleDetector
from cdrl.representations.content import ContentModel
from cdrl.representations.encoders import images_to_tensor
from experiments.lip_warps import Picture, close_lips, detect_opening, raise_brows

CLOSED, BROWS = "lips closed in the picture: fall of the cosine", "brows raised as much: fall of the cosine"
THRESHOLD = Threshold("at least", 0.2)
"""What closed lips must take from the cosine, on synthetic people."""

_OPEN = 0.08  # of the distance between the eyes: mouths open wider than this are closed
_PER_CLIP = 2  # frames of each clip, the widest ones
_MAX_FRAMES = 120  # in all
_CHECKED = 40  # frames on which a detector checks the warp
_CONTROL = 1 / 3  # of the fall by closed lips: what raised brows may cost

Falls = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Condition → what closing the lips [n], and raising the brows [n], takes from the cosine."""


@dataclass(frozen=True)
class ClosurePair:
    """The frames [n, 224, 224, 3] around a moment as they are, and warped; both warps are of one size."""

    row: int
    """Row of the moment."""
    offsets: Sequence[int]
    """The frames, relative to the moment."""
    original: Picture
    """The frames as they are."""
    closed: Picture
    """With closed lips."""
    control: Picture
    """With raised brows."""

    @property
    def middle(self) -> tuple[Picture, Picture, Picture]:
        """The three pictures of the moment itself."""
        place = self.offsets.index(0)
        return self.original[place], self.closed[place], self.control[place]


def choose_open_frames(index: FrameIndex) -> Ints:
    """Choose rows with the mouth wide open, a few of each clip, evenly over the clips."""
    opening = measure_mouth_opening(index.landmarks)
    chosen = [np.zeros(0, np.intp)]
    for number in range(len(index.clips)):
        rows = index.rows_of([number])
        # The widest one, and the widest of the other half, so that they are not neighbors.
        halves = np.array_split(rows[opening[rows] > _OPEN], _PER_CLIP)
        chosen += [half[[np.argmax(opening[half])]] for half in halves if len(half)]
    return pick_evenly(np.concatenate(chosen), _MAX_FRAMES)


def make_closure_pairs(index: FrameIndex, offsets: Sequence[int]) -> list[ClosurePair]:
    """Warp the frames at `offsets` from moments with open mouths."""
    pairs = []
    for row in choose_open_frames(index):
        pictures, points = index.read_window(int(row), offsets)
        closed, sizes = zip(*map(close_lips, pictures, points), strict=True)
        control = list(map(raise_brows, pictures, points, sizes))
        pairs.append(ClosurePair(int(row), offsets, pictures, np.stack(closed), np.stack(control)))
    return pairs


@torch.inference_mode()
def measure_falls(
    models: Mapping[str, ContentModel], index: FrameIndex, pairs: Sequence[ClosurePair]
) -> dict[str, Falls]:
    """Measure, by model, 1 − cosine to the untouched frames with the same sound, or without any.

    NaN for a clip without sound where its own is asked for.
    """
    falls: dict[str, dict[str, list[Tensor]]] = {name: defaultdict(list) for name in models}
    for pair in pairs:
        images = images_to_tensor(np.concatenate([pair.original, pair.closed, pair.control]))
        own = speech_of(index, np.array([pair.row]))
        maps: dict[str, Tensor] = {}
        for name, model in models.items():
            encoder = model.config.encoder
            if encoder not in maps:
                maps[encoder] = model.encoder(images)
            places = [pair.offsets.index(offset) for offset in model.config.offsets]
            cropped = model.crop_maps(maps[encoder])
            windows = cropped.reshape(3, len(pair.offsets), *cropped.shape[1:])[:, places]
            for condition, sound in ((OWN, own), (SILENT, None)):
                fall = torch.full((2,), torch.nan)
                if condition == SILENT or own is not None:
                    vectors = model.embed(windows, None if sound is None else sound.expand(3, -1, -1))[0]
                    fall = 1 - vectors[1:] @ vectors[0]
                falls[name][condition].append(fall)
    return {
        name: {condition: tuple(torch.stack(parts, 1).numpy()) for condition, parts in conditions.items()}
        for name, conditions in falls.items()
    }


def measure_closure(
    falls: Mapping[str, Falls], index: FrameIndex, pairs: Sequence[ClosurePair]
) -> Iterator[Measurement]:
    """Yield what closing the lips, and raising the brows as much, takes from the cosine of each model."""
    rows = np.array([pair.row for pair in pairs], np.intp)
    for name, conditions in falls.items():
        for condition in (OWN, SILENT):
            estimates = [missing("no frame with an open mouth")] * 2
            if condition in conditions:
                estimates = [mean_estimate(index.table(rows, value=fall)) for fall in conditions[condition]]
            required = condition == OWN and index.block == SYNTHETIC
            if required or estimates[0].value is not None:
                limit = Threshold("at most", (estimates[0].value or 0.0) * _CONTROL)
                thresholds = (THRESHOLD, limit) if required else (None, None)
                for measure, estimate, threshold in zip((CLOSED, BROWS), estimates, thresholds, strict=True):
                    yield Measurement(name, measure, index.block, condition, estimate, threshold)


def check_closure(index: FrameIndex, pairs: Sequence[ClosurePair]) -> dict[str, float]:
    """Detect the mean opening (over the eyes' distance) before and after, on some pairs: the warp does what it says."""
    detector = BundleDetector()
    some = pairs[:: max(1, -(-len(pairs) // _CHECKED))]
    seen = [[detect_opening(detector, view, index.landmarks[pair.row]) for view in pair.middle[:2]] for pair in some]
    return dict(zip(("opening seen before", "opening seen with lips closed"), np.mean(seen, 0).tolist(), strict=True))
