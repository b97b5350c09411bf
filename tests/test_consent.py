"""The first edit on a machine states what it is for and asks once; scripts say it by a flag or a variable."""

import contextlib
import os
import subprocess
import sys

import pytest

ASKED = "Does everybody whose face you edit agree to it?"
NO_SUCH_FILE = 3  # the edit has begun: consent was given
EDITING = [
    ("edit", "nowhere.mp4", "--emotion", "happy", "-o", "out.mp4"),
    ("batch", "folder", "--emotion", "happy", "-o", "out"),
    ("export", "nowhere.mp4", "--emotion", "happy", "-o", "out.csv"),
    ("live", "--input", "nowhere.mp4", "--emotion", "happy", "--output", "none"),
    ("app", "--no-browser", "--port", "0", "--model", "nowhere.onnx"),
]
NOT_REFUSED = {"edit": NO_SUCH_FILE, "export": NO_SUCH_FILE, "live": NO_SUCH_FILE, "batch": 10, "app": 7}
"""Exit codes for files that are none, once there is consent."""


def read_until_closed(terminal):
    """What was written to a terminal: it comes in parts, and ends in an error on Linux."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1 << 16):
            yield part


@pytest.fixture
def cdrl(tmp_path):
    """`cdrl(words, answer=)`: exit code and what was said, at a terminal where there is an answer."""

    def run(words, answer=None, **variables):
        kept = {key: value for key, value in os.environ.items() if key != "CDRL_I_HAVE_CONSENT"}
        environment = {**kept, "XDG_CONFIG_HOME": str(tmp_path / "settings"), **variables}
        how = {"cwd": tmp_path, "env": environment, "text": True, "timeout": 60}
        command = [sys.executable, "-m", "cdrl", *words]
        if answer is None:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, **how)
            return done.returncode, done.stderr
        ours, theirs = os.openpty()
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(command, stdin=theirs, stdout=theirs, stderr=theirs, check=False, **how)
        os.close(theirs)
        said = b"".join(read_until_closed(ours))
        os.close(ours)
        return done.returncode, said.decode()

    return run


@pytest.fixture
def edit(cdrl):
    return lambda *more, **how: cdrl([*EDITING[0], *more], **how)


def test_asked_once_at_a_terminal(edit):
    code, said = edit(answer="y")
    assert code == NO_SUCH_FILE
    assert "footage of yourself or of people who" in said
    assert ASKED in said
    code, said = edit(answer="")
    assert code == NO_SUCH_FILE
    assert ASKED not in said
    assert edit()[0] == NO_SUCH_FILE  # and what runs without a terminal later


@pytest.mark.parametrize("answer", ["n", "", "maybe"])
def test_anything_but_yes_is_no_and_is_asked_again(edit, answer):
    for _ in range(2):
        code, said = edit(answer=answer)
        assert code == 2
        assert ASKED in said
        assert "nothing is edited" in said


def test_without_a_terminal_it_is_needed_once(edit):
    code, said = edit()
    assert code == 2
    assert said.count("\n") == 1
    assert "--i-have-consent" in said
    assert edit("--i-have-consent")[0] == NO_SUCH_FILE
    assert edit()[0] == NO_SUCH_FILE


def test_the_variable_is_for_this_run_alone(edit):
    assert edit(CDRL_I_HAVE_CONSENT="1")[0] == NO_SUCH_FILE
    assert edit()[0] == 2


@pytest.mark.parametrize("words", EDITING, ids=lambda words: words[0])
def test_every_command_that_edits_asks(words, cdrl, tmp_path):
    if words[0] == "app":
        pytest.importorskip("gradio")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "clip.mp4").write_bytes(b"nothing to see")
    for more, wanted in (([], 2), (["--i-have-consent"], NOT_REFUSED[words[0]])):
        code, said = cdrl([*words, *more])
        assert code == wanted
        assert ("--i-have-consent" in said) == (not more)


def test_where_it_cannot_be_remembered_the_edit_goes_on(edit, tmp_path):
    (tmp_path / "settings").write_text("a file where the folder should be")
    code, said = edit("--i-have-consent")
    assert code == NO_SUCH_FILE
    assert "cannot be remembered" in said
