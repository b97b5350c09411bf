"""Gray face images in the manner of FER-2013: one .npz with `image` [n, h, h], `emotion` [n] and `split` [n]."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.splits import SPLITS
from cdrl.emotions import EMOTIONS, parse_emotion
from cdrl.errors import InputError, InputNotFoundError, UsageError


@dataclass(frozen=True)
class FerImages:
    """Gray face images; each is of another person."""

    images: NDArray[np.uint8]
    """[n, h, h]."""
    emotion: NDArray[np.int64]
    """[n] numbers of `cdrl.emotions.EMOTIONS`."""
    split: NDArray[np.str_]
    """[n] of `cdrl.datasets.splits.SPLITS`."""

    def select(self, *splits: str) -> FerImages:
        """Select the images of some splits."""
        chosen = np.isin(self.split, splits)
        return FerImages(self.images[chosen], self.emotion[chosen], self.split[chosen])


def read_fer(path: Path) -> FerImages:
    """Read the images of a file.

    Raises:
        InputNotFoundError: There is no such file.
        InputError: The file is something else.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file; --fer takes the .npz of gray faces (image, emotion, split)")
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
    strange = sorted(set(splits.tolist()) - set(SPLITS))
    if strange:
        raise InputError(f"{path}: split {strange[0]!r} is none of {', '.join(SPLITS)}")
    return FerImages(images, numbers, splits)
