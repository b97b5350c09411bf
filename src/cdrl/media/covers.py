"""Cover pictures of an MP4 whose labels FFmpeg writes in the newer way, without covers: put in afterwards.

A cover is an item of the list of labels, `moov/udta/meta/ilst/covr` (Apple's QuickTime File Format, metadata). The
index grows by it, so that all that lies behind moves, and the tables of offsets with it.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

_PNG = 14
_JPEG = 13
_KINDS = {b"\x89PNG": _PNG, b"\xff\xd8\xff": _JPEG, b"BM": 27}
"""First bytes of a picture → what it is called in the list."""
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_PATH = (b"moov", b"udta", b"meta", b"ilst")


def insert_covers(film: Path, target: Path, pictures: Sequence[bytes]) -> bool:
    """Write a copy of a film with covers.

    Args:
        film: An MP4 with its index in front and a list of labels.
        target: Where the copy goes.
        pictures: JPEG, PNG or BMP files.

    Returns:
        Whether it was written: not where the film has no list of labels, or is larger than its offsets can say.
    """
    with film.open("rb") as source:
        begin, size = _find_index(source.read(4096))
        source.seek(begin)
        index = bytearray(source.read(size))
        added = b"".join(_box(b"data", struct.pack(">II", _kind(picture), 0) + picture) for picture in pictures)
        item = _box(b"covr", added)
        if not size or not _insert(index, item) or not _move_offsets(index, 0, len(index), len(item)):
            return False
        with target.open("wb") as copy:
            source.seek(0)
            copy.write(source.read(begin))
            copy.write(index)
            source.seek(begin + size)
            shutil.copyfileobj(source, copy, 1 << 20)
    return True


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _kind(picture: bytes) -> int:
    return next((kind for magic, kind in _KINDS.items() if picture.startswith(magic)), _JPEG)


def _find_index(head: bytes) -> tuple[int, int]:
    """Where the index begins, and its size; 0, 0 where it is not in front."""
    place = 0
    while place + 8 <= len(head):
        size, name = struct.unpack_from(">I4s", head, place)
        if name == b"moov":
            return place, size
        if size < 8 or name == b"mdat":
            break
        place += size
    return 0, 0


def _insert(index: bytearray, item: bytes) -> bool:
    """Put `item` at the end of the list of labels and make all around it larger."""
    around, begin, end = [], 0, len(index)
    for name in _PATH:
        found = _find(index, name, begin, end)
        if found is None:
            return False
        size = struct.unpack_from(">I", index, found)[0]
        around.append(found)
        begin, end = found + (12 if name == b"meta" else 8), found + size  # `meta` has a version in front
    for place in around:
        struct.pack_into(">I", index, place, struct.unpack_from(">I", index, place)[0] + len(item))
    index[end:end] = item
    return True


def _find(index: bytearray, wanted: bytes, begin: int, end: int) -> int | None:
    place = begin
    while place + 8 <= end:
        size, name = struct.unpack_from(">I4s", index, place)
        if name == wanted:
            return place
        if size < 8:
            break
        place += size
    return None


def _move_offsets(index: bytearray, begin: int, end: int, shift: int) -> bool:
    """Add `shift` to where all chunks lie; False where one does not fit any more."""
    place = begin
    while place + 8 <= end:
        size, name = struct.unpack_from(">I4s", index, place)
        if size < 8:
            return True
        if name in _PARENTS and not _move_offsets(index, place + 8, place + size, shift):
            return False
        if name in (b"stco", b"co64"):
            width = ">I" if name == b"stco" else ">Q"
            step = struct.calcsize(width)
            for number in range(struct.unpack_from(">I", index, place + 12)[0]):
                at = place + 16 + step * number
                offset = struct.unpack_from(width, index, at)[0] + shift
                if offset >= 1 << 8 * step:
                    return False
                struct.pack_into(width, index, at, offset)
        place += size
    return True
