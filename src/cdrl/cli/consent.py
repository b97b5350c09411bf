"""What the tool is for, said once a machine, and the question whether who is shown agrees."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from platformdirs import user_config_path
from tyro.conf import FlagCreatePairsOff, arg

from cdrl.errors import OutputError, UsageError
from cdrl.files import atomic_write

GIVEN_HELP = "You have the consent of the people shown; needed once on a machine, where no terminal is there to ask at."
ConsentGiven = Annotated[FlagCreatePairsOff[bool], arg(help=GIVEN_HELP)]
"""The option `--i-have-consent` of every command that edits."""

VARIABLE = "CDRL_I_HAVE_CONSENT"
STATEMENT = """\
cdrl changes the emotion that a person in a video seems to show. It is meant for footage of yourself or of people who
agreed to the edit; not to deceive, not to harass, not to put an attitude into somebody's mouth. A video file that it
writes says that it was edited: keep it so. A live picture and an avatar's performance cannot: tell who sees them. Mind
the law where you are. This is asked once on this machine."""
QUESTION = "Does everybody whose face you edit agree to it? [y/N] "


def require_consent(given: bool = False) -> None:
    """Return when consent was given: now by `--i-have-consent`, by the environment, earlier, or at the terminal.

    Raises UsageError where it is not, or where nobody can be asked.
    """
    if os.environ.get(VARIABLE) == "1" or consent_file().exists():
        return
    if not given:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                "the consent of the people shown is needed, and there is no terminal to ask at: once you have it, add "
                f"--i-have-consent (remembered on this machine) or set {VARIABLE}=1; see docs/responsible-use.md"
            )
        print(STATEMENT, file=sys.stderr)
        print(QUESTION, end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise UsageError("without the consent of the people shown nothing is edited: ask them first")
    _remember()


def consent_file() -> Path:
    """The file that says that consent was given on this machine; in the user's folder of settings."""
    return user_config_path("cdrl") / "consent"


def _remember() -> None:
    path = consent_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, [f"given {datetime.now(UTC).isoformat(timespec='seconds')}\n".encode()])
    except (OSError, OutputError):
        where = path.parent
        print(f"cdrl: warning: consent cannot be remembered in {where}: it will be asked for again", file=sys.stderr)
