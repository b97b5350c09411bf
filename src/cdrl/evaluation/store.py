"""Observations of files that do not change, kept on disk by content, so that a table is made again in seconds.

The name of an entry is a hash of the file's bytes, the tile looked at, the layout it was seen in, the feature networks,
and the judges' version.
"""

import hashlib
import io
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cdrl.errors import OutputError
from cdrl.evaluation.clips import Frames, frames_of
from cdrl.evaluation.geometry import Layout
from cdrl.evaluation.networks import Networks
from cdrl.evaluation.observe import Observation, observe
from cdrl.files import atomic_write, file_sha256
from cdrl.pretrained import MODELS

_VERSION = "3"  # raise it whenever what a judge sees changes
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)  # what reading an npz raises
_HALF = ("expression",)  # kept in half precision: one vector a frame, whose direction alone counts
_ARRAYS = tuple(field.name for field in fields(Observation) if field.name != "layout")


def _key(content: str, tile: str, layout: Layout | None, networks: Networks) -> str:
    judges = [model.sha256 for model in MODELS.values() if model.purpose == "judging"]
    judges += networks.names.values()
    digest = hashlib.sha256("|".join([_VERSION, content, tile, *judges]).encode())
    if layout is not None:
        digest.update(layout.template.astype("<f4").tobytes() + str(layout.face_size).encode())
    return digest.hexdigest()[:32]


def _rounded(observation: Observation) -> dict[str, Any]:
    arrays = {name: np.asarray(getattr(observation, name)) for name in _ARRAYS}
    single = {name: array if array.dtype == np.uint8 else array.astype(np.float32) for name, array in arrays.items()}
    arrays = {name: array.astype(np.float16) if name in _HALF else array for name, array in single.items()}
    return {**arrays, "template": observation.layout.template.astype(np.float32)}


def save(observation: Observation, path: Path) -> None:
    """Write an observation as compressed npz, single precision; the name appears only when it is whole.

    Raises OutputError where it cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, face_size=observation.layout.face_size, **_rounded(observation))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror}): choose another --cache") from error
    atomic_write(path, [buffer.getvalue()])


def load(path: Path) -> Observation:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        layout = Layout(file["template"].astype(np.float64), int(file["face_size"]))
        arrays = {name: file[name] for name in _ARRAYS}
    wide = {name: array if array.dtype == np.uint8 else array.astype(np.float64) for name, array in arrays.items()}
    return Observation(**wide, layout=layout)


_EMBEDDED = Networks()


class Store:
    """Looks at files through the cache folder, `None` keeps nothing; `networks` give the features."""

    def __init__(self, folder: Path | None, networks: Networks = _EMBEDDED) -> None:
        self._folder = folder
        self._networks = networks

    def file(self, path: Path, layout: Layout | None = None) -> Observation:
        """A whole video file, in a layout or its own."""
        return self._look(path, "", frames_of(path), layout)

    def tile(self, path: Path, name: str, frames: Frames, layout: Layout | None = None) -> Observation:
        """One tile of a file; `frames` cuts it."""
        return self._look(path, name, frames, layout)

    def _look(self, path: Path, tile: str, frames: Frames, layout: Layout | None) -> Observation:
        if self._folder is None:
            return observe(frames, layout, self._networks)
        entry = self._folder / f"{_key(file_sha256(path), tile, layout, self._networks)}.npz"
        try:
            return load(entry)
        except _DAMAGED:  # or not there
            save(observe(frames, layout, self._networks), entry)
        return load(entry)
