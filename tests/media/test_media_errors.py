"""What goes wrong is said in one line, by kind, and leaves nothing behind."""

import errno
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from made_clips import round_trip

from cdrl.errors import (
    CdrlError,
    InputError,
    InputNotFoundError,
    LimitError,
    OutputError,
    OutputExistsError,
    UsageError,
)
from cdrl.media import EncoderOptions, Limits, Writer, probe, read


def refusal(kind, action, *arguments, **settings) -> str:
    """The message of the `kind` of error that `action` raises: one line."""
    with pytest.raises(kind) as caught:
        action(*arguments, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_no_such_file(tmp_path):
    message = refusal(InputNotFoundError, probe, tmp_path / "nothing.mp4")
    assert "nothing.mp4: no such file" in message
    refusal(FileNotFoundError, probe, tmp_path / "nothing.mp4")


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/a.mp4",
        "https://example.org/a.mp4",
        "concat:a.mp4|b.mp4",
        "file:a.mp4",
        "pipe:0",
        "subfile,,start,0,end,9,,:a.mp4",
        "data:video/mp4;base64,AAAA",
    ],
)
def test_addresses_and_protocols_are_never_followed(address):
    message = refusal(InputError, probe, address)
    if not address.startswith("subfile"):
        assert "is an address, not a file" in message


