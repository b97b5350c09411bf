"""What the numbers in the planes are, on the way in and after writing."""

import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from made_clips import picture, round_trip

from cdrl.errors import UsageError
from cdrl.media import EncoderOptions, Frame, PixelFormat, Writer, probe, read
from cdrl.media.encoding import ENCODERS
from cdrl.media.fields import FieldMarker
from cdrl.media.layout import Orientation, extract_planes, pixel_format

LOSSLESS = {"qp": "0"}
TURNS = {  # display rotation (counter-clockwise degrees, mirrors) → what numpy does to the stored picture
    "0": ((0, False, False), lambda plane: plane),
    "90": ((-90, False, False), lambda plane: np.rot90(plane, -1)),
    "180": ((180, False, False), lambda plane: np.rot90(plane, 2)),
    "270": ((90, False, False), lambda plane: np.rot90(plane, 1)),
    "mirrored": ((0, True, False), lambda plane: plane[:, ::-1]),
    "upside down": ((0, False, True), lambda plane: plane[::-1]),
}


def psnr(one: np.ndarray, two: np.ndarray, peak: int = 255) -> float:
    error = np.mean((one.astype(float) - two.astype(float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(peak**2 / error)


def decode_pictures(path, **reformat):
    with av.open(str(path)) as container:
        return [frame.reformat(**reformat) for frame in container.decode(video=0)]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p10le"])
def test_turned_clips_come_upright_without_loss(clip, turn, layout):
    matrix, expected = TURNS[turn]
    # Lossless, because x264 does not always choose alike when it writes the same clip twice in one process.
    stored = list(read(clip("stored.mp4", layout=layout, options=LOSSLESS)))
    upright = list(read(clip("turned.mp4", layout=layout, options=LOSSLESS, rotation=matrix)))
    for plain, turned in zip(stored, upright, strict=True):
        for one, two in zip(plain.planes, turned.planes, strict=True):
            assert np.array_equal(expected(one), two)
            assert two.flags.c_contiguous
            assert two.flags.writeable
            assert two.flags.owndata
        height, width = turned.planes[0].shape
        assert turned.planes[1].shape == turned.format.chroma_shape(height, width)


def test_a_turned_clip_is_written_upright(clip, tmp_path):
    source = clip("in.mp4", rotation=(-90, False, False), aspect=Fraction(4, 3))
    trip = round_trip(source, tmp_path / "out.mp4")
    assert (trip.source.rotation, trip.source.width, trip.source.height) == (90, 48, 64)
    assert (trip.result.rotation, trip.result.width, trip.result.height) == (0, 48, 64)
    assert trip.result.sample_aspect == trip.source.sample_aspect == Fraction(3, 4)
    assert psnr(next(read(source)).planes[0], next(read(trip.path)).planes[0]) > 35


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p", "yuv410p", "yuv411p"])
@pytest.mark.parametrize("size", [(64, 48), (175, 143)])
def test_planar_layouts_are_delivered_as_decoded(clip, layout, size):
    source = clip("in.mkv" if layout != "yuv410p" else "in.nut", layout=layout, codec="ffv1", size=size, frames=3)
    frames = list(read(source))
    assert frames[0].format.name == layout.replace("yuvj", "yuv")
    for frame, truth in zip(frames, decode_pictures(source), strict=True):
        assert (frame.width, frame.height) == size
        for plane, raw in zip(frame.planes, truth.planes, strict=True):
            lines = np.frombuffer(raw, np.uint8).reshape(raw.height, raw.line_size)[:, : raw.width]
            assert np.array_equal(plane, lines)


@pytest.mark.parametrize(
    ("codec", "layout", "delivered"),
    [
        ("ffv1", "gray", "gray"),
        ("ffv1", "gray10le", "gray10le"),
        ("ffv1", "yuv420p10le", "yuv420p10le"),
        ("ffv1", "yuv422p12le", "yuv422p12le"),
        ("rawvideo", "nv12", "yuv420p"),
        ("rawvideo", "yuyv422", "yuv422p"),
        ("rawvideo", "rgb24", "yuv444p"),
        ("png", "rgba", "yuv444p"),
        ("png", "monob", "gray"),
        ("ffv1", "yuva420p", "yuv420p"),
        ("ffv1", "bgra", "yuv444p"),
        ("ffv1", "gbrp12le", "yuv444p12le"),
        ("prores_ks", "yuva444p10le", "yuv444p12le"),
    ],
)
def test_other_layouts_are_rearranged(clip, tmp_path, codec, layout, delivered):
    suffix = {"ffv1": "mkv", "prores_ks": "mov", "png": "mov"}.get(codec, "nut")
    source = clip(f"in.{suffix}", codec=codec, layout=layout)
    first = next(read(source))
    assert first.format.name.startswith(delivered)
    assert first.planes[0].dtype == first.format.dtype
    if not layout.startswith(("mono", "gray")):
        assert psnr(first.rgb(), decode_pictures(source, format="rgb24")[0].to_ndarray()) > 28
    trip = round_trip(source, tmp_path / "out.mp4")
    again = next(read(trip.path))
    assert psnr(first.rgb(), again.rgb()) > 26
    if first.format.name != again.format.name:
        assert any("written as" in note for note in trip.notes)
    assert not any("transparency" in note for note in trip.notes)  # there is none


@pytest.mark.parametrize(
    "layout", ["p010le", "p210le", "nv16", "nv21", "uyvy422", "y210le", "gbrpf32le", "xyz12le", "yuv440p"]
)
def test_rarer_layouts_keep_what_they_show(layout):
    shown = av.VideoFrame.from_ndarray(picture(4, (64, 48)), "rgb24").reformat(format=layout)
    form, _ = pixel_format(layout, 0, 2, 48)
    frame = Frame(extract_planes(shown, form, Orientation()), form)
    assert frame.planes[0].max() <= form.maximum
    assert psnr(frame.rgb(), shown.reformat(format="rgb24").to_ndarray()) > 28


def test_depth_and_color_tags_stay(clip, tmp_path):
    tags = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
    source = clip("in.mp4", layout="yuv420p10le", color=tags)
    trip = round_trip(source, tmp_path / "out.mp4")
    assert trip.result.format == trip.source.format == PixelFormat("yuv420p10le", 10, 2, 2, False, "bt2020")
    assert trip.result.color == trip.source.color
    assert (trip.result.color.matrix, trip.result.color.primaries, trip.result.color.transfer) == (9, 9, 16)
    before, after = next(read(source)), next(read(trip.path))
    assert before.planes[0].dtype == np.uint16
    assert before.planes[0].max() > 255
    assert psnr(before.planes[0], after.planes[0], 1023) > 40


@pytest.mark.parametrize(
    ("codec", "layout", "options", "written"),
    [
        ("ffv1", "yuv422p", {}, ("h264", "yuv420p")),
        ("ffv1", "yuv444p", {}, ("h264", "yuv420p")),
        ("ffv1", "yuv444p", {"pixel_format": "source"}, ("h264", "yuv444p")),
        ("ffv1", "yuv420p", {"pixel_format": "yuv444p"}, ("h264", "yuv444p")),
        ("libx264rgb", "rgb24", {}, ("h264", "yuv420p")),
        ("ffv1", "bgra", {}, ("h264", "yuv420p")),
        ("ffv1", "yuv420p10le", {}, ("libdav1d", "yuv420p10le")),
        ("ffv1", "yuv422p10le", {}, ("libdav1d", "yuv420p10le")),
        ("ffv1", "yuv422p10le", {"pixel_format": "source"}, ("hevc", "yuv422p10le")),
        ("ffv1", "yuv420p", {"pixel_format": "yuv420p10le"}, ("libdav1d", "yuv420p10le")),
        ("ffv1", "yuv422p10le", {"pixel_format": "yuv420p"}, ("h264", "yuv420p")),
        ("ffv1", "yuv422p10le", {"codec": "h264", "pixel_format": "source"}, ("h264", "yuv422p10le")),
        ("ffv1", "yuv444p12le", {}, ("libdav1d", "yuv420p10le")),
    ],
)
def test_the_default_plays_everywhere(clip, tmp_path, codec, layout, options, written):
    source = clip("in.mkv", codec=codec, layout=layout, size=(128, 96))
    trip = round_trip(source, tmp_path / "out.mp4", EncoderOptions(**options))
    assert (trip.result.codec, trip.result.format.name) == written
    assert not trip.result.format.full_range
    changed = trip.source.pixels != written[1]
    assert len(trip.notes) == changed  # what is lost is said once
    assert not changed or "pixels are written as" in trip.notes[0]
    truth = decode_pictures(source, format="rgb24")[5].to_ndarray()
    assert psnr(truth, decode_pictures(trip.path, format="rgb24")[5].to_ndarray()) > 22


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_more_than_eight_bits_are_kept_in_every_container(clip, tmp_path, suffix):
    source = clip("in.mkv", codec="ffv1", layout="yuv420p10le", size=(128, 96))
    assert round_trip(source, tmp_path / f"out{suffix}").result.format.depth == 10


@pytest.mark.parametrize("layout", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_full_range_stays(clip, tmp_path, layout):
    options = EncoderOptions(pixel_format="source")
    trip = round_trip(clip("in.avi", codec="mjpeg", layout=layout), tmp_path / "out.mp4", options)
    assert trip.source.format.full_range
    assert trip.result.format == trip.source.format
    assert psnr(next(read(trip.source)).planes[0], next(read(trip.path)).planes[0]) > 40


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(8, 9), Fraction(12, 11), Fraction(1001, 997)])
@pytest.mark.parametrize(
    ("suffix", "profile"), [(".mkv", "ffv1"), (".mkv", "web"), (".webm", "fast"), (".mkv", "prores")]
)
def test_the_shape_of_pixels_is_kept_in_matroska(clip, tmp_path, suffix, profile, aspect):
    """Put in afterwards: the file is read by its checksums, seeks as before, and nothing else has changed."""
    source = clip("in.mov", size=(88, 72), aspect=aspect, audio=["aac"], options={"g": "4"})
    trip = round_trip(source, tmp_path / f"out{suffix}", EncoderOptions(profile))
    assert trip.result.sample_aspect == trip.source.sample_aspect == aspect
    assert [note for note in trip.notes if "shape" in note] == []
    with av.open(str(trip.path), options={"err_detect": "crccheck+explode"}) as container:
        assert len(list(container.decode(video=0))) == 12
        container.seek(0)
        assert next(container.decode(video=0)).pts == 0
    data = trip.path.read_bytes()
    for name in (b"\x11\x4d\x9b\x74", b"\x16\x54\xae\x6b"):  # the list of places, and the tracks
        content = data.rindex(name, 0, data.index(b"\x1f\x43\xb6\x75")) + 4
        width = 9 - data[content].bit_length()
        size = int.from_bytes(data[content : content + width], "big") - (1 << 7 * width)
        content += width
        if suffix == ".webm":  # has none
            continue
        assert data[content] == 0xBF
        told = int.from_bytes(data[content + 2 : content + 6], "little")
        assert told == zlib.crc32(data[content + 6 : content + size])


def test_odd_sizes_are_padded_and_said_so(clip, tmp_path):
    source = clip("in.mkv", codec="ffv1", size=(175, 143))
    trip = round_trip(source, tmp_path / "out.mp4")
    assert (trip.source.width, trip.source.height) == (175, 143)
    assert (trip.result.width, trip.result.height) == (176, 144)
    assert any("175x143 is written as 176x144" in note for note in trip.notes)
    before, after = next(read(source)).planes[0], next(read(trip.path)).planes[0]
    assert psnr(before, after[:143, :175]) > 40
    assert psnr(after[:143, 174], after[:143, 175]) > 30


@pytest.mark.parametrize(("suffix", "choice"), [(".mp4", "yuv444p"), (".webm", "source")])
def test_odd_sizes_can_be_kept(clip, tmp_path, suffix, choice):
    source = clip("in.mkv", codec="ffv1", size=(175, 143))
    trip = round_trip(source, tmp_path / f"out{suffix}", EncoderOptions(pixel_format=choice))
    assert (trip.result.width, trip.result.height) == (175, 143)
    assert psnr(next(read(source)).planes[0], next(read(trip.path)).planes[0]) > 30


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "av1"])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10le"])
def test_every_codec_writes_every_frame(clip, tmp_path, codec, layout):
    deep = layout in {form.name for form in av.Codec(ENCODERS[codec], "w").video_formats}
    trip = round_trip(clip("in.mp4", layout=layout, size=(128, 96)), tmp_path / "out.mp4", EncoderOptions(codec=codec))
    assert trip.after == trip.before
    if deep:
        assert trip.result.format == trip.source.format
    else:
        assert any("written as yuv420p (the source has yuv420p10le)" in note for note in trip.notes)
    assert psnr(next(read(trip.source)).rgb(), next(read(trip.path)).rgb()) > 30


