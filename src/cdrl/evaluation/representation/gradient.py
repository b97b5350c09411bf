"""Does the gradient from content similarity to the picture open and close the mouth?

The pictures are made a function of one number each, the amount a by which a fixed warp opens the mouth (−1 shuts it, 0
leaves it, 1 is wider than the widest of the clip): in a frame and in those around it that the model sees, each its own,
as a generator has its way with each. Starting at 0 at a half-open moment, the content is pulled by gradient descent on
them towards that of a moment of the same clip with the mouth wide open, or shut. The sound is that of the start on both
sides, so only the pictures differ. Right is who opens for the first and shuts for the second, in the moment's own
frame: by the sign of the first derivative, by where a ends, and by what a landmark detector sees at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cdrl.datasets.pairs import measure_mouth_opening
from cdrl.evaluation.representation.estimates import Values
from cdrl.evaluation.representation.features import embedded, window
from cdrl.evaluation.representation.moments import Moments, person_of
from cdrl.evaluation.representation.mouths import AMOUNTS, Picture, opening_shifts, seen_opening
from cdrl.evaluation.representation.similarity import sort_values
from cdrl.face.landmarks import BundleDetector
from cdrl.representations.content import ContentModel
from cdrl.representations.encoders import as_images, as_pictures

STEPS = 12
_RATE = 0.12  # of Adam: about how far a moves in a step
_NEAR = 0.02  # amounts on each side of 0 whose derivatives are averaged: the warp has a corner at 0
_CLEAR = 0.005  # of the eyes' distance: a smaller change of the opening is the detector's noise
_BATCH = 4
_WIDEST = 3.0


@dataclass(frozen=True)
class Start:
    """A half-open frame `row` of a clip and the frame `target` whose mouth it is to take; `widest`: how many times
    wider than it is amount 1 opens it."""

    row: int
    target: int
    wanted: Literal["open", "shut"]
    widest: float


@dataclass(frozen=True)
class Path:
    """What came of one start: the derivative of the similarity at 0, where the amount ended, the cosine before and
    after, the opening that the detector sees before and after, and the pictures (start, end, target)."""

    start: Start
    slope: float
    amount: float
    cosine: tuple[float, float]
    opening: tuple[float, float]
    pictures: tuple[Picture, Picture, Picture]

    @property
    def right(self) -> dict[str, bool]:
        """Whether it went the right way, by each of the three ways to tell."""
        sign = 1 if self.start.wanted == "open" else -1
        return {
            "derivative": sign * self.slope > 0,
            "descent": sign * self.amount > 0,
            "opening seen": sign * (self.opening[1] - self.opening[0]) > _CLEAR,
        }


def starts(moments: Moments, most: int) -> list[Start]:
    """Up to `most` starts: in turn opening and shutting, evenly over the clips with a mouth that does both."""
    opening = measure_mouth_opening(moments.landmarks)
    found = []
    for number in range(len(moments.clips)):
        rows = moments.of_clips([number])
        if len(rows) < 5:
            continue
        low, high = float(np.percentile(opening[rows], 5)), float(np.percentile(opening[rows], 95))
        if high - low < 0.06 or low > 0.06:
            continue  # a mouth that hardly moves, or never shuts, has no two ends to go to
        half = int(rows[np.argmin(np.abs(opening[rows] - (low + high) / 2))])
        target = {"open": int(rows[np.argmax(opening[rows])]), "shut": int(rows[np.argmin(opening[rows])])}
        widest = float(np.clip(1.25 * high / max(opening[half], 1e-3), 1.2, _WIDEST))
        found += [Start(half, target["open"], "open", widest), Start(half, target["shut"], "shut", widest)]
    pairs = len(found) // 2
    chosen = np.unique(np.linspace(0, pairs - 1, min(most // 2, pairs)).astype(int)) if pairs else ()
    return [start for pair in chosen for start in found[2 * pair : 2 * pair + 2]]


def warped(images: Tensor, shifts: Tensor, amount: Tensor) -> Tensor:
    """Images [n, frames, 3, h, w] with mouths opened by `amount` [n, frames]; differentiable in it.

    `shifts` [n, frames, amounts, h, w, 2]: see `opening_shifts`; between two of its amounts the pixels' way is linear.
    """
    nodes = torch.tensor(AMOUNTS)
    weights = (1 - (amount[..., None] - nodes).abs() / (nodes[1] - nodes[0])).clamp(min=0)
    shift = torch.einsum("nfa,nfahwc->nfhwc", weights, shifts).flatten(0, 1)
    height, width = images.shape[3:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([x, y], 2) + shift
    place = place * (2 / torch.tensor([width - 1, height - 1])) - 1
    found = functional.grid_sample(images.flatten(0, 1), place, padding_mode="border", align_corners=True)
    return found.reshape(images.shape)


def follow(model: ContentModel, moments: Moments, begun: list[Start]) -> list[Path]:
    """Every start followed to its end."""
    detector = BundleDetector()
    paths: list[Path] = []
    for place in range(0, len(begun), _BATCH):
        paths += _follow_batch(model, moments, begun[place : place + _BATCH], detector)
    return paths


def _follow_batch(model: ContentModel, moments: Moments, begun: list[Start], detector: BundleDetector) -> list[Path]:
    offsets = model.config.offsets
    middle = offsets.index(0)
    images, targets, table = [], [], []
    for start in begun:
        pictures, points = moments.around(start.row, offsets)
        images.append(as_images(pictures))
        table.append([opening_shifts(pictures.shape[1:3], marks, start.widest) for marks in points])
        targets.append(as_images(moments.around(start.target, offsets)[0]))
    shown, shifts = torch.stack(images), torch.from_numpy(np.array(table))
    sound = window(moments, np.array([start.row for start in begun]))
    with torch.no_grad():
        wanted = embedded(model, torch.stack(targets), sound)

    def cosine(amount: Tensor) -> Tensor:
        return (embedded(model, warped(shown, shifts, amount), sound) * wanted).sum(1)

    slopes = [_slope(cosine, torch.full((len(begun), len(offsets)), side)) for side in (-_NEAR, _NEAR)]
    slope = torch.stack(slopes).mean(0)
    amount = _descend(cosine, slope)
    with torch.no_grad():
        before, after = cosine(torch.zeros_like(amount)), cosine(amount)
        ended = warped(shown, shifts, amount)
    before_after_target = [as_pictures(part[:, middle]) for part in (shown, ended, torch.stack(targets))]
    result = []
    for index, start in enumerate(begun):
        points = moments.landmarks[start.row]
        three = tuple(pictures[index] for pictures in before_after_target)
        seen = tuple(seen_opening(detector, picture, points) for picture in three[:2])
        cosines = float(before[index]), float(after[index])
        result.append(
            Path(
                start,
                float(slope[index, middle]),
                float(amount[index, middle]),
                cosines,
                (seen[0], seen[1]),
                (three[0], three[1], three[2]),
            )
        )
    return result


def _slope(cosine: Callable[[Tensor], Tensor], amount: Tensor) -> Tensor:
    """Derivative [n, frames] of the cosine at `amount` [n, frames]."""
    amount = amount.requires_grad_()
    found: Tensor = torch.autograd.grad(cosine(amount).sum(), amount)[0]
    return found


def _descend(cosine: Callable[[Tensor], Tensor], slope: Tensor) -> Tensor:
    """The amounts [n, frames] in [−1, 1] that descent from 0 ends at; the first step follows the derivative."""
    amount = _NEAR * slope.sign()
    state = torch.optim.Adam([amount], lr=_RATE)
    for _ in range(STEPS):
        amount.grad = -_slope(cosine, amount.detach().clone())
        state.step()
        amount.clamp_(-1, 1)
    return amount.detach()


def shares(moments: Moments, paths: list[Path], way: str) -> Values:
    """Right (1) or wrong (0) by one of the ways of `Path.right`, sorted by person and clip."""
    clips = [moments.clips[moments.clip[path.start.row]] for path in paths]
    right = np.array([float(path.right[way]) for path in paths])
    return sort_values(right, tuple(map(person_of, clips)), tuple(clip.metadata.id for clip in clips))


def summary(paths: list[Path]) -> dict[str, float]:
    """Means over the paths, for the report: cosine and opening before and after, for each direction."""
    found: dict[str, float] = {}
    for wanted in ("open", "shut"):
        some = [path for path in paths if path.start.wanted == wanted]
        found[f"{wanted}: paths"] = len(some)
        for name, values in (("cosine", [p.cosine for p in some]), ("opening seen", [p.opening for p in some])):
            if some:
                before, after = np.mean(values, axis=0)
                found[f"{wanted}: {name} before"], found[f"{wanted}: {name} after"] = float(before), float(after)
    return found
