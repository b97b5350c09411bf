"""`cdrl data prepare` touches what it made itself, one run at a time, and what it packs is read back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cdrl.cli.main import main
from cdrl.datasets import packing
from cdrl.datasets.prepared import PreparedDataset
from cdrl.datasets.shards import encode_sample
from cdrl.errors import InputError

OPTIONS = ("--speech", "mel", "--every", "30")
HOLD = f"""
import sys, time
from pathlib import Path
from cdrl.datasets import packing
def wait(*_, **__):
    Path(sys.argv[2]).touch()
    time.sleep(60)
packing.prepare_clip = wait
from cdrl.cli.main import main
main(["data", "prepare", sys.argv[1], "-o", sys.argv[3], *{OPTIONS}])
"""


def prepare(source: Path, output: Path, *more: str) -> int:
    return main(["data", "prepare", str(source), "-o", str(output), *OPTIONS, *more])


@pytest.fixture(scope="module")
def clips(tmp_path_factory, repository) -> Path:
    """Two of the bundled clips."""
    folder = tmp_path_factory.mktemp("clips")
    for emotion in ("ANG", "NEU"):
        shutil.copy(repository / f"examples/1001_DFA_{emotion}_XX.flv", folder)
    return folder


@pytest.fixture(scope="module")
def prepared(clips, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "out"
    assert prepare(clips, folder) == 0
    return folder


@pytest.fixture
def output(prepared, tmp_path) -> Path:
    """A copy of the folder that the clips were prepared into."""
    return shutil.copytree(prepared, tmp_path / "out")


@pytest.mark.parametrize("name", ["photos.tar", "manifest.json"])
def test_restart_in_a_folder_of_somebody_else_removes_nothing(clips, tmp_path, capsys, name):
    theirs = tmp_path / "theirs" / name
    theirs.parent.mkdir()
    theirs.write_text('{"mine": 1}')
    assert prepare(clips, tmp_path / "theirs", "--restart") == 2
    assert name in capsys.readouterr().err and theirs.read_text() == '{"mine": 1}'
    assert [path.name for path in (tmp_path / "theirs").rglob("[!.]*") if path.is_file()] == [name]


def test_a_run_that_goes_on_leaves_files_of_others(clips, output, capsys):
    before = (output / "000000.tar").read_bytes()
    (output / "photos.tar").write_text("mine")
    (output / "parts").mkdir()
    (output / "parts/notes.txt").write_text("mine")
    assert prepare(clips, output) == 0
    assert (output / "photos.tar").read_text() == (output / "parts/notes.txt").read_text() == "mine"
    assert (output / "000000.tar").read_bytes() == before
    (output / "photos.tar").rename(output / "000001.tar")  # the name of the next shard
    assert prepare(clips, output) == 2
    assert "000001.tar" in capsys.readouterr().err and (output / "000001.tar").read_text() == "mine"


def test_restart_removes_what_its_own_manifest_names(clips, output):
    assert prepare(clips, output, "--restart", "--max-seconds", "9") == 0
    assert sorted(path.name for path in output.glob("[!.]*")) == ["000000.tar", "manifest.json"]
    assert json.loads((output / "manifest.json").read_text())["settings"]["max_seconds"] == 9


def test_a_manifest_that_names_files_outside_its_folder_is_refused(clips, output, capsys):
    photos, manifest = output.parent / "photos.tar", output / "manifest.json"
    photos.write_text("mine")
    for content in (manifest.read_text().replace("000000.tar", "../photos.tar"), "[" * 100_000):
        manifest.write_text(content)
        assert prepare(clips, output, "--restart") == 2
    assert "unexpected" not in capsys.readouterr().err and photos.read_text() == "mine"


def test_long_sentences_and_paths_are_packed_and_read_back_whole(clips, tmp_path):
    folder, sentence = tmp_path / "data" / ("a" * 60) / ("b" * 60), ("word " * 3000).strip()
    shutil.copytree(clips, folder)
    paths = sorted(path.relative_to(tmp_path / "data").as_posix() for path in folder.iterdir())
    rows = ["path,actor,emotion,sentence", *(f"{path},1001,angry,{sentence}" for path in paths)]
    (tmp_path / "data/clips.csv").write_text("\n".join(rows))
    for _ in range(2):  # the second run goes on with it
        assert prepare(tmp_path / "data", tmp_path / "out") == 0
        read = PreparedDataset.open([tmp_path / "out"]).clips
        assert [clip.metadata.sentence for clip in read] == [sentence] * 2


def test_metadata_beyond_the_bound_are_refused_where_they_are_written():
    with pytest.raises(InputError, match=r"a_clip: .*1,048,576"):
        encode_sample("a_clip", {"clip": {"sentence": "x" * (1 << 20)}}, (), {})


def test_a_second_run_in_the_folder_is_refused_while_one_is_at_work(clips, tmp_path, capsys):
    folder, begun = tmp_path / "out", tmp_path / "begun"
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(clips), str(begun), str(folder)])
    try:
        while not begun.exists():
            assert first.poll() is None
        for _ in range(2):  # the first refusal must not free the lock for the second
            assert prepare(clips, folder) != 0
            assert "another `cdrl data prepare` is at work" in capsys.readouterr().err
    finally:
        first.kill()
        first.wait()
    assert prepare(clips, folder) == 0


def test_who_had_the_lock_open_when_a_run_ended_still_shuts_others_out(clips, tmp_path, capsys, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    folder, opened = tmp_path / "out", []
    real = packing.prepare_clip

    def open_lock(clip, settings):
        opened.append(next(folder.glob(".*lock")).open("r+"))
        return real(clip, settings)

    monkeypatch.setattr(packing, "prepare_clip", open_lock)
    assert prepare(clips, folder) == 0
    fcntl.flock(opened[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert prepare(clips, folder) != 0
    assert "another `cdrl data prepare` is at work" in capsys.readouterr().err
    for lock in opened:
        lock.close()
