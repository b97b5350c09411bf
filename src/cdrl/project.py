"""Project files: a request as JSON, which can be kept, sent and carried out again.

    {"version": 1, "source": "talk.mp4", "emotion": "happy", "intensity": 0.8, "regions": ["brows", "eyes"]}

Relative paths are relative to the project file's folder and stay inside it, so that a folder can be moved as a whole;
what lies elsewhere is written as an absolute path. A project may come from anybody: it is small, strictly what is
listed here, and names local files alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cdrl.errors import CdrlError, InputError, UsageError
from cdrl.files import atomic_write, small_text
from cdrl.request import REQUEST_FIELDS, EditRequest, names_file

VERSION = 1
"""Of the format that is read and written here."""

MAX_BYTES = 1 << 20
"""Largest project file; a long film's segments take a few thousand bytes."""

_KEYS = ("version", *REQUEST_FIELDS)


def read_project(path: str | Path, within: Path | None = None) -> EditRequest:
    """Read the request in a project file.

    Args:
        path: The file.
        within: A folder; the project names no file outside it. None allows all folders.

    Raises:
        InputNotFoundError: There is no such file.
        InputError: It is no regular file, or no JSON.
        LimitError: It is larger than `MAX_BYTES`.
        UsageError: A key is unknown or missing, a value has the wrong type or makes no sense, the version is another
            one, or a name is an address or leads out of the allowed folders.
    """
    path = Path(path)
    text = small_text(path, MAX_BYTES, "project")
    try:
        content = json.loads(text, object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no project: {error}; write one with --save-project") from None
    try:
        return request_from_json(content, path.parent, within)
    except CdrlError as error:
        raise type(error)(f"{path}: {error}") from None


def request_from_json(content: object, folder: Path, within: Path | None = None) -> EditRequest:
    """Make a request of a decoded JSON object.

    Args:
        content: The object.
        folder: Where relative paths begin.
        within: As for `read_project`.

    Raises:
        UsageError: As for `read_project`.
    """
    if not isinstance(content, dict):
        raise UsageError(
            "a project is a JSON object, as in {" + f'"version": {VERSION}, "source": "talk.mp4", ...' + "}"
        )
    for name in content:
        if name not in _KEYS:
            raise UsageError(f"unknown key {str(name)[:40]!r}: a project holds {', '.join(_KEYS)}")
    for name in ("version", "source"):
        if content.get(name) is None:
            raise UsageError(f"the key {name!r} is missing")
    version = _check_type("version", content["version"], int, "a number")
    if version != VERSION:
        raise UsageError(f"version {version!r} is not known here: this cdrl reads version {VERSION}")
    given = {name: value for name, value in content.items() if value is not None and name != "version"}
    return EditRequest(**{name: _read_value(name, value, folder, within) for name, value in given.items()})


def request_to_json(request: EditRequest, folder: Path) -> dict[str, Any]:
    """The object that `request_from_json` reads back; paths inside `folder` are relative to it, others absolute."""
    values: dict[str, Any] = {"version": VERSION}
    for name in REQUEST_FIELDS:
        value = request.files.get(name, getattr(request, name))
        if isinstance(value, Path):
            value = portable_path(value, folder)
        elif name == "enroll":
            value = {emotion: portable_path(path, folder) for emotion, path in value.items()}
        elif isinstance(value, tuple):
            value = list(value)
        if value not in (None, [], {}) and (name, value) != ("handles", 0):
            values[name] = value
    return values


def write_project(request: EditRequest, path: str | Path) -> None:
    """Write a project file, whole or not at all, in place of what is there.

    Raises:
        OutputError: The file cannot be written.
    """
    path = Path(path)
    text = json.dumps(request_to_json(request, path.parent), indent=2, ensure_ascii=False) + "\n"
    atomic_write(path, [text.encode("utf-8", "backslashreplace")])


def local_path(text: str, folder: Path, within: Path | None = None, *, stays: bool = True) -> Path:
    """The local file that a text of unknown origin names.

    Args:
        text: The name.
        folder: Where relative names begin.
        within: A folder that the file must lie in; None for any.
        stays: Whether a relative name must not lead out of `folder`, be it by `..` or by a symbolic link. An absolute
            name says openly where it leads.

    Raises:
        UsageError: The name leads out of its folder, or is an address or a protocol (`http:`, `concat:`, `pipe:`; a
            file of such a name is written `./http:`).
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


def portable_path(path: Path, folder: Path) -> str:
    """The path as a file in `folder` may name it: relative inside the folder, absolute elsewhere."""
    real, root = path.resolve(), folder.resolve()
    return f"./{real.relative_to(root)}" if real.is_relative_to(root) and real != root else str(real)


def _read_value(name: str, value: object, folder: Path, within: Path | None) -> Any:
    """The value of a key as the request's field of that name takes it."""
    if name == "intensity":
        number = _check_type(name, value, (int, float), "a number")
        return float(number) if abs(number) < 1e9 else _reject_value(name, value, "a number")
    if name == "regions":
        return tuple(
            _check_type(name, region, str, "a list of names") for region in _check_type(name, value, list, "a list")
        )
    if name == "enroll":
        pairs = _check_type(name, value, dict, "an object of emotions and files").items()
        return {
            emotion: local_path(_check_type(name, path, str, "a file's name"), folder, within)
            for emotion, path in pairs
        }
    if name == "handles":
        return _check_type(name, value, int, "a number of frames")
    if name == "frame_rate" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text: str = _check_type(name, value, str, "text")
    if name in ("source", "reference", "prior"):
        return local_path(text, folder, within)
    return str(local_path(text, folder, within)) if names_file(name, text) else text


def _check_type(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> Any:
    return value if isinstance(value, kind) and not isinstance(value, bool) else _reject_value(name, value, expected)


def _reject_value(name: str, value: object, expected: str) -> Any:
    raise UsageError(f"{name} is {json.dumps(value)[:40]}: give {expected}")


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("a key is written twice")
    return unique


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")
