"""What holds for the whole package: small rooms, licences in the wheel, nothing heavy behind an edit."""

import ast
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from cdrl import assets

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for folder in ("src", "packages", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name


def test_both_licences_are_named():
    named = metadata("cdrl")
    assert named["License-Expression"] == "Apache-2.0 AND CC-BY-NC-SA-4.0"
    assert set(named.get_all("License-File")) == {"LICENSE", "LICENSE-DATA", "NOTICE"}
    assert {asset.license for asset in assets.load_manifest().values()} <= {"Apache-2.0", "CC-BY-NC-SA-4.0"}


def test_fitted_data_is_small():
    fitted = [name for name, asset in assets.load_manifest().items() if asset.license == "CC-BY-NC-SA-4.0"]
    assert all(len(assets.verified_bytes(name)) <= 12_000_000 for name in fitted)


def test_an_edit_imports_nothing_of_training():
    code = (
        "import sys, cdrl.cli.edit, cdrl.pipeline.editor\n"
        "print({'torch', 'scipy', 'matplotlib', 'dlib', 'cdrl.training', 'cdrl.evaluation'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
