"""The README's commands and Python, run on the bundled sample as they stand there; those of docs/ are parsed."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from itertools import groupby
from pathlib import Path

import pytest

from cdrl.cli.arguments import parse_options
from cdrl.cli.main import COMMANDS as KNOWN
from cdrl.cli.main import _find_command
from cdrl.cli.names import import_command
from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]}
sys.path[:0] = [str(ROOT)]  # where the experiments are
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
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
    assert re.fullmatch(r"\S+: \d+ of \d+ frames (edited|with a face)\n", done.stdout)
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


def after_program(words):
    """The words after `cdrl`, or from the name of an experiment's module on; none where neither is called."""
    for place, word in enumerate(words):
        if word == "cdrl":
            return tuple(words[place + 1 :])
        if word.startswith("experiments."):
            return tuple(words[place:])
    return ()


def shown(text):
    """The commands that a page shows in a block, and those it names within a sentence, see `after_program`."""
    whole, named = set(), set(re.findall(r"`(?:cdrl |python -m (?=experiments\.\w))([^`]+)`", text))
    for _, kind, body in FENCE.findall(text):
        for line in body.replace("\\\n", " ").splitlines() if kind == "sh" else ():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
            lexer.whitespace_split = True
            for between, words in groupby(lexer, {"|", "&&", ";", ">"}.__contains__):
                command = list(words)
                if not between and (rest := after_program(command)):
                    whole.add(rest)
    return whole, {tuple(shlex.split(text)) for text in named}


SHOWN = [shown(text) for text in PAGES.values()]


def parsed(words):
    """Parse a command as the command line does; what it complains of, "" where it does not."""
    if words[0].startswith("-"):
        assert words[0] in {"--help", "--version"}
        return ""
    if " ".join(words) in {name.split()[0] for name in KNOWN}:
        return ""  # a group, as in "the judges of `cdrl evaluate`"
    options, rest, program = find_options([word for word in words if word != "--help"])
    try:
        parse_options(options, rest, program)
    except UsageError as error:
        return str(error).removesuffix(f"; see {program} --help")
    return ""


def find_options(words):
    """The options, the further words and the name of a command of `cdrl` or of an experiment."""
    if words[0].startswith("experiments."):
        pytest.importorskip("torch")
        return import_module(words[0]).Options, words[1:], f"python -m {words[0]}"
    name, rest = _find_command(words)
    pytest.importorskip(KNOWN[name][0].partition(":")[0])
    return import_command(name).Options, rest, f"cdrl {name}"


@pytest.mark.parametrize("words", sorted(set().union(*(whole for whole, _ in SHOWN))), ids=" ".join)
def test_every_command_that_is_shown_can_be_given(words):
    assert parsed(words) == ""


@pytest.mark.parametrize("words", sorted(set().union(*(named for _, named in SHOWN))), ids=" ".join)
def test_every_command_that_is_named_exists(words):
    said = parsed(words)
    assert re.fullmatch(r"(missing: [^;]*)?", said)  # a sentence need not name the files


def test_a_command_that_does_not_exist_is_found_out():
    whole, named = shown(
        "```sh\nX=1 cdrl edit a.mp4 --emotoin sad -o 'b|c.mp4' | mpv -  # why\n```\nsee `cdrl edit --fast`"
    )
    assert whole == {("edit", "a.mp4", "--emotoin", "sad", "-o", "b|c.mp4")}
    assert "--emotoin" in parsed(*whole)
    assert named == {("edit", "--fast")}
    assert "--fast" in parsed(*named)


def test_an_option_that_an_experiment_does_not_have_is_found_out():
    whole, named = shown(
        "```sh\npython -m experiments.train_ned --data a \\\n  --bach 3\n```\n"
        "`python -m experiments.evaluate_ned --fast` (`python -m experiments.…`)"
    )
    assert whole == {("experiments.train_ned", "--data", "a", "--bach", "3")}
    assert "--bach" in parsed(*whole)
    assert named == {("experiments.evaluate_ned", "--fast")}
    assert "--fast" in parsed(*named)


@pytest.mark.parametrize(("page", "target"), [(p, to) for p, text in PAGES.items() for to in LINK.findall(text)])
def test_links_lead_somewhere(page, target):
    assert "://" in target or (page.parent / target).exists()
