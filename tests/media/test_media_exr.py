"""EXR pictures: read as a film, and written so that every bit that is not edited stays."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest
from made_clips import picture
from test_media_picture_writing import copy_pictures, names

from cdrl.errors import InputError, LimitError, UsageError
from cdrl.media import Limits, find_sequence, probe, read
from cdrl.media.picture_writing import output_pattern
from cdrl.media.scene_light import PRIMARIES, REC709, light_to_signal, primaries_to_rec709, signal_to_light
from cdrl.media.sequences import read_picture_texts
from cdrl.media.writing import Writer

SIZE = (64, 48)
PLACE = (slice(20, 30), slice(30, 40))  # which is edited: rows, columns of the display window


def window(left, top, right, bottom):
    return np.array([left, top], np.int32), np.array([right, bottom], np.int32)


def write_exr(folder: Path, count=3, colors="RGB", color=np.float16, others=True, begin=(0, 0), **attributes) -> Path:
    """Light from -0.5 to 500, a half-transparent strip, depth, numbers of objects; returns the folder."""
    folder.mkdir(exist_ok=True)
    dice = np.random.default_rng(5)
    (x, y), (width, height) = begin, SIZE
    shape = (height - y, width - x)
    for number in range(1, count + 1):
        light = dice.random((len(colors), *shape)).astype(np.float32)
        light[:, :4] = 500
        light[:, 4:8] = -0.5
        light[:, 8, 20:22] = np.nan, np.inf
        with np.errstate(invalid="ignore"):  # no number as a whole one
            channels = {name: light[index].astype(color) for index, name in enumerate(colors)}
        if others:
            channels["A"] = np.full(shape, 1, color)
            channels["A"][:, :6] = 0.5
            channels["Z"] = dice.random(shape, np.float32) * 1000
            channels["id"] = dice.integers(0, 1 << 32, shape, np.uint32)
        header = {
            "compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage, "owner": "a studio",
            "displayWindow": window(0, 0, width - 1, height - 1), "dataWindow": window(x, y, width - 1, height - 1),
        }  # fmt: skip
        OpenEXR.File(header | attributes, channels).write(str(folder / f"shot_{number:04d}.exr"))
    return folder


def sequence_of(folder: Path, rate=None):
    return find_sequence(folder, rate, Limits())


def parts_of(path: Path):
    return OpenEXR.File(str(path), separate_channels=True).parts


def darken(frame):
    """An edit of the second frame, which halves luma."""
    if frame.index != 1:
        return frame
    edited = frame.copy()
    luma = edited.planes[0][PLACE]
    luma[:] = luma // 2 + frame.format.black // 2
    return edited


def edit_pictures(source, output, **settings):
    """Write a sequence with its second picture edited; returns the notes."""
    from cdrl.media import EncoderOptions, SequenceWriter

    with (
        read(source, keep_rgb=True) as frames,
        SequenceWriter(output, frames.info, EncoderOptions("sequence", threads=1), **settings) as writer,
    ):
        for frame in frames:
            edited = darken(frame)
            writer.write(edited, frame, edited=edited is not frame)
    return writer.n_copied, writer.notes


@pytest.mark.parametrize(("color", "begin"), [(np.float16, (0, 0)), (np.float32, (7, 5))])
def test_what_is_not_edited_keeps_every_bit(tmp_path, color, begin):
    """Also light above white, below black, the depth, and where the file holds less than is seen."""
    folder = write_exr(tmp_path / "in", color=color, begin=begin, compression=OpenEXR.DWAA_COMPRESSION)
    n_copied, notes = edit_pictures(sequence_of(folder), tmp_path / "out")
    assert (n_copied, notes) == (2, [])
    assert names(tmp_path / "out") == names(folder)
    for name in ("shot_0001.exr", "shot_0003.exr"):
        assert len({hashlib.sha256((side / name).read_bytes()).digest() for side in (folder, tmp_path / "out")}) == 1
    (before,), (after,) = (parts_of(side / "shot_0002.exr") for side in (folder, tmp_path / "out"))
    rows, columns = (
        slice(place.start - first, place.stop - first) for place, first in zip(PLACE, begin[::-1], strict=True)
    )
    for name, channel in before.channels.items():
        one, two = channel.pixels, after.channels[name].pixels
        assert one.dtype == two.dtype
        changed = one.view(f"u{one.itemsize}") != two.view(f"u{two.itemsize}")
        assert (changed[rows, columns].mean() > 0.9) == (name in "RGB")
        changed[rows, columns] = False
        assert not changed.any()
    assert after.header["owner"] == "a studio"
    assert after.compression() == OpenEXR.ZIP_COMPRESSION  # for what it was compressed with would change all of it
    assert np.array_equal(after.header["dataWindow"], before.header["dataWindow"])


def test_an_edit_darkens_light_by_what_it_darkens_the_signal(tmp_path):
    """Of primaries other than BT.709's in these."""
    for primaries in (REC709, PRIMARIES[9]):
        folder = write_exr(tmp_path / "in", others=False, chromaticities=primaries)
        edit_pictures(sequence_of(folder), tmp_path / "out", overwrite=True)
        (before,), (after,) = (parts_of(side / "shot_0002.exr") for side in (folder, tmp_path / "out"))
        source, edited = (read(sequence_of(side), keep_rgb=True) for side in (folder, tmp_path / "out"))
        one, two = ([*frames][1].pixels[PLACE].astype(int) for frames in (source, edited))
        luma = (one @ [0.2126, 0.7152, 0.0722], two @ [0.2126, 0.7152, 0.0722])
        assert np.median(luma[1] / luma[0]) == pytest.approx(0.5, abs=0.02)
        assert (after.channels["G"].pixels[PLACE] <= before.channels["G"].pixels[PLACE]).all()


