"""Where the content model looks: the share of its attention in the lower face, and the mean map.

The lower face is what lies below the tip of the nose inside the box of the landmarks. A cell of the model's grid that
it covers partly counts in proportion. Even attention would give the share that the lower face has of all cells from the
first attended row down: a model built to look at the lower half of the picture gets no credit for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.evaluation.estimates import Measurement, Threshold, mean_estimate
from cdrl.evaluation.representation.features import OWN, SILENT, ContentFeatures
from cdrl.evaluation.representation.frame_index import FrameIndex

Floats = NDArray[np.float32]

LOWER_FACE = "attention in the lower face"
THRESHOLD = Threshold("at least", 0.7)
_NOSE_TIP = 1
_CROP = 224


@dataclass(frozen=True)
class Attention:
    """The attention of a model in the speaking frames of a block."""

    shares: pd.DataFrame
    """The share in the lower face: columns `person`, `clip`, `value`."""

    mean_map: Floats
    """The mean map [h, w], adding up to one."""


def cover_lower_face(landmarks: Floats, grid: tuple[int, int]) -> Floats:
    """Compute the share [n, h, w] of each cell of a grid that lies in the lower face of landmarks [n, 478, 3]."""
    height, width = grid
    low, high = landmarks[..., :2].min(1), landmarks[..., :2].max(1)
    rows = _cover(landmarks[:, _NOSE_TIP, 1], high[:, 1], height)
    columns = _cover(low[:, 0], high[:, 0], width)
    return rows[:, :, None] * columns[:, None, :]


def _cover(low: Floats, high: Floats, cells: int) -> Floats:
    """How much [n, cells] of each of the equal cells of the crop lies between `low` and `high` [n] pixels."""
    edges = np.linspace(0, _CROP, cells + 1, dtype=np.float32)
    overlap = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    share: Floats = np.clip(overlap * (cells / _CROP), 0, 1).astype(np.float32)
    return share


def measure_attention(
    name: str, index: FrameIndex, features: ContentFeatures
) -> dict[str, tuple[Measurement, Attention]]:
    """Measure the attention with own sound and without any, where there are frames for it."""
    measured = {}
    for condition in (OWN, SILENT):
        attention = features.attention.get(condition, np.full((len(index), 1), np.nan))
        rows = np.flatnonzero(index.speaking & np.isfinite(attention).all(1))
        if not len(rows):
            continue
        maps = attention[rows].reshape(-1, *features.grid)
        inside = cover_lower_face(index.landmarks[rows], features.grid)
        shares = index.table(rows, value=(maps * inside).sum((1, 2)) / maps.sum((1, 2)))
        mean = maps.mean(0)
        even = float(inside[:, np.argmax(mean.sum(1) > 0) :].mean())
        row = Measurement(name, LOWER_FACE, index.block, condition, mean_estimate(shares), THRESHOLD, even)
        measured[condition] = row, Attention(shares, (mean / mean.sum()).astype(np.float32))
    return measured
