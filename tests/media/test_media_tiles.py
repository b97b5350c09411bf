"""Photos of tiles, as telephones write them."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest
from made_clips import picture

from cdrl.errors import InputError
from cdrl.media import probe, read
from cdrl.media.tiles import find_tiles

TILE = 64


def box(name, *content):
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def full(name, version, flags, *content):
    return box(name, struct.pack(">I", version << 24 | flags), *content)


def encode_tile(image, folder):
    """The configuration and the data of one picture in HEVC."""
    path = folder / "tile.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25, options={"x265-params": "log-level=none:keyint=1", "crf": "4"})
        stream.width, stream.height, stream.pix_fmt = TILE, TILE, "yuv420p"
        stream.codec_context.codec_tag = "hvc1"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")))
        output.mux(stream.encode(None))
    with av.open(str(path)) as container:
        packet = next(packet for packet in container.demux(video=0) if packet.size)
        return bytes(container.streams.video[0].codec_context.extradata), bytes(packet)


def write_grid(path, image, turns=(), missing=0):
    """`image` [H, W, 3] in tiles of 64 pixels as a HEIC; `turns`: its properties irot and imir in their order.

    What is as large as one tile is written as a photo of that tile alone.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // TILE), -(-width // TILE)
    canvas = np.zeros((rows * TILE, columns * TILE, 3), np.uint8)
    canvas[:height, :width] = image
    parts = [
        canvas[y : y + TILE, x : x + TILE] for y in range(0, rows * TILE, TILE) for x in range(0, columns * TILE, TILE)
    ]
    coded = [encode_tile(np.ascontiguousarray(part), path.parent) for part in parts]
    tiles, count = [data for _, data in coded], len(coded)
    grid = count + 1
    entries = [full(b"infe", 2, 1, struct.pack(">HH", item + 1, 0), b"hvc1\0") for item in range(count - missing)]
    entries.append(full(b"infe", 2, 0, struct.pack(">HH", grid, 0), b"grid\0"))
    numbers = b"".join(struct.pack(">H", item + 1) for item in range(count))
    properties = [
        box(b"hvcC", coded[0][0]),
        full(b"ispe", 0, 0, struct.pack(">II", TILE, TILE)),
        full(b"ispe", 0, 0, struct.pack(">II", width, height)),
    ]
    own = [3]
    for name, value in turns:
        properties.append(box(name, bytes([value])))
        own.append(0x80 | len(properties))
    tile = bytes([0x81, 2, *(own[1:] if count == 1 else ())])
    ties = b"".join(struct.pack(">HB", item + 1, len(tile)) + tile for item in range(count))
    ties += struct.pack(">HB", grid, len(own)) + bytes(own)

    def index(offset):
        places, at = b"", offset
        for item, data in enumerate(tiles):
            places += struct.pack(">HHHHII", item + 1, 0, 0, 1, at, len(data))
            at += len(data)
        places += struct.pack(">HHHHII", grid, 1, 0, 1, 0, 8)
        return full(
            b"meta", 0, 0,
            full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full(b"pitm", 0, 0, struct.pack(">H", grid if count > 1 else 1)),
            full(b"iinf", 0, 0, struct.pack(">H", len(entries)), *entries),
            full(b"iref", 0, 0, box(b"dimg", struct.pack(">HH", grid, count), numbers)),
            box(b"iprp", box(b"ipco", *properties), full(b"ipma", 0, 0, struct.pack(">I", count + 1), ties)),
            box(b"idat", struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)),
            full(b"iloc", 1, 0, bytes([0x44, 0]), struct.pack(">H", count + 1), places),
        )  # fmt: skip

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    path.write_bytes(head + index(len(head) + len(index(0)) + 8) + box(b"mdat", *tiles))
    return path


def psnr(one, two):
    return 10 * np.log10(255**2 / max(np.square(one.astype(float) - two).mean(), 1e-6))


TURNS = [
    (), ((b"irot", 1),), ((b"irot", 2),), ((b"irot", 3),), ((b"imir", 0),), ((b"imir", 1),),
    ((b"irot", 1), (b"imir", 1)), ((b"imir", 1), (b"irot", 1)), ((b"irot", 3), (b"imir", 0), (b"irot", 1)),
]  # fmt: skip


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("size", [(150, 100), (TILE, TILE)], ids=["tiles", "one picture"])
def test_photos_stand_upright(tmp_path, size, turns):
    """Turned and mirrored in the order that the file gives."""
    image = upright = picture(5, size)
    path = write_grid(tmp_path / "photo.heic", image, turns)
    for name, value in turns:
        upright = np.rot90(upright, value) if name == b"irot" else np.flip(upright, value)
    info = probe(path)
    assert info.photo
    assert (info.height, info.width) == upright.shape[:2]
    for source in (path, info):
        (frame,) = read(source)
        assert psnr(frame.rgb(), upright) > 24


def test_many_tiles_are_no_many_streams(tmp_path):
    path = write_grid(tmp_path / "photo.heic", picture(5, (9 * TILE, 8 * TILE)))
    assert len(find_tiles(path).items) == 72
    assert (probe(path).width, probe(path).height) == (576, 512)


def test_a_missing_tile_is_no_photo(tmp_path):
    path = write_grid(tmp_path / "photo.heic", picture(5, (150, 100)), missing=1)
    with pytest.raises(InputError):
        probe(path)


@pytest.mark.parametrize("length", range(20, 700, 40))
def test_damaged_grids_are_refused_in_words(tmp_path, length):
    whole = write_grid(tmp_path / "photo.heic", picture(5, (100, 100))).read_bytes()
    cut, zeroed = tmp_path / "cut.heic", tmp_path / "zeroed.heic"
    cut.write_bytes(whole[:length])
    zeroed.write_bytes(whole[:length] + bytes(30) + whole[length + 30 :])
    for path in (cut, zeroed):
        try:
            probe(path)
        except InputError as error:
            assert str(path) in str(error)
