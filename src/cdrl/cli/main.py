"""The command line: finds the command, makes its options of the arguments, and turns every error into one line.

A command is a module with a frozen dataclass `Options`, whose fields are its options, and `run(options) -> int`, which
returns the exit code. It is imported only when it is called, so that `cdrl --help` does not wait for what it needs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

from cdrl.cli.names import COMMANDS, MOVED_COMMANDS, import_command
from cdrl.cli.streams import discard_output, native_messages_muted, open_closed_streams
from cdrl.errors import CdrlError, InterruptedByUser, OutputError, UsageError, one_line
from cdrl.extras import missing_module

HELP_WORDS = {"-h", "--help", "help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cdrl` and return its exit code; see `cdrl.errors`.

    Args:
        arguments: The words after `cdrl`. None: this process is the program `cdrl`, whose words, standard streams and
            signals they are; otherwise nothing of the process is touched, and any thread may call.
    """
    own = arguments is None
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    with ExitStack() as stack:
        if own:
            open_closed_streams()
        if threading.current_thread() is threading.main_thread():
            stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _terminated))
        if own and not debug:
            stack.enter_context(native_messages_muted())
        code = _run(words, debug, own)
        if not own:
            return code
        code = _flush(code)
        if code == InterruptedByUser.exit_code:
            # An interruption that passes through a library in C while it loads is remembered by Python, which would
            # then end the process by the signal, although the interruption was answered.
            if sys.stderr is not None:
                sys.stderr.flush()
            os._exit(code)
        return code


def _run(words: list[str], debug: bool, own: bool) -> int:
    """Carry out a command; every error becomes one line and an exit code."""
    try:
        return _dispatch(words)
    except BrokenPipeError:  # whoever read our output has left (`| head`)
        if own:
            discard_output()
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the last line of defense: a sentence, no traceback
        return _report(error, *_explain(error, words), debug)


def _explain(error: BaseException, words: list[str]) -> tuple[str, int]:
    """What an error means to a user, and the exit code; for a missing package of an extra, how to install it."""
    if isinstance(error, CdrlError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "no space is left where something is written: free some, or choose another place", OutputError.exit_code
    if isinstance(error, MemoryError):
        return "out of memory: close other programs, or edit a smaller video", 1
    if (stop := _interruption(error)) is not None:
        return str(stop) or "interrupted: nothing half-written is left behind", InterruptedByUser.exit_code
    if isinstance(error, ModuleNotFoundError):
        name, _ = _find_command(words)
        if (needed := missing_module(error.name, f"cdrl {name}")) is not None:
            return str(needed), needed.exit_code
    return f"unexpected {type(error).__name__}: {error}; run again with --debug to see where, and report it", 1


def _interruption(error: BaseException) -> KeyboardInterrupt | None:
    """The interruption that `error` came of: libraries written in C make an ImportError of one while they load."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause


def _flush(code: int) -> int:
    """Write out what was printed, now that its failure can still be told; returns the exit code."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_output()
        if isinstance(error, BrokenPipeError):
            return code or 1
        return _report(error, f"standard output cannot be written ({error.strerror})", OutputError.exit_code, False)
    return code


def _dispatch(words: list[str]) -> int:
    if not words:
        raise UsageError(f"no command is given: choose from {', '.join(COMMANDS)}, or see cdrl --help")
    if words[0] in HELP_WORDS:
        if len(words) > 1:  # as in `cdrl help edit`
            return _dispatch([*words[1:], "--help"])
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
    from cdrl.cli.arguments import parse_options

    command = import_command(name)
    code: int = command.run(parse_options(command.Options, rest, f"cdrl {name}"))
    return code


def _find_command(words: list[str]) -> tuple[str, list[str]]:
    """The command the words begin with, and the rest of them; a group's name alone where its help is wanted."""
    if words[0] in COMMANDS:
        return words[0], words[1:]
    if (program := MOVED_COMMANDS.get(name := " ".join(words[:2]))) is not None:
        raise UsageError(f"cdrl {name} left the package: run `{program}` in a checkout of the repository")
    inner = [name.split()[1] for name in COMMANDS if name.startswith(words[0] + " ")]
    if not inner:
        first = list(dict.fromkeys(name.split()[0] for name in COMMANDS))
        raise UsageError(_unknown(words[0], words[0], first, "cdrl --help"))
    if len(words) > 1 and words[1] in HELP_WORDS:
        return words[0], []
    if len(words) < 2:
        raise UsageError(f"cdrl {words[0]} needs one of: {', '.join(inner)}; see cdrl {words[0]} --help")
    if words[1] not in inner:
        raise UsageError(_unknown(" ".join(words[:2]), words[1], inner, f"cdrl {words[0]} --help"))
    return f"{words[0]} {words[1]}", words[2:]


def _unknown(said: str, word: str, known: Sequence[str], where: str) -> str:
    """That a command is unknown, with the nearest one."""
    from cdrl.emotions import suggest

    return f"unknown command {said!r}{suggest(word, known)}: choose from {', '.join(known)}, or see {where}"


def _help(prefix: str = "") -> str:
    shown = {name: summary for name, (_, summary) in COMMANDS.items() if name.startswith(prefix)}
    width = max(map(len, shown))
    lines = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in shown.items())
    return f"""usage: cdrl {prefix}COMMAND ...

Change the emotion of a talking-head video and keep its speech.

commands:
{lines}

  cdrl COMMAND --help  a command's options
  cdrl --version       the version
  --debug              with any command: show where an error came from

  cdrl edit talk.mp4 -e happy"""


def _report(error: BaseException, message: str, code: int, debug: bool) -> int:
    """Say what went wrong in one line on stderr, after the traceback where that is wanted; returns `code`."""
    if sys.stderr is None:  # an embedding program without one; print would take standard output instead
        return code
    if debug:
        import traceback

        traceback.print_exception(error)
    print("cdrl: error:", one_line(message), file=sys.stderr)
    return code


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise InterruptedByUser("stopped from outside (SIGTERM): nothing half-written is left behind")
