"""The command line: finds the command, makes its options of the arguments, and turns every error into one line.

A command is a module with a frozen dataclass `Options`, whose fields are its options, and `run(options) -> int`, which
returns the exit code. It is imported only when it is called, so that `cdrl --help` does not wait for what it needs.
"""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from difflib import get_close_matches
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

from cdrl.errors import CdrlError, Interrupted, UsageError, one_line

COMMANDS = {
    "edit": ("cdrl.commands.edit", "change the emotion of a video"),
    "app": ("cdrl.commands.app", "edit in a browser, on this machine alone"),
    "batch": ("cdrl.commands.batch", "edit many videos, resumable"),
    "export": ("cdrl.commands.export", "write a performance for an avatar, as Live Link Face or as JSON"),
    "live": ("cdrl.commands.live", "change the emotion of a camera's picture while it runs"),
    "verify": ("cdrl.commands.verify", "say what was edited in a video, and check it"),
    "data check": ("cdrl.commands.data_check", "read a data set's layout and name what is broken or missing"),
    "data prepare": ("cdrl.commands.data_prepare", "detect, align and pack a data set for training"),
    "data synth": ("cdrl.commands.data_synth", "make talking heads that say the same words in different emotions"),
    "train prior": ("cdrl.training.prior", "fit the emotion prior on labelled clips"),
    "train vlm": ("cdrl.training.vlm", "train the embedded visual-language model of faces"),
    "train content": ("cdrl.training.content", "train the content representation (CCRL)"),
    "train emotion": ("cdrl.training.emotion", "train the emotion representation (CERL)"),
    "train ned": ("cdrl.training.ned", "train NED's translator, the baseline, with or without supervision"),
    "train sync": ("cdrl.training.sync", "train the judge of lips and sound"),
    "train translator": ("cdrl.training.translator", "train how people show emotions, under both representations"),
    "evaluate edit": ("cdrl.commands.evaluate_edit", "judge an edited video beside its source"),
    "evaluate table": ("cdrl.commands.evaluate_table", "judge edits of many clips, beside other methods"),
    "evaluate results": ("cdrl.commands.evaluate_results", "judge any finished files, of any methods"),
    "evaluate representation": (
        "cdrl.commands.evaluate_representation",
        "show whether the representations are right on people they never saw",
    ),
    "evaluate sync": (
        "cdrl.commands.evaluate_sync",
        "show how well the judge of lips and sound tells them apart on people it never saw",
    ),
    "convert": ("cdrl.commands.convert", "make safetensors of a PyTorch checkpoint"),
    "doctor": ("cdrl.doctor", "say what is installed and whether editing can run"),
}
"""Words of the command → the module it lives in, and what it does."""

