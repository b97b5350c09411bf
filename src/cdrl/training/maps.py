"""Feature maps of prepared frames, computed once by a frozen encoder and kept in a file that is read by random access.

Training on them costs a tenth of training on pictures. The pictures are varied before they are encoded (light, colour,
blur, noise, a small shift), in people trained on only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import nn

from cdrl.datasets.prepared import PreparedClip
from cdrl.errors import OutputError
from cdrl.representation.encoders import as_images

_VERSION = 1  # raise when the variation of pictures changes
_BATCH = 32
_PLAIN = 0.3  # share of frames that stay as they are in a varied copy
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Wanted:
    """Frames of one clip that are encoded: every `step`-th; `varied` pictures or plain ones."""

    clip: PreparedClip
    step: int = 1
    varied: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        return self.clip.facts.id, self.varied

    @property
    def frames(self) -> range:
        return range(0, self.clip.count, self.step)


class Maps:
    """Feature maps [frames, C, h, w] float16, those of one clip after those of the other."""

    def __init__(self, values: NDArray[np.float16], wanted: Sequence[Wanted]) -> None:
        self._values = values
        self._places: dict[tuple[str, bool], tuple[int, int]] = {}
        at = 0
        for item in wanted:
            self._places[item.key] = at, item.step
            at += len(item.frames)

    def of(self, clip: PreparedClip, frames: NDArray[np.integer[Any]], varied: bool) -> NDArray[np.float16]:
        """Maps [n, C, h, w] of encoded frames of a clip."""
        start, step = self._places[clip.facts.id, varied]
        found: NDArray[np.float16] = self._values[start + frames // step]
        return found


def cached_maps(
    wanted: Sequence[Wanted],
    encoder: nn.Module,
    name: str,
    digest: str,
    folder: Path,
    device: torch.device,
    console: Console,
) -> Maps:
    """The maps that are wanted of the data with that `digest`, from `folder` where they are there already.

    `name` says which encoder it is. Raises OutputError where there is no room for them.
    """
    facts: Any = encoder
    asked = [(*item.key, item.step) for item in wanted]
    key = hashlib.sha256(json.dumps([_VERSION, digest, name, asked]).encode()).hexdigest()[:16]
    path = folder / f"maps_{key}.npy"
    if not path.is_file():
        shape = (sum(len(item.frames) for item in wanted), int(facts.channels), *facts.grid)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _compute(wanted, encoder, device, console, path, shape)
        except OSError as error:
            path.with_suffix(".partial").unlink(missing_ok=True)
            gigabytes = 2 * np.prod(shape) / 1e9
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}); {gigabytes:.1f} GB are needed there: free "
                "space, or choose another --cache"
            ) from error
    return Maps(np.load(path, mmap_mode="r"), wanted)


def _compute(
    wanted: Sequence[Wanted],
    encoder: nn.Module,
    device: torch.device,
    console: Console,
    path: Path,
    shape: tuple[int, ...],
) -> None:
    partial = path.with_suffix(".partial")
    values = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
    at = 0
    for batch in track(
        _batches(wanted), "encoding frames", total=-(-shape[0] // _BATCH), console=console, transient=True
    ):
        with torch.inference_mode():
            values[at : at + len(batch)] = encoder(as_images(batch, device)).half().cpu().numpy()
        at += len(batch)
    values.flush()
    del values
    partial.replace(path)


def _batches(wanted: Sequence[Wanted]) -> Iterator[Pictures]:
    """All frames in order, in batches."""
    kept: list[Pictures] = []
    for item in wanted:
        draw = np.random.default_rng(int(hashlib.sha256(item.clip.facts.id.encode()).hexdigest()[:12], 16))
        for frame in item.frames:
            image = item.clip.image(frame)
            kept.append(vary(image, draw) if item.varied and draw.random() > _PLAIN else image)
            if len(kept) == _BATCH:
                yield np.array(kept)
                kept = []
    if kept:
        yield np.array(kept)


def vary(image: Pictures, draw: np.random.Generator) -> Pictures:
    """The picture [h, w, 3] under another light and camera: what changes the looks and neither speech nor emotion."""
    size = image.shape[0]
    angle, zoom = draw.normal(0, 4), np.exp(draw.normal(0, 0.05))
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), angle, zoom)
    matrix[:, 2] += draw.normal(0, 0.015 * size, 2)
    found = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    values = found.astype(np.float32) / 255
    if draw.random() < 0.2:
        values = np.repeat(values.mean(2, keepdims=True), 3, 2)
    values = values ** np.exp(draw.normal(0, 0.25)) * np.exp(draw.normal(0, 0.12, 3)) + draw.normal(0, 0.04)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    values *= 1 + draw.normal(0, 0.15) * ramp[:, None, None] + draw.normal(0, 0.15) * ramp[None, :, None]
    if draw.random() < 0.4:
        small = int(size / draw.uniform(1.2, 4))
        values = cv2.resize(cv2.resize(values, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    values += draw.normal(0, draw.uniform(0, 0.03), values.shape)
    seen: Pictures = np.clip(255 * values, 0, 255).astype(np.uint8)
    return seen
