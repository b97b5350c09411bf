"""Makes a command's options of the words of a command line, and says in one line what is wrong with them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection
from contextlib import redirect_stderr
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cdrl.emotions import parse_blend, suggest
from cdrl.errors import UsageError

RENAMED_OPTIONS = {
    "--captions": "--captions-weight",
    "--classes": "--classes-weight",
    "--deaf": "--audio-dropout",
    "--described-share": "--described-fraction",
    "--descriptions": "--descriptions-weight",
    "--grey-share": "--gray-fraction",
    "--growth": "--magnitude-weight",
    "--language": "--language-weight",
    "--leave": "--exclude",
    "--licence": "--license",
    "--made": "--synthetic-fraction",
    "--mistaken": "--audio-mismatch",
    "--near": "--ignore-radius",
    "--prior": "--prior-weight",
    "--size": "--scale-jitter",
    "--still": "--consistency-weight",
    "--synthetic-share": "--synthetic-fraction",
    "--tremble": "--noise",
    "--trust": "--prior-weight",
}
"""Old spellings of options and the new ones, for the error that names them."""

MOVED_OPTIONS = {
    "--gradient": "python -m experiments.representation_studies --gradient",
    "--neds": "python -m experiments.evaluate_ned --neds",
    "--pictures": "python -m experiments.representation_studies --pictures",
}
"""Options that left the package and where they went, for the error that says so."""


def parse_options(options: type[Any], words: list[str], program: str) -> Any:
    """Make an `options` dataclass of command line words.

    Args:
        options: The dataclass; its fields are the options, and their docstrings the help.
        words: What follows the command's name.
        program: The command, as in `cdrl edit`.

    Raises:
        UsageError: What is wrong, in one line.
        SystemExit: Code 0, after the help that was asked for.
    """
    optional = all(entry.default is not MISSING or entry.default_factory is not MISSING for entry in fields(options))
    if optional and not words:
        return options()  # what the parser would come to, a tenth of a second earlier
    switches = find_switches(options)
    if not {"-h", "--help"} & set(words):
        _check_names(switches, words, program)
    import tyro

    complaint, refused = io.StringIO(), list[str]()
    try:
        with redirect_stderr(complaint):
            config, registry = (tyro.conf.OmitArgPrefixes,), _numbers(refused)
            parsed = tyro.cli(options, args=words, prog=program, config=config, registry=registry)
    except SystemExit as end:
        if not end.code:
            raise
        said = _complaint(complaint.getvalue(), refused, switches)
        raise UsageError(f"{said}; see {program} --help") from None
    return _apply_preset(parsed, words) if hasattr(options, "PAPER") else parsed


def _apply_preset(parsed: Any, words: list[str]) -> Any:
    """The options with the paper's own setting, where that is asked for."""
    from cdrl.training.presets import use_paper_setting

    given = {"--" + word[2:].partition("=")[0].replace("_", "-") for word in words if word.startswith("--")}
    return use_paper_setting(parsed, given)


def find_switches(options: type[Any]) -> dict[str, bool]:
    """Every name of an option (`--output`, `-o`, `--no-audio`) of a dataclass and of those in it → is it a switch?

    A switch takes no value. Arguments without a name are left out.
    """
    from tyro.conf import FlagCreatePairsOff, Positional

    hints = get_type_hints(options, include_extras=True)
    forms: tuple[Any, ...] = (FlagCreatePairsOff, Positional)
    alone, positional = (form[int].__metadata__[0] for form in forms)  # what they leave on a type
    switches: dict[str, bool] = {}
    for entry in fields(options):
        hint = hints[entry.name]
        marks = list(hint.__metadata__) if get_origin(hint) is Annotated else []
        kind = get_args(hint)[0] if marks else hint
        if is_dataclass(kind) and isinstance(kind, type):
            switches |= find_switches(kind)
        elif positional not in marks:
            name = "--" + entry.name.replace("_", "-")
            aliases = [alias for mark in marks for alias in getattr(mark, "aliases", None) or ()]
            aliases += [mark for mark in marks if isinstance(mark, str)]
            pair = [name.replace("--", "--no-", 1)] if kind is bool and alone not in marks else []
            switches |= dict.fromkeys((name, *aliases, *pair), kind is bool)
    return switches


def _check_names(switches: dict[str, bool], words: list[str], program: str) -> None:
    """Refuse options that do not exist, and values for those that take none, before the parser is built."""
    for word in words:
        name, equals, value = word.partition("=")
        if not re.fullmatch(r"--[A-Za-z][\w-]*", name):
            continue
        switch = switches.get(name, switches.get(name.replace("_", "-")))
        if switch is None and (new := RENAMED_OPTIONS.get(name)) in switches:
            raise UsageError(f"{name} is now {new}; see {program} --help")
        if switch is None and name in MOVED_OPTIONS:
            raise UsageError(f"{name} left the package: run `{MOVED_OPTIONS[name]}` in a checkout of the repository")
        if switch is None:
            raise UsageError(f"unknown option {name}{suggest(name, switches)}; see {program} --help")
        if equals and switch:
            raise UsageError(f"{name} takes no value, but {value!r} is given; see {program} --help")


def _numbers(refused: list[str]) -> Any:
    """How numbers are read; what is none is added to `refused`, in words."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    kinds: dict[Any, tuple[Callable[[str], Any], str, str]] = {
        int: (int, "N", "a whole number"),
        float: (float, "X", "a number"),
    }
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def read_numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type not in kinds:
            return None
        convert, metavar, called = kinds[info.type]

        def read(words: list[str]) -> Any:
            try:
                return convert(words[0])
            except ValueError:
                refused.append(f"{words[0]!r} is not {called}")
                raise ValueError(refused[-1]) from None

        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=metavar,
            instance_from_str=read,
            is_instance=lambda value: isinstance(value, info.type),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _complaint(panel: str, refused: list[str], known: Collection[str]) -> str:
    """The parser's complaint in our words."""
    line = _one_line(panel)
    flag = re.match(r"Error parsing (-\S+?): (.*)", line)
    if flag:
        return f"{flag[1]}: {refused[-1] if refused else flag[2]}"
    if choice := re.match(r"invalid choice '(.*)' for argument '([^']*)'\. Expected one of \((.*?),?\)", line):
        return f"{choice[2].split(', ')[-1]} {choice[1]}: choose one of {choice[3].replace(chr(39), '')}"
    if value := re.match(r"Missing value for argument '([^']*)'", line):
        return f"{value[1].split(', ')[-1]} needs a value"
    if extra := re.search(r"Unrecognized options: ([^;]*)", line):
        missing = f"{line[: extra.start()].rstrip('; ')}; " if extra.start() else ""
        return missing + _unexpected(extra[1], known)
    return line


def _unexpected(text: str, known: Collection[str]) -> str:
    """What to say of words that are no option's value and no file that the command takes."""
    word = text.split(", ", maxsplit=1)[0]
    if "-e" in known and is_blend(word):
        return f"{word!r} looks like an emotion: write -e {word}"
    return f"unexpected argument {word!r}"


def is_blend(word: str) -> bool:
    """Whether the word names an emotion or a blend."""
    try:
        parse_blend(word)
    except UsageError:
        return False
    return True


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
    line = re.sub(r"; (cdrl|python -m) [\w. ]*--help$", "", line)
    line = re.sub(r"^Missing from [^:]*: ", "missing: ", line)
    # The name of a group of options, such as encoder, is not one that the user typed.
    return re.sub(r"^Error parsing (?!-)\S+: ", "", line)
