"""Entries of a cache appear whole, whoever else is writing them."""

from pathlib import Path

import pytest

from cdrl.files import appearing


def test_two_writers_of_one_entry_do_not_meet(tmp_path: Path) -> None:
    entry = tmp_path / "cache" / "entry.npz"
    with appearing(entry) as first:
        first.write_bytes(b"first")
        with appearing(entry) as second:
            second.write_bytes(b"second")
        assert entry.read_bytes() == b"second"
    assert entry.read_bytes() == b"first"
    assert list(entry.parent.iterdir()) == [entry]


def test_an_entry_that_fails_leaves_nothing(tmp_path: Path) -> None:
    entry = tmp_path / "entry.npy"
    with pytest.raises(RuntimeError), appearing(entry) as partial:
        partial.write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
