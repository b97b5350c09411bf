"""A few inputs of the fuzz command's: the same each time, made from the bundled clip; one of nearly every kind."""

import json
import subprocess
import sys

import pytest

INPUTS = 33  # the kinds there are


def fuzz(repository, folder, *words):
    script = repository / "benchmarks" / "fuzz.py"
    words = [sys.executable, str(script), "--failures", str(folder / "kept"), *words]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.skipif(sys.platform != "linux", reason="it forks, and reads /proc")
def test_no_input_crashes_hangs_leaves_or_changes_anything(repository, tmp_path):
    pytest.importorskip("torch")
    done = fuzz(repository, tmp_path, "--inputs", str(INPUTS))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {cells[0]: cells[1:] for line in done.stdout.splitlines() if (cells := line.strip("│ ").split("│"))[1:]}
    total = [cell.strip() for cell in next(cells for kind, cells in rows.items() if kind.strip() == "all")]
    inputs, refused, edited, *faults = total[:10]
    assert int(inputs) == INPUTS
    assert int(refused) + int(edited) == INPUTS
    assert int(edited) >= 5  # good files among them
    assert set(faults) == {"0"}
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.skipif(sys.platform != "linux", reason="it forks, and reads /proc")
def test_faults_are_seen_and_can_be_replayed(repository, tmp_path):
    case = {"kind": "x", "index": 0, "files": {}, "words": ["verify", "nowhere.mp4"]}
    for number, (expected, word) in enumerate({"refusal": "refused", "success": "wrong outcome"}.items()):
        (tmp_path / "case.json").write_text(json.dumps(case | {"expected": expected}))
        done = fuzz(repository, tmp_path, "--replay", "case.json")
        assert (done.returncode, done.stdout.split("\n")[0]) == (number, word), done.stderr
