"""Profiles: what each writes, what it refuses, and that frames come back as good as promised."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest
from made_clips import round_trip

from cdrl.errors import UsageError
from cdrl.media import EncoderOptions, Writer, probe, read
from cdrl.media.encoding import PROFILES
from cdrl.media.frames import PixelFormat
from cdrl.media.layout import raise_depth

SIZE = (256, 144)


def psnr(one, two, peak):
    return 10 * np.log10(peak**2 / max(np.square(one.astype(float) - two).mean(), 1e-9))


@pytest.mark.parametrize(
    ("profile", "suffix", "layout", "codec", "written"),
    [
        ("fast", ".mp4", "yuv420p", "h264", "yuv420p"),
        ("web", ".mp4", "yuv444p", "h264", "yuv420p"),
        ("web", ".webm", "yuv420p", "vp9", "yuv420p"),
        ("web", ".mkv", "yuv422p10le", "libdav1d", "yuv420p10le"),
        ("web", ".mov", "yuv420p10le", "hevc", "yuv420p10le"),
        ("archive", ".mp4", "yuv422p", "h264", "yuv422p"),
        ("archive", ".mkv", "yuv422p10le", "hevc", "yuv422p10le"),
        ("prores", ".mov", "yuv420p", "prores", "yuv422p10le"),
        ("prores", ".mkv", "yuv422p10le", "prores", "yuv422p10le"),
        ("prores", ".mov", "yuv411p", "prores", "yuv422p10le"),
        ("dnxhr", ".mov", "yuv411p", "dnxhd", "yuv422p"),
        ("ffv1", ".mkv", "yuv411p", "ffv1", "yuv411p"),
        ("ffv1", ".mkv", "yuv440p", "ffv1", "yuv440p"),
        ("fast", ".mp4", "yuv411p", "h264", "yuv420p"),
        ("prores", ".mov", "yuv444p", "prores", "yuv444p10le"),
        ("dnxhr", ".mov", "yuv420p", "dnxhd", "yuv422p"),
        ("dnxhr", ".mov", "yuv420p10le", "dnxhd", "yuv422p10le"),
        ("dnxhr", ".mov", "yuv444p", "dnxhd", "yuv444p10le"),
        ("ffv1", ".mkv", "yuv420p", "ffv1", "yuv420p"),
        ("ffv1", ".mkv", "yuv422p10le", "ffv1", "yuv422p10le"),
        ("ffv1", ".mkv", "yuv444p12le", "ffv1", "yuv444p12le"),
    ],
)
def test_each_profile_writes_its_codec(clip, tmp_path, profile, suffix, layout, codec, written):
    source = clip("in.mkv", codec="ffv1", layout=layout, size=SIZE, audio=["aac"])
    trip = round_trip(source, tmp_path / f"out{suffix}", EncoderOptions(profile))
    assert trip.result.codec == codec
    assert len(trip.after) == len(trip.before)
    with av.open(str(trip.path)) as container:
        stored = next(container.decode(video=0)).format.name  # where a decoder gives 12 bits, 10 are stored
        assert container.streams.video[0].codec_context.pix_fmt.startswith(written[:7])
    assert stored.startswith(written[:7])
    finer = {"": (2, 2), "411": (4, 1), "420": (2, 2), "422": (2, 1), "440": (1, 2), "444": (1, 1)}
    before, after = (finer[name[3:6] if name != "gray" else ""] for name in (layout, written))
    loses = after[0] > before[0] or after[1] > before[1]
    assert any("pixels are written as" in note for note in trip.notes) == loses
    before, after = next(read(source)), next(read(trip.path))
    scale = 2.0 ** (after.format.depth - before.format.depth)
    if profile == "dnxhr":  # in another matrix, see below
        return
    assert psnr(before.planes[0] * scale, after.planes[0], after.format.maximum) > (99 if profile == "ffv1" else 35)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_dnxhr_of_standard_definition_shows_its_colors(clip, tmp_path, layout):
    """Its headers can only say BT.709, so that numbers of BT.601 would show other colors."""
    source = clip("in.mkv", codec="ffv1", layout=layout, size=SIZE)
    trip = round_trip(source, tmp_path / "out.mov", EncoderOptions("dnxhr"))
    assert (trip.source.format.matrix, trip.result.format.matrix) == ("bt601", "bt709")
    assert psnr(next(read(source)).rgb(), next(read(trip.path)).rgb(), 255) > 30


@pytest.mark.parametrize("profile", ["prores", "dnxhr"])
@pytest.mark.parametrize(("layout", "codec", "suffix"), [("yuvj420p", "mjpeg", ".avi"), ("gray", "ffv1", ".mkv")])
def test_codecs_for_editing_are_of_limited_range(clip, tmp_path, profile, layout, codec, suffix):
    source = clip(f"in{suffix}", codec=codec, layout=layout, size=SIZE)
    trip = round_trip(source, tmp_path / "out.mov", EncoderOptions(profile))
    assert trip.source.format.full_range
    assert not trip.result.format.full_range
    assert psnr(next(read(source)).rgb(), next(read(trip.path)).rgb(), 255) > 30


@pytest.mark.parametrize("profile", ["prores", "dnxhr", "ffv1"])
@pytest.mark.parametrize("size", [(351, 263), (257, 121), (1001, 333)])
def test_codecs_for_editing_keep_odd_sizes(clip, tmp_path, profile, size):
    source = clip("in.mkv", codec="ffv1", size=size, frames=3)
    trip = round_trip(source, tmp_path / f"out{PROFILES[profile].suffixes[0]}", EncoderOptions(profile))
    assert (trip.result.width, trip.result.height) == size


@pytest.mark.parametrize("profile", ["prores", "dnxhr", "ffv1"])
def test_every_frame_of_a_codec_for_editing_stands_alone(clip, tmp_path, profile):
    path = tmp_path / f"out{PROFILES[profile].suffixes[0]}"
    round_trip(clip(size=SIZE), path, EncoderOptions(profile))
    with av.open(str(path)) as container:
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)


@pytest.mark.parametrize("tags", [(1, 2, 2), (9, 9, 16), (6, 6, 6)])
@pytest.mark.parametrize("profile", ["prores", "ffv1"])
def test_codecs_for_editing_keep_color_tags(clip, tmp_path, profile, tags):
    color = dict(zip(("colorspace", "color_primaries", "color_trc"), tags, strict=True))
    source = clip("in.mkv", codec="ffv1", layout="yuv422p10le", size=SIZE, color={"color_range": 1, **color})
    trip = round_trip(source, tmp_path / f"out{PROFILES[profile].suffixes[0]}", EncoderOptions(profile))
    assert (trip.result.color.matrix, trip.result.color.primaries, trip.result.color.transfer) == tags


def test_prores_says_what_editors_look_for(clip, tmp_path):
    for layout, profile, tag in (("yuv420p", "HQ", "apch"), ("yuv444p", "4444", "ap4h")):
        source = clip(f"{layout}.mkv", codec="ffv1", layout=layout, size=SIZE, metadata={"timecode": "01:02:03:04"})
        trip = round_trip(source, tmp_path / f"{layout}.mov", EncoderOptions("prores"))
        with av.open(str(trip.path)) as container:
            stream = container.streams.video[0]
            assert (stream.profile, stream.codec_tag) == (profile, tag)
        assert trip.result.timecode == "01:02:03:04"


@pytest.mark.parametrize(
    ("profile", "suffix", "others"),
    [
        ("prores", ".mp4", ".mov or .mkv"),
        ("prores", ".webm", ".mov"),
        ("dnxhr", ".mkv", ".mov"),
        ("ffv1", ".mov", ".mkv"),
    ],
)
def test_a_container_that_cannot_hold_a_profile_is_refused(clip, tmp_path, profile, suffix, others):
    with pytest.raises(UsageError, match=f"cannot hold the profile {profile}; end it in {others}"):
        Writer(tmp_path / f"out{suffix}", probe(clip()), EncoderOptions(profile))


def test_profiles_that_make_no_sense_are_refused(clip, tmp_path):
    with pytest.raises(UsageError, match="choose one of fast, web"):
        EncoderOptions("tape")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="drop codec, quality"):
        EncoderOptions("prores", codec="hevc", quality=4)
    with pytest.raises(UsageError, match="needs at least 256x120"):
        round_trip(clip(), tmp_path / "out.mov", EncoderOptions("dnxhr"))


def test_what_is_given_beside_a_profile_holds():
    assert EncoderOptions("archive").settings.quality == 8
    assert EncoderOptions("archive", quality=20, preset="slow").settings.quality == 20
    assert EncoderOptions("fast", preset="slow").settings.preset == "slow"


def test_the_default_is_small_at_the_quality_of_fast(sample, tmp_path):
    info = probe(sample)
    frames = list(islice(read(info), 60))
    sizes, quality = {}, {}
    for profile in ("fast", "web"):
        path = tmp_path / f"{profile}.mp4"
        with Writer(path, info, EncoderOptions(profile)) as writer:
            for frame in frames:
                writer.write(frame)
        with av.open(str(path)) as container:
            sizes[profile] = sum(packet.size for packet in container.demux(video=0))
        pairs = zip(frames, read(path), strict=True)
        quality[profile] = np.mean([psnr(one.planes[0], two.planes[0], 255) for one, two in pairs])
    assert sizes["web"] < 0.6 * sizes["fast"]  # of this clip; half over ten clips
    assert quality["web"] > quality["fast"] - 1.5


@pytest.mark.parametrize("full_range", [False, True])
def test_more_bits_show_the_same(full_range):
    form = PixelFormat("yuv420p", 8, 2, 2, full_range)
    raised = raise_depth(np.array([[form.black, 100, form.white]], np.uint8), form, 10)
    deep = PixelFormat("yuv420p10le", 10, 2, 2, full_range)
    assert raised[0, 0] == deep.black
    assert raised[0, 2] == deep.white


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


FFV1_PER_FRAME = {"level": "3", "g": "1", "slicecrc": "1"}
COPIED = [
    ("in.mov", "prores_ks", "yuv422p10le", {"profile": "hq"}, "prores"),
    ("in.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}, "prores"),
    ("in.mov", "dnxhd", "yuv422p10le", {"profile": "dnxhr_hqx"}, "dnxhr"),
    ("in.mkv", "ffv1", "yuv420p", FFV1_PER_FRAME, "ffv1"),
]
ENCODED = [
    ("in.mov", "prores_ks", "yuv422p10le", {"profile": "lt"}, "prores"),
    ("in.mov", "dnxhd", "yuv422p", {"profile": "dnxhr_sq"}, "dnxhr"),
    ("in.mkv", "ffv1", "yuv420p", {"level": "3", "g": "12"}, "ffv1"),
    ("in.mov", "prores_ks", "yuv422p10le", {"profile": "hq", "rotation": "90"}, "prores"),
]


@pytest.mark.parametrize(("name", "codec", "layout", "options", "profile"), [*COPIED, *ENCODED])
def test_frames_that_are_not_edited_keep_their_packets(clip, tmp_path, name, codec, layout, options, profile):
    """Bit for bit, in order and at their times, between encoded ones; where codec and profile are the same."""
    is_copied = (name, codec, layout, options, profile) in COPIED
    options = dict(options)
    turn = (float(options.pop("rotation")), False, False) if "rotation" in options else None
    source = clip(
        name, codec=codec, layout=layout, options=options, size=(256, 128), color={"colorspace": 1}, rotation=turn
    )
    target = tmp_path / f"out{source.suffix}"
    info = probe(source)
    with Writer(target, info, EncoderOptions(profile)) as writer:
        for frame in read(info):
            frame.planes[0][:40] += 0 if frame.index % 3 else 9
            writer.write(frame, edited=frame.index % 3 == 0)
    assert writer.n_copied == (8 if is_copied else 0)
    before, after = packets(source), packets(target)
    kept = [index for index in range(12) if before[index] == after[index]]
    assert kept == ([index for index in range(12) if index % 3] if is_copied else [])
    shown = [frame.time for frame in read(target)]
    assert shown == [Fraction(index, 25) for index in range(12)]