def test_another_size_may_be_written(clip, tmp_path):
    info = probe(clip())
    with Writer(tmp_path / "wide.mp4", info, size=(128, 48)) as writer:
        for frame in read(info):
            frame.planes = tuple(np.hstack([plane, plane]) for plane in frame.planes)
            writer.write(frame)
    assert (probe(tmp_path / "wide.mp4").width, probe(tmp_path / "wide.mp4").height) == (128, 48)


def test_a_frame_of_the_wrong_size_is_refused(clip, tmp_path):
    info = probe(clip())
    with pytest.raises(UsageError, match="64x48"), Writer(tmp_path / "out.mp4", info, size=(32, 32)) as writer:
        writer.write(next(read(info)))


def test_fields_keep_their_own_chroma(tmp_path):
    """Of two woven fields one is red and the other blue: no line of the result is in between."""
    source, marker = tmp_path / "in.mkv", FieldMarker((256, 128), "yuv420p", "top")
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 128, "yuv420p"
        stream.codec_context.field_order = 2
        woven = av.VideoFrame(256, 128, "yuv420p")
        for plane, pair in zip(woven.planes, ((81, 41), (90, 240), (240, 110)), strict=True):
            lines = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
            lines[::2], lines[1::2] = pair
        for index in range(3):
            woven.pts, woven.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(marker.mark(woven)))
        output.mux(stream.encode(None))
    trip = round_trip(source, tmp_path / "out.mov", EncoderOptions("prores"))
    frame = next(read(trip.path))
    for plane, (top, bottom) in zip(frame.planes, ((81, 41), (90, 240), (240, 110)), strict=True):
        assert np.abs(plane[::2] / 4.0 - top).max() < 4
        assert np.abs(plane[1::2] / 4.0 - bottom).max() < 4


