"""The tab key in bash, driven through bash's own completion machinery, and the scripts for the other shells."""

import shutil
import subprocess
import sys

import pytest

TAB = r"""
source cdrl.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
function=$(complete -p cdrl | sed 's/.*-F \([^ ]*\).*/\1/')
$function cdrl "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the script and a video."""
    folder = tmp_path_factory.mktemp("desk")
    done = subprocess.run([sys.executable, "-m", "cdrl", "completion", "bash"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "cdrl.bash").write_bytes(done.stdout)
    (folder / "talk.mp4").touch()
    return folder


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cdrl ver", {"verify"}),
        ("cdrl evaluate tab", {"table"}),
        ("cdrl edit --seg", {"--segments"}),
        ("cdrl edit tal", {"talk.mp4"}),
        ("cdrl edit talk.mp4 -e hap", {"happy"}),
        ("cdrl edit talk.mp4 --reference tal", {"talk.mp4"}),
        ("cdrl edit talk.mp4 --codec he", {"hevc"}),
        ("cdrl edit talk.mp4 --preset sup", {"superfast"}),
        ("cdrl batch --profile pro", {"prores"}),
        ("cdrl data prepare --lay", {"--layout"}),
        ("cdrl completion f", {"fish"}),
    ],
)
def test_tab_completes_commands_options_values_and_files(desk, line, found):
    done = subprocess.run(
        ["bash", "--norc", "-c", TAB, "tab", *line.split(" ")], capture_output=True, text=True, cwd=desk, check=True
    )
    assert set(done.stdout.split()) == found, done.stderr
