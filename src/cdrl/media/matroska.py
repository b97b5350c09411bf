"""The shape of pixels and light levels in MKV and WebM, put in afterwards: PyAV cannot tell FFmpeg's muxer of them.

The size at which a picture is shown and its `Colour` are parts of `Segment/Tracks/TrackEntry/Video` (RFC 9559,
5.1.4.1.28). The tracks grow into the space that the muxer reserves behind its list of places, so that nothing behind
them moves.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cdrl.media.side_data import HdrMetadata

_SEGMENT, _PLACES, _TRACKS, _CLUSTER = 0x18538067, 0x114D9B74, 0x1654AE6B, 0x1F43B675
_PLACE, _POSITION, _TRACK, _VIDEO = 0x4DBB, 0x53AC, 0xAE, 0xE0
_WIDTH, _HEIGHT, _SHOWN_WIDTH, _SHOWN_HEIGHT, _SHOWN_UNIT = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
_COLOR, _BRIGHTEST, _MEAN, _MASTERING, _PRIMARIES, _LUMINANCE = 0x55B0, 0x55BC, 0x55BD, 0x55D0, 0x55D1, 0x55D9
_VOID, _CRC = 0xEC, 0xBF
_RATIO = 3  # unit of a size that is no number of pixels
_HEAD = 1 << 20  # bytes in which the tracks begin and end


class _Element(NamedTuple):
    id: int
    begin: int
    """Where its number begins."""
    content: int
    """Where its content begins."""
    end: int


def set_pixel_aspect(path: Path, aspect: Fraction) -> bool:
    """Say in a file what shape the pixels of its picture have.

    Args:
        path: An MKV or WebM that FFmpeg has written.
        aspect: Width of a pixel over its height.

    Returns:
        Whether there was room for it.
    """
    return _extend_video(path, lambda data, video: _add_size(data, video, aspect))


def set_light_levels(path: Path, hdr: HdrMetadata) -> bool:
    """Say in a file what HDR10 states of its picture; arguments and result as of `set_pixel_aspect`."""
    return _extend_video(path, lambda data, video: _add_light(data, video, hdr))


def _extend_video(path: Path, change: Callable[[bytes, _Element], bytes]) -> bool:
    """Put more into the description of the picture of a file, where there is room."""
    with path.open("r+b") as file:
        data = file.read(_HEAD)
        try:
            segment = next(each for each in _elements(data, 0, len(data)) if each.id == _SEGMENT)
            parts: dict[int, _Element] = {}
            for part in _elements(data, segment.content, len(data)):
                if part.id == _CLUSTER:
                    break
                parts.setdefault(part.id, part)
            places, space, tracks = parts[_PLACES], parts[_VOID], parts[_TRACKS]
            if not places.end == space.begin < tracks.begin or tracks.end > len(data):
                return False
            grown = _map(data, tracks, _TRACK, partial(_change_track, data, change))
            growth = len(grown) - (tracks.end - tracks.begin)
            moved = (space.end - segment.content, tracks.begin - segment.content)
            head = _map(data, places, _PLACE, lambda place: _move(data, place, moved, growth))
            left = space.end - space.begin - growth
        except (StopIteration, KeyError, IndexError, OverflowError):
            return False
        if left < 2 or len(head) != places.end - places.begin:
            return False
        file.seek(places.begin)
        file.write(head + _void(left) + data[space.end : tracks.begin] + grown)
    return True


def _change_track(data: bytes, change: Callable[[bytes, _Element], bytes], track: _Element) -> bytes:
    """A track, with its description of a picture changed where it has one."""
    return _map(data, track, _VIDEO, partial(change, data))


def _elements(data: bytes, begin: int, end: int) -> Iterator[_Element]:
    """The elements side by side in a stretch; the last one may reach beyond it."""
    while begin < end:
        number, width = _read_number(data, begin)
        size, more = _read_number(data, begin + width)
        content = begin + width + more
        element = _Element(number, begin, content, content + (size & (1 << 7 * more) - 1))
        yield element
        begin = element.end


def _read_number(data: bytes, place: int) -> tuple[int, int]:
    """A number with its marker of length, and how many bytes it has."""
    width = 9 - data[place].bit_length()
    return int.from_bytes(data[place : place + width], "big"), width


def _pack(number: int, content: bytes, width: int = 1) -> bytes:
    """An element; `width`: bytes of its size, more where it needs more."""
    while len(content) >= (1 << 7 * width) - 1:
        width += 1
    size = (1 << 7 * width | len(content)).to_bytes(width, "big")
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + size + content


def _map(data: bytes, parent: _Element, wanted: int, change: Callable[[_Element], bytes]) -> bytes:
    """An element whose parts of a kind are changed, with a checksum that fits, as long as before where they are."""
    parts, has_checksum = [], False
    for part in _elements(data, parent.content, parent.end):
        if part.id == _CRC:
            has_checksum = True
            continue
        parts.append(change(part) if part.id == wanted else data[part.begin : part.end])
    content = b"".join(parts)
    if has_checksum:
        content = _pack(_CRC, struct.pack("<I", zlib.crc32(content))) + content
    number_width = (parent.id.bit_length() + 7) // 8
    return _pack(parent.id, content, parent.content - parent.begin - number_width)


def _add_size(data: bytes, video: _Element, aspect: Fraction) -> bytes:
    """The description of a picture with the size at which it is shown."""
    parts = [each for each in _elements(data, video.content, video.end) if each.id not in _SHOWN]
    stored = {each.id: int.from_bytes(data[each.content : each.end], "big") for each in parts}
    width, height = stored[_WIDTH] * aspect, stored[_HEIGHT]
    unit = 0
    if width.denominator != 1:
        ratio, unit = width / height, _RATIO
        width, height = Fraction(ratio.numerator), ratio.denominator
    shown = [(_SHOWN_WIDTH, int(width)), (_SHOWN_HEIGHT, height), *([(_SHOWN_UNIT, unit)] if unit else [])]
    added = b"".join(_pack(name, value.to_bytes((value.bit_length() + 7) // 8, "big")) for name, value in shown)
    return _pack(_VIDEO, b"".join(data[each.begin : each.end] for each in parts) + added)


def _add_light(data: bytes, video: _Element, hdr: HdrMetadata) -> bytes:
    """The description of a picture with its light levels, among what it says of colors."""
    added = b""
    if hdr.light_level is not None:
        levels = zip((_BRIGHTEST, _MEAN), hdr.light_level, strict=True)
        added += b"".join(_pack(name, level.to_bytes((level.bit_length() + 7) // 8, "big")) for name, level in levels)
    if hdr.primaries and hdr.luminance is not None:
        points = [value for point in hdr.primaries for value in point]
        numbers = [*enumerate(points, _PRIMARIES), *enumerate(reversed(hdr.luminance), _LUMINANCE)]
        added += _pack(_MASTERING, b"".join(_pack(name, struct.pack(">f", value)) for name, value in numbers))
    parts = [*_elements(data, video.content, video.end)]
    colors = [data[each.content : each.end] for each in parts if each.id == _COLOR]
    others = [data[each.begin : each.end] for each in parts if each.id != _COLOR]
    return _pack(_VIDEO, b"".join(others) + _pack(_COLOR, b"".join(colors) + added))


_SHOWN = {_SHOWN_WIDTH, _SHOWN_HEIGHT, _SHOWN_UNIT}


def _move(data: bytes, place: _Element, moved: tuple[int, int], growth: int) -> bytes:
    """A place in the list; one between the bounds `moved` comes earlier by `growth`."""
    parts = []
    for part in _elements(data, place.content, place.end):
        position, width = int.from_bytes(data[part.content : part.end], "big"), part.end - part.content
        if part.id == _POSITION and moved[0] <= position <= moved[1]:
            parts.append(_pack(_POSITION, (position - growth).to_bytes(width, "big")))
        else:
            parts.append(data[part.begin : part.end])
    return _pack(_PLACE, b"".join(parts))


def _void(length: int) -> bytes:
    """Unused space of so many bytes, two at least."""
    width = 1 if length < 128 else 8
    return _pack(_VOID, bytes(length - 1 - width), width)
