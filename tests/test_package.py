"""What holds for the whole package: licenses in the wheel, nothing heavy behind an edit."""

import subprocess
import sys
from importlib.metadata import metadata

from cdrl import assets


def test_both_licenses_are_named():
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
