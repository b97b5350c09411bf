"""`cdrl edit` without `-o`, and `--dry-run`: the result's name, one line of success, nothing written by a rehearsal."""

import shutil
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest

from cdrl.cli.main import main


@pytest.fixture
def desk(tmp_path, sample, monkeypatch):
    """A folder with a clip, that is the current one."""
    shutil.copy(sample, tmp_path / "talk.flv")
    shutil.copy(sample, tmp_path / "talk.mov")
    shutil.copy(sample.with_name("1001_DFA_ANG_XX.flv"), tmp_path / "Mona Lisa.flv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cdrl(*words):
    return subprocess.run([sys.executable, "-m", "cdrl", *words], capture_output=True, text=True, check=False)


def test_the_result_lies_beside_the_source_and_never_takes_anothers_name(desk):
    (desk / "talk_happy.mp4").write_bytes(b"mine")
    (desk / "talk_happy_2.mp4.provenance.json").write_bytes(b"mine")
    done = cdrl("edit", "talk.flv", "-e", "happy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "talk_happy_3.mp4: 61 of 61 frames edited\n"
    assert "cdrl: note: talk_happy.mp4 exists already, so the result is talk_happy_3.mp4\n" in done.stderr
    assert (desk / "talk_happy.mp4").read_bytes() == (desk / "talk_happy_2.mp4.provenance.json").read_bytes() == b"mine"
    assert (desk / "talk_happy_3.mp4.provenance.json").exists()


def test_mov_of_10_bits_becomes_mp4_which_browsers_play(desk, capsys):
    with av.open("deep.mov", "w") as output:
        stream = output.add_stream("prores_ks", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv422p10le"
        output.mux([*stream.encode(av.VideoFrame(64, 48, "yuv422p10le")), *stream.encode(None)])
    for words, result in (
        ("", "deep_happy.mp4: MP4, av1"),
        ("--profile archive", "deep_happy.mov: MOV, hevc"),
        ("--profile prores", "deep_happy.mov: MOV, prores"),
        ("-o deep.2.mov", "deep.2.mov: MOV, hevc"),
    ):
        assert main(["edit", "deep.mov", "-e", "happy", "--dry-run", *words.split()]) == 0
        assert result in capsys.readouterr().out


def test_a_folder_that_is_taken_keeps_its_whole_name(desk, capsys):
    (desk / "talk.flv").rename(desk / "talk.v2.flv")
    (desk / "talk.v2_happy").mkdir()
    assert main(["edit", "talk.v2.flv", "-e", "happy", "--profile", "sequence", "--dry-run"]) == 0
    assert "talk.v2_happy_2/talk.v2_happy_2_%04d.png" in capsys.readouterr().out


def test_the_result_of_the_current_folders_pictures_lies_beside_it(desk, monkeypatch, capsys):
    (desk / "shots").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(desk / "shots" / f"a_{number}.png"), np.zeros((32, 32, 3), np.uint8))
    monkeypatch.chdir(desk / "shots")
    assert main(["edit", ".", "-e", "happy", "--dry-run"]) == 0
    assert f"{desk.resolve() / 'a_happy.mp4'}: MP4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("talk.flv -e happy:0.6+surprised:0.4", "talk_happy-surprised.mp4"),
        ("talk.flv -e happy --profile prores", "talk_happy.mov"),
        ("talk.flv -e happy --profile ffv1", "talk_happy.mkv"),
        ("talk.mov -e ANG", "talk_angry.mov"),
        ("talk.flv --segments 0:00-1:happy", "talk_edited.mp4"),
        ("talk.flv -e sad --overwrite", "talk_sad.mp4"),
        ("talk.flv -e fear", "talk_fear_2.mp4"),
    ],
)
def test_a_rehearsal_names_the_result_and_writes_nothing(desk, capsys, words, name):
    (desk / "talk_sad.mp4").touch()
    (desk / "talk_fear.mp4").touch()
    before = sorted(desk.iterdir())
    assert main(["edit", *words.split(), "--dry-run"]) == 0
    assert f"result   {name}: " in capsys.readouterr().out
    assert sorted(desk.iterdir()) == before


def test_a_reference_names_the_result(desk, capsys):
    assert main(["edit", "talk.flv", "--reference", "Mona Lisa.flv", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "result   talk_like_Mona Lisa.mp4" in out
    assert "480x360, 29.97 frames/s" in out
