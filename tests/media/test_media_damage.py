"""Damaged files give frames or a CdrlError: never another exception, never a hang, never a half-written file."""

import faulthandler
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_clips import Recipe, make_clip, round_trip

from cdrl.errors import CdrlError, InputError
from cdrl.media import Frame, Limits, Writer, probe, read

LIMITS = Limits(max_seconds=100, max_pixels=1 << 20)
KINDS = {
    "mp4": Recipe(audio=["aac"], options={"bf": "2"}),
    "mkv": Recipe(audio=["libmp3lame"]),
    "avi": Recipe(codec="mpeg4", audio=["libmp3lame"]),
    "flv": Recipe(codec="flv", audio=["libmp3lame"], audio_rate=44100),
    "ts": Recipe(audio=["aac"]),
    "webm": Recipe(codec="libvpx-vp9", audio=["libopus"], options={"deadline": "realtime", "cpu-used": "8"}),
    "mpg": Recipe(codec="mpeg2video", audio=["mp2"]),
    "h264": Recipe(),
    "gif": Recipe(codec="gif", layout="rgb8"),
    "png": Recipe(frames=1, codec="png", layout="rgb24"),
    "jpg": Recipe(frames=1, codec="mjpeg", layout="yuvj420p"),
}


class Clips(dict[str, bytes]):
    """File bytes by kind, which a failing test need not print."""

    def __repr__(self) -> str:
        return "Clips()"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Clips:
    """The bytes of one good clip of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    return Clips({kind: make_clip(folder / f"clip.{kind}", recipe).read_bytes() for kind, recipe in KINDS.items()})


@pytest.fixture(autouse=True)
def no_hang():
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def outcome(path: Path) -> int:
    """Read `path` and write it again: the number of frames, or 0 where it is refused as it should be."""
    target = path.with_name("out.mp4")
    count = 0
    try:
        info = probe(path, LIMITS)
        with Writer(target, info, overwrite=True) as writer:
            last = None
            for frame in read(info, LIMITS):
                check(frame, last)
                writer.write(frame)
                last, count = frame, count + 1
    except CdrlError as error:
        assert "\n" not in str(error)
        assert not target.exists()
        count = 0
    assert {left.name for left in path.parent.iterdir()} <= {path.name, target.name}
    if target.exists():
        assert probe(target).frame_count == count
        target.unlink()
    return count


def check(frame: Frame, last: Frame | None) -> None:
    height, width = frame.planes[0].shape
    assert all(plane.shape == frame.format.chroma_shape(height, width) for plane in frame.planes[1:])
    assert all(plane.flags.owndata and plane.max() <= frame.format.maximum for plane in frame.planes)
    if last is not None:
        assert (frame.index, frame.format) == (last.index + 1, last.format)
        assert frame.pts > last.pts
        assert frame.time > last.time


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_files_are_good(whole, tmp_path, kind):
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(whole[kind])
    reader = read(path)
    assert len(list(reader)) == KINDS[kind].frames
    assert not any("damage" in note or "early" in note for note in reader.notes)


def cut(film, draw):
    return film[: draw(st.integers(0, len(film) - 1))]


def flip_bits(film, draw):
    damaged = bytearray(film)
    # Half of the flips go to the first kilobyte, where the headers are.
    spot = st.one_of(st.integers(0, min(1024, len(damaged)) - 1), st.integers(0, len(damaged) - 1))
    for place, bit in draw(st.lists(st.tuples(spot, st.integers(0, 7)), min_size=1, max_size=30)):
        damaged[place] ^= 1 << bit
    return damaged


def clear_a_stretch(film, draw):
    start, stretch = draw(st.integers(0, len(film))), draw(st.integers(1, 4000))
    return film[:start] + bytes(stretch) + film[start + stretch :]


@pytest.mark.parametrize("damage", [cut, flip_bits, clear_a_stretch])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged(whole, tmp_path, kind, damage, data):
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(damage(whole[kind], data.draw))
    count = outcome(path)
    assert damage is not cut or count <= KINDS[kind].frames


def test_a_damaged_rate_costs_no_frame(whole, tmp_path):
    damaged = bytearray(whole["ts"])
    damaged[613] ^= 1  # makes each frame last for years; found by flipping bits
    path = tmp_path / "clip.ts"
    path.write_bytes(damaged)
    assert outcome(path) == KINDS["ts"].frames


def test_a_file_that_breaks_off_while_its_clock_is_read_gives_what_lies_before(whole, tmp_path):
    path = tmp_path / "clip.flv"
    path.write_bytes(whole["flv"][:549] + bytes(8) + whole["flv"][557:])  # no tag follows; found by clearing stretches
    with pytest.raises(av.FFmpegError), av.open(str(path)) as container:
        list(container.demux(container.streams.video[0]))
    assert 0 < outcome(path) <= KINDS["flv"].frames


def test_a_first_frame_without_a_time_begins_the_clip(whole, tmp_path):
    damaged = bytearray(whole["mpg"])
    damaged[36] ^= 1 << 7  # takes the first picture's time away; found by flipping bits
    path = tmp_path / "clip.mpg"
    path.write_bytes(damaged)
    assert next(iter(read(path))).time == 0
    assert outcome(path) == KINDS["mpg"].frames


def test_a_cut_clip_gives_its_frames_and_says_so(tmp_path):
    plain = make_clip(tmp_path / "in.mkv", Recipe(frames=50, size=(160, 120)))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(plain.read_bytes()[: plain.stat().st_size * 2 // 3])
    reader = read(cut)
    count = len(list(reader))
    assert 10 < count < 50
    assert any("damaged" in note or "early" in note for note in reader.notes), reader.notes


def test_a_cut_mp4_with_its_index_in_front(tmp_path):
    plain = make_clip(tmp_path / "in.mp4", Recipe(frames=50, size=(160, 120)))
    data = round_trip(plain, tmp_path / "front.mp4").path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    reader = read(tmp_path / "cut.mp4")
    count = len(list(reader))
    assert 10 < count < 50
    assert any(f"{count} " in note for note in reader.notes)


def test_a_cut_mp4_without_its_index(tmp_path):
    plain = make_clip(tmp_path / "in.mp4", Recipe(frames=50))
    plain.write_bytes(plain.read_bytes()[: plain.stat().st_size // 2])
    with pytest.raises(InputError, match="not a video that can be read"):
        probe(plain)


def test_holes_in_the_picture_are_counted(tmp_path):
    path = make_clip(tmp_path / "in.ts", Recipe(frames=50, size=(160, 120)))
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) // 2):
        data[place] ^= 0x55
    path.write_bytes(data)
    reader = read(path)
    assert len(list(reader)) > 10
    assert any("damaged" in note for note in reader.notes), reader.notes


CLOSES_EARLY = """
import sys
import av.logging
from cdrl.media import read, reading

