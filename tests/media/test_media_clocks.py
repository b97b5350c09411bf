"""Clocks that begin anew or leap, pictures timed in order of decoding, and cut files: even frames, the whole sound."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import pytest
from made_clips import make_clip, packets_of, round_trip

from cdrl.media import read


def gaps(times):
    """The distinct distances between frames."""
    return {after - before for before, after in pairwise(times)}


def joined(clip, tmp_path, suffix, *starts, frames=25, **recipe):
    """Parts that begin at `starts` seconds on their clocks, one behind the other in one file."""
    parts = []
    for number, start in enumerate(starts):
        tick = {".ts": Fraction(1, 90_000), ".flv": Fraction(1, 1000), ".mpg": Fraction(1, 25)}[suffix]
        times = [round((start + Fraction(index, 25)) / tick) for index in range(frames)]
        name = f"part{number}{suffix}"
        made = {"audio": ["aac"], "audio_start": Fraction(start), **recipe}
        parts.append(clip(name, times=times, time_base=tick, **made).read_bytes())
    if suffix == ".flv":  # one header
        parts[1:] = [part[13:] for part in parts[1:]]
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize(
    ("suffix", "starts"),
    [(".ts", (0, 0)), (".ts", (0, 0, 0)), (".ts", (0, 3600)), (".ts", (3600, 0)), (".flv", (0, 0)), (".mpg", (0, 0))],
)
def test_parts_with_clocks_of_their_own_are_joined(clip, tmp_path, suffix, starts):
    recipe = {"codec": "mpeg2video", "audio": ["mp2"], "options": {"bf": "2"}} if suffix == ".mpg" else {}
    source = joined(clip, tmp_path, suffix, *starts, **recipe)
    trip = round_trip(source, tmp_path / "out.mp4")
    assert len(trip.after) == 25 * len(starts)
    assert gaps(trip.after) == {Fraction(1, 25)}
    assert trip.source.duration == pytest.approx(len(starts), abs=0.05)
    assert packets_of(trip.path)[0].count == packets_of(source)[0].count
    assert len(trip.notes) == 1
    assert "clock jumps" in trip.notes[0]


def test_sound_of_each_part_stays_beside_its_picture(clip, tmp_path):
    source = joined(clip, tmp_path, ".ts", 0, 0)
    path = round_trip(source, tmp_path / "out.mp4").path
    told, heard = packets_of(source)[0].times, packets_of(path)[0].times
    first_of_second = next(index for index, (before, after) in enumerate(pairwise(told), 1) if after < before)
    index = first_of_second + 5  # the last packets of the first part are longer than its picture
    assert heard[index] - heard[5] == pytest.approx(told[index] - told[5] + 1, abs=0.001)


def test_a_pause_of_the_picture_alone_is_a_pause(clip, tmp_path):
    times = [*range(10), *range(500, 510)]
    source = clip(
        "pause.ts", times=[round(time * 3600) for time in times], time_base=Fraction(1, 90_000), audio=["aac"]
    )
    trip = round_trip(source, tmp_path / "out.mp4")
    assert max(gaps(trip.after)) > 19
    assert trip.notes == ()


def test_a_long_frame_of_an_indexed_file_is_long(clip, tmp_path):
    trip = round_trip(clip("slides.mp4", times=[0, 500, 1000]), tmp_path / "out.mp4")
    assert gaps(trip.after) == {Fraction(20)}


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_b_frames_in_avi_are_even(clip, tmp_path, codec):
    options = {"bf": "3"} if codec == "mpeg4" else {"bf": "3", "b_strategy": "0"}
    source = clip("b.avi", frames=40, codec=codec, options=options)
    trip = round_trip(source, tmp_path / "out.mp4")
    assert len(trip.after) == 40
    assert gaps(trip.after) == {Fraction(1, 25)}
    assert trip.notes == ()


def test_times_in_order_of_decoding_are_put_in_order_of_showing(clip, tmp_path):
    source, wrong = clip("good.mp4", frames=40, options={"bf": "3", "b_strategy": "0"}), tmp_path / "wrong.mp4"
    with av.open(str(source)) as inner, av.open(str(wrong), "w") as output:
        target = output.add_stream_from_template(inner.streams.video[0], opaque=True)
        packets = [packet for packet in inner.demux() if packet.size]
        for packet, time in zip(packets, sorted(packet.pts for packet in packets), strict=True):
            packet.pts = packet.dts = time
            packet.stream = target
            output.mux(packet)
    frames = list(read(wrong))
    assert gaps([frame.time for frame in frames]) == {Fraction(1, 25)}
    good = [frame.planes[0] for frame in read(source)]
    assert all((frame.planes[0] == plane).all() for frame, plane in zip(frames, good, strict=True))


def test_frames_that_stand_still_are_spread(clip):
    path = clip("still.mkv", times=[0, 40, 40, 80, 120], time_base=Fraction(1, 1000))
    times = [frame.time for frame in read(path)]
    assert times == [0, Fraction(1, 25), Fraction(3, 50), Fraction(2, 25), Fraction(3, 25)]


@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov", "faststart"])
def test_a_cut_film_gives_all_that_decodes(tmp_path, flags):
    """Its sound lies behind what was cut off, or is cut earlier than the picture: neither ends the picture."""
    whole = tmp_path / "whole.mp4"
    make_fragments(whole, flags)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: 7 * len(data) // 10])
    with av.open(str(cut)) as container:
        container.streams.audio[0].discard = av.stream.Discard.all
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        decoded = 0
        for packet in container.demux(stream):
            try:
                decoded += len(packet.decode())
            except av.FFmpegError:
                continue
    reader = read(cut)
    assert len(list(reader)) == decoded > 10
    if flags == "faststart":  # the index tells how long the film was
        assert any("ends early" in note or "damaged" in note for note in reader.notes)
    trip = round_trip(cut, tmp_path / "out.mp4")
    assert len(trip.after) == decoded


def make_fragments(path, flags):
    """A film of 60 frames with B-frames and sound, its index as `flags` of the muxer say."""
    from made_clips import Recipe, remuxed

    options = {"crf": "0", "bf": "2", "g": "15"}
    plain = make_clip(path.with_name("plain.mp4"), Recipe(frames=60, size=(640, 480), audio=["aac"], options=options))
    with remuxed(plain, path, options={"movflags": flags}):
        pass


def test_an_animated_picture_is_a_clip(clip):
    path = clip("a.apng", frames=7, codec="apng", layout="rgb24", rate=Fraction(10))
    reader = read(path.rename(path.with_suffix(".png")))
    assert [frame.time for frame in reader] == [Fraction(index, 10) for index in range(7)]
    assert not reader.info.photo


def test_an_animated_avif_is_a_clip_and_not_the_still_picture_beside_it(clip, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "1")
    reader = read(clip("a.avif", frames=7, codec="libsvtav1", options={"preset": "10"}))
    assert [frame.time for frame in reader] == [Fraction(index, 25) for index in range(7)]
    assert not reader.info.photo


def test_a_stream_without_times_has_the_rate_of_its_frames(clip, tmp_path):
    source = clip("raw.h264", rate=Fraction(30000, 1001), options={"x264-params": "force-cfr=1"})
    trip = round_trip(source, tmp_path / "out.mp4")
    assert trip.source.rate == Fraction(30000, 1001)
    assert gaps(trip.after) == {Fraction(1001, 30000)}
