"""What a lip-sync judge sees and hears of prepared clips, 25 moments a second, by the evaluation's face finder."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
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
    judges = [model.sha256 for model in MODELS.values() if model.purpose == "judging"]
    found = []
    for clip in track([clip for clip in clips if clip.speech is not None]):
        facts = [_VERSION, CURVES, digest, judges, clip.facts.id]
        path = folder / f"lips_{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]}.npz"
        kept = _read(path, clip)
        if kept is None:
            kept = moments_of(clip)
            if kept is None:
                continue
            _keep(path, kept)
            kept = _read(path, clip) or kept  # as it will be read the next time
        found.append(kept)
    return found


def _read(path: Path, clip: PreparedClip) -> Moments | None:
    """What was kept of a clip; None where there is nothing, or it is damaged, and the clip has to be looked at."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return _moments(clip, file["curves"].astype(np.float32), file["seen"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _keep(path: Path, moments: Moments) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, curves=moments.curves.astype(np.float16), seen=moments.seen)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror}): choose another --cache") from error
    atomic_write(path, [buffer.getvalue()])
