"""A part of a clip: its frames, its handles, its sound in time, and its timecode."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import av
import cv2
import numpy as np
import pytest
from made_clips import picture

from cdrl.cli.main import main
from cdrl.errors import UsageError
from cdrl.media import EncoderOptions, Limits, SequenceWriter, Writer, find_sequence, probe, read
from cdrl.media.parts import fit_part
from cdrl.timecodes import move_timecode, parse_time

RATE = Fraction(30000, 1001)


def copy_part(info, part, output, profile="web"):
    """Write a part of a clip unchanged."""
    writer = SequenceWriter if profile == "sequence" else Writer
    with (
        read(info, start=part.begin, stop=part.end, keep_rgb=True) as frames,
        writer(output, part.describe(info), EncoderOptions(profile), part=part) as result,
    ):
        for frame in frames:
            result.write(frame, frame)
    return result.notes


def bars(path):
    """Where the bar of each frame is, which is the number of the frame."""
    return [round(int(frame.planes[0][-2].argmax()) / 4) for frame in read(path)]


def loud_from(path):
    """Seconds at which the sound is first loud, and its length."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        pieces = [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(stream)]
        rate = stream.codec_context.sample_rate
    begin = next(time for time, samples in pieces if np.abs(samples).max() > 0.02 * np.iinfo(np.int16).max or (
        samples.dtype.kind == "f" and np.abs(samples).max() > 0.02))  # fmt: skip
    wave = np.concatenate([samples.mean(axis=0) for time, samples in pieces if time >= begin])
    loud = np.flatnonzero(np.abs(wave) > 0.1 * np.abs(wave).max())[0]
    return float(begin) + loud / rate, float(pieces[-1][0] - pieces[0][0]) + pieces[-1][1].shape[1] / rate


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "aac"), ("mov", "pcm_s16le"), ("mkv", "aac")])
def test_a_part_begins_and_ends_at_its_frames_and_its_sound_is_in_time(clip, tmp_path, suffix, codec):
    """The tone begins with frame 10; the part is frames 4 to 11."""
    start = {"audio_start": Fraction(2, 5), "metadata": {"timecode": "01:00:00:20"}}
    info = probe(clip("talk.mov", frames=16, audio=[codec], **start))
    part = fit_part(Fraction(6, 25), Fraction(10, 25), 2, info)
    output = tmp_path / f"part.{suffix}"
    assert copy_part(info, part, output) == []
    assert bars(output) == list(range(4, 12))
    assert probe(output).timecode == "01:00:00:24"
    begin, length = loud_from(output)
    assert abs(begin - 6 / 25) < 0.003
    assert length <= 8 / 25 + 0.03


def test_pictures_of_a_part_keep_their_numbers(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(8):
        cv2.imwrite(str(tmp_path / "in" / f"s{number + 90:03d}.png"), picture(number, (64, 48)))
    info = probe(find_sequence(tmp_path / "in", Fraction(24), Limits()))
    copy_part(info, fit_part(parse_time("00:00:00:03"), Fraction(5, 24), 1, info), tmp_path / "out", "sequence")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"s{number:03d}.png" for number in range(92, 96)]


def test_sound_beside_pictures_is_as_long_as_they_are(clip, tmp_path):
    info = probe(clip("talk.mp4", frames=25, audio=["aac"]))
    copy_part(info, fit_part(Fraction(1, 5), Fraction(3, 5), 0, info), tmp_path / "out", "sequence")
    with av.open(str(tmp_path / "out" / "out.wav")) as sound:
        assert sum(frame.samples for frame in sound.decode(audio=0)) == 48000 * 2 // 5


def test_handles_end_with_the_clip(clip):
    info = probe(clip(frames=12))
    part = fit_part(Fraction(2, 25), Fraction(11, 25), 5, info)
    assert (part.skipped, part.describe(info).frame_count) == (0, 12)
    assert [note.split(":")[0] for note in part.notes] == [
        "the handle before the part has 2 of 5 frames",
        "the handle after the part has about 1 of 5 frames",
    ]


def test_parts_that_make_no_sense_are_refused(clip):
    info = probe(clip(frames=12))
    refused = [("1", "1", "not after"), ("2", None, "lies outside"), ("0", "3", "lies outside")]
    refused += [("0.2", "0.21", "to the same frame"), ("0.47", None, "lies outside")]
    for start, end, said in refused:
        with pytest.raises(UsageError, match=said):
            fit_part(Fraction(start), None if end is None else Fraction(end), 3, info)


def test_timecodes_move_as_they_are_counted():
    """Every drop-frame timecode of twelve minutes, one after the other; SMPTE ST 12-1."""
    counted = [
        f"00:{minute:02d}:{second:02d};{frame:02d}"
        for minute, second, frame in product(range(12), range(60), range(30))
        if second or frame > 1 or minute % 10 == 0
    ]
    assert [move_timecode(counted[0], RATE, number) for number in range(len(counted))] == counted
    assert move_timecode(counted[5000], RATE, 7000) == counted[12000]
    assert move_timecode("23:59:59:24", Fraction(25), 1) == "00:00:00:00"
    assert move_timecode("00:00:00:30", Fraction(25), 1) == move_timecode("noon", RATE, 1) == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--handles 5", "give --from or --to"),
        ("--from 1 --to 0.5", "--to is not after --from"),
        ("--from soon", "--from: 'soon' is no time"),
        ("--to 9", "lies outside the clip, which is 2.0"),
        ("--from 1 --handles -1", "handles is -1"),
    ],
)
def test_the_command_refuses_them_in_one_line(tmp_path, sample, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["edit", str(sample), "-e", "happy", *words.split(), "-o", "out.mp4"]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_edit_of_a_part_counts_from_its_own_beginning(tmp_path, sample, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["edit", str(sample), "--segments", "0-0.3:sad, 1.1-:happy", "--from", "1", "--to", "1.3", "--handles", "2"]
    assert main([*words, "-o", "part.mp4", "--save-project", "part.json"]) == 0
    assert probe("part.mp4").frame_count == 13
    assert main(["verify", "part.mp4", "--source", str(sample)]) == 0
    said = capsys.readouterr().out
    assert "sad" not in said
    assert "happy (1) from 0.1" in said
    assert main(["edit", "--project", "part.json", "-o", "again.mp4"]) == 0
    assert main([*words[:3], "0-0.3:sad", *words[4:], "-o", "none.mp4"]) == 2
    assert "no segment lies in the part" in capsys.readouterr().err
    assert main([*words[:3], "0-0.3:sad", *words[4:], "-o", "none.mp4", "--dry-run"]) == 2
