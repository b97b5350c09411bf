"""Does the gradient from content similarity to the picture open and close the mouth?

The pictures are made a function of one number each, the amount a by which a fixed warp opens the mouth (−1 closes it, 0
leaves it, 1 is wider than the widest of the clip): in a frame and in those around it that the model sees, each its own,
as a generator has its way with each. Starting at 0 at a half-open moment, the content is pulled by gradient descent on
them towards that of a moment of the same clip with the mouth wide open, or closed. The sound is that of the start on
both sides, so only the pictures differ. Right is what opens for the first and closes for the second, in the moment's
own frame: by the sign of the first derivative, by where a ends, and by what a landmark detector sees at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cdrl.datasets.pairs import measure_mouth_opening
from cdrl.evaluation.estimates import Measurement, Threshold, mean_estimate, missing
from cdrl.evaluation.representation.features import speech_of
from cdrl.evaluation.representation.frame_index import SYNTHETIC, FrameIndex
from cdrl.face.landmarks import BundleDetector
from cdrl.representations.content import ContentModel
from cdrl.representations.encoders import images_to_tensor, tensor_to_images
from experiments.lip_warps import AMOUNTS, Picture, compute_opening_shifts, detect_opening

SLOPE = "gradient opens and closes the mouth: derivative"
END = "gradient opens and closes the mouth: where the descent ends"
SEEN = "gradient opens and closes the mouth: seen at the end"
_MIN_RIGHT = 0.8  # share of frames in which the gradient must open or close the mouth as it should

_STEPS = 12
_RATE = 0.12  # of Adam: about how far a moves in a step
_NEAR = 0.02  # amounts on each side of 0 whose derivatives are averaged: the warp has a corner at 0
_CLEAR = 0.005  # of the eyes' distance: a smaller change of the opening is the detector's noise
_BATCH = 4
_WIDEST = 3.0


@dataclass(frozen=True)
class Start:
    """A half-open moment, and the moment of the same clip whose mouth it is pulled to."""

    row: int
    """Row of the half-open moment."""
    target: int
    """Row of the moment whose content is wanted."""
    wanted: Literal["open", "closed"]
    """What its mouth is."""
    widest: float
    """How many times wider than it is amount 1 opens the mouth."""


@dataclass(frozen=True)
class Descent:
    """What came of one start."""

    start: Start
    """The start."""
    slope: float
    """Derivative of the similarity at amount 0."""
    amount: float
    """Where the amount ends."""
    cosine: tuple[float, float]
    """Similarity before and after."""
    opening: tuple[float, float]
    """The opening that the detector sees before and after."""
    pictures: Sequence[Picture]
    """Start, end and target."""

    @property
    def is_right(self) -> dict[str, bool]:
        """Whether it went the right way, by each of the three ways to tell."""
        sign = 1 if self.start.wanted == "open" else -1
        return {
            SLOPE: sign * self.slope > 0,
            END: sign * self.amount > 0,
            SEEN: sign * (self.opening[1] - self.opening[0]) > _CLEAR,
        }


def choose_starts(index: FrameIndex, most: int) -> list[Start]:
    """Choose up to `most` starts: in turn opening and closing, evenly over the clips with a mouth that does both."""
    opening = measure_mouth_opening(index.landmarks)
    starts = []
    for number in range(len(index.clips)):
        rows = index.rows_of([number])
        if len(rows) < 5:
            continue
        low, high = float(np.percentile(opening[rows], 5)), float(np.percentile(opening[rows], 95))
        if high - low < 0.06 or low > 0.06:
            continue  # a mouth that hardly moves, or never closes, has no two ends to go to
        half = int(rows[np.argmin(np.abs(opening[rows] - (low + high) / 2))])
        target = {"open": int(rows[np.argmax(opening[rows])]), "closed": int(rows[np.argmin(opening[rows])])}
        widest = float(np.clip(1.25 * high / max(opening[half], 1e-3), 1.2, _WIDEST))
        starts += [Start(half, target["open"], "open", widest), Start(half, target["closed"], "closed", widest)]
    pairs = len(starts) // 2
    chosen = np.unique(np.linspace(0, pairs - 1, min(most // 2, pairs)).astype(int)) if pairs else ()
    return [start for pair in chosen for start in starts[2 * pair : 2 * pair + 2]]


def open_mouths(images: Tensor, shifts: Tensor, amount: Tensor) -> Tensor:
    """Open the mouths of images by some amounts, differentiably.

    Args:
        images: Images [n, frames, 3, h, w].
        shifts: Shifts [n, frames, amounts, h, w, 2] of `compute_opening_shifts`; linear between two of its amounts.
        amount: Amounts [n, frames].
    """
    nodes = torch.tensor(AMOUNTS)
    weights = (1 - (amount[..., None] - nodes).abs() / (nodes[1] - nodes[0])).clamp(min=0)
    shift = torch.einsum("nfa,nfahwc->nfhwc", weights, shifts).flatten(0, 1)
    height, width = images.shape[3:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([x, y], 2) + shift
    place = place * (2 / torch.tensor([width - 1, height - 1])) - 1
    warped = functional.grid_sample(images.flatten(0, 1), place, padding_mode="border", align_corners=True)
    return warped.reshape(images.shape)


def follow_gradient(model: ContentModel, index: FrameIndex, starts: Sequence[Start]) -> list[Descent]:
    """Follow the gradient from every start to its end."""
    detector = BundleDetector()
    batches = [starts[place : place + _BATCH] for place in range(0, len(starts), _BATCH)]
    return [descent for batch in batches for descent in _follow_batch(model, index, batch, detector)]


def _follow_batch(
    model: ContentModel, index: FrameIndex, starts: Sequence[Start], detector: BundleDetector
) -> Iterator[Descent]:
    offsets = model.config.offsets
    middle = offsets.index(0)
    images, targets, shifts = [], [], []
    for start in starts:
        pictures, points = index.read_window(start.row, offsets)
        images.append(images_to_tensor(pictures))
        shifts.append([compute_opening_shifts(pictures.shape[1:3], marks, start.widest) for marks in points])
        targets.append(images_to_tensor(index.read_window(start.target, offsets)[0]))
    begin, target, shift = torch.stack(images), torch.stack(targets), torch.from_numpy(np.array(shifts))
    sound = speech_of(index, np.array([start.row for start in starts]))
    with torch.no_grad():
        wanted = _embed(model, target, sound)

    def cosine(amount: Tensor) -> Tensor:
        return (_embed(model, open_mouths(begin, shift, amount), sound) * wanted).sum(1)

    slopes = [_slope(cosine, torch.full((len(starts), len(offsets)), side)) for side in (-_NEAR, _NEAR)]
    slope = torch.stack(slopes).mean(0)
    amount = _descend(cosine, slope)
    with torch.no_grad():
        before, after = cosine(torch.zeros_like(amount)), cosine(amount)
        end = open_mouths(begin, shift, amount)
    views = [tensor_to_images(part[:, middle]) for part in (begin, end, target)]
    for number, start in enumerate(starts):
        shown = [view[number] for view in views]
        seen = [detect_opening(detector, picture, index.landmarks[start.row]) for picture in shown[:2]]
        cosines = float(before[number]), float(after[number])
        here = number, middle
        yield Descent(start, float(slope[here]), float(amount[here]), cosines, (seen[0], seen[1]), shown)


def _embed(model: ContentModel, images: Tensor, speech: Tensor | None) -> Tensor:
    """RGB of the frames around moments [n, offsets, 3, 224, 224], with their speech windows → [n, D]."""
    maps = model.maps(images.flatten(0, 1))
    return model.embed(maps.reshape(*images.shape[:2], *maps.shape[1:]), speech)[0]


def _slope(cosine: Callable[[Tensor], Tensor], amount: Tensor) -> Tensor:
    """Derivative [n, frames] of the cosine at `amount` [n, frames]."""
    amount = amount.requires_grad_()
    slope: Tensor = torch.autograd.grad(cosine(amount).sum(), amount)[0]
    return slope


def _descend(cosine: Callable[[Tensor], Tensor], slope: Tensor) -> Tensor:
    """The amounts [n, frames] in [−1, 1] that descent from 0 ends at; the first step follows the derivative."""
    amount = _NEAR * slope.sign()
    state = torch.optim.Adam([amount], lr=_RATE)
    for _ in range(_STEPS):
        amount.grad = -_slope(cosine, amount.detach().clone())
        state.step()
        amount.clamp_(-1, 1)
    return amount.detach()


def measure_gradient(name: str, index: FrameIndex, descents: Sequence[Descent]) -> Iterator[Measurement]:
    """Yield in what share of frames the gradient goes the right way, by each of the three ways to tell."""
    rows = np.array([descent.start.row for descent in descents], np.intp)
    for measure, required in ((SLOPE, True), (END, False), (SEEN, True)):
        right = index.table(rows, value=[float(descent.is_right[measure]) for descent in descents])
        estimate = mean_estimate(right) if descents else missing("no mouth opens and closes")
        threshold = Threshold("at least", _MIN_RIGHT) if required and index.block == SYNTHETIC else None
        yield Measurement(name, measure, index.block, "the start's sound on both sides", estimate, threshold, 0.5)


def summarize(descents: Sequence[Descent]) -> dict[str, float]:
    """Average cosine and opening before and after over the descents of each direction, for the report."""
    summary: dict[str, float] = {}
    for wanted in ("open", "closed"):
        some = [descent for descent in descents if descent.start.wanted == wanted]
        summary[f"{wanted}: descents"] = len(some)
        for name, values in (("cosine", [d.cosine for d in some]), ("opening seen", [d.opening for d in some])):
            if some:
                before, after = np.mean(values, axis=0).tolist()
                summary |= {f"{wanted}: {name} before": before, f"{wanted}: {name} after": after}
    return summary
