"""`cdrl completion`: the script that makes the tab key complete commands, options and file names."""

from __future__ import annotations

import sys
import warnings
from argparse import ArgumentParser
from dataclasses import dataclass
from typing import Any, Literal

from tyro.conf import Positional

from cdrl.cli.names import COMMANDS, import_command
from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.extras import missing_module
from cdrl.media.encoding import PRESETS
from cdrl.plan import REGIONS

VALUES = {"preset": PRESETS, "face": ("largest", "left", "right"), "regions": REGIONS}
"""What is completed for an option's value, by the option's name."""

NUMBERS = ("INT", "FLOAT", "N", "X", "RATE", "TIME", "WxH", "[INT [INT ...]]")
NUMBERS_AND_TEXT = (*NUMBERS, "STR", "SEGMENTS", "URL", "ADDRESS")
WORDS: dict[str, tuple[str, ...]] = {**dict.fromkeys(NUMBERS_AND_TEXT, ()), "EMOTION": EMOTIONS}
"""The same by what the help calls the value; for everything else names of files are completed."""

FOLDERS = {"DIR", "FOLDER", "PREPARED..."}


@dataclass(frozen=True)
class Options:
    """Print what makes the tab key complete commands, options and file names.

    It takes some seconds, once:

    bash: cdrl completion bash > ~/.local/share/bash-completion/completions/cdrl (make that folder first);
    zsh: cdrl completion zsh > ~/.zfunc/_cdrl, with fpath+=(~/.zfunc) before compinit in ~/.zshrc;
    fish: cdrl completion fish > ~/.config/fish/completions/cdrl.fish
    """

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """The shell that is to complete."""


def run(options: Options) -> int:
    """Print the script on standard output."""
    import shtab

    print(shtab.complete(program_parser(), shell=options.shell))
    return 0


def program_parser() -> ArgumentParser:
    """A parser of everything that `cdrl` takes: only for its names, for it is never given words to parse.

    A command whose extra is not installed takes file names alone, which is said on standard error.
    """
    root = ArgumentParser("cdrl", description="Change the emotion of a talking-head video.")
    root.add_argument("--version", action="store_true", help="the version")
    commands = root.add_subparsers()
    groups = {}
    for name, (_, summary) in COMMANDS.items():
        first, _, second = name.partition(" ")
        if second and first not in groups:
            inner = ", ".join(other.split()[1] for other in COMMANDS if other.startswith(f"{first} "))
            groups[first] = commands.add_parser(first, help=inner).add_subparsers()
        place = groups[first] if second else commands
        _add_options(place.add_parser(second or first, help=summary), name)
    return root


def _add_options(parser: ArgumentParser, name: str) -> None:
    """Give a command's parser the command's options, with what is completed for each."""
    import shtab
    from tyro.conf import OmitArgPrefixes
    from tyro.extras import get_parser

    try:
        options = import_command(name).Options
    except (ModuleNotFoundError, UsageError) as error:
        missing = missing_module(error.name, f"cdrl {name}") if isinstance(error, ModuleNotFoundError) else error
        if missing is None:
            raise
        print(f"cdrl: warning: options of cdrl {name} are left out: {missing}", file=sys.stderr)
        parser.add_argument("file", nargs="*").complete = shtab.FILE  # type: ignore[attr-defined]
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there is no other way to tyro's own list of options
        given = get_parser(options, config=(OmitArgPrefixes,))
    for action in given._actions:
        if action.dest != "help":
            _add_option(parser, action)


def _add_option(parser: ArgumentParser, action: Any) -> None:
    """Add a copy of one of tyro's actions, which are of classes of its own."""
    import shtab

    names, about = action.option_strings or [action.dest], {"help": action.help}
    if action.nargs == 0:
        parser.add_argument(*names, **about, action="store_true")
        return
    words = action.choices or VALUES.get(action.dest.split(".")[-1]) or WORDS.get(str(action.metavar))
    nargs = action.nargs if isinstance(action.nargs, str) else None
    added = parser.add_argument(*names, **about, nargs=nargs, choices=words or None)
    if words is None:
        added.complete = shtab.DIR if action.metavar in FOLDERS else shtab.FILE  # type: ignore[attr-defined]
