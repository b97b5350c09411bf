"""Feature maps of prepared frames, computed once by a frozen encoder and kept in a file that is read by random access.

The pictures are varied before they are encoded, in people trained on only: a clip's pictures all in one way, as another
light and camera would, so that what moves in it stays as it is; and the clip once more in each of several ways.
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
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from cdrl.datasets.prepared import PreparedClip
from cdrl.media.threads import available_cores
from cdrl.representations.content import ContentModel
from cdrl.representations.encoders import as_images
from cdrl.training.augmentation import Augmentation, augment
from cdrl.training.kept import Rows, kept_rows

_BATCH, _LARGE_BATCH = 32, 256  # pictures encoded together, by a CPU and by an accelerator
_ROOM = 1.5  # times the maps' bytes that an accelerator must have free to hold them
_VARIED = Augmentation(
    turn=8, zoom=(0.9, 1.1), shift=0.03, stretch=0.04, grey=0.2, contrast=(0.75, 1.4), brightness=0.08,
    gamma=(0.75, 1.35), coarse=0.4, coarsest=64, compressed=0.3, cutout=0.0,
)  # fmt: skip
_VERSION = 1  # raise it whenever what is encoded changes
PLAIN = 0
"""The variant that shows a clip as it is; the others are numbered from 1."""


@dataclass(frozen=True)
class Wanted:
    """Frames of one clip that are encoded, plain or in one of the ways in which it is varied."""

    clip: PreparedClip
    frames: range
    variant: int = PLAIN

    @property
    def key(self) -> tuple[str, int]:
        return self.clip.facts.id, self.variant


class Maps:
    """Feature maps [frames, C, h, w] float16, those of one clip after those of the other."""

    def __init__(self, values: Tensor, wanted: Sequence[Wanted]) -> None:
        self._values = values
        self._places: dict[tuple[str, int], tuple[int, range]] = {}
        at = 0
        for item in wanted:
            self._places[item.key] = at, item.frames
            at += len(item.frames)

    def places(self, clip: PreparedClip, frames: NDArray[np.integer[Any]], variant: int) -> NDArray[np.integer[Any]]:
        """Where the maps of frames [...] of a clip lie; beyond those that are encoded, the outermost."""
        start, encoded = self._places[clip.facts.id, variant]
        found: NDArray[np.integer[Any]] = start + np.clip(frames - encoded.start, 0, len(encoded) - 1)
        return found

    def at(self, places: NDArray[np.integer[Any]]) -> Tensor:
        """Maps [..., C, h, w] that lie at `places` [...]."""
        return self._values[torch.from_numpy(places).to(self._values.device)]


def cached_maps(
    wanted: Sequence[Wanted],
    model: ContentModel,
    digest: str,
    folder: Path,
    device: torch.device,
    console: Console,
) -> Maps:
    """The attended maps that are wanted of the data with that `digest`, from `folder` where they are there already.

    On an accelerator with room for them they lie in its memory. Raises OutputError where `folder` has no room.
    """
    asked = [(*item.key, item.frames.start, item.frames.stop) for item in wanted]
    facts = [_VERSION, asdict(_VARIED), digest, weights_digest(model.encoder), model.grid, asked]
    count = sum(len(item.frames) for item in wanted)
    # A CPU has enough to do with encoding; an accelerator is fed by all cores.
    workers, together = (0, _BATCH) if device.type == "cpu" else (available_cores(), _LARGE_BATCH)

    def rows(done: int) -> Iterator[NDArray[np.float16]]:
        frames = Subset(_Frames(wanted), range(done, count))
        batches = DataLoader(frames, together, num_workers=workers) if done < count else ()
        for batch in batches:
            with torch.inference_mode():
                maps = model.maps(as_images(batch.numpy(), device)).half().cpu().numpy()
            yield maps

    made = Rows("maps", "encoding frames", json.dumps(facts).encode(), count, rows, together)
    path = kept_rows(folder, made, console)
    # Copied where written to, which nobody does: PyTorch takes no arrays that are for reading alone.
    values = torch.from_numpy(np.load(path, mmap_mode="c"))
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] > _ROOM * values.nbytes:
        values = values.to(device)
    return Maps(values, wanted)


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the names, kinds and values of a network's weights, hexadecimal: what it computes depends on them,
    wherever their file lies."""
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Frames(Dataset[NDArray[np.uint8]]):
    """All frames in order, RGB [224, 224, 3]."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._wanted = wanted
        self._ends = np.cumsum([len(item.frames) for item in wanted])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, place: int) -> NDArray[np.uint8]:
        number = int(np.searchsorted(self._ends, place, "right"))
        item = self._wanted[number]
        image = item.clip.image(item.frames[place - int(self._ends[number])])  # counted from its end
        if item.variant == PLAIN:
            return image
        # The generator begins anew for every frame: all of a variant are varied in one way.
        seed = int(hashlib.sha256(item.clip.facts.id.encode()).hexdigest()[:12], 16)
        return augment(image, image.shape[0], _VARIED, np.random.default_rng((seed, item.variant - 1)))
