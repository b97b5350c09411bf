"""Chunks of PNG beside the pixels: texts, and how colors are meant (W3C, PNG third edition, sections 5 and 11)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cdrl.media.side_data import HdrMetadata

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP, XMP_KEYWORD = "xmp", "XML:com.adobe.xmp"
COLOR_CHUNKS = frozenset((b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs"))
"""Chunks that say what the numbers stand for, whatever the numbers are."""
_TEXT, _LONG_TEXT = b"tEXt", b"iTXt"
_LARGEST = 4 << 20  # bytes of one chunk
_MOST = 1000  # chunks before the pixels
_IHDR_END = len(SIGNATURE) + 25


class Chunk(NamedTuple):
    """One chunk of a PNG."""

    kind: bytes
    data: bytes

    def encode(self) -> bytes:
        """The chunk as it lies in a file."""
        checksum = zlib.crc32(self.kind + self.data)
        return struct.pack(">I4s", len(self.data), self.kind) + self.data + struct.pack(">I", checksum)


def text_chunk(name: str, text: str) -> Chunk:
    """A text under a name as `read_texts` gives it; XMP, and what is not Latin-1, as international text."""
    keyword = XMP_KEYWORD if name == XMP else name.capitalize()
    if name != XMP and (name + text).isascii():
        return Chunk(_TEXT, f"{keyword}\0{text}".encode())
    return Chunk(_LONG_TEXT, keyword.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))


def color_profile(profile: bytes) -> Chunk:
    """An ICC profile."""
    return Chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))


def light_chunks(hdr: HdrMetadata) -> list[Chunk]:
    """The light levels of HDR10."""
    chunks = []
    if hdr.primaries and hdr.luminance is not None:
        points = [round(value * 50_000) for point in hdr.primaries for value in point]
        darkest, brightest = (round(level * 10_000) for level in hdr.luminance)
        chunks.append(Chunk(b"mDCV", struct.pack(">8H2I", *points, brightest, darkest)))
    if hdr.light_level is not None:
        chunks.append(Chunk(b"cLLI", struct.pack(">2I", *(10_000 * level for level in hdr.light_level))))
    return chunks


def insert_chunks(png: bytes, chunks: Iterable[Chunk]) -> bytes:
    """A PNG with further chunks right behind its header, where those of color must stand."""
    return png[:_IHDR_END] + b"".join(chunk.encode() for chunk in chunks) + png[_IHDR_END:]


def read_chunks(path: Path) -> Iterator[Chunk]:
    """The chunks between the header and the pixels of a PNG that anybody may have made; none of another file."""
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return
        for _ in range(_MOST):
            head = file.read(8)
            if len(head) < 8:
                return
            size, kind = struct.unpack(">I4s", head)
            if kind in (b"IDAT", b"IEND"):
                return
            if size > _LARGEST:
                file.seek(size + 4, 1)
                continue
            data = file.read(size)
            if kind != b"IHDR" and file.read(4) == struct.pack(">I", zlib.crc32(kind + data)):
                yield Chunk(kind, data)
            elif kind == b"IHDR":
                file.read(4)


def read_texts(chunks: Iterable[Chunk]) -> Mapping[str, str]:
    """Texts by keyword in lower case, uncompressed ones; the XMP packet is called `XMP`."""
    texts = {}
    for kind, data in chunks:
        keyword, _, rest = data.partition(b"\0")
        name = keyword.decode("latin-1").lower()
        if kind == _TEXT:
            texts[name] = rest.decode("latin-1")
        elif kind == _LONG_TEXT and rest[:1] == b"\0":
            text = rest[2:].split(b"\0", 2)[-1].decode("utf-8", "replace")
            texts[XMP if name == XMP_KEYWORD.lower() else name] = text
    return texts
