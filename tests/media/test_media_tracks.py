"""Sound, subtitles and labels come along packet by packet; what cannot is named."""

from fractions import Fraction

import av
import numpy as np
import pytest
from made_clips import Recipe, make_clip, packets_of, picture, remuxed, round_trip

from cdrl.errors import InputError
from cdrl.media import EncoderOptions, probe

LINES = [(0, 200, "Hello"), (240, 160, "there & <i>you</i>")]  # start, length in ms, text


def subtitled(path, codec="subrip"):
    """A clip with one text subtitle track in `codec`."""
    plain = make_clip(path.with_name("plain.mkv"), Recipe(audio=["aac"]))
    with remuxed(plain, path) as output:
        text = output.add_mux_stream(codec, time_base=Fraction(1, 1000))
        text.metadata.update({"language": "deu", "title": "Untertitel"})
        for start, length, line in LINES:
            data = line.encode()
            packet = av.Packet(len(data).to_bytes(2, "big") + data if codec == "mov_text" else data)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = start
            packet.duration = length
            output.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "ac3"])
def test_sound_is_copied_bit_for_bit(clip, tmp_path, codec, suffix):
    source = clip("in.mp4", audio=[codec])
    trip = round_trip(source, tmp_path / f"out{suffix}")
    (before,), (after,) = packets_of(source), packets_of(trip.path)
    assert (before.codec, before.count, before.digest) == (after.codec, after.count, after.digest)
    assert not any("audio" in note for note in trip.notes)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_all_tracks_with_their_labels(clip, tmp_path, suffix):
    source = clip("in.mkv", audio=["aac", "libmp3lame", "libopus"], frames=30)
    trip = round_trip(source, tmp_path / f"out{suffix}")
    before, after = packets_of(source), packets_of(trip.path)
    kept = [[(one.codec, one.digest, one.language) for one in tracks] for tracks in (before, after)]
    assert kept[0] == kept[1]
    assert [track.language for track in trip.source.audio] == ["eng", "deu", "fra"]
    assert [one.title for one in after] == ["take 0", "take 1", "take 2"]


def test_a_clip_without_sound(clip, tmp_path):
    trip = round_trip(clip(), tmp_path / "out.mp4")
    assert packets_of(trip.path) == []
    assert trip.notes == ()


@pytest.mark.parametrize(
    ("codec", "suffix", "written"),
    [
        ("pcm_s16le", ".mp4", "aac"),
        ("pcm_s16le", ".mov", "pcm_s16le"),
        ("pcm_s16le", ".mkv", "pcm_s16le"),
        ("pcm_s16le", ".webm", "opus"),
        ("aac", ".webm", "opus"),
    ],
)
def test_sound_is_encoded_again_only_where_it_must_be(clip, tmp_path, codec, suffix, written):
    source = clip("in.mkv", audio=[codec], frames=25, audio_rate=44100)
    trip = round_trip(source, tmp_path / f"out{suffix}")
    (before,), (after,) = packets_of(source), packets_of(trip.path)
    assert after.codec == written
    assert (before.digest == after.digest) == (before.codec == written)
    assert any("encoded again" in note for note in trip.notes) == (before.codec != written)
    assert np.corrcoef(sound(source, 44100)[:40000], sound(trip.path, 44100)[:40000])[0, 1] > 0.95


def test_sound_encoded_again_starts_when_it_did(clip, tmp_path):
    source = clip("in.mkv", audio=["pcm_s16le"], frames=50, audio_start=Fraction(1, 4))
    trip = round_trip(source, tmp_path / "out.mp4")
    before, after = sound(source, 48000), sound(trip.path, 48000)
    assert np.corrcoef(before[:90_000], after[:90_000])[0, 1] > 0.99


def test_slow_mp3_is_no_mp4_sound(clip, tmp_path):
    trip = round_trip(clip("in.mkv", audio=["libmp3lame"], audio_rate=11025), tmp_path / "out.mp4")
    assert [track.codec for track in packets_of(trip.path)] == ["aac"]
    assert any("encoded again as aac" in note for note in trip.notes)


def sound(path, rate):
    """The first audio track as heard from time 0 on, mono, without gaps."""
    resampler = av.AudioResampler("s16", "mono", rate)
    with av.open(str(path)) as container:
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    start = round(parts[0].pts * parts[0].time_base * rate)
    heard = np.concatenate([part.to_ndarray()[0] for part in parts])
    return np.concatenate([np.zeros(max(0, start)), heard[max(0, -start) :]])


