"""Labels that are known only when a file is finished: a text of the same length holds their place until then.

A muxer writes its labels before the first frame, when nobody knows yet what will be edited. What it was given is
replaced in the finished file. Matroska keeps a checksum over its labels, which is made anew.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from cdrl.errors import OutputError

_SEGMENT = 0x18538067
_CHECKSUM = b"\xbf\x84"  # ID and size of a CRC-32 element, RFC 8794, section 11.3.1
_UNKNOWN_SIZES = {(1 << 7 * length) - 1 for length in range(1, 9)}


class HeldLabels:
    """Labels whose texts come last. `texts` go to the muxer; `fill` puts the real ones into the finished file."""

    def __init__(self, room: Mapping[str, int]) -> None:
        """`room`: label → bytes of UTF-8 that its text may take in the end."""
        self.texts = {name: uuid4().hex.ljust(max(size, 32), ".") for name, size in room.items()}

    def fill(self, path: Path, texts: Mapping[str, str], matroska: bool) -> None:
        """Put `texts` (of the same labels) into the file.

        Raises:
            OutputError: A text is longer than its room, or the muxer has left out a label.
        """
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
            for name, held in self.texts.items():
                wanted, given = held.encode(), texts[name].encode("utf-8")
                places = _find_all(content, wanted)
                if not places or len(given) > len(wanted):
                    raise OutputError(f"{path}: its label {name} cannot be written")
                for place in places:
                    content[place : place + len(wanted)] = given.ljust(len(wanted))
                    if matroska:
                        _renew_checksum(content, place)


def _find_all(content: mmap.mmap, wanted: bytes) -> list[int]:
    places, place = [], content.find(wanted)
    while place >= 0:
        places.append(place)
        place = content.find(wanted, place + len(wanted))
    return places


def _renew_checksum(content: mmap.mmap, place: int) -> None:
    """Make the CRC-32 of the top-level element around `place` anew, where it has one (RFC 8794 and 9559)."""
    at, end = 0, len(content)
    while at < end:
        element, at_size = _read_number(content, at, keep_marker=True)
        size, begin = _read_number(content, at_size, keep_marker=False)
        stop = end if size in _UNKNOWN_SIZES else min(begin + size, end)
        if element == _SEGMENT:
            at, end = begin, stop
        elif place < stop:
            if content[begin : begin + 2] == _CHECKSUM:
                checksum = zlib.crc32(content[begin + 6 : stop])
                content[begin + 2 : begin + 6] = checksum.to_bytes(4, "little")
            return
        else:
            at = stop


def _read_number(content: mmap.mmap, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """A variable-size integer of EBML (RFC 8794, section 4), and where it ends."""
    length = 9 - content[at].bit_length()
    number = int.from_bytes(content[at : at + length], "big")
    return (number if keep_marker else number & ((1 << 7 * length) - 1)), at + length
