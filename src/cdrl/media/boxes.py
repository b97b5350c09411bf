"""The tables of an MP4 or MOV, counted before FFmpeg builds them: a few bytes may claim millions of samples.

FFmpeg makes an index entry for each sample that a table tells of, whether or not the file can hold it. A real sample
has a byte of its own, so a file has fewer samples than bytes. ISO/IEC 14496-12, 8.6 and 8.8.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

from cdrl.errors import InputError, LimitError
from cdrl.files import find_all
from cdrl.media.decoding import error_text

FEWEST = 1 << 21  # samples that any file may tell of: a cut one still has the whole one's tables
MOST_BOXES = 1 << 20  # side by side; two for each fragment of a film
_FILM = (b"moov", b"mvhd", b"cmov")  # without one of them FFmpeg finds no index; other boxes may hide it
_TABLES = (b"stsz", b"stts", b"ctts", b"trun")


def check_sample_tables(path: Path) -> None:
    """Refuse an MP4 or MOV file whose sample tables are made to exhaust memory; other files pass.

    Raises:
        LimitError: The tables tell of more samples than the file has bytes.
        InputError: The tables are compressed, so that they cannot be counted before they are read.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # also where it has become empty, or where it lies knows no mapping
        raise InputError(f"{path}: cannot be read ({error_text(error)}); copy it to a disk of this machine") from None
    with mapped as data:
        most = max(FEWEST, len(data))
        told, looked_at = dict.fromkeys(_TABLES, 0), 0
        boxes = _outside_of_samples(path, data)
        if not any(data.find(name, begin, end) >= 0 for begin, end in boxes for name in _FILM):
            return  # raw pictures hold every word there is
        for begin, end in boxes:
            places = ((table, place + 4) for table in _TABLES for place in find_all(data, table, begin, end))
            for table, place in places:  # wherever they are nested, after their names
                samples, length = _samples(data, table, place, end)
                told[table] += samples
                looked_at += length
                if told[table] > most or looked_at > len(data):  # tables that lie over each other are none
                    raise LimitError(f"{path}: its index tells of more samples than the file can hold: export it again")
            if any(data[place + 8 : place + 12] == b"dcom" for place in find_all(data, b"cmov", begin, end)):
                raise InputError(f"{path}: its index is compressed, which is not read: export it again")


def _outside_of_samples(path: Path, data: mmap.mmap) -> list[tuple[int, int]]:
    """Stretches of boxes that FFmpeg may look into; in what is no film, of what looks like some. Raises LimitError."""
    place, count = 0, 0
    found: list[tuple[int, int]] = []
    while place + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        if size == 1 and place + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, place + 8)
        end = min(place + size, len(data)) if size else len(data)
        if end < place + 8:
            break
        if name != b"mdat" and name.isascii() and name.decode("ascii").isprintable():
            begin = found.pop()[0] if found and found[-1][1] == place else place
            found.append((begin, end))
        place, count = end, count + 1
        if count > MOST_BOXES:
            raise LimitError(f"{path}: has more than {MOST_BOXES:,} parts: export it again")
    return found


def _samples(data: mmap.mmap, table: bytes, place: int, end: int) -> tuple[int, int]:
    """How many samples a table tells of in fewer bytes than it has samples, and the bytes that had to be read."""
    if place + 12 > end:
        return 0, 0
    flags, first, second = struct.unpack_from(">III", data, place)
    if table == b"stsz":  # where the sizes differ, each has its own four bytes
        return int(second) if first else 0, 12
    if table == b"trun":  # per sample as many fields as flags say; without one a sample takes no byte
        return 0 if flags & 0xF00 else int(first), 12
    length = min(8 * first, (end - place - 8) // 8 * 8)
    pairs = np.frombuffer(data[place + 8 : place + 8 + length], ">u4")
    return int(pairs[::2].sum(dtype=np.int64)), length