def test_light_becomes_a_signal_and_comes_back(tmp_path):
    light = np.array([0, 0.18, 0.5, 1, 4, 16, 64], np.float32)
    signal = light_to_signal(light)
    np.testing.assert_allclose(signal_to_light(signal), light.astype(np.float16), rtol=5e-4)
    np.testing.assert_allclose(signal[:3] / 65535, [0, 0.4613, 0.7354], atol=1e-3)  # sRGB's
    assert (signal_to_light(light_to_signal(np.array([-1, np.nan, np.inf]))) == signal_to_light([0, 0, 65535])).all()


def test_primaries_become_those_of_bt709():
    aces = (0.7347, 0.2653, 0, 1, 0.0001, -0.077, 0.32168, 0.33767)
    known = [[2.5217, -1.1341, -0.3876], [-0.2765, 1.3727, -0.0962], [-0.0154, -0.1530, 1.1684]]  # by Bradford
    np.testing.assert_allclose(primaries_to_rec709(aces), known, atol=2e-4)
    assert primaries_to_rec709(REC709) is None


def test_the_file_says_its_rate_and_the_shape_of_its_pixels(tmp_path):
    folder = write_exr(tmp_path / "in", framesPerSecond=Fraction(24000, 1001), pixelAspectRatio=2.0)
    info = probe(sequence_of(folder))
    assert (info.rate, info.sample_aspect, info.alpha) == (Fraction(24000, 1001), 2, True)
    assert not any("taken as" in note for note in info.notes)
    assert probe(sequence_of(folder, Fraction(30))).rate == 30


def test_a_layer_over_the_source_is_the_edit(tmp_path):
    folder = write_exr(tmp_path / "in")
    edit_pictures(sequence_of(folder), tmp_path / "out")
    edit_pictures(sequence_of(folder), tmp_path / "layer", layer=True)
    (below,), (edit,), (layer,) = (parts_of(tmp_path / side / "shot_0002.exr") for side in ("in", "out", "layer"))
    assert set(layer.channels) == set("RGBA")
    alpha = layer.channels["A"].pixels
    assert set(np.unique(alpha)) == {0, 1}
    for name in "RGB":
        over = np.where(alpha == 1, layer.channels[name].pixels, below.channels[name].pixels)
        assert np.array_equal(over, edit.channels[name].pixels, equal_nan=True)
        assert not layer.channels[name].pixels[alpha == 0].any()


def test_other_pictures_become_light(tmp_path):
    """By the curve of sRGB, so that EXR read again shows the same; in half floats."""
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"in/a_{number}.png"), picture(number, SIZE)[..., ::-1] // 2)
    assert copy_pictures(sequence_of(tmp_path / "in", Fraction(24)), tmp_path / "out" / "a_%04d.exr") == []
    (written,) = parts_of(tmp_path / "out" / "a_0001.exr")
    assert {channel.pixels.dtype for channel in written.channels.values()} == {np.dtype(np.float16)}
    assert written.header["framesPerSecond"] == 24
    one, two = (next(read(sequence_of(tmp_path / side), keep_rgb=True)).pixels for side in ("in", "out"))
    np.testing.assert_allclose(two / 257, one, atol=0.2)


def test_a_film_says_which_channels_it_leaves_out(tmp_path):
    with read(sequence_of(write_exr(tmp_path / "in"))) as frames, Writer(tmp_path / "out.mov", frames.info) as writer:
        for frame in frames:
            writer.write(frame)
    assert "channels of the EXR are left out: Z, id" in writer.notes
    with av.open(str(tmp_path / "out.mov")) as container:
        assert len(list(container.decode(video=0))) == 3
    assert copy_pictures(sequence_of(tmp_path / "in"), tmp_path / "png" / "a_%d.png")[-1].endswith("left out: Z, id")


def test_texts_of_other_programs_are_read(tmp_path):
    folder = write_exr(tmp_path / "in", comments="graded", xmp="<x:xmpmeta/>")
    texts = read_picture_texts(folder / "shot_0001.exr")
    assert (texts["comment"], texts["owner"], texts["xmp"]) == ("graded", "a studio", "<x:xmpmeta/>")


def refusal(folder, error=InputError, limits=Limits()):  # noqa: B008 - frozen
    with pytest.raises(error) as caught:
        probe(sequence_of(folder), limits)
    return str(caught.value)


def test_what_cannot_be_read_is_refused_first(tmp_path, capfd):
    folder = write_exr(tmp_path / "gray", colors="Y", others=False)
    assert "holds no channels R, G and B (it holds Y)" in refusal(folder)
    assert "whole numbers" in refusal(write_exr(tmp_path / "whole", color=np.uint32, others=False))
    folder = write_exr(tmp_path / "cut")
    path = folder / "shot_0002.exr"
    path.write_bytes(path.read_bytes()[:-2000])
    assert "shot_0002.exr cannot be decoded" in refusal(folder)
    path.write_bytes(path.read_bytes()[:60])
    assert "shot_0002.exr cannot be decoded" in refusal(folder)
    assert "limit is 1,000 pixels" in refusal(write_exr(tmp_path / "in"), LimitError, Limits(max_pixels=1000))
    with pytest.raises(InputError, match="one EXR picture"):
        probe(tmp_path / "in" / "shot_0001.exr")
    assert capfd.readouterr().out == ""


def test_what_reads_exr_is_named_where_it_is_missing(tmp_path, monkeypatch):
    folder = write_exr(tmp_path / "in")
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    assert refusal(folder, UsageError).endswith("which is not installed: pip install 'cdrl[exr]'")
    with pytest.raises(UsageError, match="pip install"):
        output_pattern(tmp_path / "out_%d.exr", None)