HELP_WORDS = {"-h", "--help", "help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cdrl` with `arguments` (default: the process's own) and return its exit code; see `cdrl.errors`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        with nullcontext() if debug else _native_messages_muted():
            return _dispatch(words)
    except CdrlError as error:
        return _report(error, str(error), error.exit_code, debug)
    except KeyboardInterrupt as error:
        return _report(error, "interrupted: nothing half-written is left behind", Interrupted.exit_code, debug)
    except BrokenPipeError:
        # Whoever read our output has left (`| head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        return _report(error, "out of memory: close other programs, or edit a smaller video", 1, debug)
    except Exception as error:  # noqa: BLE001  the last line of defence: a user gets a sentence, not a traceback
        what = f"unexpected {type(error).__name__}: {error}; run again with --debug to see where, and report it"
        return _report(error, what, 1, debug)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _native_messages_muted() -> Iterator[None]:
    """Keep what C libraries write to stderr on their own from users; Python's stderr goes on as before.

    The network runtime greets, and codecs remark on every flaw of a file; what matters comes back as an error or a
    warning of ours. --debug lets it all through.
    """
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    python_stderr = sys.stderr
    try:
        if python_stderr.fileno() == 2:
            sys.stderr = os.fdopen(kept, "w", 1, python_stderr.encoding, "backslashreplace", closefd=False)
    except (OSError, ValueError, AttributeError):
        pass  # somebody has replaced it by an object without a file, which we leave alone
    python_stderr.flush()
    os.dup2(sink, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        sys.stderr = python_stderr
        os.close(kept)
        os.close(sink)


def _dispatch(words: list[str]) -> int:
    if not words:
        raise UsageError(f"no command is given: choose from {', '.join(COMMANDS)}, or see cdrl --help")
    if words[0] in HELP_WORDS:
        print(_help())
        return 0
    if words[0] in {"--version", "-V"}:
        from cdrl import __version__

        print(f"cdrl {__version__}")
        return 0
    name, rest = _find_command(words)
    if name not in COMMANDS:  # a group alone, as in `cdrl train --help`
        print(_help(f"{name} "))
        return 0
    module = import_module(COMMANDS[name][0])
    options = parse_options(module.Options, rest, f"cdrl {name}")
    code: int = module.run(options)
    return code


def _find_command(words: list[str]) -> tuple[str, list[str]]:
    """The command the words begin with, and the rest of them; a group's name alone where its help is wanted."""
    if words[0] in COMMANDS:
        return words[0], words[1:]
    inner = [name.split()[1] for name in COMMANDS if name.startswith(words[0] + " ")]
    if not inner:
        first = list(dict.fromkeys(name.split()[0] for name in COMMANDS))
        near = get_close_matches(words[0], first, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"unknown command {words[0]!r}{hint}: choose from {', '.join(first)}, or see cdrl --help")
    if len(words) > 1 and words[1] in HELP_WORDS:
        return words[0], []
    if len(words) < 2 or words[1] not in inner:
        raise UsageError(f"cdrl {words[0]} needs one of: {', '.join(inner)}; see cdrl {words[0]} --help")
    return f"{words[0]} {words[1]}", words[2:]


def parse_options(options: type[Any], words: list[str], program: str) -> Any:
    """Make an `options` dataclass of command line words.

    Raises UsageError with the parser's complaint in one line; prints help and leaves with SystemExit(0) when asked.
    """
    import tyro

    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(options, args=words, prog=program, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as end:
        if not end.code:
            raise
        raise UsageError(f"{_one_line(complaint.getvalue())}; see {program} --help") from None


def _one_line(panel: str) -> str:
    """The complaint inside the parser's box: what stands between its rules, without the help texts it quotes."""
    sections: list[list[str]] = [[]]
    for line in re.sub(r"\x1b\[[0-9;]*m", "", panel).strip().splitlines()[1:]:  # the first line is the box's title
        inside = line.lstrip("│|").rstrip("│| ")
        text = inside.strip()
        if not text.strip("─-"):
            sections.append([])
        # Help texts of options are indented twice.
        elif not text.startswith(("╰", "For full helptext")) and len(inside) - len(inside.lstrip()) < 8:
            sections[-1].append(text)
    said = [" ".join(lines).rstrip(".") for lines in sections if lines and not lines[0].startswith("Argument helptext")]
    line = "; ".join(dict.fromkeys(said)) or "the arguments make no sense"
    line = re.sub(r"; cdrl [a-z ]*--help$", "", line)
    line = re.sub(r"^Missing from [^:]*: ", "missing: ", line)
    # The name of a group of options, such as encoder, is not one that the user typed.
    return re.sub(r"^Error parsing (?!-)\S+: ", "", line)


def _help(prefix: str = "") -> str:
    shown = {name: summary for name, (_, summary) in COMMANDS.items() if name.startswith(prefix)}
    width = max(map(len, shown))
    return "\n".join(
        [
            f"usage: cdrl {prefix}COMMAND ...",
            "",
            "Change the emotion of a talking-head video and keep its speech.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {summary}" for name, summary in shown.items()),
            "",
            "  cdrl COMMAND --help  a command's options",
            "  cdrl --version       the version",
            "  --debug              with any command: show where an error came from",
            "",
            "  cdrl edit talk.mp4 --emotion happy -o happy.mp4",
        ]
    )


def _report(error: BaseException, message: str, code: int, debug: bool) -> int:
    """Say what went wrong in one line on stderr, after the traceback where that is wanted; returns `code`."""
    if debug:
        traceback.print_exception(error)
    print("cdrl: error:", one_line(message), file=sys.stderr)
    return code


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted("stopped from outside (SIGTERM): nothing half-written is left behind")
