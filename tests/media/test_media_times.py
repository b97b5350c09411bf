"""Every frame keeps its moment, and sound keeps its distance to the picture."""

from fractions import Fraction

import pytest
from made_clips import packets_of, round_trip

from cdrl.media import probe, read

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
