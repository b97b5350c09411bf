"""Photos made of tiles, as telephones write them: HEIC and AVIF grids, put together from the streams FFmpeg makes.

FFmpeg opens each tile as a stream of its own, and which of them lie where is told in the file's `meta` box (ISO/IEC
23008-12, 6.6.2.3): the primary item is a grid, made of (`dimg`) tiles in rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from cdrl.media.layout import Orientation

Found = TypeVar("Found")
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"miaf", b"avif")
ANIMATIONS = ("avis", "msf1", "hevc", "hevx")
"""Brands of files that hold a series of pictures (AVIF and HEIF sequences)."""
MOST_TILES = 1024  # 512 pixels each way: more than any limit of pixels allows
_LARGEST_INDEX = 4 << 20  # bytes
_TURNS = (  # by the quarter turns against the clock that `irot` tells
    Orientation(),
    Orientation(True, False, True),
    Orientation(False, True, True),
    Orientation(True, True, False),
)


@dataclass(frozen=True)
class TileGrid:
    """How a photo is put together."""

    items: tuple[int, ...]
    """Numbers of the tiles, row by row; FFmpeg's `Stream.id`."""
    columns: int
    width: int
    """Of the whole photo as stored, pixels."""
    height: int
    orientation: Orientation


def is_photo_file(head: bytes) -> bool:
    """Whether a file that begins with `head` is a HEIC or AVIF photo; series of pictures have other brands."""
    return head[4:8] == b"ftyp" and head[8:12] in BRANDS


def find_tiles(path: Path) -> TileGrid | None:
    """Read how the photo in a file is put together; None for what is one picture, or no such photo."""
    return _read_photo(path, _read_grid)


def find_orientation(path: Path) -> Orientation | None:
    """Read how the photo in a file becomes upright; None for what is no such photo.

    FFmpeg turns before it mirrors, whatever the order is that the file gives.
    """
    return _read_photo(path, lambda boxes, _: _read_turn(boxes[b"iprp"], _primary(boxes)))


def _read_photo(path: Path, interpret: Callable[[dict[bytes, bytes], BinaryIO], Found | None]) -> Found | None:
    """What `interpret` makes of a photo's index and file; None for what is no such photo, or a damaged one."""
    with path.open("rb") as file:
        if not is_photo_file(file.read(12)):
            return None
        data = b""
        file.seek(0)
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name == b"meta" and size <= _LARGEST_INDEX:
                data = file.read(size - 8)[4:]
                break
            if size < 8:
                return None
            file.seek(size - 8, 1)
        try:
            return interpret(dict(_boxes(data)), file)
        except (struct.error, IndexError, KeyError, ValueError, OSError):
            return None


def decode_tiles(container: InputContainer, grid: TileGrid) -> Iterator[av.VideoFrame]:
    """Decode the tiles and give the whole photo; nothing where a tile is missing or damaged."""
    streams = {stream.id: stream for stream in container.streams.video}
    if not all(item in streams for item in grid.items):
        return
    pictures: dict[int, av.VideoFrame] = {}
    wanted = [streams[item] for item in grid.items]
    try:
        for packet in container.demux(*wanted):
            for picture in packet.decode() if packet.stream.id not in pictures else ():
                if isinstance(picture, av.VideoFrame):
                    pictures[packet.stream.id] = picture
    except av.FFmpegError:
        return
    if len(pictures) == len(set(grid.items)):
        yield _assemble([pictures[item] for item in grid.items], grid)


def _assemble(tiles: list[av.VideoFrame], grid: TileGrid) -> av.VideoFrame:
    first = tiles[0]
    # A tiny picture of the same kind grows to the whole, so that what the file says of its colors comes along.
    whole = first.reformat(width=grid.width, height=grid.height)
    dtype = np.uint16 if first.format.components[0].bits > 8 else np.uint8
    rows = [tiles[begin : begin + grid.columns] for begin in range(0, len(tiles), grid.columns)]
    for index, plane in enumerate(whole.planes):
        canvas = np.vstack([np.hstack([_samples(tile.planes[index], dtype) for tile in row]) for row in rows])
        _samples(plane, dtype)[:] = canvas[: plane.height, : plane.width]
    return whole


def _samples(plane: av.video.plane.VideoPlane, dtype: type[np.uint8 | np.uint16]) -> NDArray[Any]:
    """A plane's own memory, without the padding of its lines."""
    lines: NDArray[Any] = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
    return lines[:, : plane.width]


