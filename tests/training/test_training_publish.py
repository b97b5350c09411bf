"""What is published replaces nothing unasked, and that is said before any work."""

import pytest

from cdrl.cli import main as cli

pytest.importorskip("torch")


@pytest.mark.parametrize("recipe", ["content", "emotion", "vlm", "sync", "translator"])
def test_a_file_that_is_there_is_not_replaced_by_what_is_trained(recipe, tmp_path, capsys):
    there = tmp_path / "mine.safetensors"
    there.write_text("mine")
    words = ["train", recipe, "--data", str(tmp_path), "--publish", str(there)]
    assert cli.main([*words, "--output", str(tmp_path / "run")]) == 5
    said = capsys.readouterr().err
    assert str(there) in said
    assert "--overwrite" in said
    assert there.read_text() == "mine"
    assert not (tmp_path / "run").exists()
    assert cli.main([*words, "--output", str(tmp_path / "run"), "--overwrite"]) == 3  # no prepared folder


def test_a_folder_with_another_list_is_refused(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"name": "my app"}')
    words = ["train", "content", "--data", str(tmp_path), "--publish", str(tmp_path / "content.safetensors")]
    assert cli.main([*words, "--output", str(tmp_path / "run")]) == 2
    assert "no list of model files" in capsys.readouterr().err
