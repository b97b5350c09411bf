"""Animated WebP: every frame at its millisecond, transparency as of other clips, and what is cut is said."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from cdrl.errors import InputError, LimitError, UsageError
from cdrl.media import EncoderOptions, Limits, Writer, probe, read

LENGTHS = [40, 33, 100, 7, 40]
PROFILE = b"\0" * 36 + b"acsp" + b"\0" * 88


@pytest.fixture
def animation(tmp_path):
    """A gray that becomes brighter, with a square that is half transparent but in the first frame."""
    pictures = []
    for index in range(len(LENGTHS)):
        pixels = np.full((48, 64, 4), (*[40 * index] * 3, 255), np.uint8)
        pixels[:10, :10, 3] = 128 if index else 255
        pictures.append(Image.fromarray(pixels))
    path = tmp_path / "wave.webp"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=LENGTHS, lossless=True, icc_profile=PROFILE
    )
    return path


def test_frames_times_and_transparency(animation):
    reader = read(animation, keep_rgb=True)
    frames = list(reader)
    assert [frame.time for frame in frames] == [Fraction(sum(LENGTHS[:index]), 1000) for index in range(5)]
    assert [frame.duration * frame.time_base for frame in frames] == [Fraction(length, 1000) for length in LENGTHS]
    assert [frame.pixels[-1, -1].tolist() for frame in frames] == [[40 * index] * 3 + [255] for index in range(5)]
    assert [int(frame.pixels[0, 0, 3]) for frame in frames] == [255, 128, 128, 128, 128]
    assert [int(frame.alpha[0, 0]) for frame in frames] == [255, 128, 128, 128, 128]
    info = reader.info
    assert (info.width, info.height, info.photo, info.frame_count) == (64, 48, False, 5)
    assert (info.duration, info.icc_profile, reader.notes) == (Fraction(220, 1000), PROFILE, [])


def test_a_later_part_and_a_second_reading_are_the_same(animation):
    info = probe(animation)
    assert [frame.time for frame in read(info, start=Fraction(1, 10))] == [Fraction(173, 1000), Fraction(180, 1000)]
    assert len(list(read(info))) == 5


@pytest.mark.parametrize("name", ["out.mov", "out.mp4"])
def test_it_is_written_as_a_film(animation, tmp_path, name):
    options = EncoderOptions("prores" if name.endswith("mov") else "web")
    with read(animation) as reader, Writer(tmp_path / name, reader.info, options) as writer:
        for frame in reader:
            writer.write(frame)
    frames = list(read(tmp_path / name))
    assert [frame.time for frame in frames] == [Fraction(sum(LENGTHS[:index]), 1000) for index in range(5)]
    assert any("transparen" in note for note in writer.notes) == (name == "out.mp4")
    assert (frames[0].alpha is not None) == (name == "out.mov")


def test_what_is_cut_gives_the_frames_before(animation):
    data = animation.read_bytes()
    animation.write_bytes(data[: data.rindex(b"ANMF") + 20])
    reader = read(animation)
    assert len(list(reader)) == 4
    assert any("its end is missing" in note and "4 frames" in note for note in reader.notes)
    animation.write_bytes(data[: data.index(b"ANMF") + 20])
    with pytest.raises(InputError, match="no frame can be decoded"):
        probe(animation)


@pytest.mark.parametrize(
    ("limits", "said"),
    [(Limits(max_pixels=64 * 47), "64x48"), (Limits(max_frames=4), "frames"), (Limits(max_seconds=0), "lasts")],
)
def test_limits(animation, limits, said):
    with pytest.raises(LimitError, match=said):
        list(read(animation, limits))


def test_without_pillow_one_line_says_what_to_install(animation, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"^an animated WebP needs PIL, .* pip install 'cdrl\[webp\]'$"):
        probe(animation)
