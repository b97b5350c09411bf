"""HDR: what it states is kept or named, and pictures for people show its colors."""

from __future__ import annotations

import gc
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from made_clips import packets_of, picture, round_trip

from cdrl.media import ColorTags, EncoderOptions, Frame, probe, read
from cdrl.media.side_data import HLG, PQ, HdrMetadata
from cdrl.media.tone import map_tones, show_frame

HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
AV1_STEP = 2**-14  # cd/m²: AV1's own headers count the darkest level in these
TAGS = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": PQ}


def hdr10(clip, name="in.mp4", params=HDR10, **recipe):
    options = {"x265-params": f"log-level=none:{params}"}
    return clip(name, codec="libx265", layout="yuv420p10le", size=(128, 96), color=TAGS, options=options, **recipe)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".mp4", {}), (".mov", {}), (".mkv", {}), (".webm", {}), (".mp4", {"codec": "h264"}), (".mp4", {"codec": "av1"})],
)
def test_light_levels_stay(clip, tmp_path, suffix, options):
    trip = round_trip(hdr10(clip), tmp_path / f"out{suffix}", EncoderOptions(**options))
    before, after = trip.source.hdr, trip.result.hdr
    assert before.light_level == after.light_level == (1000, 400)
    assert np.allclose(before.primaries, after.primaries, atol=1e-4)
    assert np.allclose(before.luminance, after.luminance, atol=1e-3)
    assert np.allclose(before.primaries, [(0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329)])
    assert trip.result.color == trip.source.color
    assert trip.result.format.depth == 10
    assert not [note for note in trip.notes if "millisecond" not in note]


@pytest.mark.parametrize(
    ("name", "options", "step"),
    [
        ("out.mp4", EncoderOptions("web"), AV1_STEP),
        ("out.mp4", EncoderOptions(codec="hevc"), 1e-10),
        ("out.mov", EncoderOptions("web"), 1e-10),
        ("out.mov", EncoderOptions("prores"), 1e-10),
        ("out.mov", EncoderOptions("dnxhr"), 1e-10),
    ],
)
def test_films_state_light_levels_beside_their_picture(clip, tmp_path, name, options, step):
    """In the boxes that players and editors look for, once; the sound is where the index says."""
    recipe = {"x265-params": f"log-level=none:{HDR10}"}
    source = clip("in.mov", codec="libx265", layout="yuv420p10le", size=(256, 128), color=TAGS, options=recipe,
                  audio=["aac"])  # fmt: skip
    trip = round_trip(source, tmp_path / name, options, metadata={"cdrl.test": "of any name"})
    data = trip.path.read_bytes()
    assert (data.count(b"mdcv"), data.count(b"clli")) == (1, 1)
    place = data.index(b"mdcv") + 4
    assert struct.unpack_from(">8H2I", data, place) == (
        13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 1,
    )  # fmt: skip
    assert trip.result.hdr.light_level == (1000, 400)
    assert trip.result.hdr.luminance == pytest.approx((0.0001, 1000), abs=step)
    assert packets_of(trip.path)[0].digest == packets_of(source)[0].digest
    assert len(trip.after) == 12
    assert not [note for note in trip.notes if "light" in note]


@pytest.mark.parametrize("params", ["max-cll=600,120", HDR10.split(":", maxsplit=1)[0]])
def test_half_of_the_light_levels_stay(clip, tmp_path, params):
    trip = round_trip(hdr10(clip, params=params), tmp_path / "out.mp4", EncoderOptions(codec="hevc"))
    assert trip.source.hdr is not None
    assert trip.result.hdr == trip.source.hdr


@pytest.mark.parametrize("aspect", [None, Fraction(64, 45)])
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mkv", EncoderOptions("ffv1")), ("a.mkv", EncoderOptions("prores")), ("a.webm", EncoderOptions(codec="vp9"))],
)
def test_matroska_holds_light_levels_beside_its_picture(clip, tmp_path, name, options, aspect):
    """Where codecs have no room for them; beside the shape of pixels they may find none, which is said."""
    trip = round_trip(hdr10(clip, aspect=aspect), tmp_path / name, options)
    named = sum("light levels are left out" in note for note in trip.notes)
    assert trip.result.sample_aspect == (aspect or 1)
    assert trip.result.color == trip.source.color
    assert named == (trip.result.hdr is None)
    if aspect is None:
        assert trip.result.hdr.light_level == (1000, 400)
        assert np.allclose(trip.source.hdr.primaries, trip.result.hdr.primaries, atol=1e-6)
        assert trip.result.hdr.luminance == pytest.approx((0.0001, 1000), rel=1e-6)


def test_a_display_without_values_is_none():
    assert HdrMetadata(light_level=(1, 2)).mastering_display(1, 1) == ""


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_hdr_of_eight_bits_gets_ten(clip, tmp_path, codec):
    source = clip("in.mkv", codec="ffv1", color=TAGS, size=(128, 96))
    trip = round_trip(source, tmp_path / "out.mp4", EncoderOptions(codec=codec))
    assert (trip.result.codec, trip.result.format.depth) == (codec, 10)


