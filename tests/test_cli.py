"""The command line: every kind of error is one line on stderr with its exit code, and help comes at once.

The editor is replaced by one that does what a test says; what it really does is tested elsewhere.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import cdrl
from cdrl import errors
from cdrl.cli.main import COMMANDS, main
from cdrl.request import REQUEST_FIELDS


class Editor:
    """Remembers what it was asked for, and raises what the test wants."""

    def __init__(self):
        self.failure, self.warnings, self.asked = None, [], {}

    def edit(self, request, limits):
        self.asked = {"limits": limits, **{name: getattr(request, name) for name in REQUEST_FIELDS}}
        return self

    def save(self, path, options, progress):
        self.asked |= {"path": path, "progress": progress, **vars(options)}
        if self.failure is not None:
            raise self.failure
        said = {"to_json": lambda: {"frames": 3}, "summary": lambda: "3 frames edited"}
        return SimpleNamespace(warnings=self.warnings, **said)


@pytest.fixture
def editor(monkeypatch):
    made = Editor()
    monkeypatch.setattr(cdrl, "load", lambda prior=None, model=None: made)
    return made


def complaint(capsys):
    """The one line on stderr; fails where there is more than one, or a traceback, or anything on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert err.startswith("cdrl: error: ")
    return err


def chained(error, cause):
    """An error as libraries written in C raise it when a signal comes while they load."""
    error.__cause__ = cause
    return error


KINDS = [
    (errors.UsageError, 2),
    (errors.InputError, 3),
    (errors.InputNotFoundError, 3),
    (errors.FaceError, 4),
    (errors.OutputError, 5),
    (errors.OutputExistsError, 5),
    (errors.LimitError, 6),
    (errors.ModelFileError, 7),
    (errors.TrainingError, 8),
    (errors.ProvenanceError, 9),
    (errors.JobsFailedError, 10),
    (errors.InterruptedByUser, 130),
    (errors.CdrlError, 1),
]


def test_every_kind_of_error_is_in_the_list():
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CdrlError)}
    assert kinds == {kind for kind, _ in KINDS}


@pytest.mark.parametrize(("kind", "code"), KINDS)
def test_each_kind_of_error_is_one_line_and_its_code(editor, capsys, kind, code):
    editor.failure = kind("something\nis wrong in a.mp4: do this")
    assert main(["edit", "a.mp4", "--emotion", "happy", "-o", "b.mp4"]) == code
    assert complaint(capsys) == "cdrl: error: something is wrong in a.mp4: do this\n"


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (ZeroDivisionError("oops"), 1, "unexpected ZeroDivisionError: oops; run again with --debug"),
        (MemoryError(), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (chained(ImportError("initialization failed"), KeyboardInterrupt()), 130, "interrupted"),
    ],
)
def test_what_nobody_planned_is_one_line_too(editor, capsys, failure, code, said):
    editor.failure = failure
    assert main(["edit", "a.mp4", "--emotion", "happy", "-o", "b.mp4"]) == code
    assert said in complaint(capsys)


def test_debug_shows_where_it_came_from(editor, capsys):
    editor.failure = errors.FaceError("no face")
    assert main(["edit", "a.mp4", "--emotion", "happy", "-o", "b.mp4", "--debug"]) == 4
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("cdrl: error: no face\n")


