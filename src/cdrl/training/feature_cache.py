"""Feature maps of prepared frames, computed once by a frozen encoder and cached in a file with random access.

The pictures of training people are augmented before they are encoded: all pictures of a clip in one way, as by another
light and camera, so that motion stays as it is; each variant of a clip is encoded once more.
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
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from cdrl.datasets.prepared import PreparedClip
from cdrl.media.threads import available_cores
from cdrl.representations.content import ContentModel
from cdrl.representations.encoders import images_to_tensor
from cdrl.training.array_cache import ArrayRequest, cache_array
from cdrl.training.augmentation import Augmentation, augment
from cdrl.training.distributed import World

_BATCH, _LARGE_BATCH = 32, 256  # pictures encoded together, by a CPU and by an accelerator
_MEMORY_FACTOR = 1.5  # times the maps' bytes that an accelerator must have free to hold them
_CLIP_AUGMENTATION = Augmentation(
    turn=8, zoom=(0.9, 1.1), shift=0.03, stretch=0.04, gray=0.2, contrast=(0.75, 1.4), brightness=0.08,
    gamma=(0.75, 1.35), low_resolution=0.4, min_side=64, compression=0.3, cutout=0.0,
)  # fmt: skip
_VERSION = 1  # raise it whenever what is encoded changes
UNAUGMENTED = 0
"""Number of the variant that shows a clip as it is; augmented ones are numbered from 1."""


@dataclass(frozen=True)
class FeatureRequest:
    """Frames of one clip that are encoded, in one variant."""

    clip: PreparedClip
    frames: range
    variant: int = UNAUGMENTED

    @property
    def key(self) -> tuple[str, int]:
        """Identifier of the clip, and the variant."""
        return self.clip.metadata.id, self.variant


class FeatureMaps:
    """Feature maps [frames, C, h, w] float16, those of one request after those of the other."""

    def __init__(self, values: Tensor, requests: Sequence[FeatureRequest]) -> None:
        self._values = values
        self._starts: dict[tuple[str, int], tuple[int, range]] = {}
        start = 0
        for item in requests:
            self._starts[item.key] = start, item.frames
            start += len(item.frames)

    def find_rows(self, clip: PreparedClip, frames: NDArray[np.integer[Any]], variant: int) -> NDArray[np.integer[Any]]:
        """Return the rows of the maps of frames [...] of a clip; beyond those that are encoded, the outermost hold."""
        start, encoded = self._starts[clip.metadata.id, variant]
        rows: NDArray[np.integer[Any]] = start + np.clip(frames - encoded.start, 0, len(encoded) - 1)
        return rows

    def read(self, rows: NDArray[np.integer[Any]]) -> Tensor:
        """Read the maps [..., C, h, w] of rows [...]."""
        return self._values[torch.from_numpy(rows).to(self._values.device)]


def cached_maps(
    requests: Sequence[FeatureRequest],
    model: ContentModel,
    digest: str,
    folder: Path,
    world: World,
) -> FeatureMaps:
    """Encode the requested frames, or read them from the cache; on an accelerator with room they lie in its memory.

    Args:
        requests: Frames to encode.
        model: The model whose attended maps are computed.
        digest: Digest of the data.
        folder: The cache.
        world: Where to encode, and to print progress.

    Raises:
        OutputError: The cache cannot be written.
    """
    device = world.device
    asked = [(*item.key, item.frames.start, item.frames.stop) for item in requests]
    facts = [_VERSION, asdict(_CLIP_AUGMENTATION), digest, digest_weights(model.encoder), model.grid, asked]
    count = sum(len(item.frames) for item in requests)
    # A CPU has enough to do with encoding; an accelerator is fed by all cores.
    workers, batch_size = (0, _BATCH) if device.type == "cpu" else (available_cores(), _LARGE_BATCH)

    def encode(done: int) -> Iterator[NDArray[np.float16]]:
        frames = Subset(_Frames(requests), range(done, count))
        batches = DataLoader(frames, batch_size, num_workers=workers) if done < count else ()
        for batch in batches:
            with torch.inference_mode():
                maps = model.maps(images_to_tensor(batch.numpy(), device)).half().cpu().numpy()
            yield maps

    request = ArrayRequest("maps", "encoding frames", json.dumps(facts).encode(), count, encode, batch_size)
    path = cache_array(folder, request, world.console)
    # Copy-on-write: PyTorch takes no read-only arrays.
    values = torch.from_numpy(np.load(path, mmap_mode="c"))
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] > _MEMORY_FACTOR * values.nbytes:
        values = values.to(device)
    return FeatureMaps(values, requests)


def digest_weights(model: nn.Module) -> str:
    """Return the SHA-256 over names, types and values of a network's weights, hexadecimal, wherever their file lies."""
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Frames(Dataset[NDArray[np.uint8]]):
    """All frames in order, RGB [224, 224, 3]."""

    def __init__(self, requests: Sequence[FeatureRequest]) -> None:
        self._requests = requests
        self._ends = np.cumsum([len(item.frames) for item in requests])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        number = int(np.searchsorted(self._ends, index, "right"))
        item = self._requests[number]
        image = item.clip.image(item.frames[index - int(self._ends[number])])  # counted from its end
        if item.variant == UNAUGMENTED:
            return image
        # The generator starts over for every frame: all of a variant are augmented alike.
        seed = int(hashlib.sha256(item.clip.metadata.id.encode()).hexdigest()[:12], 16)
        return augment(image, image.shape[0], _CLIP_AUGMENTATION, np.random.default_rng((seed, item.variant - 1)))
