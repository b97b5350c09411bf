"""Feature maps of prepared frames, computed once by a frozen encoder and kept in a file that is read by random access.

The pictures are varied before they are encoded, in people trained on only: a clip's pictures all in one way, as another
light and camera would, so that what moves in it stays as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from cdrl.datasets.prepared import PreparedClip
from cdrl.errors import OutputError
from cdrl.files import appearing
from cdrl.representation.content import ContentModel
from cdrl.representation.encoders import as_images
from cdrl.training.augmentation import Augmentation, augment

_BATCH = 32
_VARIED = Augmentation(
    turn=8, zoom=(0.9, 1.1), shift=0.03, stretch=0.04, grey=0.2, contrast=(0.75, 1.4), brightness=0.08,
    gamma=(0.75, 1.35), coarse=0.4, coarsest=64, compressed=0.3, cutout=0.0,
)  # fmt: skip
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Wanted:
    """Frames of one clip that are encoded: `varied` pictures or plain ones."""

    clip: PreparedClip
    frames: range
    varied: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        return self.clip.facts.id, self.varied


class Maps:
    """Feature maps [frames, C, h, w] float16, those of one clip after those of the other."""

    def __init__(self, values: NDArray[np.float16], wanted: Sequence[Wanted]) -> None:
        self._values = values
        self._places: dict[tuple[str, bool], tuple[int, range]] = {}
        at = 0
        for item in wanted:
            self._places[item.key] = at, item.frames
            at += len(item.frames)

    def of(self, clip: PreparedClip, frames: NDArray[np.integer[Any]], varied: bool) -> NDArray[np.float16]:
        """Maps [..., C, h, w] of frames [...] of a clip; beyond those that are encoded, the outermost."""
        start, encoded = self._places[clip.facts.id, varied]
        found: NDArray[np.float16] = self._values[start + np.clip(frames - encoded.start, 0, len(encoded) - 1)]
        return found


def cached_maps(
    wanted: Sequence[Wanted],
    model: ContentModel,
    digest: str,
    folder: Path,
    device: torch.device,
    console: Console,
) -> Maps:
    """The attended maps that are wanted of the data with that `digest`, from `folder` where they are there already.

    Raises OutputError where there is no room for them.
    """
    encoder: Any = model.encoder
    asked = [(*item.key, item.frames.start, item.frames.stop) for item in wanted]
    facts = [asdict(_VARIED), digest, model.config.encoder, model.grid, asked]
    path = folder / f"maps_{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.npy"
    if not path.is_file():
        shape = (sum(len(item.frames) for item in wanted), int(encoder.channels), *model.grid)
        try:
            with appearing(path) as partial:
                _compute(wanted, model, device, console, partial, shape)
        except OSError as error:
            gigabytes = 2 * np.prod(shape) / 1e9
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}); {gigabytes:.1f} GB are needed there: free "
                "space, or choose another --cache"
            ) from error
    return Maps(np.load(path, mmap_mode="r"), wanted)


def _compute(
    wanted: Sequence[Wanted],
    model: ContentModel,
    device: torch.device,
    console: Console,
    path: Path,
    shape: tuple[int, ...],
) -> None:
    values = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    at = 0
    for batch in track(
        _batches(wanted), "encoding frames", total=-(-shape[0] // _BATCH), console=console, transient=True
    ):
        with torch.inference_mode():
            values[at : at + len(batch)] = model.maps(as_images(batch, device)).half().cpu().numpy()
        at += len(batch)
    values.flush()


def _batches(wanted: Sequence[Wanted]) -> Iterator[Pictures]:
    """All frames in order, in batches."""
    kept: list[Pictures] = []
    for item in wanted:
        seed = int(hashlib.sha256(item.clip.facts.id.encode()).hexdigest()[:12], 16)
        for frame in item.frames:
            image = item.clip.image(frame)
            # The generator begins anew for every frame: all are varied in one way.
            varied = augment(image, image.shape[0], _VARIED, np.random.default_rng(seed)) if item.varied else image
            kept.append(varied)
            if len(kept) == _BATCH:
                yield np.array(kept)
                kept = []
    if kept:
        yield np.array(kept)