def interlaced_clip(path, first, height):
    """Twelve frames of two woven fields, `first` of which is shown first."""
    marker = FieldMarker((256, height), "yuv420p", first)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1" if height % 4 else "libx264", rate=25, options={"flags": "+ildct"})
        stream.width, stream.height, stream.pix_fmt = 256, height, "yuv420p"
        for index in range(12):
            image = av.VideoFrame.from_ndarray(picture(index, (256, height)), "rgb24").reformat(format="yuv420p")
            image.pts, image.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(marker.mark(image)))
        output.mux(stream.encode(None))
    return path


def test_a_height_whose_fields_h264_cannot_code_is_written_as_whole_frames(tmp_path):
    source = interlaced_clip(tmp_path / "in.mkv", "bottom", 130)
    trip = round_trip(source, tmp_path / "out.mp4", EncoderOptions("archive"))
    assert (trip.source.first_field, trip.result.first_field, trip.result.height) == ("bottom", "", 130)
    assert sum("interlaced" in note for note in trip.notes) == 1


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize(
    ("suffix", "profile", "stays"),
    [
        (".mp4", "web", False),
        (".mov", "dnxhr", False),
        (".mov", "prores", True),
        (".mkv", "ffv1", True),
        (".mp4", "archive", True),
    ],
)
def test_an_interlaced_clip_stays_so_for_editing_and_else_is_named(tmp_path, suffix, profile, stays, first):
    source = interlaced_clip(tmp_path / "in.mp4", first, 128)
    trip = round_trip(source, tmp_path / f"out{suffix}", EncoderOptions(profile))
    assert trip.source.first_field == first
    assert trip.result.first_field == (first if stays else "")
    assert sum("interlaced" in note for note in trip.notes) == (not stays)
    assert trip.after == trip.before
    assert psnr(next(read(source)).rgb(), next(read(trip.path)).rgb()) > 28