@pytest.mark.parametrize(("codec", "suffix"), [("subrip", ".mkv"), ("mov_text", ".mp4"), ("mov_text", ".mov")])
def test_subtitles_are_copied(tmp_path, codec, suffix):
    source = subtitled(tmp_path / f"in{'.mkv' if codec == 'subrip' else '.mp4'}", codec)
    trip = round_trip(source, tmp_path / f"out{suffix}")
    (before,), (after,) = packets_of(source, "subtitle"), packets_of(trip.path, "subtitle")
    assert (before.codec, before.digest, before.title) == (after.codec, after.digest, after.title)
    assert after.language == ("ger" if suffix == ".mov" else "deu")
    assert [float(time) for time in before.times] == pytest.approx([float(time) for time in after.times], abs=1e-3)
    assert not any("subtitle" in note for note in trip.notes)


@pytest.mark.parametrize(
    ("inner", "before", "suffix", "after"),
    [
        (".mkv", "subrip", ".mp4", "mov_text"),
        (".mp4", "mov_text", ".mkv", "subrip"),
        (".mkv", "subrip", ".webm", "webvtt"),
    ],
)
def test_text_subtitles_are_rewritten_where_they_must_be(tmp_path, inner, before, suffix, after):
    trip = round_trip(subtitled(tmp_path / f"in{inner}", before), tmp_path / f"out{suffix}")
    assert any("rewritten" in note for note in trip.notes)
    (track,) = packets_of(trip.path, "subtitle")
    assert track.codec == after
    with av.open(str(trip.path)) as container:
        texts = [
            (packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(subtitles=0) if packet.size > 2
        ]
    assert [round(1000 * start) for start, _ in texts] == [0, 240]
    assert b"Hello" in texts[0][1]
    assert b"there &" in texts[1][1].replace(b"&amp;", b"&")


def test_a_cover_picture_is_no_video_and_is_kept(tmp_path):
    source = covered(tmp_path / "in.mp4")
    info = probe(source)
    assert (info.codec, info.width) == ("h264", 64)
    assert [track.kind for track in info.tracks] == ["cover"]
    trip = round_trip(source, tmp_path / "out.mp4")
    assert packets_of(trip.path, "video")[1].digest == packets_of(source, "video")[1].digest
    assert [track.kind for track in probe(trip.path).tracks] == ["cover"]
    left = round_trip(source, tmp_path / "out.mov")
    assert [note for note in left.notes if "cover stream 1" in note and "left out" in note]


def test_a_cover_goes_from_mp4_to_matroska_and_on(tmp_path):
    source = covered(tmp_path / "in.mp4")
    picture_of = packets_of(source, "video")[1].digest
    path = source
    for name in ("a.mkv", "b.mkv", "c.mp4"):
        trip = round_trip(path, path := tmp_path / name)
        assert [track.kind for track in trip.result.tracks] == ["cover"]
        assert packets_of(path, "video")[1].digest == picture_of
        assert not [note for note in trip.notes if "millisecond" not in note]


@pytest.mark.parametrize("label", ["location", "com.example.take", "album_artist"])
def test_a_cover_stays_beside_labels_of_any_name(tmp_path, label):
    plain = covered(tmp_path / "plain.mp4")
    text = "+48.8577+002.2950/" if label == "location" else "some text"
    trip = round_trip(plain, tmp_path / "out.mp4", metadata={label: text})
    assert [track.kind for track in trip.result.tracks] == ["cover"]
    assert trip.result.labels[label] == text
    assert packets_of(trip.path, "video")[1].digest == packets_of(plain, "video")[1].digest
    assert len(trip.after) == 12  # where the samples lie is still right
    assert trip.notes == ()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("label", ["title", "composer", "description", "make", "com.example.take", "location"])
def test_labels_of_any_name_and_the_date_stay(clip, tmp_path, suffix, label):
    text = "+48.8577+002.2950/" if label == "location" else "some text"
    date = "2024-05-06T07:08:09.000000Z"
    source = clip("in.mkv", metadata={label: text, "creation_time": date})
    trip = round_trip(source, tmp_path / f"out{suffix}")
    held = {key.lower(): value for key, value in trip.result.labels.items()}
    assert (held[label], held["creation_time"]) == (text, date)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("rate", "timecode"), [(25, "01:02:03:04"), (Fraction(30000, 1001), "01:00:00;02")])
def test_a_timecode_stays(clip, tmp_path, suffix, rate, timecode):
    plain, source = clip("plain.mov", rate=Fraction(rate)), tmp_path / "in.mov"
    with remuxed(plain, source) as output:
        output.streams.video[0].metadata["timecode"] = timecode
    assert [track.kind for track in probe(source).tracks] == ["data"]
    trip = round_trip(source, tmp_path / f"out{suffix}")
    assert probe(source).timecode == trip.result.timecode == timecode
    assert not [note for note in trip.notes if "millisecond" not in note]


def test_a_timecode_that_does_not_fit_is_named(clip, tmp_path):
    source = clip("in.mkv", metadata={"timecode": "01:00:00;02"})  # numbers are dropped at 30 a second only
    trip = round_trip(source, tmp_path / "out.mp4")
    assert [note for note in trip.notes if "timecode" in note]


