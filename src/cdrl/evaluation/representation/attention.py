"""Where the content model looks: the share of its attention in the lower face, and the mean map.

The lower face is what lies below the tip of the nose inside the box of the landmarks. A cell of the model's grid that
it covers partly counts in proportion. `even` attention would give the share that the lower face has of all cells from
the first attended row down: a model built to look at the lower half of the picture gets no credit for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdrl.evaluation.representation.estimates import Values
from cdrl.evaluation.representation.moments import Moments, person_of
from cdrl.evaluation.representation.similarity import sort_values

Floats = NDArray[np.float32]

_NOSE_TIP = 1
_CROP = 224


@dataclass(frozen=True)
class Attention:
    """`shares` of the attention in the lower face by person and clip; `even`: what a map without any preference from
    the first attended row down would give; `mean_map` [h, w], adding up to one."""

    shares: Values
    even: float
    mean_map: Floats


def lower_face(landmarks: Floats, grid: tuple[int, int]) -> Floats:
    """[n, 478, 3] in pixels of the crop → the share [n, h, w] of each cell that lies in the lower face."""
    height, width = grid
    low, high = landmarks[..., :2].min(1), landmarks[..., :2].max(1)
    rows = _covered(landmarks[:, _NOSE_TIP, 1], high[:, 1], height)
    columns = _covered(low[:, 0], high[:, 0], width)
    return rows[:, :, None] * columns[:, None, :]


def _covered(low: Floats, high: Floats, cells: int) -> Floats:
    """How much [n, cells] of each of the equal cells of the crop lies between `low` and `high` [n] pixels."""
    edges = np.linspace(0, _CROP, cells + 1, dtype=np.float32)
    overlap = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    found: Floats = np.clip(overlap * (cells / _CROP), 0, 1).astype(np.float32)
    return found


def measure(moments: Moments, attention: Floats, grid: tuple[int, int]) -> Attention | None:
    """The attention [N, h·w] of all speaking moments for which there is one; None where there is none."""
    rows = np.flatnonzero(moments.speaking & np.isfinite(attention).all(1))
    if not len(rows):
        return None
    maps = attention[rows].reshape(-1, *grid)
    inside = lower_face(moments.landmarks[rows], grid)
    shares = (maps * inside).sum((1, 2)) / maps.sum((1, 2))
    clips = [moments.clips[moments.clip[row]] for row in rows]
    values = sort_values(shares, tuple(map(person_of, clips)), tuple(clip.metadata.id for clip in clips))
    mean = maps.mean(0)
    return Attention(
        values, float(inside[:, np.argmax(mean.sum(1) > 0) :].mean()), (mean / mean.sum()).astype(np.float32)
    )
