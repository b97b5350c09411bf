"""Nothing loads unverified: the list of model files, and what happens when a file is not what the list says."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cdrl import assets
from cdrl.errors import CdrlError, ModelFileError


@pytest.fixture
def shelf(tmp_path):
    """A folder with one listed file."""
    (tmp_path / "net.bin").write_bytes(b"weights")
    assets.register_asset(tmp_path / "net.bin", "CC0-1.0", "made up")
    return tmp_path


def test_everything_that_ships_is_listed_and_verified():
    shipped = {path.name for path in assets.folder().iterdir() if path.suffix not in {".json", ".py", ".lock"}}
    assert set(assets.load_manifest()) >= shipped - {"__pycache__"}
    for name in assets.load_manifest():
        assert assets.verified_path(name).is_file()


def test_nothing_that_ships_says_in_whose_folders_it_was_made():
    for name in assets.load_manifest():
        assert b"site-packages" not in assets.verified_bytes(name)


def test_the_landmark_bundle_is_the_one_that_was_checked():
    digest = hashlib.sha256(assets.verified_bytes(assets.LANDMARKS)).hexdigest()
    assert digest == "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"


def test_the_notice_names_the_bundle_with_its_hash(repository):
    assert assets.load_manifest()[assets.LANDMARKS].sha256 in (repository / "NOTICE").read_text()


def test_recorded_file_loads(shelf):
    assert assets.verified_bytes("net.bin", shelf) == b"weights"
    assert assets.load_manifest(shelf)["net.bin"].license == "CC0-1.0"


def test_recording_again_replaces_only_that_entry(shelf):
    (shelf / "other.bin").write_bytes(b"other")
    assets.register_asset(shelf / "other.bin", "CC0-1.0", "made up too")
    (shelf / "net.bin").write_bytes(b"new weights")
    assets.register_asset(shelf / "net.bin", "CC-BY-4.0", "refitted")
    assert assets.verified_bytes("net.bin", shelf) == b"new weights"
    assert assets.verified_bytes("other.bin", shelf) == b"other"


def test_one_changed_bit_is_refused(shelf):
    (shelf / "net.bin").write_bytes(b"weightt")
    with pytest.raises(ModelFileError, match=r"net\.bin is damaged or was replaced"):
        assets.verified_bytes("net.bin", shelf)
    with pytest.raises(ModelFileError, match="damaged"):
        assets.user_bytes(shelf / "net.bin")


def test_missing_file(shelf):
    (shelf / "net.bin").unlink()
    with pytest.raises(ModelFileError, match=r"net\.bin is missing"):
        assets.verified_path("net.bin", shelf)


def test_unlisted_file_is_not_loaded_from_the_shelf(shelf):
    (shelf / "extra.bin").write_bytes(b"?")
    with pytest.raises(ModelFileError, match=r"extra\.bin is not in the list"):
        assets.verified_bytes("extra.bin", shelf)


def test_a_users_own_file_needs_no_list(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"mine")
    assert assets.user_bytes(tmp_path / "mine.npz") == b"mine"


@pytest.mark.parametrize("path", ["nowhere.npz", "."])
def test_a_users_wrong_path(tmp_path, path):
    with pytest.raises(ModelFileError) as caught:
        assets.user_bytes(tmp_path / path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}}", '{"a": 3}', '{"a": {"sha256": "x"}}', '{"a": null}'])
def test_a_broken_list(tmp_path, text):
    (tmp_path / assets.MANIFEST).write_text(text)
    with pytest.raises(ModelFileError, match="reinstall"):
        assets.verified_bytes("a", tmp_path)


def test_a_list_with_a_hash_that_is_none(tmp_path):
    entry = {"sha256": "abc", "license": "CC0-1.0", "origin": ""}
    (tmp_path / assets.MANIFEST).write_text(json.dumps({"a": entry}))
    with pytest.raises(ModelFileError, match="no valid SHA-256 for a"):
        assets.load_manifest(tmp_path)


RECORD = """
import sys
from pathlib import Path
from cdrl import assets
for number in range(40):
    path = Path(sys.argv[1], f"{sys.argv[2]}{number}.bin")
    path.write_text("weights")
    assets.register_asset(path, "CC0-1.0", "made up")
"""


def test_processes_that_record_at_once_lose_no_entry(tmp_path):
    runs = [subprocess.Popen([sys.executable, "-c", RECORD, str(tmp_path), name]) for name in ("a", "b")]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert len(assets.load_manifest(tmp_path)) == 80


def test_a_list_that_cannot_be_written_stays_as_it_was(shelf, monkeypatch):
    before = (shelf / assets.MANIFEST).read_bytes()
    with pytest.raises(CdrlError, match="No space left"):
        monkeypatch.setattr("pathlib.Path.open", full_after_opening(Path.open))
        assets.register_asset(shelf / "net.bin", "CC-BY-4.0", "refitted")
    monkeypatch.undo()
    assert (shelf / assets.MANIFEST).read_bytes() == before


def full_after_opening(real):
    """`Path.open` on a full disk: what is opened to be written is emptied, and takes nothing."""

    def opened(self, mode="r", *rest, **more):
        file = real(self, mode, *rest, **more)
        if "w" in mode:
            file.close()
            raise OSError(28, "No space left on device")
        return file

    return opened
