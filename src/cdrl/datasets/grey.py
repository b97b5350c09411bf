"""Grey faces of the FER kind: one .npz with `image` [n, h, h], `emotion` [n] and `split` [n]."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.splits import PARTS
from cdrl.emotions import EMOTIONS, parse_emotion
from cdrl.errors import InputError, InputNotFoundError, UsageError


@dataclass(frozen=True)
class GreyFaces:
    """`images` uint8 [n, h, h], `emotion` [n] numbers in EMOTIONS, `part` [n] of PARTS; each a person of its own."""

    images: NDArray[np.uint8]
    emotion: NDArray[np.int64]
    part: NDArray[np.str_]

    def of(self, *parts: str) -> GreyFaces:
        """Those of some parts."""
        kept = np.isin(self.part, parts)
        return GreyFaces(self.images[kept], self.emotion[kept], self.part[kept])


def read_grey(path: Path) -> GreyFaces:
    """The faces of a file. Raises InputNotFoundError, or InputError where it is something else."""
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file; --fer takes the .npz of grey faces (image, emotion, split)")
    try:
        with np.load(path, allow_pickle=False) as file:
            images, emotions, splits = file["image"], file["emotion"], file["split"].astype(str)
        numbers = np.array([EMOTIONS.index(parse_emotion(name)) for name in emotions.tolist()], np.int64)
    except UsageError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an .npz with image, emotion and split ({error})") from error
    if images.ndim != 3 or images.dtype != np.uint8 or not len(images) == len(numbers) == len(splits):
        raise InputError(f"{path}: image must be uint8 [n, h, h], and emotion and split as many")
    strange = sorted(set(splits.tolist()) - set(PARTS))
    if strange:
        raise InputError(f"{path}: split {strange[0]!r} is none of {', '.join(PARTS)}")
    return GreyFaces(images, numbers, splits)
