"""Numbered pictures: read as a film exactly, or refused in one line before anything is edited."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_clips import picture

from cdrl.cli.main import main
from cdrl.errors import InputError, LimitError, UsageError
from cdrl.media import Limits, find_sequence, probe, read
from cdrl.timecodes import parse_rate

SIZE = (64, 48)


def write_pictures(folder: Path, numbers=range(1, 6), name="shot_{:04d}.png", deep=False) -> Path:
    """Made pictures, one a number; returns their folder."""
    folder.mkdir(exist_ok=True)
    for index, number in enumerate(numbers):
        pixels = picture(index, SIZE)[..., ::-1]
        cv2.imwrite(str(folder / name.format(number)), pixels.astype(np.uint16) * 257 if deep else pixels)
    return folder


def refusal(source: Path, error: type[Exception] = InputError, limits: Limits = Limits()) -> str:  # noqa: B008
    with pytest.raises(error) as caught:
        probe(find_sequence(source, None, limits), limits)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "names", "numbers"),
    [
        ("shot_%04d.png", "shot_{:04d}.png", range(998, 1003)),
        ("shot_####.png", "shot_{:04d}.png", range(5)),
        ("a%d.tif", "a{}.tif", range(8, 13)),
        ("", "take 2.{:03d}.jpg", range(86_400, 86_405)),
        ("", "{:06d}.png", range(1, 6)),
    ],
)
def test_a_pattern_or_folder_is_a_film(tmp_path, written, names, numbers):
    folder = write_pictures(tmp_path / "shots", numbers, names)
    (folder / "notes_1.txt").write_text("slate")
    sequence = find_sequence(folder / written, Fraction(24000, 1001), Limits())
    info = probe(sequence)
    assert (info.rate, info.frame_count, info.duration) == (Fraction(24000, 1001), 5, 5 / Fraction(24000, 1001))
    assert [path.name for path in sequence.files()] == [names.format(number) for number in numbers]
    frames = list(read(info))
    assert [frame.time * info.rate for frame in frames] == list(range(5))
    bright = [int(frame.planes[0][-1].argmax()) // 4 for frame in frames]  # where the bar is
    assert bright == list(range(5))
    late = read(info, start=Fraction(7, 2) / info.rate)
    assert [frame.pts for frame in late] == [4]
    assert late.sought


@pytest.mark.parametrize(("suffix", "deep", "depth"), [("png", True, 16), ("tiff", True, 16), ("webp", False, 8)])
def test_depth_stays(tmp_path, suffix, deep, depth):
    folder = write_pictures(tmp_path / "shots", name=f"{{:04d}}.{suffix}", deep=deep)
    assert probe(find_sequence(folder, None, Limits())).format.depth == depth


def test_the_assumed_rate_is_said(tmp_path):
    info = probe(find_sequence(write_pictures(tmp_path / "shots"), None, Limits()))
    assert info.rate == 25
    assert "taken as 25 frames/s" in info.notes[-1]


def test_what_is_wrong_with_a_picture_is_said_first(tmp_path):
    folder = write_pictures(tmp_path / "shots", [1, 2, 4, 5, 8])
    assert "3 pictures are missing between shot_0001.png and shot_0008.png, first shot_0003.png" in refusal(folder)
    folder = write_pictures(tmp_path / "shots", range(1, 9))
    cut = folder / "shot_0006.png"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    assert "shot_0006.png cannot be decoded" in refusal(folder)
    cv2.imwrite(str(cut), picture(0, (32, 48)))
    assert "shot_0006.png is 32x48, rgb24, and shot_0001.png is 64x48" in refusal(folder)
    cv2.imwrite(str(cut), picture(0, SIZE).astype(np.uint16) * 257)
    assert "rgb48be" in refusal(folder)
    cut.write_bytes(b"#EXTM3U\nshot_0001.png\n")
    assert "is a playlist" in refusal(folder)
    cut.unlink()
    os.mkfifo(cut)
    assert "no regular file" in refusal(folder)
    cut.unlink()
    cut.symlink_to(tmp_path / "elsewhere.png")
    assert "leads out of its folder" in refusal(folder)


def test_jpegs_that_are_cut_are_not_filled_up_in_gray(tmp_path):
    folder = write_pictures(tmp_path / "shots", name="{:02d}.jpg")
    whole = (folder / "04.jpg").read_bytes()
    (folder / "04.jpg").write_bytes(whole[: len(whole) // 2])
    assert "04.jpg cannot be decoded" in refusal(folder)


def test_sequences_are_bounded(tmp_path):
    folder = write_pictures(tmp_path / "shots")
    assert "has 5 pictures" in refusal(folder, LimitError, Limits(max_frames=4))
    assert "limit of 1,000 pixels" in refusal(folder, limits=Limits(max_pixels=1000))


def test_what_is_no_sequence_is_refused(tmp_path):
    assert "without numbered pictures" in refusal(tmp_path)
    folder = write_pictures(tmp_path / "shots")
    write_pictures(folder, name="other_{:04d}.png")
    assert "holds 2 sequences (other_%04d.png, shot_%04d.png" in refusal(folder)
    assert "no picture in" in refusal(folder / "none_%04d.png")
    with pytest.raises(UsageError, match="frame rate of its own"):
        find_sequence(folder / "shot_0001.png", Fraction(25), Limits())


def test_rates_are_read_as_people_say_them():
    said = {"25": 25, "23.976": Fraction(24000, 1001), "29.97": Fraction(30000, 1001), "12.5": Fraction(25, 2)}
    assert {text: parse_rate(text) for text in said} == said
    for text in ("0", "1/0", "fast", "2000", "-25"):
        with pytest.raises(UsageError, match="the frame rate"):
            parse_rate(text)


def test_an_edit_of_pictures_is_a_film_and_no_picture_is_replaced(tmp_path, sample, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for frame in read(sample, stop=Fraction(1, 5)):
        cv2.imwrite(f"shot_{frame.index:04d}.png", frame.rgb()[..., ::-1])
    words = ["edit", "shot_####.png", "-e", "happy", "--frame-rate", "29.97"]
    assert main([*words, "--preview", "shot_0003.png", "--overwrite"]) == 2
    assert "is a picture of the source" in capsys.readouterr().err
    assert main([*words, "--save-project", "edit.json"]) == 0
    assert probe("shot_happy.mp4").rate == Fraction(30000, 1001)
    assert main(["edit", "--project", "edit.json", "-o", "again.mp4", "--profile", "ffv1"]) == 2
    assert main(["edit", "--project", "edit.json", "-o", "again.mkv", "--profile", "ffv1"]) == 0
    assert main([*words, "--profile", "sequence"]) == 0
    assert main(["verify", "shot_happy", "--source", "shot_####.png"]) == 0
    assert capsys.readouterr().out.startswith("shot_happy.mp4: 6 of 6 frames edited\n")
    capsys.readouterr()
    assert main(["edit", "shot_0001.png", "-e", "happy"]) == 3
    assert "shot_%04d.png is the sequence" in capsys.readouterr().err