def test_a_photo_is_a_clip_of_one_frame(tmp_path):
    image = picture(3, (90, 61))
    for suffix in ("png", "jpg", "webp", "bmp"):
        path = tmp_path / f"photo%03d.{suffix}"  # a name that FFmpeg would take for a numbered series
        cv2.imwrite(str(path), image[..., ::-1])
        info = probe(path)
        assert info.photo
        assert info.frame_count == 1
        (frame,) = read(info)
        assert (frame.width, frame.height) == (90, 61)
        assert psnr(frame.rgb(), image) > (24 if suffix in ("jpg", "webp") else 40)


def test_frames_change_size_in_the_middle(clip, tmp_path):
    first, second = clip("a.h264", size=(64, 48)), clip("b.h264", size=(96, 80))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    reader = read(joined)
    assert {(frame.width, frame.height) for frame in reader} == {(64, 48)}
    assert any("another size" in note for note in reader.notes)


def test_rgb_agrees_with_ffmpeg(clip):
    for matrix in (1, 5, 9):
        for full in (1, 2):
            source = clip(f"in{matrix}{full}.mp4", layout="yuv444p", color={"colorspace": matrix, "color_range": full})
            frame = next(read(source))
            truth = decode_pictures(source, format="rgb24")[0].to_ndarray()
            assert np.abs(frame.rgb().astype(int) - truth).mean() < 1


