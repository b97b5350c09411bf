"""Features of clips that do not change, kept on disk by content, so that a table is made again in seconds.

The name of an entry is a hash of the file's bytes, the tile of it, the layout it was measured in, the feature networks,
and the evaluators' version.
"""

import hashlib
import io
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np

from cdrl.errors import OutputError
from cdrl.evaluation.clip_features import ClipFeatures, extract_features
from cdrl.evaluation.clips import Frames, read_frames
from cdrl.evaluation.feature_networks import FeatureNetworks
from cdrl.evaluation.geometry import FaceLayout
from cdrl.files import atomic_write, file_sha256
from cdrl.pretrained import MODELS

_VERSION = "3"  # raise it whenever what an evaluator sees changes
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)  # what reading an npz raises
_ARRAYS = tuple(field.name for field in fields(ClipFeatures) if field.name != "layout")
_TYPES = {"thumbs": np.uint8, "expression": np.float16}
"""How arrays are kept, others in single precision; of an expression vector, one a frame, only the direction counts."""
_EMBEDDED = FeatureNetworks()


def save_features(features: ClipFeatures, path: Path) -> None:
    """Write features as compressed npz; the name appears only when it is whole.

    Raises:
        OutputError: It cannot be written.
    """
    arrays = {name: getattr(features, name).astype(np.float32) for name in _ARRAYS}
    arrays |= {name: arrays[name].astype(kind) for name, kind in _TYPES.items()}
    buffer = io.BytesIO()
    template = features.layout.template.astype(np.float32)
    np.savez_compressed(buffer, face_size=features.layout.face_size, template=template, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror}): choose another --cache") from error
    atomic_write(path, [buffer.getvalue()])


def load_features(path: Path) -> ClipFeatures:
    """Read what `save_features` wrote."""
    with np.load(path, allow_pickle=False) as file:
        layout = FaceLayout(file["template"].astype(np.float64), int(file["face_size"]))
        arrays = {name: file[name] for name in _ARRAYS}
    wide = {name: array if array.dtype == np.uint8 else array.astype(np.float64) for name, array in arrays.items()}
    return ClipFeatures(**wide, layout=layout)


class FeatureCache:
    """Extracts features of files through a folder."""

    def __init__(self, folder: Path, networks: FeatureNetworks = _EMBEDDED) -> None:
        self._folder = folder
        self._networks = networks

    def extract(
        self, path: Path, layout: FaceLayout | None = None, *, tile: str = "", frames: Frames | None = None
    ) -> ClipFeatures:
        """Return the features of a video file, as they are kept: what is read again equals what was read first.

        Args:
            path: The file.
            layout: Of the source that it is compared with; its own by default.
            tile: Name of the part of each frame that is looked at; empty for all of it.
            frames: Passes over that part's frames; the file's by default.

        Raises:
            FaceError: No frame shows a face.
            InputError: The file cannot be read.
            OutputError: The folder cannot be written.
        """
        entry = self._folder / f"{self._key(path, tile, layout)}.npz"
        try:
            return load_features(entry)
        except _DAMAGED:  # or not there
            save_features(extract_features(frames or read_frames(path), layout, self._networks), entry)
        return load_features(entry)

    def _key(self, path: Path, tile: str, layout: FaceLayout | None) -> str:
        models = [model.sha256 for model in MODELS.values() if model.purpose == "judging"]
        parts = [_VERSION, file_sha256(path), tile, *models, *self._networks.names.values()]
        digest = hashlib.sha256("|".join(parts).encode())
        if layout is not None:
            digest.update(layout.template.astype("<f4").tobytes() + str(layout.face_size).encode())
        return digest.hexdigest()[:32]
