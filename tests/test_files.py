"""Files appear whole or not at all, whoever else writes them; JSON of strangers is read without harm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdrl.errors import OutputError, OutputExistsError
from cdrl.files import MAX_DEPTH, atomic_path, atomic_write, loads_untrusted
from cdrl.locks import lock_file, lock_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    entry = tmp_path / "entry.npz"
    with atomic_path(entry) as first:
        first.write_bytes(b"first")
        with atomic_path(entry) as second:
            second.write_bytes(b"second")
        assert entry.read_bytes() == b"second"
    assert entry.read_bytes() == b"first"
    assert names(tmp_path) == ["entry.npz"]


_WRITERS = """
import sys
from pathlib import Path
from cdrl.files import atomic_write
for _ in range(150):
    atomic_write(Path(sys.argv[1]), [sys.argv[2].encode() * 1000, b"end"])
"""


def test_two_processes_write_one_name_300_times(tmp_path):
    target = tmp_path / "report.json"
    running = [subprocess.Popen([sys.executable, "-c", _WRITERS, target, letter]) for letter in "ab"]
    assert [process.wait() for process in running] == [0, 0]
    assert target.read_bytes() in (b"a" * 1000 + b"end", b"b" * 1000 + b"end")
    assert names(tmp_path) == ["report.json"]


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "entry.npy") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    with pytest.raises(OutputError, match="cannot be written"):
        atomic_write(tmp_path / "none" / "entry.npy", [b"x"])
    assert names(tmp_path) == []


def test_a_users_file_that_looks_like_ours_stays(tmp_path):
    (tmp_path / "report.json.partial").write_text("mine")
    atomic_write(tmp_path / "report.json", [b"{}"])
    assert (tmp_path / "report.json.partial").read_text() == "mine"


def no_links(*paths: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_what_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "result.mp4"
    with pytest.raises(FileExistsError), atomic_path(target, overwrite=False) as temporary:
        temporary.write_bytes(b"ours")
        target.write_bytes(b"theirs")
    with pytest.raises(OutputExistsError, match=r"--overwrite \(overwrite=True"):
        atomic_write(target, [b"ours"], overwrite=False)
    assert target.read_bytes() == b"theirs"
    atomic_write(tmp_path / "new.mp4", [b"ours"], overwrite=False)
    assert (tmp_path / "new.mp4").read_bytes() == b"ours"
    assert names(tmp_path) == ["new.mp4", "result.mp4"]


def test_a_folder_is_one_runs_at_a_time(tmp_path):
    with lock_folder(tmp_path / "run", "cdrl test"):
        again = lock_folder(tmp_path / "run", "cdrl test")
        with pytest.raises(OutputError, match="another `cdrl test` is at work"), again:
            pass
        with lock_file(tmp_path / "other.lock", tmp_path / "other", "cdrl test"):
            pass
    with lock_folder(tmp_path / "run", "cdrl test"):
        pass


_HOLDER = """
import sys, time
from pathlib import Path
from cdrl.locks import lock_folder
with lock_folder(Path(sys.argv[1]), "cdrl test"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    with subprocess.Popen([sys.executable, "-c", _HOLDER, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="at work"), lock_folder(tmp_path, "cdrl test"):
            pass
        holder.kill()
    with lock_folder(tmp_path, "cdrl test"):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60 + "]" * 60,
        '{"a":' * 60 + "1" + "}" * 60,
        '["]]]]]]]]]]",' * 3000 + "[" * 2000,
        '"' + '\\"' * 200_000,
        "[" * 51,
    ],
)
def test_json_that_would_exhaust_the_stack_or_never_ends_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        loads_untrusted(text)


def test_brackets_in_strings_are_free():
    name = "[" * 5000 + '\\"{{{'
    assert loads_untrusted(f'{{"name": "{name}"}}') == {"name": name.replace('\\"', '"')}
    assert loads_untrusted("[" * MAX_DEPTH + "]" * MAX_DEPTH)
