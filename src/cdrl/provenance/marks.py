"""The labels inside a video: which are written into what container, and reading them again.

A muxer writes its labels before the first frame, when nobody knows yet what will be edited: a text of the same length
holds their place until it is replaced in the finished file. Matroska keeps a checksum over its labels, which is made
anew.
"""

from __future__ import annotations

import json
import mmap
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cdrl.errors import OutputError
from cdrl.files import find_all, loads_untrusted
from cdrl.media import Limits
from cdrl.media.opening import check_path, open_container
from cdrl.media.sequences import read_picture_texts
from cdrl.provenance import xmp
from cdrl.provenance.record import BEGINNING, COPY_BEGINNING, describe_edit

XMP_CONTAINERS = {"mp4", "mov", "png"}  # muxers; Matroska and WebM hold labels of any name instead
_BEGINNINGS = (BEGINNING, COPY_BEGINNING)
SOURCE_TYPE_LABEL, EDITS_LABEL = "DIGITAL_SOURCE_TYPE", "CDRL_EDITS"


@dataclass(frozen=True)
class Mark:
    """What a file says about itself."""

    source_type: str | None
    """IPTC digital source type."""
    edits: list[Any]
    """Records as `edit_record` makes them, oldest first; not checked."""
    comment: str
    """Our words in the file's comment, which outlive a conversion; '' for none."""
    labels: Mapping[str, str]
    """All labels of the file, as they stand."""

    @property
    def is_cdrl(self) -> bool:
        """Whether anything here says that this program edited the file."""
        return bool(self.edits or self.comment)


def read_mark(path: str | Path, limits: Limits = Limits()) -> Mark:  # noqa: B008 - frozen
    """Read what a local video or picture says about itself. Raises InputError or LimitError as `cdrl.media.probe`."""
    checked = check_path(path, limits)
    if texts := read_picture_texts(checked):
        return parse_labels(texts)
    with open_container(checked, limits) as container:
        return parse_labels(container.metadata)


def parse_labels(texts: Mapping[str, str]) -> Mark:
    """Read what a file's labels, name → text, say about it."""
    labels = {key: text.rstrip() for key, text in texts.items()}  # ours are filled up with blanks
    known = {key.upper(): text for key, text in labels.items()}
    source_type, edits = xmp.parse_xmp(known.get("XMP", ""))
    if not edits:
        source_type = source_type or known.get(SOURCE_TYPE_LABEL) or None
        try:
            listed = loads_untrusted(known.get(EDITS_LABEL, "[]")[: xmp.LARGEST])
            edits = listed if isinstance(listed, list) else []
        except ValueError:
            edits = []
    comments = (known.get(key, "") for key in ("COMMENT", "DESCRIPTION"))
    return Mark(source_type, edits, next((text for text in comments if text.startswith(BEGINNING)), ""), labels)


def labels_for(muxer: str, source: Mark, record: Mapping[str, Any], source_type: str | None) -> dict[str, str]:
    """The labels of a new file beside the source's own, of which none is replaced but ours.

    `record` is the edit's, as `edit_record` makes it; `source_type` is None where no frame was changed.
    """
    said = {key.lower() for key, text in source.labels.items() if text and not text.startswith(_BEGINNINGS)}
    free = next((key for key in ("comment", "description") if key not in said), None)
    labels = {} if free is None else {free: describe_edit(record)}
    if muxer in XMP_CONTAINERS:
        return labels
    edits = [*source.edits, record] if record["segments"] else source.edits
    kept = source.source_type or ""
    return labels | {
        SOURCE_TYPE_LABEL: source_type or kept,
        EDITS_LABEL: json.dumps(edits, ensure_ascii=False),
    }


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
                places = list(find_all(content, wanted))
                if not places or len(given) > len(wanted):
                    raise OutputError(f"{path}: its label {name} cannot be written")
                for place in places:
                    content[place : place + len(wanted)] = given.ljust(len(wanted))
                    if matroska:
                        _renew_checksum(content, place)


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
