"""Every frame keeps its moment, and sound keeps its distance to the picture."""

from fractions import Fraction

import numpy as np
import pytest
from made_clips import packets_of, round_trip

from cdrl.media import probe, read, reading
from cdrl.media.reading import can_seek

RATES = {
    "23.976": Fraction(24000, 1001),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "59.94": Fraction(60000, 1001),
    "12.5": Fraction(25, 2),
    "15.015": Fraction(15015, 1000),
}


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES.keys())
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_constant_rates_are_exact(clip, tmp_path, rate, suffix):
    trip = round_trip(clip("in.mp4", rate=rate), tmp_path / f"out{suffix}")
    assert trip.after == trip.before == tuple(index / rate for index in range(12))


def test_frame_time_counts_frames(clip):
    rate = RATES["23.976"]
    frames = list(read(clip(rate=rate)))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == [index / rate for index in range(12)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_variable_rate_with_an_odd_start(clip, tmp_path, suffix):
    times = [27, 60, 93, 127, 160, 400, 401, 433, 700]
    source = clip("in.mkv", time_base=Fraction(1, 1000), times=times, rate=Fraction(30))
    trip = round_trip(source, tmp_path / f"out{suffix}")
    assert trip.after == trip.before == tuple(Fraction(time, 1000) for time in times)
    assert not any("rounded" in note for note in trip.notes)


@pytest.mark.parametrize("start", [0, 1001, 1, 45045])
def test_odd_start_offsets_in_mp4(clip, tmp_path, start):
    times = [start + 1001 * index for index in range(8)]
    source = clip("in.mp4", time_base=Fraction(1, 30000), times=times, audio=["aac"])
    trip = round_trip(source, tmp_path / "out.mp4")
    assert trip.after == trip.before
    assert trip.before[0] == Fraction(start, 30000)


def test_sound_keeps_its_distance(clip, tmp_path):
    source = clip("in.mp4", audio=["aac"], audio_start=Fraction(1, 4), rate=RATES["29.97"])
    trip = round_trip(source, tmp_path / "out.mp4")
    (before,), (after,) = packets_of(source), packets_of(trip.path)
    assert len(before.times) == len(after.times)
    assert max(abs(one - two) for one, two in zip(before.times, after.times, strict=True)) < Fraction(1, 10000)


def test_matroska_rounds_to_milliseconds_and_says_so(clip, tmp_path):
    trip = round_trip(clip("in.mp4", rate=RATES["23.976"]), tmp_path / "out.mkv")
    assert len(trip.after) == len(trip.before)
    assert max(abs(one - two) for one, two in zip(trip.before, trip.after, strict=True)) <= Fraction(1, 2000)
    assert any("milliseconds" in note for note in trip.notes)


def test_audio_run_up_does_not_delay_a_matroska_clip(clip, tmp_path):
    trip = round_trip(clip("in.mp4", audio=["aac"]), tmp_path / "out.mkv")
    assert trip.after == trip.before


def test_a_broadcast_clock_starts_at_zero(clip, tmp_path):
    source = clip("in.ts", audio=["aac"], audio_start=Fraction(15, 10), rate=RATES["29.97"], times=range(45, 57))
    info = probe(source)
    assert info.rebased
    assert info.start > 1
    trip = round_trip(source, tmp_path / "out.mp4")
    assert [time - trip.before[0] for time in trip.before] == [time - trip.after[0] for time in trip.after]
    assert trip.after[0] < Fraction(1, 10)
    assert next(iter(read(info))).time == trip.before[0] - info.start


def test_a_recorders_clock_starts_at_zero(clip, tmp_path):
    source = clip("in.mkv", time_base=Fraction(1, 1000), times=[3_600_000, 3_600_040, 3_600_080])
    trip = round_trip(source, tmp_path / "out.mp4")
    assert trip.after == (0, Fraction(1, 25), Fraction(2, 25))
    assert [frame.time for frame in read(source)] == [0, Fraction(1, 25), Fraction(2, 25)]


def test_the_last_frame_keeps_its_length(clip, tmp_path):
    source = clip("in.mp4", time_base=Fraction(1, 1000), times=[0, 100, 200, 700], options={"bf": "0"})
    trip = round_trip(source, tmp_path / "out.mp4")
    assert trip.result.duration == trip.source.duration


def test_reading_stops_where_asked(clip):
    frames = list(read(clip(), stop=Fraction(1, 5)))
    assert [frame.time for frame in frames] == [Fraction(index, 25) for index in range(5)]


def test_b_frames_come_in_order_of_showing(clip):
    frames = list(read(clip(frames=30, options={"bf": "3", "preset": "medium"})))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(30)]


