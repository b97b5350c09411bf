"""A layer over its source is the edit: exactly in PNG, above 50 dB in ProRes 4444; transparent black elsewhere."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from cdrl.cli.main import main
from cdrl.media import EncoderOptions, Limits, SequenceWriter, Writer, find_sequence, probe, read
from cdrl.media.layers import layer_pixels
from cdrl.media.layout import with_full_chroma

SIZE = (96, 64)
PLACE = np.s_[16:40, 24:72]


def edit(frame):
    """A frame with another place; the first frame stays."""
    if frame.index == 0:
        return frame
    edited = frame.copy()
    rows, columns = (slice(part.start // 2, part.stop // 2) for part in PLACE)
    edited.planes[0][PLACE] = edited.planes[0][PLACE] // 2 + 40
    edited.planes[1][rows, columns] += 6
    return edited


def decode(path):
    """[Y, Cb, Cr, alpha] of each picture on the scale of 10 bits."""
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            scale = 2.0 ** (picture.format.components[0].bits - 10)
            lines = [np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1) for plane in picture.planes]
            yield np.stack([plane[:, : picture.width] for plane in lines]) / scale


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_prores_over_the_source_is_the_edit(clip, tmp_path, suffix):
    source = clip("talk.mov", size=SIZE, frames=4, audio=["aac"], metadata={"timecode": "01:00:00:00"})
    layer = tmp_path / f"layer.{suffix}"
    with read(source) as frames, Writer(layer, frames.info, EncoderOptions("prores"), layer=True) as writer:
        for frame in frames:
            writer.write(edit(frame), frame)
    info = probe(layer)
    assert (info.codec, info.rate, info.frame_count or 4, info.audio) == ("prores", Fraction(25), 4, ())
    assert info.timecode == frames.info.timecode == "01:00:00:00"
    for frame, (*above, alpha) in zip(read(source), decode(layer), strict=True):
        below, edited = (np.stack(with_full_chroma(one, 10).planes).astype(float) for one in (frame, edit(frame)))
        opaque = alpha > 512
        assert set(np.unique(alpha)) <= {0, 1023.75}
        composite = np.where(opaque, above, below)
        assert 10 * np.log10(1023**2 / max(np.mean((composite - edited) ** 2), 1e-9)) > 50
        assert opaque.any() == (frame.index > 0)
        far = ~opaque
        far[8:48, 8:88] = False  # blocks of the codec that the place reaches into
        assert np.allclose(np.stack(above)[:, far], [[64], [512], [512]], atol=1)


def test_pictures_over_the_source_are_the_edit(tmp_path):
    dice = np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), dice.integers(0, 256, (*SIZE[::-1], 3), np.uint8))
    options = EncoderOptions("sequence", threads=1)
    with (
        read(find_sequence(tmp_path / "in", None, Limits()), keep_rgb=True) as frames,
        SequenceWriter(tmp_path / "layer", frames.info, options, layer=True) as one,
        SequenceWriter(tmp_path / "full", frames.info, options) as two,
    ):
        for frame in frames:
            edited = edit(frame)
            one.write(edited, frame)
            two.write(edited, frame)
    for number in (1, 2, 3):
        layer, full, source = (cv2.imread(str(tmp_path / of / f"{number}.png"), -1) for of in ("layer", "full", "in"))
        opaque = layer[..., 3] == 255
        assert np.array_equal(np.where(opaque[..., None], layer[..., :3], source), full)
        assert not layer[~opaque].any()
        assert opaque.any() == (number > 1)


def test_a_layer_is_one_piece_and_as_transparent_as_its_source():
    source = np.full((64, 64, 4), 100, np.uint8)
    edited = source.copy()
    edited[10:30, 10:30, :3] = 120
    edited[20, 20, :3] = 100  # changed to what it was
    layer = layer_pixels(edited, source)
    assert (layer[10:30, 10:30, 3] == 100).all()
    assert not layer[40:].any()


@pytest.mark.parametrize(("opacity", "place"), [(128, "edited"), (128, "elsewhere"), (0, "edited")])
@pytest.mark.parametrize("profile", ["sequence", "prores"])
def test_a_half_transparent_source_is_named_where_it_is_edited(tmp_path, profile, opacity, place):
    (tmp_path / "in").mkdir()
    pixels = np.full((*SIZE[::-1], 4), 100, np.uint8)
    pixels[..., 3] = 255
    pixels[PLACE if place == "edited" else np.s_[56:, :8]][..., 3] = opacity
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), pixels)
    with read(find_sequence(tmp_path / "in", None, Limits()), keep_rgb=True) as frames:
        kind, path = (Writer, "layer.mov") if profile == "prores" else (SequenceWriter, "layer")
        with kind(tmp_path / path, frames.info, EncoderOptions(profile, threads=1), layer=True) as writer:
            for frame in frames:
                writer.write(edit(frame), frame)
    assert sum("half transparent" in note for note in writer.notes) == (opacity == 128 and place == "edited")


@pytest.mark.parametrize("height", [64, 1080, 1440])
def test_a_layer_holds_every_pixel_that_was_changed(height):
    dice = np.random.default_rng(1)
    source = np.full((height, 80, 3), 100, np.uint8)
    edited = source + (dice.random((height, 80, 1)) < 0.01).astype(np.uint8)
    layer = layer_pixels(edited, source)
    assert np.array_equal(np.where(layer[..., 3:] > 0, layer[..., :3], source), edited)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--layer", "the profile web cannot hold"),
        ("--layer --profile ffv1", "the profile ffv1 cannot hold"),
        ("--layer --profile prores --side-by-side", "drop --layer or --side-by-side"),
        ("--layer --profile prores -o x.mp4", "end it in .mov"),
    ],
)
def test_layers_that_cannot_be_are_refused(tmp_path, sample, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["edit", str(sample), "-e", "happy", *words.split()]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_layer_is_marked(tmp_path, sample, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["edit", str(sample), "--segments", "0-0.3:happy", "--layer", "--profile", "prores"]
    assert main([*words, "-o", "layer.mov"]) == 0
    assert main(["verify", "layer.mov", "--source", str(sample)]) == 0
    assert "; a layer of what was changed" in capsys.readouterr().out
