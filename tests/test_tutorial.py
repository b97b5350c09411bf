"""The tutorial notebook runs from its first cell to its last."""

import json
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_every_cell_of_the_tutorial_runs(monkeypatch, capsys):
    monkeypatch.chdir(EXAMPLES)
    names: dict[str, object] = {}
    cells = json.loads((EXAMPLES / "tutorial.ipynb").read_text())["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    shown = capsys.readouterr().out
    assert "61 of 61 frames edited" in shown
    assert shown.endswith("verified\n")
