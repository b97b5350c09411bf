"""What is compared: anything that makes an edited file out of a source file."""

from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Protocol

import cdrl
from cdrl.errors import AssetError
from cdrl.evaluation.clips import plain_copy


class Method(Protocol):
    """A way to change the emotion of a clip. It writes `output`; raising a `CdrlError` is a miss."""

    @property
    def name(self) -> str:
        """The row's name in the table."""
        ...

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Edit `source`, a clip of `person`, and write the result."""
        ...


@dataclass(frozen=True)
class NoEdit:
    """The source file itself, byte by byte: what the judges say where nothing was done at all."""

    name: str = "no edit"

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Copy; emotion and person play no part."""
        copyfile(source, output)


@dataclass(frozen=True)
class PlainCopy:
    """Decoded and encoded again, nothing else: the ceiling of the lip measures, the floor of the emotion."""

    name: str = "plain copy"
    crf: int = 18

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Copy; emotion and person play no part."""
        plain_copy(source, output, self.crf)


def model_without(folder: Path, kind: str, person: str, ending: str, strangers: frozenset[str]) -> Path:
    """`folder`'s model that was made without a person; for `strangers`, whom no model holds, the first there is.

    Raises AssetError where it is missing."""
    if person in strangers:
        found = sorted(folder.glob(f"{kind}_without_*.{ending}"))
        person = found[0].stem.removeprefix(f"{kind}_without_") if found else person
    path = folder / f"{kind}_without_{person}.{ending}"
    if not path.is_file():
        raise AssetError(f"{path} is missing: train a {kind} without {person}, who would be judged by own data")
    return path


@dataclass(frozen=True)
class Edit:
    """`cdrl`'s own edit through its public interface, with models that the judged person is no part of.

    `priors`: a folder of `prior_without_<person>.npz`; None edits by default, with what ships, which may hold the
    person, and says so in its name. `translators`: a folder of `translator_without_<person>.onnx`, each trained for
    that prior; None edits with the prior alone. `strangers`: people that no model holds, so that any will do.
    """

    name: str
    priors: Path | None
    translators: Path | None = None
    intensity: float = 1.0
    strangers: frozenset[str] = frozenset()

    def models(self, person: str) -> tuple[Path | None, Path | str | None]:
        """The prior and the model that a person may be judged by; `AssetError` when a folder lacks one."""
        if self.priors is None:
            return None, None
        path = model_without(self.priors, "prior", person, "npz", self.strangers)
        if self.translators is None:
            return path, "prior"
        return path, model_without(self.translators, "translator", person, "onnx", self.strangers)

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Edit at full length with default settings."""
        cdrl.load(*self.models(person)).edit(source, emotion=emotion, intensity=self.intensity).save(output)