MILLISECONDS = Fraction(1, 1000)
UNEVEN = [27 + 40 * index + (index * 7) % 31 for index in range(40)]
SOUGHT = {
    "b-frames": ("in.mp4", {"options": {"bf": "3", "g": "12", "preset": "medium"}}),
    "open groups": ("in.mp4", {"options": {"bf": "3", "x264-params": "open-gop=1:keyint=9:min-keyint=9"}}),
    "edit list": ("in.mp4", {"time_base": Fraction(1, 30000), "times": range(45045, 85085, 1001), "audio": ["aac"]}),
    "turned": ("in.mov", {"rotation": (90, False, False), "options": {"g": "10"}}),
    "uneven": ("in.mkv", {"time_base": MILLISECONDS, "times": UNEVEN, "options": {"g": "9"}}),
    "webm": ("in.webm", {"codec": "libvpx-vp9", "time_base": MILLISECONDS, "times": UNEVEN, "options": {"g": "9"}}),
    "flv": ("in.flv", {"codec": "flv", "options": {"g": "9"}}),
}
READ_WHOLE = {
    "gif": ("in.gif", {"codec": "gif", "layout": "rgb8", "rate": Fraction(10)}),
    "raw": ("in.h264", {"options": {"g": "9"}}),
    "ts": ("in.ts", {"rate": RATES["29.97"], "options": {"g": "9"}}),
    "avi": ("in.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "9"}}),
}


def is_the_end_of(part, whole):
    """Whether some frames are the last of a clip: the same times, the same pictures."""
    rest = whole[len(whole) - len(part) :]
    return all(
        ours.time == theirs.time
        and ours.pts == theirs.pts
        and all(np.array_equal(*planes) for planes in zip(ours.planes, theirs.planes, strict=True))
        for ours, theirs in zip(part, rest, strict=True)
    )


@pytest.mark.parametrize(("name", "recipe"), [*SOUGHT.values(), *READ_WHOLE.values()], ids=[*SOUGHT, *READ_WHOLE])
def test_a_start_gives_the_frames_of_the_whole_clip(clip, name, recipe):
    source = clip(name, **{"frames": 40, **recipe})
    whole, info = list(read(source)), probe(source)
    assert can_seek(info) == (name not in [place for place, _ in READ_WHOLE.values()])
    for first in (0, 1, 9, 11, 26, 39):
        for start in (whole[first].time, whole[first].time - Fraction(1, 999)):
            reader = read(info, start=start)
            part = list(reader)
            assert len(part) == len(whole) - first
            assert is_the_end_of(part, whole)
            assert reader.sought <= can_seek(info)
            assert [frame.index for frame in part[:2]] == [0, 1][: len(part)]
    assert not list(read(source, start=whole[-1].time + 1))


@pytest.mark.parametrize(("name", "recipe"), SOUGHT.values(), ids=SOUGHT)
def test_these_containers_are_sought_in(clip, name, recipe):
    source = clip(name, **{"frames": 40, **recipe})
    times = [frame.time for frame in read(source)]
    reader = read(probe(source), start=times[30])
    assert next(reader).time == times[30]
    assert reader.sought


def test_where_a_seek_lands_too_late_the_beginning_is_read(clip, monkeypatch):
    source = clip(frames=40, options={"g": "9"})
    whole, open_at = list(read(source)), reading.FrameReader._open
    late = Fraction(9, 25)
    monkeypatch.setattr(
        reading.FrameReader, "_open", lambda self, start=None: open_at(self, None if start is None else start + late)
    )
    reader = read(source, start=whole[10].time)
    assert is_the_end_of(list(reader), whole)
    assert not reader.sought
    assert reader.notes == []


def test_start_and_stop_are_a_stretch(clip):
    frames = list(read(clip(frames=30), start=Fraction(8, 25), stop=Fraction(10, 25)))
    assert [frame.time for frame in frames] == [Fraction(8, 25), Fraction(9, 25)]