reading.available_cores = lambda: 2  # with one thread nobody waits
av.logging.set_level(av.logging.INFO)  # which `read` does for a moment, too
for _ in range(50):
    read(sys.argv[1]).close()
"""


def test_closing_while_a_thread_says_what_is_damaged_does_not_hang(tmp_path):
    """It takes Python's lock for that, which whoever frees the decoder holds while waiting for the thread.

    In a process of its own: what hangs holds the lock, and no test beside it would go on.
    """
    path, noise = tmp_path / "damaged.mkv", np.random.default_rng(0)
    options = {"g": "1", "qp": "4", "preset": "ultrafast"}
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        packets = []
        for _ in range(4):
            pixels = noise.integers(0, 256, (480, 640, 3), dtype=np.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24"))
        for number, packet in enumerate([*packets, *stream.encode()]):
            begin = packet.size if number == 0 else 2 * packet.size // 3  # so late that the thread is at it meanwhile
            damaged = av.Packet(bytes(packet)[:begin] + noise.bytes(packet.size - begin))
            damaged.pts, damaged.dts, damaged.time_base = packet.pts, packet.dts, packet.time_base
            damaged.is_keyframe, damaged.stream = packet.is_keyframe, stream
            output.mux(damaged)
    words = [sys.executable, "-c", CLOSES_EARLY, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
