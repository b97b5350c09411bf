"""Files made to cost more than they hold: refused in one line, before the memory or the time is spent."""

import struct
import time
import zlib

import pytest
from made_clips import remuxed

from cdrl.errors import CdrlError, InputError, LimitError, OutputError
from cdrl.media import Limits, Writer, opening, probe, read
from cdrl.speech.audio import read_samples

resource = pytest.importorskip("resource")  # not on Windows

MANY = 80_000_000  # samples, told of by a film of five kilobytes: FFmpeg would take five gigabytes for them


def with_numbers(content: bytes, box: bytes, offset: int, *numbers: int) -> bytes:
    """`content` with 32-bit numbers written into the first box of that name, `offset` bytes behind it."""
    changed = bytearray(content)
    struct.pack_into(f">{len(numbers)}I", changed, content.index(box) + len(box) + offset, *numbers)
    return bytes(changed)


def one_size(film: bytes) -> bytes:
    film = with_numbers(film, b"stsz", 4, 1, MANY)
    return with_numbers(film, b"stsc", 12, MANY)


def all_at_one_time(film: bytes) -> bytes:
    return with_numbers(film, b"stts", 8, MANY)


def in_a_box_of_any_name(film: bytes) -> bytes:
    return one_size(film).replace(b"stbl", b"udta")


def without_end(film: bytes) -> bytes:
    """The index in a box that says it is the last and has no size."""
    film = one_size(film)
    place = film.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", film, place)
    return film[:place] + film[place + size :] + bytes(4) + film[place + 4 : place + size]


@pytest.mark.parametrize("bomb", [one_size, all_at_one_time, in_a_box_of_any_name, without_end])
def test_an_index_of_more_samples_than_bytes(clip, tmp_path, bomb):
    (tmp_path / "bomb.mp4").write_bytes(bomb(clip().read_bytes()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LimitError, match="more samples than the file can hold"):
        probe(tmp_path / "bomb.mp4")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_a_fragment_of_more_samples_than_bytes(tmp_path, clip):
    whole = clip("whole.mp4")
    fragmented = tmp_path / "bomb.mp4"
    with remuxed(whole, fragmented, options={"movflags": "frag_keyframe+empty_moov"}):
        pass
    assert probe(fragmented).width == 64
    fragmented.write_bytes(with_numbers(fragmented.read_bytes(), b"trun", 0, 1, MANY))
    with pytest.raises(LimitError, match="more samples than the file can hold"):
        probe(fragmented)


def test_a_compressed_index_is_not_unpacked(tmp_path):
    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), name) + content

    packed = zlib.compress(bytes(1 << 20))
    index = box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", 1 << 30) + packed))
    (tmp_path / "bomb.mov").write_bytes(box(b"ftyp", b"qt  " + bytes(8)) + box(b"moov", index))
    with pytest.raises(InputError, match="index is compressed"):
        probe(tmp_path / "bomb.mov")


def test_boxes_without_end(tmp_path):
    (tmp_path / "boxes.mp4").write_bytes(b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"\0\0\0\x08free" * (1 << 20))
    with pytest.raises(LimitError, match="more than 1,048,576 parts"):
        probe(tmp_path / "boxes.mp4")


def test_tables_that_lie_over_each_other(tmp_path):
    """Each says that it goes on to the end, and counts nothing: to read them all would take the square of the time."""
    table = b"stts" + bytes(4) + b"\x7f\xff\xff\xff" + bytes(4)
    tables = table * (1 << 17)
    film = struct.pack(">I4s", 8 + len(tables), b"moov") + tables
    (tmp_path / "tables.mp4").write_bytes(b"\0\0\0\x14ftypisom\0\0\0\0isom" + film)
    begin = time.process_time()
    with pytest.raises(LimitError, match="more samples than the file can hold"):
        probe(tmp_path / "tables.mp4")
    assert time.process_time() - begin < 1


def test_raw_pictures_may_hold_every_word(clip, tmp_path):
    """What looks like a table, and like a box around it, is none where there is no film."""
    raw = clip("raw.y4m", codec="rawvideo", frames=3)
    content = raw.read_bytes()
    (tmp_path / "words.y4m").write_bytes(content[:500] + b"stts" + b"\x30" * 2000 + content[2504:])
    assert sum(1 for _ in read(tmp_path / "words.y4m")) == 3


def test_ffmpeg_takes_no_larger_block_than_it_may(clip, tmp_path, monkeypatch):
    """What is not counted beforehand ends here: in MXF, say, or where a frame is larger than its header says."""
    (tmp_path / "bomb.mp4").write_bytes(one_size(clip().read_bytes()))
    monkeypatch.setattr(opening, "check_sample_tables", lambda path: None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CdrlError):
        probe(tmp_path / "bomb.mp4")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000  # kilobytes
    assert probe(tmp_path / "clip.mp4").width == 64  # and small ones as before


