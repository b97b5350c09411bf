"""The one error tree. Every message says what is wrong, where, and what to do; every kind has its exit code.

Each error is also the built-in a Python caller would catch (`FileNotFoundError`, `ValueError`, ...).
"""

LONGEST = 2000  # characters of a message; a file may name something that has a million


def one_line(text: str) -> str:
    """A message for a terminal: in one line, not endless, and with nothing in it that the terminal would obey.

    It may quote a file's name or what somebody wrote into a file.
    """
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 6]} [...]"


class CdrlError(Exception):
    """Base of everything cdrl raises on purpose."""

    exit_code = 1


class UsageError(CdrlError, ValueError):
    """What was asked for makes no sense: unknown emotion, overlapping segments, intensity out of range."""

    exit_code = 2


class InputError(CdrlError, OSError):
    """A source or reference cannot be read: a directory, not a video, truncated, corrupt, empty."""

    exit_code = 3


class InputNotFoundError(InputError, FileNotFoundError):
    """There is no such file."""


class FaceError(CdrlError, LookupError):
    """No usable face where one is needed."""

    exit_code = 4


class OutputError(CdrlError, OSError):
    """The result cannot be written: no permission, no space, no such encoder."""

    exit_code = 5


class OutputExistsError(OutputError, FileExistsError):
    """The result's name is taken and overwriting was not asked for."""


class LimitError(CdrlError, ValueError):
    """The input is larger than the limits allow (bytes, pixels, duration, streams)."""

    exit_code = 6


class ModelFileError(CdrlError, RuntimeError):
    """A model or data file that ships with cdrl, or that a user points to, is missing or not what it should be."""

    exit_code = 7


class TrainingError(CdrlError, ArithmeticError):
    """Training cannot go on: the loss is not a number any more."""

    exit_code = 8


class ProvenanceError(CdrlError, ValueError):
    """What a video says about its making is missing, damaged, or does not fit it."""

    exit_code = 9


class JobsFailedError(CdrlError, RuntimeError):
    """Some jobs of a batch, or rows of an evaluation, failed; the others are done."""

    exit_code = 10


class InterruptedByUser(CdrlError, KeyboardInterrupt):
    """Stopped by the user (Ctrl-C) or by SIGTERM."""

    exit_code = 130
