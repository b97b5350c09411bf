"""Reads the tensors of a CTranslate2 `model.bin` directly; its library is not needed for that."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import AssetError

_VERSIONS = (5, 6)  # of the layout: since 4 the kind of number is stored, since 6 nothing that we read has changed
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # CTranslate2's numbering


def read_variables(path: Path, wanted: Callable[[str], bool]) -> dict[str, NDArray[np.generic]]:
    """The variables of a model whose name is `wanted`; the rest of the file is not read.

    The layout: version, specification's name and revision; then for each variable its name, shape, type and bytes;
    names are preceded by their length and end with a zero. Raises AssetError for another or a damaged file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parsed(data, wanted)
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise AssetError(f"{path}: not a CTranslate2 model that can be read ({error}): fetch it again") from error


def _parsed(data: mmap.mmap, wanted: Callable[[str], bool]) -> dict[str, NDArray[np.generic]]:
    place = 0

    def number(kind: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from("<" + kind, data, place)
        place += struct.calcsize("<" + kind)
        return int(value)

    def text() -> str:
        nonlocal place
        length = number("H")
        place += length
        return data[place - length : place].rstrip(b"\0").decode()

    if (version := number("I")) not in _VERSIONS:
        raise ValueError(f"version {version}, known are {_VERSIONS}")
    text(), number("I")
    found: dict[str, NDArray[np.generic]] = {}
    for _ in range(number("I")):
        name = text()
        shape = tuple(number("I") for _ in range(number("B")))
        kind, size = number("B"), number("I")
        if wanted(name):
            found[name] = np.frombuffer(data[place : place + size], _TYPES[kind]).reshape(shape)
        place += size
    return found