EDIT = ["edit", "a.mp4", "-o", "b.mp4"]
WRONG = [
    (["app", "--port", "70000"], "--port 70000 is out of range"),
    (["app", "--edits", "0"], "--edits 0"),
    (["completion", "ksh"], "choose one of bash, zsh, fish"),
    ([], "no command is given"),
    (["edti"], r"unknown command 'edti' \(did you mean edit\?\)"),
    (["train"], "needs one of: prior"),
    (["train", "foo"], "unknown command 'train foo': choose from prior"),
    (["evaluate", "tabel"], r"unknown command 'evaluate tabel' \(did you mean table\?\)"),
    (["edit"], "missing: SOURCE, the video to edit, and one of --emotion"),
    (["edit", "happy"], "'happy' looks like an emotion: write cdrl edit SOURCE -e happy"),
    (["edit", "a.mp4", "happy"], "'happy' looks like an emotion: write -e happy"),
    (["edit", "a.mp4", "b.mp4", "-e", "happy"], "unexpected argument 'b.mp4'"),
    (["edit", "-o", "b.mp4", "--emotion", "happy"], "missing: SOURCE"),
    ([*EDIT, "--emotion", "happy", "--project", "p.json"], "--project and --emotion are both given"),
    ([*EDIT, "--from", "1", "--project", "p.json"], "--project and --from are both given"),
    ([*EDIT, "--emotion", "happy", "--save-project", "./a.mp4"], "--save-project a.mp4 is the source"),
    ([*EDIT, "--reference", "./b.mp4", "--overwrite"], "-o b.mp4 is to be written and b.mp4 is read"),
    (
        ["edit", "a.mp4", "-e", "happy", "--profile", "sequence", "-o", "o_%04d.png", "--preview", "o_0003.png"],
        "--preview o_0003.png is a picture of the output",
    ),
    (EDIT, "nothing is asked for"),
    ([*EDIT, "--emotion"], "--emotion"),
    ([*EDIT, "--emotion", "hapy"], "did you mean happy"),
    ([*EDIT, "--emotion", "happy", "--intensity", "2"], "out of range"),
    ([*EDIT, "--emotion", "happy", "--intensity", "nan"], "out of range"),
    (
        [*EDIT, "--emotion", "happy", "--intensity", "strong"],
        "--intensity: 'strong' is not a number: write for example",
    ),
    ([*EDIT, "--emotion", "happy", "--intensity", "160%"], "out of range"),
    ([*EDIT, "--emotion", "happy", "--quality", "good"], "--quality: 'good' is not a number"),
    (["app", "--port", "abc"], "--port: 'abc' is not a whole number"),
    (["batch", ".", "--jobs", "many"], "--jobs: 'many' is not a whole number"),
    ([*EDIT, "--emotion", "happy", "--overwrite=no"], "--overwrite takes no value"),
    ([*EDIT, "--emotion", "happy", "--regions", "nose"], "unknown region 'nose'"),
    ([*EDIT, "--segments", "0-2:happy,1-3:sad"], "overlap"),
    ([*EDIT, "--emotion", "happy", "--segments", "0-1:sad"], "choose one"),
    ([*EDIT, "--emotion", "happy", "--intensty", "1"], r"unknown option --intensty \(did you mean --intensity\?\)"),
    (["verify", "--sourec", "a.mp4"], r"unknown option --sourec \(did you mean --source\?\)"),
    ([*EDIT, "--emotion", "happy", "--quality", "99"], "quality"),
    ([*EDIT, "--emotion", "happy", "--preset", "fastest"], "preset"),
    ([*EDIT, "--emotion", "happy", "--profile", "tape"], "--profile tape: choose one of auto, fast, web, archive"),
    ([*EDIT, "--emotion", "happy", "--profile", "prores"], "mp4 cannot hold the profile prores; end it in .mov or"),
    ([*EDIT, "--emotion", "happy", "--profile", "ffv1", "--quality", "4"], "has a codec of its own: drop quality"),
    (["batch", ".", "-e", "happy", "--profile", "dnxhr"], "--ending .mp4: .mp4 cannot hold the profile dnxhr"),
    ([*EDIT, "--emotion", "happy", "--codec", "mpeg1"], "--codec mpeg1: choose one of auto, h264"),
    ([*EDIT, "--emotion", "happy", "--report", "./a.mp4"], "--report a.mp4 is the source"),
    ([*EDIT, "--emotion", "happy", "--report", "b.mp4"], "--report b.mp4 is the output"),
    ([*EDIT, "--emotion", "happy", "--preview", "c.xyz"], "--preview c.xyz is no picture"),
    ([*EDIT, "--emotion", "happy", "--preview", "c.png", "--report", "c.png"], "--report c.png is --pre"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_usage(editor, capsys, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert re.search(said, complaint(capsys))
    assert editor.asked == {}
    assert list(tmp_path.iterdir()) == []


def test_report_and_preview_are_refused_before_the_work(editor, capsys, tmp_path):
    taken = tmp_path / "taken.json"
    taken.write_text("mine")
    for path, said in [(taken, "exists already"), (tmp_path, "is a folder"), (tmp_path / "no" / "r.json", "no folder")]:
        assert main(["edit", "a.mp4", "--emotion", "happy", "-o", "b.mp4", "--report", str(path)]) == 5
        assert said in complaint(capsys)
    assert editor.asked == {}
    assert taken.read_text() == "mine"


def test_what_is_asked_for_reaches_the_editor(editor, capsys, tmp_path):
    report = tmp_path / "report.json"
    words = "edit a.flv --emotion=happy:0.6+sad:0.4 --intensity .8 --regions brows,eyes --face left -o b.mp4"
    words += " --enroll anger=c.jpg --overwrite --side-by-side --profile fast --quality 20 --max-seconds 9"
    words += f" --report {report}"
    assert main(words.split()) == 0
    assert capsys.readouterr() == ("3 frames edited\n", "")
    asked = editor.asked
    assert (str(asked["source"]), str(asked["path"])) == ("a.flv", "b.mp4")
    assert (asked["emotion"], asked["intensity"], asked["face"]) == ("happy:0.6+sad:0.4", 0.8, "left")
    assert asked["regions"] == ("brows", "eyes")
    assert asked["enroll"] == {"angry": Path("c.jpg")}
    assert (asked["overwrite"], asked["side_by_side"], asked["preview"], asked["progress"]) == (True, True, None, None)
    assert asked["measure_lips"] is True
    assert (asked["encoder"].profile, asked["encoder"].quality) == ("fast", 20)
    assert asked["limits"].max_seconds == 9
    assert json.loads(report.read_text()) == {"frames": 3}
    assert list(tmp_path.iterdir()) == [report]


def test_a_saved_project_asks_for_the_same_again(editor, capsys, tmp_path):
    kept, talk, other = tmp_path / "kept.json", tmp_path / "talk.mp4", tmp_path / "other.mp4"
    words = f"edit {talk} --segments 0-1:happy,1-:reference --reference {tmp_path}/r.jpg --face 2 --enroll sad=s.png"
    assert main([*words.split(), "-o", "b.mp4", "--save-project", str(kept)]) == 0
    first = dict(editor.asked)
    assert main(["edit", "--project", str(kept), "-o", "b.mp4"]) == 0
    assert editor.asked == {**first, "enroll": {"sad": Path.cwd() / "s.png"}}
    assert main(["edit", str(other), "--project", str(kept), "-o", "b.mp4"]) == 0
    assert editor.asked["source"] == other
    capsys.readouterr()
    assert main(["edit", str(other), "--emotion", "sad", "-o", "b.mp4", "--save-project", str(kept)]) == 5
    assert "exists already" in complaint(capsys)


def test_a_project_names_the_profile_and_the_command_another_one(editor, capsys, tmp_path):
    kept = tmp_path / "kept.json"
    assert main(f"edit a.flv -e sad -o b.mov --profile prores --save-project {kept}".split()) == 0
    assert json.loads(kept.read_text())["profile"] == "prores"
    for words, profile in ((["-o", "c.mov"], "prores"), (["-o", "c.mp4", "--profile", "web"], "web")):
        assert main(["edit", "--project", str(kept), *words]) == 0
        assert editor.asked["encoder"].profile == profile
    capsys.readouterr()
    assert main(["edit", "--project", str(kept), "-o", "c.mp4"]) == 2
    assert "cannot hold the profile prores" in complaint(capsys)


def test_warnings_are_one_line_each(editor, capsys):
    editor.warnings = ["the face is seen\nfrom the side", "small"]
    assert main(["edit", "a.mp4", "--reference", "r.jpg", "-o", "b.mp4"]) == 0
    assert capsys.readouterr().err == "cdrl: warning: the face is seen from the side\ncdrl: warning: small\n"


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cdrl {cdrl.__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert main(["train", "--help"]) == 0
    assert "train prior" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    pytest.importorskip(COMMANDS[name][0].partition(":")[0])
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    assert end.value.code == 0
    assert f"usage: cdrl {name}" in capsys.readouterr().out


def test_the_module_runs_and_help_comes_at_once():
    took = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "cdrl", "--help"], capture_output=True, text=True, check=True)
        took.append(time.perf_counter() - start)
    assert done.stdout.startswith("usage: cdrl")
    assert min(took) < 0.5


def test_help_imports_no_network_runtime():
    code = (
        "import sys; from cdrl.cli.main import main; main(['--help'])\n"
        "heavy = {'numpy', 'cv2', 'av', 'tyro', 'rich', 'onnxruntime', 'torch', 'gradio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_terminated_from_outside(tmp_path):
    code = (
        "import cdrl, os, signal, sys, time\n"
        "from cdrl.cli.main import main\n"
        "class Editor:\n"
        "    def edit(self, *a, **k): return self\n"
        "    def save(self, *a, **k): os.kill(os.getpid(), getattr(signal, sys.argv[1])); time.sleep(5)\n"
        "cdrl.load = lambda prior=None, model=None: Editor()\n"
        "sys.exit(main(['edit', 'a.mp4', '--emotion', 'happy', '-o', 'b.mp4']))\n"
    )
    for name in ("SIGTERM", "SIGINT"):
        command = [sys.executable, "-c", code, name]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 130
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("cdrl: error: ")
    assert list(tmp_path.iterdir()) == []
