"""Does shutting the lips in the picture change the content? The same moment, the same sound, only the mouth is shut, in
the frame and in those around it that the model sees.

The control moves the brows by a warp of the same size: what only disturbs a picture must change the content much less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cdrl.datasets.pairs import measure_mouth_opening
from cdrl.evaluation.representation.features import OWN, SILENT, window
from cdrl.evaluation.representation.moments import Ints, Moments, person_of
from cdrl.evaluation.representation.mouths import Picture, brows_moved, seen_opening, shut
from cdrl.evaluation.representation.similarity import sort_values
from cdrl.face.landmarks import BundleDetector
from cdrl.representations.content import ContentModel
from cdrl.representations.encoders import as_images

OPEN = 0.08  # of the distance between the eyes: mouths open wider than this are shut
PER_CLIP = 2  # frames of each clip, the widest ones
LARGEST = 120  # frames in all


@dataclass(frozen=True)
class ShutPair:
    """The frames [n, 224, 224, 3] at `offsets` from a moment as they are, with lips shut, and with brows moved; the
    last two by warps of one size."""

    row: int
    offsets: Sequence[int]
    original: Picture
    closed: Picture
    control: Picture

    @property
    def middle(self) -> tuple[Picture, Picture, Picture]:
        """The three pictures of the moment itself."""
        place = self.offsets.index(0)
        return self.original[place], self.closed[place], self.control[place]


def open_rows(moments: Moments) -> Ints:
    """Moments with the mouth wide open, a few of each clip, evenly over the clips."""
    opening = measure_mouth_opening(moments.landmarks)
    found: list[Ints] = []
    for number in range(len(moments.clips)):
        rows = moments.of_clips([number])
        rows = rows[opening[rows] > OPEN]
        # The widest one, and the widest of the other half, so that they are not neighbours.
        halves = np.array_split(rows, PER_CLIP)
        found += [half[[np.argmax(opening[half])]] for half in halves if len(half)]
    every = np.concatenate(found) if found else np.zeros(0, np.intp)
    return every[np.unique(np.linspace(0, len(every) - 1, min(LARGEST, len(every))).astype(np.intp))]


def shut_pairs(moments: Moments, offsets: Sequence[int]) -> list[ShutPair]:
    """Moments with open mouths, and what becomes of the frames at `offsets` from them."""
    pairs = []
    for row in open_rows(moments):
        pictures, points = moments.around(int(row), offsets)
        closed, control = [], []
        for picture, marks in zip(pictures, points, strict=True):
            shown, size = shut(picture, marks)
            closed.append(shown)
            control.append(brows_moved(picture, marks, size))
        pairs.append(ShutPair(int(row), offsets, pictures, np.stack(closed), np.stack(control)))
    return pairs


@torch.inference_mode()
def drops(
    models: Mapping[str, ContentModel], moments: Moments, pairs: Sequence[ShutPair]
) -> dict[str, dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]]:
    """Model → condition → what shutting the lips [n], and what moving the brows [n], takes from the content cosine.

    1 − cosine to the untouched frames, with the same sound; NaN for a clip without sound where its own is asked for.
    """
    found: dict[str, dict[str, list[tuple[Tensor, Tensor]]]] = {name: defaultdict(list) for name in models}
    for pair in pairs:
        images = as_images(np.concatenate([pair.original, pair.closed, pair.control]))
        own = window(moments, np.array([pair.row]))
        shared: dict[str, Tensor] = {}
        for name, model in models.items():
            encoder = model.config.encoder
            if encoder not in shared:
                shared[encoder] = model.encoder(images)
            places = [pair.offsets.index(offset) for offset in model.config.offsets]
            every = model.attended(shared[encoder])
            maps = every.reshape(3, len(pair.offsets), *every.shape[1:])[:, places]
            for condition, sound in ((OWN, own), (SILENT, None)):
                if condition == OWN and own is None:
                    lost = torch.full((2,), torch.nan)
                else:
                    vectors = model.embed(maps, None if sound is None else sound.expand(3, -1, -1))[0]
                    lost = 1 - vectors[1:] @ vectors[0]
                found[name][condition].append((lost[0], lost[1]))
    return {
        name: {
            condition: (torch.stack([a for a, _ in lost]).numpy(), torch.stack([b for _, b in lost]).numpy())
            for condition, lost in conditions.items()
        }
        for name, conditions in found.items()
    }


def by_person(
    moments: Moments, pairs: Sequence[ShutPair], numbers: NDArray[np.floating]
) -> dict[str, dict[str, list[float]]]:
    """One number a pair [n], sorted by person and clip."""
    clips = [moments.clips[moments.clip[pair.row]] for pair in pairs]
    found = sort_values(numbers, tuple(map(person_of, clips)), tuple(clip.metadata.id for clip in clips))
    return {who: dict(parts) for who, parts in found.items()}  # type: ignore[arg-type]


def really_shut(moments: Moments, pairs: Sequence[ShutPair], most: int = 40) -> tuple[float, float]:
    """Mean opening (over the eyes' distance) that the landmark detector sees before and after, on up to `most` pairs:
    the check that the warp does what it says."""
    detector = BundleDetector()
    some = pairs[:: max(1, -(-len(pairs) // most))]
    before = [seen_opening(detector, pair.middle[0], moments.landmarks[pair.row]) for pair in some]
    after = [seen_opening(detector, pair.middle[1], moments.landmarks[pair.row]) for pair in some]
    return float(np.mean(before)), float(np.mean(after))
