"""A project: what is asked of one clip, as a file that can be kept, sent and carried out again.

    {"version": 1, "source": "talk.mp4", "emotion": "happy", "intensity": 0.8, "regions": ["brows", "eyes"]}

Relative paths are relative to the project file's folder and stay inside it, so that a folder can be moved as a whole;
what lies elsewhere is written as an absolute path. A project comes from anybody: it is small, strictly what is listed
here, and names local files alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cdrl.emotions import parse_emotion
from cdrl.errors import CdrlError, InputError, UsageError
from cdrl.files import atomic_write, small_text
from cdrl.plan import EditPlan

VERSION = 1
MAX_BYTES = 1 << 20
"""Largest project file; a long film's segments take a few thousand bytes."""

MODELS = ("prior", "translator")
"""Values of `model` that are no file's name."""


@dataclass(frozen=True)
class Project:
    """What is asked of one clip; what `cdrl edit` takes, but for where and how the result is written.

    Checked when it is made, so far as that goes without opening a video. Raises UsageError.
    """

    source: Path
    """The video to edit."""
    emotion: str | None = None
    """A name or a blend; one of `emotion`, `reference` and `segments` says what to show."""
    reference: Path | None = None
    """Clip or photo whose expression is to be shown."""
    segments: str | None = None
    """Emotions over time; see `cdrl.plan`."""
    intensity: float = 1.0
    """0..1.5."""
    regions: tuple[str, ...] = ()
    """Parts of the face; empty for the whole of it."""
    face: str = "largest"
    """See `cdrl.face.selection.parse_face`."""
    enroll: Mapping[str, Path] = field(default_factory=dict)
    """Emotion → a photo or clip of the person in the source who shows it."""
    model: str | None = None
    """See `cdrl.load`: `prior`, `translator`, or a file's name."""
    prior: Path | None = None
    """An emotion prior of one's own; None for the one that ships."""
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise UsageError(f"version {self.version!r} is not known here: this cdrl reads version {VERSION}")
        EditPlan.parse(self.emotion, self.reference, self.intensity, self.regions, self.segments)
        from cdrl.face.selection import parse_face  # noqa: PLC0415 - loads the networks' runtime

        parse_face(self.face)
        enroll = {parse_emotion(name): path for name, path in self.enroll.items()}
        object.__setattr__(self, "enroll", enroll)

    @property
    def wish(self) -> dict[str, Any]:
        """What `Editor.edit` takes beside the source and the limits."""
        names = ("emotion", "reference", "segments", "intensity", "regions", "face")
        return {name: getattr(self, name) for name in names} | {"enroll": dict(self.enroll)}

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file that the edit reads, the source first."""
        model = None if self.model is None or self.model in MODELS else Path(self.model)
        given = (self.source, self.reference, *self.enroll.values(), self.prior, model)
        return tuple(path for path in given if path is not None)

    def of(self, source: Path) -> Project:
        """The same for another clip."""
        return replace(self, source=source)

    @classmethod
    def read(cls, path: str | Path, within: Path | None = None) -> Project:
        """The project in a file. With `within`, it names no file outside that folder.

        Raises InputNotFoundError, InputError (no regular file, no JSON), LimitError (over `MAX_BYTES`), and UsageError
        for unknown keys, wrong types, other versions, senseless wishes, and names that are addresses or lead astray.
        """
        path = Path(path)
        text = small_text(path, MAX_BYTES, "project")
        try:
            content = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is no project: {_first_line(error)}; write one with --save-project") from None
        try:
            return cls.from_json(content, path.parent, within)
        except CdrlError as error:
            raise type(error)(f"{path}: {error}") from None

    @classmethod
    def from_json(cls, content: object, folder: Path, within: Path | None = None) -> Project:
        """The project that a decoded JSON object says; see `read`. `folder`: where relative paths begin."""
        if not isinstance(content, dict):
            raise UsageError(
                "a project is a JSON object, as in {" + f'"version": {VERSION}, "source": "talk.mp4", ...' + "}"
            )
        known = [entry.name for entry in fields(cls)]
        for name in content:
            if name not in known:
                raise UsageError(f"unknown key {str(name)[:40]!r}: a project holds {', '.join(known)}")
        for name in ("version", "source"):
            if content.get(name) is None:
                raise UsageError(f"the key {name!r} is missing")
        given = {name: value for name, value in content.items() if value is not None}
        return cls(**{name: _checked(name, value, folder, within) for name, value in given.items()})

    def to_json(self, folder: Path) -> dict[str, Any]:
        """What `from_json` reads back; paths inside `folder` are relative to it, all others absolute."""
        found: dict[str, Any] = {"version": self.version}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Path):
                value = portable(value, folder)
            elif entry.name == "enroll":
                value = {name: portable(path, folder) for name, path in value.items()}
            elif entry.name == "model" and value is not None and value not in MODELS:
                value = portable(Path(value), folder)
            elif isinstance(value, tuple):
                value = list(value)
            if value not in (None, [], {}):
                found[entry.name] = value
        return found

    def write(self, path: str | Path) -> None:
        """Write the project, whole or not at all, in place of what is there. Raises OutputError."""
        path = Path(path)
        text = json.dumps(self.to_json(path.parent), indent=2, ensure_ascii=False) + "\n"
        atomic_write(path, [text.encode("utf-8", "backslashreplace")])


def local_path(text: str, folder: Path, within: Path | None = None, *, stays: bool = True) -> Path:
    """The local file that somebody else's `text` names, where relative names begin at `folder`.

    A relative name that `stays` does not lead out of `folder`, be it by `..` or by a symbolic link; an absolute one
    says openly where it leads. With `within` neither leads out of that folder. Raises UsageError, also for addresses
    and protocols (`http:`, `concat:`, `pipe:`; a file called so is `./http:`).
    """
    if not text or "\x00" in text:
        raise UsageError(f"{text!r} is no file's name")
    from cdrl.media.opening import ADDRESS  # noqa: PLC0415 - loads the codecs

    if ADDRESS.match(text):
        raise UsageError(f"{text!r:.200} is an address, not a file: download it and give the file's name")
    path = folder / text
    try:
        real = path.resolve()
        inside = not stays or Path(text).is_absolute() or real.is_relative_to(folder.resolve())
        allowed = within is None or real.is_relative_to(within.resolve())
    except (OSError, RuntimeError, ValueError):
        raise UsageError(f"{text!r:.200} is not a usable file name") from None
    if not inside:
        raise UsageError(f"{text!r:.200} leads out of the folder {folder}: write its absolute path")
    if not allowed:
        raise UsageError(f"{text!r:.200} leads out of the folder {within}, where its files must be")
    return path


def portable(path: Path, folder: Path) -> str:
    """`path` as a file in `folder` may name it: relative inside the folder, absolute elsewhere."""
    real, root = path.resolve(), folder.resolve()
    return f"./{real.relative_to(root)}" if real.is_relative_to(root) and real != root else str(real)


def _checked(name: str, value: object, folder: Path, within: Path | None) -> Any:
    """A key's value as the field of that name holds it."""
    if name == "version":
        return _typed(name, value, int, "a number")
    if name == "intensity":
        number = _typed(name, value, (int, float), "a number")
        return float(number) if abs(number) < 1e9 else _wrong(name, value, "a number")
    if name == "regions":
        return tuple(_typed(name, region, str, "a list of names") for region in _typed(name, value, list, "a list"))
    if name == "enroll":
        pairs = _typed(name, value, dict, "an object of emotions and files").items()
        return {
            emotion: local_path(_typed(name, path, str, "a file's name"), folder, within) for emotion, path in pairs
        }
    text: str = _typed(name, value, str, "text")
    if name in ("source", "reference", "prior"):
        return local_path(text, folder, within)
    return str(local_path(text, folder, within)) if name == "model" and text not in MODELS else text


def _typed(name: str, value: object, kind: type | tuple[type, ...], said: str) -> Any:
    return value if isinstance(value, kind) and not isinstance(value, bool) else _wrong(name, value, said)


def _wrong(name: str, value: object, said: str) -> Any:
    raise UsageError(f"{name} is {json.dumps(value)[:40]}: give {said}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is written twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
