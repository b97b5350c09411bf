"""`cdrl doctor`: 0 when editing can run, 7 when it cannot, and then it says what to do."""

import shutil

import pytest

from cdrl import assets
from cdrl.cli import doctor
from cdrl.cli.main import main


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A copy of the shipped files, with a prior among them, that a test may damage."""
    shutil.copytree(assets.folder(), tmp_path / "data")
    if assets.PRIOR not in assets.load_manifest(tmp_path / "data"):
        (tmp_path / "data" / assets.PRIOR).write_bytes(b"a stand-in")
        assets.register_asset(tmp_path / "data" / assets.PRIOR, "CC0-1.0", "a stand-in")
    monkeypatch.setattr(assets, "folder", lambda: tmp_path / "data")
    return tmp_path / "data"


def test_all_is_well(shelf, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "SHA-256 verified" in out
    assert "libx264" in out
    assert out.endswith("cdrl edit can run\n")
    assert "FAIL" not in out


def test_a_damaged_network(shelf, capsys):
    (shelf / assets.LANDMARKS).write_bytes(b"?")
    assert main(["doctor"]) == 7
    out = capsys.readouterr().out
    assert "damaged or was replaced" in out
    assert "reinstall" in out
    assert "cannot run" in out


def test_no_list(shelf, capsys):
    (shelf / assets.MANIFEST).unlink()
    assert main(["doctor"]) == 7
    assert "manifest.json" in capsys.readouterr().out


def test_a_package_that_does_not_import(shelf, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "NEEDED", {"numpy": "no_such_module"})
    assert main(["doctor"]) == 7
    assert "install it: pip install 'numpy" in capsys.readouterr().out


def test_no_encoder(shelf, monkeypatch, capsys):
    import av

    def missing(name, mode):
        raise ValueError(name)

    monkeypatch.setattr(av, "Codec", missing)
    assert main(["doctor"]) == 7
    assert "FAIL  encoder libx264" in capsys.readouterr().out
