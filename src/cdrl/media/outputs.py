"""Where a result goes: whether it can be written there, and what went wrong, in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from cdrl.errors import CdrlError, OutputError, OutputExistsError
from cdrl.files import EXISTS
from cdrl.media.decoding import error_text

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_output(path: Path, final: Path, source: Path, overwrite: bool) -> None:
    """Raises OutputError or OutputExistsError where writing `path` (really `final`) cannot or must not be begun."""
    if final.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    if not final.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {final.parent}; create it first")
    if final.exists() and source.exists() and final.samefile(source):
        raise OutputError(f"{path} is the input itself, which is never overwritten: choose another name")
    if final.exists() and not overwrite:
        raise OutputExistsError(f"{path} {EXISTS}")
    if not os.access(final.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write in {final.parent}; choose another folder")


@contextmanager
def report_write_errors(path: Path, check: str = "the folder and the options") -> Iterator[None]:
    """FFmpeg's and the system's errors in writing `path` as OutputError, in words that tell what to `check`."""
    try:
        yield
    except CdrlError:
        raise
    except FileExistsError:
        raise OutputExistsError(f"{path} has appeared meanwhile: it {EXISTS}") from None
    except (av.FFmpegError, OSError) as error:
        if error.errno in FULL_DISK:
            raise OutputError(f"{path}: the disk is full; free some space or write elsewhere") from error
        raise OutputError(f"{path} cannot be written ({error_text(error)}); check {check}") from error