def test_statistics_of_the_source_do_not_stay(clip, tmp_path):
    labels = {"BPS": "1", "_STATISTICS_TAGS": "BPS", "MAJOR_BRAND": "isom", "title": "A talk"}
    trip = round_trip(clip("in.mkv", metadata=labels), tmp_path / "out.mkv")
    assert {key.lower() for key in trip.result.labels} & {key.lower() for key in labels} == {"title"}


def covered(path):
    """A clip with a PNG cover."""
    plain = make_clip(path.with_name("plain.mp4"))
    cover = av.CodecContext.create("png", "w")
    cover.width, cover.height, cover.pix_fmt, cover.time_base = 32, 32, "rgb24", Fraction(1, 25)
    image = av.VideoFrame.from_ndarray(picture(0, (32, 32)), "rgb24")
    (packet,) = cover.encode(image)
    with remuxed(plain, path) as output:
        still = output.add_mux_stream("png", width=32, height=32)
        still.disposition = av.stream.Disposition.attached_pic
        packet.stream = still
        packet.pts = packet.dts = 0
        output.mux(packet)
    return path


def test_a_picture_without_video_is_refused(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"no video stream \(it holds audio\)"):
        probe(path)


def test_a_second_picture_is_left_out_and_named(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as output:
        streams = []
        for size in ((64, 48), (128, 96)):
            stream = output.add_stream("libx264", rate=25)
            stream.width, stream.height = size
            stream.disposition = av.stream.Disposition.default if size[0] == 128 else av.stream.Disposition(0)
            streams.append(stream)
        for index in range(5):
            for stream in streams:
                image = av.VideoFrame.from_ndarray(picture(index, (stream.width, stream.height)), "rgb24")
                image.pts = index
                output.mux(stream.encode(image))
        for stream in streams:
            output.mux(stream.encode(None))
    trip = round_trip(path, tmp_path / "out.mp4")
    assert trip.result.width == 128
    assert any("video stream 0" in note and "left out" in note for note in trip.notes)


def test_labels_and_chapters_stay_and_more_can_be_added(clip, tmp_path):
    plain = clip("plain.mp4", metadata={"title": "A talk", "artist": "Somebody"})
    source = tmp_path / "in.mp4"
    with remuxed(plain, source) as output:
        chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "Start"}}
        output.set_chapters([chapter])
    comment = {"comment": "edited"}
    for suffix, labels in ((".mp4", comment), (".mkv", comment), (".mov", {"my_label": "x"})):
        trip = round_trip(source, tmp_path / f"out{suffix}", metadata=labels)
        with av.open(str(trip.path)) as container:
            held = {key.lower(): text for key, text in container.metadata.items()}
            assert held["title"] == "A talk"
            assert held["artist"] == "Somebody"
            assert labels.items() <= held.items()
            assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["Start"]
        assert not [note for note in trip.notes if "left out" in note]  # also not the track of the chapters' names


def test_sound_before_and_after_the_picture(clip, tmp_path):
    source = clip("in.mkv", times=[500, 540, 580], time_base=Fraction(1, 1000), audio=["libmp3lame"])
    trip = round_trip(source, tmp_path / "out.mp4")
    (before,), (after,) = packets_of(source), packets_of(trip.path)
    assert before.digest == after.digest
    assert trip.after == trip.before


def test_files_attached_to_matroska_stay_there(clip, tmp_path):
    plain, source = clip("plain.mkv"), tmp_path / "in.mkv"
    with remuxed(plain, source) as output:
        output.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font")
    trip = round_trip(source, tmp_path / "out.mkv")
    with av.open(str(trip.path)) as container:
        assert [stream.data for stream in container.streams if stream.type == "attachment"] == [b"not really a font"]
    assert any("attachment" in note for note in round_trip(source, tmp_path / "out.mp4").notes)


def test_mp4_starts_with_its_index(clip, tmp_path):
    trip = round_trip(clip(audio=["aac"]), tmp_path / "out.mp4")
    data = trip.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_sound_is_interleaved_with_the_picture(clip, tmp_path):
    trip = round_trip(clip("in.mp4", frames=100, audio=["aac"]), tmp_path / "out.mp4", EncoderOptions(preset="medium"))
    with av.open(str(trip.path)) as container:
        places = [(packet.pos, packet.dts * packet.time_base) for packet in container.demux() if packet.size]
    times = [time for _, time in sorted(places)]
    assert max(max(times[:index]) - time for index, time in enumerate(times) if index) < 2


def test_writer_closes_its_source_when_a_track_fails(clip, tmp_path):
    trip = round_trip(clip(audio=["aac"]), tmp_path / "a.mp4")
    trip.source.path.unlink()
    assert trip.path.exists()
