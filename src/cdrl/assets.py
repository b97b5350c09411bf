"""The one list of model and data files: what they are called, their SHA-256, their license, where they come from.

The list is `manifest.json` in the folder of the files. Nothing is downloaded, and nothing loads before its bytes have
been compared with the list. A training command that writes a new file calls `register_asset`, so that a refitted file
needs no change of code.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from cdrl.errors import InputError, InputNotFoundError, LimitError, ModelFileError
from cdrl.files import atomic_write, loads_untrusted, small_bytes

LANDMARKS = "face_landmarker_v2.task"
"""Detector, 478 landmarks and blendshapes, in one bundle."""

PRIOR = "prior.npz"
"""The fitted emotion prior."""

TRANSLATOR = "translator.onnx"
"""How a person shows each emotion, trained under both representations."""

SEGMENTER = "segmenter.onnx"
"""The segmenter of occluders and background."""

RENDERER = "renderer.onnx"
"""The neural renderer."""

CONTENT, EMOTION, VLM = "content.safetensors", "emotion.safetensors", "vlm.safetensors"
"""The representations, and the visual-language model beneath the second."""

SYNC = "sync.safetensors"
"""The lip-sync network of the evaluation."""

MANIFEST = "manifest.json"

MAX_BYTES = 1 << 28
"""Most bytes of a model or data file, written and read: no file of ours comes near, and a wrong path should not fill
the memory."""

_MAX_LIST_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Asset:
    """One file of the list."""

    name: str
    """File name, without folder."""
    sha256: str
    """64 lower-case hexadecimal digits."""
    license: str
    """SPDX identifier."""
    origin: str
    """What it was made from, and by whom."""


def folder() -> Path:
    """The folder of the files that ship with cdrl."""
    return Path(__file__).parent / "data"


def load_manifest(where: Path | None = None) -> dict[str, Asset]:
    """The list of a folder (default: of the files that ship), by name.

    Raises ModelFileError when there is no list or it cannot be understood.
    """
    path = (where or folder()) / MANIFEST
    try:
        entries = loads_untrusted(small_bytes(path, _MAX_LIST_BYTES, "list of model files"))
        assets = {name: Asset(name, **entry) for name, entry in entries.items()}
    except FileNotFoundError as error:
        raise ModelFileError(f"the list of model files {path} is missing: reinstall cdrl") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"the list of model files {path} cannot be read ({error}): reinstall cdrl") from error
    for asset in assets.values():
        if not isinstance(asset.sha256, str) or not _SHA256.fullmatch(asset.sha256):
            raise ModelFileError(
                f"the list of model files {path} has no valid SHA-256 for {asset.name}: reinstall cdrl"
            )
    return assets


def verified_bytes(name: str, where: Path | None = None) -> bytes:
    """The content of a listed file, after its SHA-256 has been compared with the list.

    What is returned is what was hashed: the file is read once.

    Raises:
        ModelFileError: The file is not in the list, is missing, or differs from it.
    """
    where = where or folder()
    asset = load_manifest(where).get(name)
    if asset is None:
        raise ModelFileError(f"{name} is not in the list of model files {where / MANIFEST}: reinstall cdrl")
    content = _content(where / name)
    if hashlib.sha256(content).hexdigest() != asset.sha256:
        raise ModelFileError(
            f"{where / name} is damaged or was replaced (its SHA-256 is not as listed): reinstall cdrl"
        )
    return content


def verified_path(name: str, where: Path | None = None) -> Path:
    """The path of a listed file after its content was verified; for libraries that only take a path.

    `verified_bytes` is to be preferred: between the check and the library's own reading the file could change.

    Raises:
        ModelFileError: As for `verified_bytes`.
    """
    where = where or folder()
    verified_bytes(name, where)
    return where / name


def user_bytes(path: str | Path, most: int = MAX_BYTES) -> bytes:
    """The content of a data file that the user or a project points to (`--prior FILE`), at most `most` bytes.

    Where a list beside the file names it, its SHA-256 must agree; a file that no list names is taken as it is. Raises
    ModelFileError when it is missing or differs from the list.
    """
    path = Path(path)
    if (path.parent / MANIFEST).is_file() and path.name in load_manifest(path.parent):
        return verified_bytes(path.name, path.parent)
    return _content(path, most)


def register_asset(path: Path, license_id: str, origin: str) -> Asset:
    """Enter a file that was just written into the list of its folder, in place of an earlier entry.

    Processes that register in one list at once wait for each other.

    Args:
        path: The file; the list of its folder is made where there is none.
        license_id: SPDX identifier.
        origin: One line on what the file was fitted on.

    Raises:
        ModelFileError: The file cannot be read, or the list cannot be understood.
        OutputError: The list cannot be written.
    """
    from cdrl.locks import lock_file  # noqa: PLC0415  only who trains records

    content = _content(path)
    asset = Asset(path.name, hashlib.sha256(content).hexdigest(), license_id, origin)
    manifest = path.parent / MANIFEST
    with lock_file(path.parent / f".{MANIFEST}.lock", manifest, "cdrl train", wait=lambda: None):
        assets = load_manifest(path.parent) if manifest.exists() else {}
        assets[path.name] = asset
        entries = {name: {k: v for k, v in asdict(a).items() if k != "name"} for name, a in sorted(assets.items())}
        text = (json.dumps(entries, indent=2) + "\n").encode()
        if len(text) > _MAX_LIST_BYTES:
            raise ModelFileError(f"{manifest}: the list of model files is full; write {path.name} into another folder")
        atomic_write(manifest, [text])
    return asset


def _content(path: Path, most: int = MAX_BYTES) -> bytes:
    try:
        return small_bytes(path, most, "model or data file")
    except InputNotFoundError as error:
        raise ModelFileError(f"the model or data file {path} is missing: reinstall cdrl, or check the path") from error
    except (InputError, LimitError) as error:
        raise ModelFileError(str(error)) from error