def test_a_crop_is_the_frame_seen_through_the_matrix(clip):
    for layout in ("yuv420p", "yuv444p", "yuv420p10le"):
        frame = next(
            read(clip(f"{layout}.mp4", layout=layout, size=(128, 96), options=LOSSLESS if "10" not in layout else {}))
        )
        whole = frame.rgb()
        crop = frame.rgb_crop(np.array([[1, 0, 16], [0, 1, 8]]), (64, 40))
        assert crop.dtype == np.uint8
        assert crop.shape == (40, 64, 3)
        inside = slice(2, -2)  # at its own edge a crop of subsampled chroma knows nothing of what lies beyond
        assert np.abs(crop.astype(int) - whole[8:48, 16:80])[inside, inside].max() <= 2


def test_a_crop_beyond_the_edge(clip):
    frame = Frame.from_rgb(np.full((20, 20, 3), 200, np.uint8))
    matrix = np.array([[1.0, 0, -10], [0, 1.0, -10]])
    assert np.abs(frame.rgb_crop(matrix, (20, 20)).astype(int) - 200).max() <= 1
    assert frame.rgb_crop(matrix, (20, 20), "black")[0, 0].max() <= 1


def test_from_rgb_and_back():
    image = picture(5, (31, 17))
    frame = Frame.from_rgb(image)
    assert frame.format == PixelFormat("yuv444p", 8, 1, 1, True, "bt709")
    assert np.abs(frame.rgb().astype(int) - image).max() <= 2
    twin = frame.copy()
    twin.planes[0][:] = 0
    assert frame.planes[0].max() > 0


def test_a_photo_of_a_telephone(tmp_path):
    """It carries EXIF, which PyAV has no name for, and in it how the telephone was held."""
    photo = cv2.imencode(".jpg", np.full((40, 64, 3), 99, np.uint8))[1].tobytes()
    turned = struct.pack("<HHII", 0x0112, 3, 1, 6)  # the orientation: to be turned clockwise
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 1) + turned + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif
    (tmp_path / "photo.jpg").write_bytes(photo[:2] + segment + photo[2:])
    info = probe(tmp_path / "photo.jpg")
    assert (info.rotation, info.width, info.height) == (90, 40, 64)


