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

HOLD = """
import sys, time
from pathlib import Path
from cdrl.datasets import packing
def wait(*_, **__):
    Path(sys.argv[2]).touch()
    time.sleep(60)
packing.prepare_clip = wait
from cdrl.cli.main import main
main(["data", "prepare", sys.argv[1], "-o", sys.argv[3], "--speech", "mel", "--every", "30"])
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory, repository) -> Path:
    """Two of the bundled clips."""
    folder = tmp_path_factory.mktemp("source")
    for emotion in ("ANG", "NEU"):
        shutil.copy(repository / f"examples/1001_DFA_{emotion}_XX.flv", folder)
    return folder


def prepare(source: Path, output: Path, *more: str) -> int:
    return main(["data", "prepare", str(source), "-o", str(output), "--speech", "mel", "--every", "30", *more])


@pytest.mark.parametrize("name", ["photos.tar", "manifest.json"])
def test_restart_in_a_folder_of_somebody_else_removes_nothing(source, tmp_path, capsys, name):
    theirs = tmp_path / "theirs" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"mine": 1}')
    assert prepare(source, tmp_path / "theirs", "--restart") == 2
    assert name in capsys.readouterr().err
    assert theirs.read_text() == '{"mine": 1}'
    assert [path.name for path in (tmp_path / "theirs").rglob("[!.]*") if path.is_file()] == [theirs.name]


def test_a_run_that_goes_on_leaves_files_of_others(source, tmp_path, capsys):
    folder = tmp_path / "out"
    assert prepare(source, folder) == 0
    before = (folder / "000000.tar").read_bytes()
    (folder / "photos.tar").write_text("mine")
    (folder / "parts").mkdir()
    (folder / "parts/notes.txt").write_text("mine")
    assert prepare(source, folder) == 0
    assert (folder / "photos.tar").read_text() == (folder / "parts/notes.txt").read_text() == "mine"
    assert (folder / "000000.tar").read_bytes() == before
    (folder / "photos.tar").rename(folder / "000001.tar")  # the name of the next shard
    assert prepare(source, folder) == 2
    assert "000001.tar" in capsys.readouterr().err
    assert (folder / "000001.tar").read_text() == "mine"


def test_restart_removes_what_its_own_manifest_names(source, tmp_path):
    folder = tmp_path / "out"
    assert prepare(source, folder) == 0
    assert prepare(source, folder, "--restart", "--max-seconds", "9") == 0
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["000000.tar", "manifest.json"]
    assert json.loads((folder / "manifest.json").read_text())["settings"]["max_seconds"] == 9


def test_a_manifest_that_names_files_outside_its_folder_is_refused(source, tmp_path, capsys):
    folder = tmp_path / "out"
    assert prepare(source, folder) == 0
    (tmp_path / "photos.tar").write_text("mine")
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace("000000.tar", "../photos.tar"))
    assert prepare(source, folder, "--restart") == 2
    (folder / "manifest.json").write_text("[" * 100_000)
    assert prepare(source, folder, "--restart") == 2
    assert "unexpected" not in capsys.readouterr().err
    assert (tmp_path / "photos.tar").read_text() == "mine"


def test_a_long_sentence_is_packed_and_read_back_whole(source, tmp_path):
    data, sentence = tmp_path / "data", "word " * 3000
    shutil.copytree(source, data)
    rows = [f"{path.name},1001,angry,{sentence.strip()}" for path in sorted(data.glob("*.flv"))]
    (data / "clips.csv").write_text("\n".join(["path,actor,emotion,sentence", *rows]))
    assert prepare(data, tmp_path / "out") == 0
    try:
        read = [clip.metadata.sentence for clip in PreparedDataset.open([tmp_path / "out"]).clips]
    except InputError as error:
        pytest.fail(str(error))
    assert read == [sentence.strip()] * 2
    assert prepare(data, tmp_path / "out") == 0  # and the run goes on with it


def test_facts_beyond_the_bound_are_refused_where_they_are_written():
    with pytest.raises(InputError, match=r"a_clip: .*1,048,576"):
        encode_sample("a_clip", {"clip": {"sentence": "x" * (1 << 20)}}, (), {})


def test_a_long_path_makes_a_name_that_is_stored(source, tmp_path):
    data, folder = tmp_path / "data", Path("a" * 60, "b" * 60)
    (data / folder).mkdir(parents=True)
    shutil.copy(source / "1001_DFA_ANG_XX.flv", data / folder)
    (data / "clips.csv").write_text(f"path,actor,emotion\n{folder.as_posix()}/1001_DFA_ANG_XX.flv,anna,angry\n")
    assert prepare(data, tmp_path / "out") == 0


def test_a_second_run_in_the_folder_is_refused_while_one_is_at_work(source, tmp_path, capsys):
    folder, begun = tmp_path / "out", tmp_path / "begun"
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(source), str(begun), str(folder)])
    try:
        while not begun.exists():
            assert first.poll() is None
        for _ in range(2):  # the first refusal must not free the lock for the second
            assert prepare(source, folder) != 0
            assert "another `cdrl data prepare` is at work" in capsys.readouterr().err
    finally:
        first.kill()
        first.wait()
    assert prepare(source, folder) == 0


def test_who_had_the_lock_open_when_a_run_ended_still_shuts_others_out(source, tmp_path, capsys, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    folder, opened = tmp_path / "out", []
    real = packing.prepare_clip

    def open_lock(clip, settings):
        opened.append(next(folder.glob(".*lock")).open("r+"))
        return real(clip, settings)

    monkeypatch.setattr(packing, "prepare_clip", open_lock)
    assert prepare(source, folder) == 0
    fcntl.flock(opened[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert prepare(source, folder) != 0
    assert "another `cdrl data prepare` is at work" in capsys.readouterr().err
    for lock in opened:
        lock.close()
