"""Arrays that are computed once and kept in a folder, under the hash of what they were computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import OutputError
from cdrl.files import atomic_path


def kept_array(
    folder: Path, name: str, given: bytes, compute: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The array that `compute` gives for what `given` holds, from `folder` where it is there already.

    Raises OutputError where the folder cannot be written. A damaged file is computed again.
    """
    path = folder / f"{name}_{hashlib.sha256(given).hexdigest()[:16]}.npy"
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    except (OSError, ValueError, EOFError):
        pass
    found = compute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            np.save(partial, found)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}): free space, or choose another --cache"
        ) from error
    return found