def transparent_clip(path, codec, layout, options=None):
    """Opaque for three frames, then transparent above and half transparent on the left; returns the alpha of all."""
    told = []
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        if codec == "libvpx-vp9":
            stream.metadata["alpha_mode"] = "1"
        for index in range(6):
            image = np.dstack([picture(index, (64, 48)), np.full((48, 64), 255, np.uint8)])
            if index >= 3:
                image[:20, :, 3], image[20:, :32, 3] = 0, 128
            frame = av.VideoFrame.from_ndarray(image, "rgba").reformat(format=layout)
            frame.pts = index
            output.mux(stream.encode(frame))
            told.append(image[..., 3])
        output.mux(stream.encode(None))
    return told


VP9_ALPHA = {"auto-alt-ref": "0", "crf": "10", "b": "0"}
SOURCES_WITH_ALPHA = [
    ("ffv1", "yuva420p", ".mkv", {}), ("ffv1", "yuva444p10le", ".mkv", {}), ("png", "rgba", ".mov", {}),
    ("prores_ks", "yuva444p10le", ".mov", {"profile": "4444"}), ("libvpx-vp9", "yuva420p", ".webm", VP9_ALPHA),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "layout", "suffix", "options"), SOURCES_WITH_ALPHA)
@pytest.mark.parametrize(
    ("name", "profile"), [("out.mkv", "ffv1"), ("out.mov", "prores"), ("out.webm", "web"), ("out.mp4", "web")]
)
def test_transparency_is_kept_or_named(tmp_path, codec, layout, suffix, options, name, profile):
    path = tmp_path / f"in{suffix}"
    told = transparent_clip(path, codec, layout, options)
    if layout.endswith("10le") and name.endswith(".webm"):
        pytest.skip("more than 8 bits are AV1, which holds none")
    trip = round_trip(path, tmp_path / name, EncoderOptions(profile))
    assert trip.result.alpha == (name != "out.mp4")
    assert sum("transparency" in note for note in trip.notes) == (name == "out.mp4")
    before, after = list(read(path)), list(read(trip.path))
    for source, result, alpha in zip(before, after, told, strict=True):
        peak = source.format.maximum
        assert np.abs(source.alpha / peak - alpha / 255).max() < (0.1 if codec == "libvpx-vp9" else 0.01)
        if name == "out.mp4":
            assert result.alpha is None
            continue
        error = np.abs(result.alpha / result.format.maximum - source.alpha / peak)
        assert error.max() < 1e-5 if profile == "ffv1" else error.mean() < 0.01
        assert psnr(source.rgb(), result.rgb()) > 25


def test_an_opaque_gif_stays_opaque(clip, tmp_path):
    trip = round_trip(clip("in.gif", codec="gif", layout="rgb8"), tmp_path / "out.mov", EncoderOptions("prores"))
    assert (trip.source.pixels, trip.source.alpha, trip.result.alpha) == ("bgra", False, False)


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".mp4"])
def test_a_flag_of_transparency_without_any_goes(clip, tmp_path, suffix):
    plain, source = clip("plain.webm", codec="libvpx-vp9"), tmp_path / "in.webm"
    with av.open(str(plain)) as inner, av.open(str(source), "w") as output:
        stream = output.add_stream_from_template(inner.streams.video[0], opaque=True)
        stream.metadata["alpha_mode"] = "1"
        for packet in inner.demux():
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    trip = round_trip(source, tmp_path / f"out{suffix}")
    assert sum("transparency" in note for note in trip.notes) == 0
    with av.open(str(trip.path)) as container:
        assert "alpha_mode" not in {key.lower() for key in container.streams.video[0].metadata}


def test_a_photo_with_a_color_profile_does_no_harm(tmp_path):
    """PyAV frees the profile's name twice, which ends the process when garbage is collected."""
    data = b"iCCP" + b"Display P3\0\0" + zlib.compress(b"a profile")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    png = cv2.imencode(".png", picture(0, (64, 48)))[1].tobytes()
    photo = tmp_path / "photo.png"
    photo.write_bytes(png[:33] + chunk + png[33:])
    code = "import gc, sys, cdrl.media as m\nfor _ in range(5): m.probe(sys.argv[1]); gc.collect()"
    assert subprocess.run([sys.executable, "-c", code, str(photo)], check=False).returncode == 0
