"""Numbered pictures written: the source's own numbers where nothing is edited, all of them or none, sound in time."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from made_clips import picture

from cdrl.errors import OutputError, OutputExistsError, UsageError
from cdrl.media import ColorTags, EncoderOptions, Limits, SequenceWriter, find_sequence, picture_writing, probe, read
from cdrl.media.frames import Frame, PixelFormat
from cdrl.media.numbering import ImageSequence, NumberPattern
from cdrl.media.picture_encoding import frame_rgb
from cdrl.media.picture_writing import output_pattern
from cdrl.media.png import COLOR_CHUNKS, Chunk, color_profile, insert_chunks, read_chunks, read_texts, text_chunk
from cdrl.media.side_data import PQ, HdrMetadata

OPTIONS = EncoderOptions("sequence", threads=1)


def write_pictures(folder: Path, count=4, first=7, kind=np.uint8, channels=3) -> Path:
    """Pictures of noise, which no conversion gives back by chance."""
    folder.mkdir(exist_ok=True)
    dice = np.random.default_rng(3)
    for number in range(first, first + count):
        pixels = dice.integers(0, np.iinfo(kind).max, (48, 64, channels), dtype=kind, endpoint=True)
        cv2.imwrite(str(folder / f"shot_{number:04d}.png"), pixels)
    return folder


def copy_pictures(source: Path | ImageSequence, output: Path, edit=lambda frame: frame, **settings) -> list[str]:
    """Write a clip with `edit` done to each frame; returns the notes."""
    with (
        read(source, keep_rgb=True) as frames,
        SequenceWriter(output, frames.info, OPTIONS, **settings) as writer,
    ):
        for frame in frames:
            writer.write(edit(frame), frame)
    return [*frames.notes, *writer.notes]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("kind", "channels"), [(np.uint8, 3), (np.uint8, 4), (np.uint16, 3), (np.uint16, 4)])
def test_what_is_not_edited_is_equal_and_an_edit_changes_its_place_alone(tmp_path, kind, channels):
    sequence = find_sequence(write_pictures(tmp_path / "in", kind=kind, channels=channels), None, Limits())

    def edit(frame):
        if frame.index != 2:
            return frame
        edited = frame.copy()
        edited.planes[0][10:20, 30:40] //= 2
        return edited

    notes = copy_pictures(sequence, tmp_path / "out", edit)
    assert not any("transparency" in note for note in notes)
    assert names(tmp_path / "out") == [f"shot_{number:04d}.png" for number in range(7, 11)]
    for number in range(7, 11):
        before, after = (cv2.imread(str(tmp_path / side / f"shot_{number:04d}.png"), -1) for side in ("in", "out"))
        assert before.dtype == after.dtype == kind
        changed = (before != after).any(axis=2)
        assert changed[10:20, 30:40].mean() > 0.9 if number == 9 else not changed.any()
        changed[10:20, 30:40] = False
        assert not changed.any()


def test_colors_and_texts_of_the_source_stay(tmp_path):
    folder = write_pictures(tmp_path / "in")
    gamma = Chunk(b"gAMA", struct.pack(">I", 45455))
    profile = Chunk(b"iCCP", b"mine\0\0" + zlib.compress(b"no profile, but kept"))
    for path in folder.iterdir():
        path.write_bytes(insert_chunks(path.read_bytes(), [gamma, profile, text_chunk("author", "Ämilia")]))
    copy_pictures(find_sequence(folder, None, Limits()), tmp_path / "out")
    chunks = list(read_chunks(tmp_path / "out" / "shot_0007.png"))
    assert {gamma, profile} <= set(chunks)
    assert read_texts(chunks) == {"author": "Ämilia"}


def test_a_film_becomes_pictures_of_its_colors(clip, tmp_path):
    film = clip("talk.mkv", codec="ffv1", frames=3, color={"color_primaries": 9, "color_trc": 16, "colorspace": 9})
    notes = copy_pictures(film, tmp_path / "pictures")
    assert names(tmp_path / "pictures") == [f"pictures_{number:04d}.png" for number in (1, 2, 3)]
    assert notes == []
    written = cv2.imread(str(tmp_path / "pictures" / "pictures_0002.png"))[..., ::-1]
    assert np.abs(written[4:20, 4:28].astype(int) - picture(1, (64, 48))[4:20, 4:28]).max() < 40
    assert Chunk(b"cICP", bytes([9, 16, 0, 1])) in read_chunks(tmp_path / "pictures" / "pictures_0001.png")


def test_chroma_stands_where_the_decoder_says(clip):
    """H.264 puts chroma on the left of two pixels; a conversion that centers it comes to 37 dB."""
    film = clip("talk.mp4")
    with av.open(str(film)) as container:
        flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24", interpolation=flags)
    error = np.square(frame_rgb(next(read(film))).astype(float) - expected).mean()
    assert 10 * np.log10(255**2 / error) > 45


@pytest.mark.parametrize(("output", "written"), [
    ("out_%04d.png", "out_%04d.png"),
    ("new/out_###.png", "new/out_%03d.png"),
    ("folder", "folder/shot_%05d.png"),
])  # fmt: skip
def test_outputs_are_patterns_or_folders(output, written):
    source = ImageSequence(NumberPattern(Path("in"), "shot_", 5, ".jpg"), 1, 2, Fraction(25))
    assert output_pattern(Path(output), source).path == Path(written)


def test_outputs_that_make_no_sense_are_refused():
    for output, said in (
        ("a.mp4", "a film"),
        ("out.png", "names one picture"),
        ("out_%04d.jpg", "are PNG or EXR"),
    ):
        with pytest.raises(UsageError, match=said):
            output_pattern(Path(output), None)


def test_nothing_is_half_written_or_replaced(tmp_path):
    folder = write_pictures(tmp_path / "in")
    sequence = find_sequence(folder, None, Limits())
    with pytest.raises(OutputError, match="as the pictures of the input"):
        copy_pictures(sequence, folder / "shot_###.png", overwrite=True)

    def fail(frame):
        if frame.index == 3:
            raise ZeroDivisionError
        return frame

    (tmp_path / "old").mkdir()
    for output in (tmp_path / "new", tmp_path / "old" / "x_%d.png"):
        with pytest.raises(ZeroDivisionError):
            copy_pictures(sequence, output, fail)
    assert names(tmp_path) == ["in", "old"]
    assert names(tmp_path / "old") == []
    for name in ("shot_0001.png", "mine.txt"):
        (tmp_path / "old" / name).write_text(name)  # of no edit
    with pytest.raises(OutputExistsError, match=r"shot_0001\.png exists already"):
        copy_pictures(sequence, tmp_path / "old")
    (tmp_path / "old" / "shot_0099.png").mkdir()
    notes = copy_pictures(sequence, tmp_path / "old", overwrite=True)
    assert names(tmp_path / "old") == ["mine.txt", "shot_0001.png", *names(folder), "shot_0099.png"]
    assert notes[-1].startswith("1 picture of no known edit stay")


def test_an_interrupted_replacement_leaves_the_older_result(tmp_path, monkeypatch):
    sequence = find_sequence(write_pictures(tmp_path / "in"), None, Limits())
    (tmp_path / "old").mkdir()
    older = [f"shot_{number:04d}.png" for number in (7, 8, 9, 99)]
    for name in older:
        (tmp_path / "old" / name).write_text(name)

    def interrupt(temporary, path, *, overwrite):
        if path.name == "shot_0009.png":
            raise KeyboardInterrupt
        temporary.replace(path)

    monkeypatch.setattr(picture_writing, "take_name", interrupt)
    with pytest.raises(KeyboardInterrupt):
        copy_pictures(sequence, tmp_path / "old", overwrite=True)
    assert {path.name: path.read_text() for path in (tmp_path / "old").iterdir()} == {name: name for name in older}


@pytest.mark.parametrize("name", ["take#1 50%d_%04d.png", "a%d_%d.png", "shot_%03d.left.png", "#_%02d_#.png"])
def test_written_names_are_found_again(tmp_path, name):
    pattern = NumberPattern.parse(tmp_path / name)
    assert NumberPattern.parse(pattern.path) == pattern
    assert pattern.number_of(pattern.file(7).name) == 7
    sequence = find_sequence(write_pictures(tmp_path / "in"), None, Limits())
    copy_pictures(sequence, pattern.path)
    assert find_sequence(pattern.path, None, Limits()).count == 4


def test_a_folder_may_be_called_anything(tmp_path):
    folder = write_pictures(tmp_path / "in")
    for path in folder.iterdir():
        path.rename(folder / path.name.replace("shot", "a#b_%d"))
    copy_pictures(find_sequence(folder, None, Limits()), tmp_path / "100%d #2")
    assert names(tmp_path / "100%d #2") == names(folder)
    written = output_pattern(tmp_path / "take#1", None)
    assert output_pattern(written.path, None) == written


def test_the_current_folder_gives_its_name(tmp_path, monkeypatch):
    (tmp_path / "take 2").mkdir()
    monkeypatch.chdir(tmp_path / "take 2")
    assert output_pattern(Path(), None).file(1) == Path("take 2_0001.png")


def test_a_color_profile_of_gray_is_left_out(tmp_path):
    """Pictures of gray become RGB."""
    folder = write_pictures(tmp_path / "in", count=2, channels=1)
    for path in folder.iterdir():
        path.write_bytes(insert_chunks(path.read_bytes(), [color_profile(b"\0" * 16 + b"GRAY" + b"\0" * 108)]))
    info = replace(probe(find_sequence(folder, None, Limits())), icc_profile=b"\0" * 16 + b"GRAY")
    notes = copy_pictures(info, tmp_path / "out")
    assert "color profile is left out" in notes[-1]
    assert not [chunk for chunk in read_chunks(tmp_path / "out" / "shot_0007.png") if chunk.kind == b"iCCP"]


def test_fields_keep_their_own_chroma():
    """A red field woven with a gray one, in 4:2:0."""
    form = PixelFormat("yuv420p", 8, 2, 2, False, "bt709")
    planes = tuple(np.full(shape, 128, np.uint8) for shape in ((16, 8), (8, 4), (8, 4)))
    planes[2][::2] = 200
    woven = Frame(planes, form)
    pixels = frame_rgb(woven, interlaced=True)
    assert (np.ptp(pixels[::2], axis=(0, 1)) <= 1).all()
    assert (np.ptp(pixels[1::2], axis=2) <= 1).all()
    assert (pixels[::2, :, 0] > pixels[1::2, :, 0] + 50).all()
    assert not np.array_equal(frame_rgb(woven), pixels)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_gap_between_frames_is_said(clip, tmp_path, suffix):
    """Matroska says of each frame how long it lasts, whether or not the next one follows then."""
    film = clip(f"film.{suffix}", times=[0, 1, 2, 9, 10], time_base=Fraction(1, 25))
    assert any("frames last unevenly" in note for note in copy_pictures(film, tmp_path / "out"))
    even = clip(f"even.{suffix}", rate=Fraction(30000, 1001))
    assert not any("unevenly" in note for note in copy_pictures(even, tmp_path / "even"))


def test_what_pictures_cannot_hold_is_said(clip, tmp_path):
    film = clip("film.mkv", frames=3, aspect=Fraction(4, 3))
    info = replace(probe(film), first_field="top", hdr=HdrMetadata(light_level=(1000, 400)), timecode="01:00:00:00")
    notes = " ".join(copy_pictures(info, tmp_path / "out"))
    for said in ("interlaced", "the shape of the pixels (4/3)", "timecode 01:00:00:00"):
        assert said in notes
    assert "light levels" not in notes
    assert "light levels are left out: cdrl writes none into EXR" in " ".join(
        copy_pictures(info, tmp_path / "a_%d.exr")
    )


def test_light_levels_become_chunks_and_those_of_the_source_stay(clip, tmp_path):
    primaries = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.329))
    hdr = HdrMetadata(primaries, (0.0001, 1000), (1000, 400))
    color = ColorTags(1, 9, 9, PQ)
    copy_pictures(replace(probe(clip("in.mp4")), hdr=hdr, color=color), tmp_path / "out")
    written = probe(find_sequence(tmp_path / "out", None, Limits()))
    assert (written.hdr, written.color.primaries, written.color.transfer) == (hdr, 9, PQ)
    pixels = Chunk(b"pHYs", struct.pack(">2IB", 2, 1, 0))
    for path in (tmp_path / "out").iterdir():
        path.write_bytes(insert_chunks(path.read_bytes(), [pixels]))
    notes = copy_pictures(find_sequence(tmp_path / "out", None, Limits()), tmp_path / "again")
    assert not any("light" in note or "shape" in note for note in notes)
    both = (read_chunks(next((tmp_path / name).iterdir())) for name in ("out", "again"))
    assert len({frozenset(chunk for chunk in chunks if chunk.kind in COLOR_CHUNKS) for chunks in both}) == 1


def test_a_name_that_appears_meanwhile_is_left_alone(tmp_path):
    sequence = find_sequence(write_pictures(tmp_path / "in"), None, Limits())
    (tmp_path / "out").mkdir()

    def meddle(frame):
        (tmp_path / "out" / "shot_0009.png").write_text("mine")
        return frame

    with pytest.raises(OutputExistsError, match="appeared meanwhile"):
        copy_pictures(sequence, tmp_path / "out", meddle)
    assert names(tmp_path / "out") == ["shot_0009.png"]
    assert (tmp_path / "out" / "shot_0009.png").read_text() == "mine"


@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", "mov"), ("aac", "mp4"), ("flac", "mkv")])
def test_sound_begins_with_the_first_picture(clip, tmp_path, codec, suffix):
    """The tone begins a quarter of a second after the picture."""
    film = clip(f"talk.{suffix}", audio=[codec], audio_start=Fraction(1, 4), frames=10)
    notes = copy_pictures(film, tmp_path / "out")
    assert "lies beside the pictures: out.wav" in " ".join(notes)
    with av.open(str(tmp_path / "out" / "out.wav")) as sound:
        wave = np.concatenate([frame.to_ndarray().ravel() for frame in sound.decode(audio=0)]).astype(float)
    loud = np.flatnonzero(np.abs(wave) > 0.1 * np.abs(wave).max())
    assert abs(loud[0] / 48000 - 0.25) < 0.003
    assert probe(film).duration * 48000 > loud[0]
