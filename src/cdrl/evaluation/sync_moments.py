"""What a lip-sync judge sees and hears of prepared clips, 25 moments a second, by the evaluation's face finder."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.prepared import PreparedClip
from cdrl.errors import OutputError
from cdrl.evaluation.landmarker import POINTS
from cdrl.evaluation.observe import find_points
from cdrl.evaluation.sync import grid
from cdrl.evaluation.sync_expert import CURVES, at_moments, mouth_curves
from cdrl.files import atomic_write
from cdrl.pretrained import MODELS

Track = Callable[[Sequence[PreparedClip]], Iterable[PreparedClip]]
_VERSION = 1  # raise it whenever what is seen changes


@dataclass(frozen=True)
class Moments:
    """One clip with sound: `curves` [n, CURVES], `seen` [n] (see `mouth_curves`), `speech` [n, width]."""

    clip: str
    person: str
    synthetic: bool
    curves: NDArray[np.float32]
    seen: NDArray[np.bool_]
    speech: NDArray[np.float32]


def moments_of(clip: PreparedClip) -> Moments | None:
    """The moments of a clip; None of one without sound. The pictures are looked at anew: about 2 ms a frame."""
    if clip.speech is None:
        return None
    pictures = clip.images(range(clip.count))
    points = find_points(lambda: iter(pictures)) if clip.count else np.empty((0, POINTS, 2))
    return _moments(clip, *mouth_curves(points, clip.times))


def _moments(clip: PreparedClip, curves: NDArray[np.float32], seen: NDArray[np.bool_]) -> Moments:
    speech = np.empty((clip.count, 0), np.float32) if clip.speech is None else clip.speech
    heard = at_moments(speech, clip.times, grid(float(clip.times[-1]))).astype(np.float32)
    facts = clip.facts
    return Moments(facts.id, f"{facts.dataset}/{facts.actor}", facts.synthetic, curves, seen, heard)


def kept_moments(clips: Sequence[PreparedClip], digest: str, folder: Path, track: Track) -> list[Moments]:
    """`moments_of` those clips that have sound, of data with that `digest`; from `folder` where they are there already.

    `track` wraps what is gone through, as `rich.progress.track` does. Raises OutputError where there is no room.
    """
    heard = [clip for clip in clips if clip.speech is not None]
    judges = [model.sha256 for model in MODELS.values() if model.purpose == "judging"]
    facts = [_VERSION, CURVES, digest, judges, [clip.facts.id for clip in heard]]
    path = folder / f"lips_{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            counts, curves, seen = file["counts"], file["curves"].astype(np.float32), file["seen"]
        ends = np.cumsum(counts)
        return [_moments(c, curves[e - n : e], seen[e - n : e]) for c, e, n in zip(heard, ends, counts, strict=True)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # not there, or damaged: looked at again
    found = [moments for clip in track(heard) if (moments := moments_of(clip)) is not None]
    _keep(path, found)
    return found


def _keep(path: Path, found: Sequence[Moments]) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        counts=np.array([len(moments.seen) for moments in found], int),
        curves=np.concatenate([np.empty((0, CURVES), np.float16), *(m.curves.astype(np.float16) for m in found)]),
        seen=np.concatenate([np.empty(0, bool), *(moments.seen for moments in found)]),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror}): choose another --cache") from error
    atomic_write(path, [buffer.getvalue()])
