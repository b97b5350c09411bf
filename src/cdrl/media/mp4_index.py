"""Boxes that FFmpeg does not write into an MP4 or MOV as PyAV drives it: put into the index of the finished file.

Covers beside labels of any name are an item of the list of labels, `moov/udta/meta/ilst/covr` (Apple's QuickTime File
Format, metadata). The light levels of HDR10 lie in the description of the picture, `mdcv` and `clli` (ISO/IEC 14496-12,
12.1.6 and 12.1.7). The index grows, so that all that lies behind moves, and the tables of offsets with it.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

from cdrl.media.side_data import HdrMetadata

_PNG = 14
_JPEG = 13
_KINDS = {b"\x89PNG": _PNG, b"\xff\xd8\xff": _JPEG, b"BM": 27}
"""First bytes of a picture → what it is called in the list."""
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_HEADERS = {b"meta": 4, b"stsd": 8, b"": 78}
"""Boxes with a header of their own before the boxes in them, and its bytes; b"" is the description of a picture."""
LABELS = (b"moov", b"udta", b"meta", b"ilst")
PICTURE = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"")
"""Where boxes go: the list of labels, and the description of the first track, which is the picture's; b"" is any."""


def cover_box(pictures: Sequence[bytes]) -> bytes:
    """Covers as an item of the list of labels; `pictures` are JPEG, PNG or BMP files."""
    added = b"".join(_box(b"data", struct.pack(">II", _kind(picture), 0) + picture) for picture in pictures)
    return _box(b"covr", added)


def light_boxes(hdr: HdrMetadata) -> bytes:
    """What HDR10 states of a clip, for the description of its picture."""
    boxes = b""
    if hdr.primaries and hdr.luminance is not None:
        red, green, blue, white = ((round(x * 50_000), round(y * 50_000)) for x, y in hdr.primaries)
        darkest, brightest = (round(level * 10_000) for level in hdr.luminance)
        boxes += _box(b"mdcv", struct.pack(">8H2I", *green, *blue, *red, *white, brightest, darkest))
    if hdr.light_level is not None:
        boxes += _box(b"clli", struct.pack(">2H", *(min(level, 0xFFFF) for level in hdr.light_level)))
    return boxes


def extend_index(film: Path, target: Path, place: tuple[bytes, ...], boxes: bytes) -> bool:
    """Write a copy of a film with more boxes.

    Args:
        film: An MP4 or MOV with its index in front.
        target: Where the copy goes.
        place: `LABELS` or `PICTURE`.
        boxes: What goes to the end of that place.

    Returns:
        Whether it was written: not where the film has no such place, or is larger than its offsets can say.
    """
    with film.open("rb") as source:
        begin, size = _find_index(source.read(4096))
        source.seek(begin)
        index = bytearray(source.read(size))
        if not size or not _insert(index, place, boxes) or not _move_offsets(index, 0, len(index), len(boxes)):
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


def _insert(index: bytearray, path: Sequence[bytes], boxes: bytes) -> bool:
    """Put `boxes` behind those in the box that `path` leads to, and make all around them larger."""
    around, begin, end = [], 0, len(index)
    for name in path:
        found = _find(index, name, begin, end)
        if found is None:
            return False
        around.append(found)
        begin, end = found + 8 + _HEADERS.get(name, 0), found + struct.unpack_from(">I", index, found)[0]
    while begin + 8 <= end and (size := struct.unpack_from(">I", index, begin)[0]) >= 8:  # QuickTime may end with zeros
        begin += size
    for place in around:
        struct.pack_into(">I", index, place, struct.unpack_from(">I", index, place)[0] + len(boxes))
    index[begin:begin] = boxes
    return begin <= end


def _find(index: bytearray, wanted: bytes, begin: int, end: int) -> int | None:
    place = begin
    while place + 8 <= end:
        size, name = struct.unpack_from(">I4s", index, place)
        if wanted in (name, b""):
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