def test_a_name_with_a_colon_is_a_name(clip, tmp_path, monkeypatch):
    clip("concat:a.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe("concat:a.mp4").width == 64
    (tmp_path / "concat:a.mp4").rename(tmp_path / "clip%03d,?#.mp4")
    assert len(list(read("clip%03d,?#.mp4"))) == 12


def test_what_is_no_regular_file_with_content(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty.mp4").touch()
    said = {"": "is a folder", "pipe.mp4": "not a regular file", "empty.mp4": "0 bytes", "a\0b.mp4": "", "x" * 5000: ""}
    for name, words in said.items():
        assert words in refusal(InputError, probe, tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(clip):
    source = clip()
    source.chmod(0)
    assert "permissions" in refusal(InputError, probe, source)


@pytest.mark.parametrize("name", ["text.mp4", "notes.txt", "page.html", "subs.srt"])
def test_not_a_video(tmp_path, name):
    (tmp_path / name).write_text("1\n00:00:01,000 --> 00:00:02,000\nThis is not a video, whatever its name.\n" * 40)
    refusal(InputError, probe, tmp_path / name)


def test_random_bytes(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(1).bytes(50_000))
    refusal(InputError, probe, path)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile {}\n",
    "concat without a header": "file {}\n",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{}</BaseURL></MPD>',
    "imf": '<?xml version="1.0"?>\n<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"/>',
    "pls": "[playlist]\nFile1={}\n",
    "hls after blanks": "\n\n  #EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".jpg"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_open_no_other_file(clip, tmp_path, kind, suffix):
    target = clip("secret.mp4")
    disguised = tmp_path / f"list{suffix}"
    disguised.write_text(PLAYLISTS[kind].format(target))
    refusal(InputError, probe, disguised)


def test_no_frames(tmp_path, clip):
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        output.start_encoding()
    assert "ends before its first frame" in refusal(InputError, probe, path)


def test_a_picture_that_would_fill_the_memory(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000)))
    (tmp_path / "bomb.png").write_bytes(bomb + chunk(b"IEND", b""))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "pixels" in refusal(InputError, probe, tmp_path / "bomb.png")
    # In kilobytes; the picture has 4.8 million.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_limits(clip):
    source = clip(audio=["aac"], frames=30)
    assert "max_bytes" in refusal(LimitError, probe, source, Limits(max_bytes=100))
    assert "max_pixels" in refusal(LimitError, probe, source, Limits(max_pixels=64 * 48 - 1))
    assert "max_streams" in refusal(LimitError, probe, source, Limits(max_streams=1))
    assert "max_seconds" in refusal(LimitError, probe, source, Limits(max_seconds=1))
    assert probe(source, Limits(max_seconds=2, max_streams=2, max_pixels=64 * 48)).width == 64


def test_the_time_limit_holds_where_the_file_tells_no_duration(clip):
    source = clip("in.h264", frames=40)
    with pytest.raises(LimitError, match="max_seconds"):
        list(read(source, Limits(max_seconds=1)))


def test_unknown_output_types_name_the_known_ones(clip, tmp_path):
    source = clip()
    for name in ("out.xyz", "out", "out.avi"):
        assert ".mp4, .m4v, .mov, .mkv, .webm" in refusal(UsageError, round_trip, source, tmp_path / name)
    assert "cannot hold h264" in refusal(
        UsageError, round_trip, source, tmp_path / "out.webm", options=EncoderOptions(codec="h264")
    )


def test_options_out_of_range_are_named():
    assert "quality" in refusal(UsageError, EncoderOptions, quality=60)
    assert "ultrafast" in refusal(UsageError, EncoderOptions, preset="warp")
    assert "threads" in refusal(UsageError, EncoderOptions, threads=-1)


def test_the_output_exists(clip, tmp_path):
    source, target = clip("in.mp4"), tmp_path / "out.mp4"
    target.write_text("precious")
    assert "exists already" in refusal(OutputExistsError, round_trip, source, target)
    refusal(FileExistsError, round_trip, source, target)
    assert target.read_text() == "precious"
    round_trip(source, target, overwrite=True)
    assert probe(target).frame_count == 12


def test_the_input_is_never_the_output(clip, tmp_path, monkeypatch):
    source = clip("in.mp4")
    data = source.read_bytes()
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    monkeypatch.chdir(tmp_path)
    for name in (source, "in.mp4", "./in.mp4", "link.mp4", "hard.mp4"):
        assert "is the input itself" in refusal(OutputError, round_trip, source, name, overwrite=True)
    assert source.read_bytes() == data


def test_the_output_folder(clip, tmp_path):
    source = clip()
    assert "create it first" in refusal(OutputError, round_trip, source, tmp_path / "no" / "out.mp4")
    (tmp_path / "folder.mp4").mkdir()
    assert "is a folder" in refusal(OutputError, round_trip, source, tmp_path / "folder.mp4", overwrite=True)
    (tmp_path / "file").touch()
    refusal(OutputError, round_trip, source, tmp_path / "file" / "out.mp4")


def test_a_folder_without_permission(clip, tmp_path, monkeypatch):
    source, locked = clip(), tmp_path / "locked"
    locked.mkdir()
    monkeypatch.setattr("cdrl.media.outputs.os.access", lambda *_: False)  # root may write everywhere
    assert "no permission" in refusal(OutputError, round_trip, source, locked / "out.mp4")
    assert left_in(locked) == set()


@pytest.mark.parametrize("error", [RuntimeError("edit failed"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("after", [0, 5])
def test_nothing_is_left_after_an_exception(clip, tmp_path, error, after):
    info, folder = probe(clip()), tmp_path / "results"
    folder.mkdir()
    (folder / "old.mp4").write_text("old")
    with pytest.raises(type(error)), Writer(folder / "old.mp4", info, overwrite=True) as writer:
        for frame in read(info):
            if frame.index == after:
                raise error
            writer.write(frame)
    assert left_in(folder) == {"old.mp4"}
    assert (folder / "old.mp4").read_text() == "old"


def test_nothing_is_visible_before_the_end(clip, tmp_path):
    info, folder = probe(clip()), tmp_path / "results"
    folder.mkdir()
    with Writer(folder / "out.mp4", info) as writer:
        for frame in read(info):
            writer.write(frame)
            assert not (folder / "out.mp4").exists()
            assert len(left_in(folder)) == 1
    assert left_in(folder) == {"out.mp4"}


def test_no_frame_written(clip, tmp_path):
    info = probe(clip())
    with pytest.raises(OutputError, match="no frame"), Writer(tmp_path / "out.mp4", info):
        pass
    assert left_in(tmp_path) == {"clip.mp4"}


def test_frames_out_of_order(clip, tmp_path):
    info = probe(clip())
    frames = list(read(info))
    with pytest.raises(UsageError, match="in order of time"), Writer(tmp_path / "out.mp4", info) as writer:
        writer.write(frames[3])
        writer.write(frames[2])


def test_an_output_that_appears_meanwhile_is_not_replaced(clip, tmp_path):
    info, target = probe(clip()), tmp_path / "out.mp4"
    with pytest.raises(OutputExistsError), Writer(target, info) as writer:
        writer.write(next(read(info)))
        target.write_text("somebody else's")
    assert target.read_text() == "somebody else's"
    assert left_in(tmp_path) == {"clip.mp4", "out.mp4"}


def test_writing_through_a_symbolic_link(clip, tmp_path):
    real = tmp_path / "real.mp4"
    (tmp_path / "link.mp4").symlink_to(real)
    round_trip(clip(), tmp_path / "link.mp4")
    assert (tmp_path / "link.mp4").is_symlink()
    assert probe(real).frame_count == 12


FULL = """
import resource, sys
from cdrl.errors import OutputError
from cdrl.media import Writer, probe, read
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
info = probe(sys.argv[1])
try:
    with Writer(sys.argv[2], info) as writer:
        for frame in read(info):
            writer.write(frame)
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("room", [0, 3000, -200])
def test_a_full_disk(clip, tmp_path, room, suffix):
    source = clip("in.mkv", size=(320, 240), frames=40, audio=["pcm_s16le"])
    folder = tmp_path / "full"
    folder.mkdir()
    if room < 0:  # full while the index is moved to the front
        round_trip(source, tmp_path / f"whole{suffix}")
        room += (tmp_path / f"whole{suffix}").stat().st_size
    words = [sys.executable, "-c", FULL, str(source), str(folder / f"out{suffix}"), str(room)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "the disk is full" in done.stdout
    assert done.stderr == ""
    assert left_in(folder) == set()


def test_every_full_disk_is_one(clip, tmp_path, monkeypatch):
    def full(_path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cdrl.media.writing.sync", full)
    assert "the disk is full" in refusal(OutputError, round_trip, clip(), tmp_path / "out.mp4")
    assert left_in(tmp_path) == {"clip.mp4"}


def test_the_input_is_never_touched(clip, tmp_path):
    source = clip("in.mp4", audio=["aac"])
    source.chmod(0o444)
    before = (source.read_bytes(), source.stat().st_mtime_ns)
    round_trip(source, tmp_path / "out.mp4")
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before


def test_a_source_that_disappears(clip, tmp_path):
    info = probe(clip())
    info.path.unlink()
    with pytest.raises(InputNotFoundError):
        next(read(info))
    with pytest.raises(CdrlError), Writer(tmp_path / "out.mp4", info):
        pass
    assert left_in(tmp_path) == set()