def test_frames_are_counted_where_times_stand_still(clip):
    with pytest.raises(LimitError, match="more than 5 frames: raise max_frames"):
        list(read(clip(), Limits(max_frames=5)))
    assert sum(1 for _ in read(clip(), Limits(max_frames=12))) == 12


def test_sound_is_counted_where_times_begin_anew(clip, tmp_path):
    once = clip("once.ts", codec="mpeg2video", audio=["mp2"], frames=20)
    assert len(read_samples(once, Limits(max_seconds=1)))
    (tmp_path / "again.ts").write_bytes(once.read_bytes() * 3)
    with pytest.raises(LimitError, match="the limit"):
        read_samples(tmp_path / "again.ts", Limits(max_seconds=1))


def test_packets_without_a_picture_are_given_up(clip, tmp_path):
    """A decoder that is fed and says nothing, neither picture nor error, is not fed for ever."""
    source = clip("in.mkv", frames=40)
    with pytest.raises(InputError, match="no frame can be decoded"):
        probe(source, Limits(max_damaged_packets=1))  # it gives its first picture after some more


@pytest.mark.parametrize("name", ["-i.mp4", "file:x.mp4", "subfile,,start,0,end,9,,:x.mp4", "data:,x.mp4", "a|b.mp4"])
def test_a_name_is_never_more_than_a_name(clip, tmp_path, monkeypatch, name):
    """Options and protocols open the file of that name, or nothing."""
    content = clip("x.mp4").read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        probe(name)
    (tmp_path / name).write_bytes(content)
    assert probe(name).width == 64


def test_a_result_always_has_its_picture(clip, tmp_path):
    """Times that no MP4 can hold make the muxer leave the picture out, and say nothing."""
    film = clip("in.mov", audio=["pcm_s16le"]).read_bytes()
    film = with_numbers(with_numbers(film, b"mdhd", 12, 2**31 - 1), b"stts", 12, 2**31)
    (tmp_path / "in.mov").write_bytes(film)
    frames, message = read(tmp_path / "in.mov"), "do not fit into MP4"
    with pytest.raises(OutputError, match=message), Writer(tmp_path / "out.mp4", frames.info) as writer:
        writer.write(next(frames))
    assert not list(tmp_path.glob("*out*"))


def test_a_numbering_pattern_opens_no_series(clip, tmp_path):
    for index in (1, 2):
        clip(f"img{index:03}.png", codec="png", layout="rgb24", frames=1)
    pattern = tmp_path / "img%03d.png"
    with pytest.raises(InputError, match="no such file"):
        probe(pattern)
    pattern.write_bytes(b"no picture at all")
    with pytest.raises(InputError, match="not a video"):
        probe(pattern)
    pattern.write_bytes((tmp_path / "img001.png").read_bytes())
    assert sum(1 for _ in read(pattern)) == 1


def test_a_film_whose_pictures_lie_in_another_file(clip, tmp_path):
    """QuickTime's data references: this one's index is whole, its pictures are zeros, and an alias leads elsewhere."""
    secret = clip("secret.mov")
    film = bytearray(secret.read_bytes())
    begin = film.index(b"mdat") + 4
    film[begin : film.index(b"moov") - 4] = bytes(film.index(b"moov") - 4 - begin)
    (tmp_path / "film.mov").write_bytes(with_alias(bytes(film), b"secret.mov"))
    with opening.av.open(str(tmp_path / "film.mov"), options={"enable_drefs": "1"}) as followed:
        assert len(list(followed.decode(video=0))) == 12  # the alias is one
    with pytest.raises(InputError, match="no frame can be decoded"):
        list(read(tmp_path / "film.mov"))


def with_alias(film: bytes, name: bytes) -> bytes:
    """The film with its reference to itself, in `dref`, made an alias to a file beside it."""
    path = b"/" + name
    volume, file = bytes([6]) + b"volume".ljust(27, b"\0"), bytes([len(name)]) + name.ljust(63, b"\0")
    told = struct.pack(">HH", 2, len(path)) + path + bytes(len(path) % 2) + struct.pack(">hH", -1, 0)
    content = bytes(4) + bytes(10) + volume + bytes(12) + file + bytes(16) + struct.pack(">hh", 1, 1) + bytes(16) + told
    alias = struct.pack(">I4s", 8 + len(content), b"alis") + content
    place = film.index(b"dref") + 12
    longer = len(alias) - 12  # than the reference to itself: a size, a name and flags
    changed = bytearray(film[:place] + alias + film[place + 12 :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        where = changed.index(box) - 4
        (size,) = struct.unpack_from(">I", changed, where)
        struct.pack_into(">I", changed, where, size + longer)
    return bytes(changed)
