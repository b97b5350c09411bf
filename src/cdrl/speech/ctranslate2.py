"""Reads the tensors of a CTranslate2 `model.bin` directly; its library is not needed for that."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import ModelFileError

_VERSIONS = (5, 6)  # of the layout: since 4 the kind of number is stored, since 6 nothing that we read has changed
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # CTranslate2's numbering


def read_variables(path: Path, wanted: Callable[[str], bool]) -> dict[str, NDArray[np.generic]]:
    """Read some variables of a model; the rest of the file is not read.

    The layout is: version, name and revision of the specification; then for each variable its name, shape, type and
    bytes. Names are preceded by their length and end with a zero.

    Args:
        path: The file `model.bin`.
        wanted: Whether a variable of that name is read.

    Returns:
        The variables by name.

    Raises:
        ModelFileError: The file is damaged, or no CTranslate2 model.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(data, wanted)
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path}: not a CTranslate2 model that can be read ({error}): fetch it again") from error


def _parse(data: mmap.mmap, wanted: Callable[[str], bool]) -> dict[str, NDArray[np.generic]]:
    offset = 0

    def read_number(kind: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from("<" + kind, data, offset)
        offset += struct.calcsize("<" + kind)
        return int(value)

    def read_text() -> str:
        nonlocal offset
        length = read_number("H")
        offset += length
        return data[offset - length : offset].rstrip(b"\0").decode()

    if (version := read_number("I")) not in _VERSIONS:
        raise ValueError(f"version {version}, known are {_VERSIONS}")
    read_text(), read_number("I")
    variables: dict[str, NDArray[np.generic]] = {}
    for _ in range(read_number("I")):
        name = read_text()
        shape = tuple(read_number("I") for _ in range(read_number("B")))
        kind, size = read_number("B"), read_number("I")
        if wanted(name):
            variables[name] = np.frombuffer(data[offset : offset + size], _TYPES[kind]).reshape(shape)
        offset += size
    return variables
