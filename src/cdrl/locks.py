"""One run at a time: the lock of every folder, or file, that a run owns while it works."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from cdrl.errors import OutputError

LOCK = ".cdrl.lock"
"""Name of the lock's file in a locked folder. It is empty, and stays there: a file that is removed while another run
waits for it would let both in."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def lock_folder(folder: Path, work: str) -> Iterator[None]:
    """Hold a folder, made where it is missing, for this run alone; see `lock_file`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}): choose another place") from error
    with lock_file(folder / LOCK, folder, work):
        yield


@contextmanager
def lock_file(path: Path, owned: Path, work: str, wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `owned` by a lock on the file `path` until the block ends, or this process does, however it ends.

    Args:
        path: The lock's file.
        owned: What is held, for the message.
        work: What holds it, as in "cdrl batch".
        wait: Called once where another run holds it, whose end is then waited for; without it that is an error.

    Raises:
        OutputError: Another run holds it, or `path` cannot be written.
    """
    try:
        try:
            lock = _acquire(FileLock(path))
        except Timeout:
            if wait is None:
                raise
            wait()
            lock = _acquire(FileLock(path), blocking=True)
    except Timeout:
        raise OutputError(
            f"{owned}: another `{work}` is at work there: wait for its end, stop it, or choose another place"
        ) from None
    except OSError as error:
        raise OutputError(f"{owned}: cannot be locked ({error.strerror or error}): choose another place") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, blocking: bool = False) -> BaseFileLock:
    try:
        lock.acquire(blocking=blocking)
    except OSError as error:
        if isinstance(lock, SoftFileLock) or isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
            raise
        return _acquire(SoftFileLock(lock.lock_file), blocking)  # a file system without locks
    return lock
