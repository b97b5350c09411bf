"""What is compared: anything that makes an edited file out of a source file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from typing import Any, Protocol

import cdrl
from cdrl.errors import InputError, InputNotFoundError, ModelFileError
from cdrl.evaluation.clips import encode_copy


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
    """The source file itself, byte by byte: what the evaluators say where nothing was done at all."""

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
        encode_copy(source, output, self.crf)


def find_model_without(folder: Path, kind: str, person: str, ending: str, strangers: frozenset[str]) -> Path:
    """Return the file of a model that was trained without a person.

    Args:
        folder: Of files `KIND_without_PERSON.ENDING`.
        kind: As in the files' names.
        person: Who is evaluated.
        ending: As in the files' names.
        strangers: People whom no model holds; for them the first file serves.

    Raises:
        ModelFileError: It is missing.
    """
    path = folder / f"{kind}_without_{person}.{ending}"
    if person in strangers:
        path = min(folder.glob(f"{kind}_without_*.{ending}"), default=path)
    if not path.is_file():
        raise ModelFileError(f"{path} is missing: train a {kind} without {person}, who would be evaluated by own data")
    return path


@dataclass(frozen=True)
class Edit:
    """`cdrl`'s own edit through its public interface, with models that the evaluated person is no part of."""

    name: str
    priors: Path | None
    """Folder of `prior_without_<person>.npz`; None edits with what ships, which may hold the person."""
    translators: Path | None = None
    """Folder of `translator_without_<person>.onnx`, each trained for that prior; None edits with the prior alone."""
    intensity: float = 1.0
    strangers: frozenset[str] = frozenset()
    """People that no model holds, so that any will do."""
    enroll: Mapping[str, Path] = field(default_factory=dict)
    """Emotion → a photo or clip of the edited person who shows it."""
    reference: Path | None = None
    """A clip that shows what is asked for, instead of the emotion's label."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the `EditRequest`."""

    def find_models(self, person: str) -> tuple[Path | None, Path | str | None]:
        """Return the prior and the model that a person may be evaluated by; ModelFileError when a folder lacks one."""
        if self.priors is None:
            return None, None
        path = find_model_without(self.priors, "prior", person, "npz", self.strangers)
        if self.translators is None:
            return path, "prior"
        return path, find_model_without(self.translators, "translator", person, "onnx", self.strangers)

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Edit at full length, with default settings but for the request's."""
        editor = cdrl.load(*self.find_models(person))
        asked = {"emotion": emotion} if self.reference is None else {"reference": self.reference}
        fields = {**asked, "intensity": self.intensity, "enroll": self.enroll, **self.request}
        editor.edit(source, **fields).save(output)


@dataclass(frozen=True)
class KeptEdits:
    """Edits that are there already: of another version, or of another program."""

    name: str
    folder: Path
    """Of files as `name_output` names them."""

    def find(self, source: str, emotion: str) -> Path:
        """Return the edit of a source, a name without its ending, to an emotion: the method's own, or the only one.

        Raises:
            InputNotFoundError: There is none.
            InputError: There are several, none of them of the method's name.
        """
        if (own := self.folder / name_output(source, emotion, self.name)).is_file():
            return own
        pattern = f"{name_output(source, emotion, '').removesuffix('.mp4')}*.mp4"
        found = sorted(self.folder.glob(pattern))
        if not found:
            raise InputNotFoundError(f"{self.folder} holds no {pattern}")
        if len(found) > 1:
            raise InputError(f"{self.folder} holds several {pattern}, none of them {own.name}: name the method so")
        return found[0]

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Copy the edit, byte by byte; the person plays no part."""
        copyfile(self.find(source.stem, emotion), output)


def name_output(source: str, emotion: str, method: str) -> str:
    """Return the name of the edited file that is kept; "ours - x" and "ours + x" are two."""
    safe = "".join(letter if letter.isalnum() or letter in "+-" else "_" for letter in f"{source} {emotion} {method}")
    return f"{safe}.mp4"