@pytest.mark.parametrize("name", ["in.mov", "in.mp4"])
def test_dolby_vision_is_named_once(clip, tmp_path, name):
    source = hdr10(clip, name)
    add_dolby_vision(source)
    trip = round_trip(source, tmp_path / "out.mov")
    assert sum("Dolby Vision" in note for note in trip.notes) == 1
    assert trip.result.hdr == trip.source.hdr


def add_dolby_vision(path):
    """The record of profile 8.4 behind the description of the picture; the index lies at the end."""
    data = bytearray(path.read_bytes())
    record = struct.pack(">I4sBBH", 32, b"dvvC", 1, 0, 8 << 9 | 3 << 3 | 5) + bytes([4 << 4]) + bytes(19)
    around = [data.index(name) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]
    entry = next(place for tag in (b"hvc1", b"hev1") if (place := data.find(tag, around[-1])) > 0) - 4
    end = entry + struct.unpack_from(">I", data, entry)[0]
    for place in (*around, entry):
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(record))
    data[end:end] = record
    path.write_bytes(data)


def pq_numbers(light):
    """SMPTE ST 2084's numbers 0..1 of light in cd/m²."""
    power = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_numbers(light):
    """ARIB STD-B67's numbers of gray light in cd/m² on a display of 1000."""
    scene = (light / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
    )


@pytest.mark.parametrize(("transfer", "numbers"), [(PQ, pq_numbers), (HLG, hlg_numbers)])
def test_grays_of_hdr_look_as_they_should(transfer, numbers):
    wanted = np.array([16, 64, 128, 180, 220])  # of a usual display, below the shoulder
    light = 203 * (wanted / 255) ** 2.4
    gray = np.repeat(255 * numbers(light)[None, :, None], 3, axis=2).astype(np.float32)
    shown = map_tones(gray, ColorTags(1, 9, 9, transfer))
    assert np.abs(shown[0].astype(int) - wanted[:, None]).max() <= 1


def test_bright_light_is_rolled_off_and_ordered():
    levels = np.linspace(100, 10_000, 50)
    gray = np.repeat(255 * pq_numbers(levels)[None, :, None], 3, axis=2).astype(np.float32)
    shown = map_tones(gray, ColorTags(1, 9, 9, PQ))[0, :, 0].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] == 255


def test_other_pictures_are_shown_as_they_are():
    frame = Frame.from_rgb(picture(3, (64, 48)))
    assert np.array_equal(show_frame(frame, ColorTags()), frame.rgb())


def test_an_hdr_frame_is_shown_in_its_colors(clip):
    source = hdr10(clip)
    reader = read(source)
    frame = next(reader)
    shown = show_frame(frame, reader.info.color)
    assert shown.shape == (96, 128, 3)
    assert not np.array_equal(shown, frame.rgb())


@pytest.mark.parametrize(("codec", "encoder"), [("h264", "libx264"), ("hevc", "libx265"), ("av1", "libx264")])
def test_captions_stay_with_their_frames(tmp_path, codec, encoder):
    """Numbers that would look like start codes among them, and with B-frames."""
    source = tmp_path / "in.mp4"
    texts = captioned(source, encoder)
    trip = round_trip(source, tmp_path / "out.mp4", EncoderOptions(codec=codec, preset="medium"))
    assert [frame.captions for frame in read(source)] == texts
    assert [frame.captions for frame in read(trip.path)] == texts
    assert trip.notes == ()
    left = round_trip(source, tmp_path / "out.webm")
    assert sum("captions are left out" in note for note in left.notes) == 1


def captioned(path, encoder):
    """A clip with CEA-608 in two of three frames; returns what each frame says."""
    from cdrl.media.captions import add_captions

    texts = []
    with av.open(str(path), "w") as output:
        stream = output.add_stream(
            encoder, rate=Fraction(25), options={"bf": "0", "x265-params": "log-level=none:bframes=0"}
        )
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(24):
            frame = av.VideoFrame.from_ndarray(picture(index, (128, 96)), "rgb24").reformat(format="yuv420p")
            frame.pts = index
            texts.append(b"" if index % 3 == 2 else bytes([0xFC, 0, 0, 0xFC, 0, index % 4, 0xFC, 0x80 | index, 0x20]))
            for packet in stream.encode(frame):
                output.mux(captions_of(packet, texts, encoder, add_captions))
        for packet in stream.encode(None):
            output.mux(captions_of(packet, texts, encoder, add_captions))
    assert probe(path).frame_count == 24
    return texts


def captions_of(packet, texts, encoder, add_captions):
    text = texts[packet.pts]
    return add_captions(packet, text, "h264" if encoder == "libx264" else "hevc") if text else packet


def test_reading_keeps_no_pictures(tmp_path):
    """Also none in cycles that only the collector of garbage ends: a film would fill the memory until it runs."""
    source = tmp_path / "in.mp4"
    captioned(source, "libx264")
    gc.collect()
    gc.disable()
    try:
        before = count_pictures()
        frames = sum(1 for _ in read(source))
        after = count_pictures()
    finally:
        gc.enable()
    assert frames == 24
    assert after - before <= 2  # the first picture, which was looked at more closely


def count_pictures():
    """Decoded pictures that are alive, small ones left out."""
    return sum(isinstance(each, av.VideoFrame) and each.width > 16 for each in gc.get_objects())
