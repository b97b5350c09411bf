"""What `fuzz.py` calls beside the command line: an upload to the app, and a checkpoint as training reads it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from cdrl import load
from cdrl.cli.streams import native_messages_muted
from cdrl.errors import CdrlError, one_line
from cdrl.media import Limits


def upload(name: str) -> None:
    """What the app does with a clip: open it, look through it, sound and all, and close the page."""
    from cdrl.app.service import EditService  # noqa: PLC0415
    from cdrl.app.sessions import Sessions  # noqa: PLC0415

    tempfile.tempdir = str(Path.cwd())  # so that what is left is seen
    sessions = Sessions()
    try:
        arrived = sessions.root / "arrived" / name
        arrived.parent.mkdir()
        shutil.copyfile(name, arrived)
        service, session = EditService(load(), Limits(max_seconds=600)), sessions.get("page")
        service.open_clip(session, arrived)
        service.look_through(session)
    finally:
        sessions.close_all()


def checkpoint(name: str) -> None:
    """What training and evaluation do with weights; the command line has no command for that alone."""
    from cdrl.representations.checkpoints import load_model  # noqa: PLC0415 - torch

    load_model(Path(name), "content")


def performance(name: str) -> None:
    """What an avatar's program does with an exported performance."""
    from cdrl.export import read_json, read_livelink  # noqa: PLC0415

    if name.endswith(".json"):
        read_json(Path(name))
    else:
        read_livelink(Path(name), Fraction(25))


CALLS: dict[str, Callable[[str], None]] = {"upload": upload, "load": checkpoint, "performance": performance}


def called(words: list[str]) -> int:
    """Call one of `CALLS`, and report as `cdrl` does; returns the exit code."""
    try:
        with native_messages_muted():
            CALLS[words[0]](words[1])
    except CdrlError as error:
        print("cdrl: error:", one_line(str(error)), file=sys.stderr)
        return error.exit_code
    return 0
