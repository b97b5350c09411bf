"""The README's commands and Python, run on the bundled sample as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cdrl.emotions import EMOTIONS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"(<!-- not run[^\n]*-->\n)?```(sh|python)\n(.*?)```", re.DOTALL)


def blocks(language):
    return [body for skip, kind, body in FENCE.findall(README) if kind == language and not skip]


COMMANDS = [line for body in blocks("sh") for line in body.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, sample):
    """A folder as a reader of the README has it: a video, one of somebody angry, and what the commands before made."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "talk.mp4").symlink_to(sample)
    (folder / "angry.mp4").symlink_to(sample.with_name("1001_DFA_ANG_XX.flv"))
    return folder


def run(words, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def test_there_is_something_to_run():
    assert len(COMMANDS) >= 5
    assert len(blocks("python")) == 1


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line, desk):
    words = shlex.split(line)
    done = run(words, desk)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert all(said.startswith("cdrl: warning: ") for said in done.stderr.splitlines())
    for flag in ("-o", "--preview", "--report"):
        if flag in words:
            assert (desk / words[words.index(flag) + 1]).stat().st_size > 0


@pytest.mark.parametrize("body", blocks("python"))
def test_python(body, desk):
    done = run([sys.executable, "-c", body], desk)
    assert done.returncode == 0, done.stderr
    assert (desk / "happy_08.mp4").stat().st_size > 0


def test_what_make_demo_runs(repository, tmp_path):
    done = run([sys.executable, str(repository / "examples" / "demo.py"), str(tmp_path)], repository)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == [f"{name}.mp4" for name in sorted(EMOTIONS)]
    assert (tmp_path / "contact_sheet.png").stat().st_size > 0
    assert str(tmp_path / "contact_sheet.png") in done.stdout


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(target, repository):
    assert "://" in target or (repository / target).exists()