def first_tile(container: InputContainer, grid: TileGrid) -> VideoStream | None:
    """The stream of the tile at the top left."""
    return next((stream for stream in container.streams.video if stream.id == grid.items[0]), None)


def _primary(boxes: dict[bytes, bytes]) -> int:
    """The item that is the photo."""
    return _number(boxes[b"pitm"], 4, boxes[b"pitm"][0] > 0)


def _read_grid(boxes: dict[bytes, bytes], file: BinaryIO) -> TileGrid | None:
    primary = _primary(boxes)
    kinds = dict(_read_kinds(boxes[b"iinf"]))
    if kinds.get(primary) != b"grid":
        return None
    items = _read_parts(boxes[b"iref"], primary)
    descriptor = _read_item(boxes, primary, file)
    _, flags, rows, columns = struct.unpack_from(">4B", descriptor)
    width, height = struct.unpack_from(">II" if flags & 1 else ">HH", descriptor, 4)
    count = (rows + 1) * (columns + 1)
    if len(items) != count or count > MOST_TILES or not width or not height:
        return None
    return TileGrid(tuple(items), columns + 1, width, height, _read_turn(boxes[b"iprp"], primary))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        if size < 8:
            return
        yield name, data[place + 8 : place + size]
        place += size


def _number(data: bytes, place: int, long: bool) -> int:
    return int(struct.unpack_from(">I" if long else ">H", data, place)[0])


def _read_kinds(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Item → what it is."""
    for name, entry in _boxes(data[8 if data[0] else 6 :]):
        if name == b"infe" and entry[0] >= 2:
            long = entry[0] > 2
            yield _number(entry, 4, long), entry[10 if long else 8 :][:4]


def _read_parts(data: bytes, whole: int) -> list[int]:
    """The items that `whole` is made of, in order."""
    long = data[0] > 0
    step = 4 if long else 2
    for name, entry in _boxes(data[4:]):
        if name == b"dimg" and _number(entry, 0, long) == whole:
            count = _number(entry, step, False)
            return [_number(entry, step + 2 + step * index, long) for index in range(count)]
    return []


def _read_item(boxes: dict[bytes, bytes], item: int, file: BinaryIO) -> bytes:
    """The bytes of a small item, from the index itself or from the file."""
    data = boxes[b"iloc"]
    version, sizes, more = data[0], data[4], data[5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    place = 6
    count = _number(data, place, version == 2)
    place += 4 if version == 2 else 2
    for _ in range(count):
        number = _number(data, place, version == 2)
        place += 4 if version == 2 else 2
        method = _number(data, place, False) & 15 if version else 0
        place += (2 if version else 0) + 2
        base = int.from_bytes(data[place : place + base_size], "big")
        place += base_size
        extents = _number(data, place, False)
        place += 2
        for extent in range(extents):
            place += index_size
            offset = base + int.from_bytes(data[place : place + offset_size], "big")
            place += offset_size
            length = int.from_bytes(data[place : place + length_size], "big")
            place += length_size
            if number == item and extent == 0:
                if method == 1:
                    return boxes[b"idat"][offset : offset + length]
                file.seek(offset)
                return file.read(min(length, 64))
    raise KeyError(item)


def _read_turn(data: bytes, item: int) -> Orientation:
    """How the photo becomes upright: turned and mirrored in the order in which its properties are listed."""
    parts = dict(_boxes(data))
    properties = list(_boxes(parts[b"ipco"]))
    table = parts[b"ipma"]
    long_items, long_numbers = table[0] > 0, bool(table[3] & 1)
    place = 8
    turn = Orientation()
    for _ in range(_number(table, 4, True)):
        number = _number(table, place, long_items)
        place += 4 if long_items else 2
        count = table[place]
        place += 1
        for _ in range(count):
            index = _number(table, place, False) & 0x7FFF if long_numbers else table[place] & 0x7F
            place += 2 if long_numbers else 1
            if number != item or not 0 < index <= len(properties):
                continue
            name, content = properties[index - 1]
            if name == b"irot":
                turn = turn.then(_TURNS[content[0] & 3])
            elif name == b"imir":  # 0 exchanges top and bottom, 1 left and right
                turn = turn.then(Orientation(False, bool(content[0] & 1), not content[0] & 1))
    return turn
