"""What a batch has done so far: an SQLite database (WAL) that one run at a time holds, right after any crash.

A job is *queued* before its work begins and ends as *done* or *failed*; its files are in a folder of its own until
then. SHA-256 sums of inputs are kept, so that a second run does not read long films again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from cdrl.batch.work import Task
from cdrl.errors import InputError, OutputError
from cdrl.files import file_sha256

APPLICATION = 0x6364_726C  # "cdrl", in the head of the file
VERSION = 1
_BUSY, _NOT_A_DATABASE = "database is locked", "file is not a database"
_TABLES = """
CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE jobs (
    key TEXT PRIMARY KEY, name TEXT, output TEXT, state TEXT, sha256 TEXT, seconds REAL, reason TEXT
) WITHOUT ROWID;
CREATE TABLE results (output TEXT, sha256 TEXT, PRIMARY KEY (output, sha256)) WITHOUT ROWID;
CREATE TABLE folders (path TEXT PRIMARY KEY, key TEXT) WITHOUT ROWID;
"""


class Journal:
    """An open journal that no other run writes to, in a `with` block.

    Raises:
        OutputError: It cannot be written, or another run holds it.
        InputError: The file is something else, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Journal:
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise OutputError(f"the journal {self.path} is a link or no regular file: name another one with --journal")
        with self._told():
            self._database = sqlite3.connect(self.path, timeout=0)
            try:
                self._hold()
            except BaseException:
                self._database.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(sqlite3.Error):  # what is not written here was no more than sums of inputs
            self._database.commit()
        self._database.close()

    def hash_file(self, path: Path, most: int) -> str:
        """SHA-256 of a regular file of at most `most` bytes; empty where there is none.

        The file is read only where its size or time has changed since it was last read.
        """
        name, size, changed = _identify(path)
        if not 0 <= size <= most:
            return ""
        known = self._one("SELECT size, mtime_ns, sha256 FROM files WHERE path = ?", _stored(name))
        if known is not None and known[:2] == (size, changed):
            return str(known[2])
        try:
            sha256 = file_sha256(path)
        except OSError:
            return ""
        with self._told():  # on the disk with the next job: losing it costs no more than reading again
            self._database.execute("REPLACE INTO files VALUES (?, ?, ?, ?)", (_stored(name), size, changed, sha256))
        return sha256

    def queue(self, tasks: Iterable[Task]) -> None:
        """Note that jobs are about to be done, all of them or none."""
        with self._told(), self._database:
            for task in tasks:
                self._database.execute(
                    "REPLACE INTO jobs VALUES (?, ?, ?, 'queued', NULL, NULL, NULL)",
                    (task.key, _stored(task.name), _stored(task.output)),
                )
                self._database.execute("REPLACE INTO folders VALUES (?, ?)", (_stored(task.staging), task.key))

    def note_done(self, key: str, output: Path, sha256: str, seconds: float) -> None:
        """Note that a job is done and what its output holds, before the output gets its name."""
        with self._told(), self._database:
            self._database.execute(
                "UPDATE jobs SET state = 'done', sha256 = ?, seconds = ? WHERE key = ?", (sha256, seconds, key)
            )
            self._database.execute("INSERT OR IGNORE INTO results VALUES (?, ?)", (_stored(output), sha256))

    def note_failed(self, key: str, reason: str) -> None:
        """Note that a job has failed, and why."""
        with self._told(), self._database:
            self._database.execute("UPDATE jobs SET state = 'failed', reason = ? WHERE key = ?", (_stored(reason), key))

    def done_sha256(self, key: str) -> str | None:
        """SHA-256 of the output of a job that is done; None for another one."""
        row = self._one("SELECT sha256 FROM jobs WHERE key = ? AND state = 'done'", key)
        return None if row is None else str(row[0])

    def has_result(self, output: Path, sha256: str) -> bool:
        """Whether a job of this journal has left the file `output` with that content."""
        return self._one("SELECT 1 FROM results WHERE output = ? AND sha256 = ?", _stored(output), sha256) is not None

    def has_output(self, output: Path) -> bool:
        """Whether a job of this journal has left a file of that name at any time."""
        return self._one("SELECT 1 FROM results WHERE output = ?", _stored(output)) is not None

    def folders(self) -> list[tuple[Path, str]]:
        """Folders of work that may still be there, each with the key of its job."""
        with self._told():
            rows = self._database.execute("SELECT path, key FROM folders").fetchall()
        return [(Path(os.fsdecode(path)), key) for path, key in rows]

    def forget_folder(self, folder: Path) -> None:
        """Note that a folder of work is gone."""
        with self._told(), self._database:
            self._database.execute("DELETE FROM folders WHERE path = ?", (_stored(folder),))

    def _one(self, query: str, *values: str | bytes) -> tuple[object, ...] | None:
        with self._told():
            row: tuple[object, ...] | None = self._database.execute(query, values).fetchone()
        return row

    def _hold(self) -> None:
        """Take the lock, and make the tables of a new journal."""
        database = self._database
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        (application,), (version,) = (database.execute(f"PRAGMA {name}").fetchone() for name in _HEAD)
        empty = database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        if not empty and (application, version) != (APPLICATION, VERSION):
            raise InputError(f"{self.path} is no journal of this cdrl batch: name another one with --journal")
        database.commit()
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("its pages are not whole")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        if empty:
            # One script, one transaction: a journal is there with all its tables or not at all.
            head = "".join(f"PRAGMA {name} = {value};" for name, value in _HEAD.items())
            database.executescript(f"BEGIN EXCLUSIVE; {_TABLES} {head} COMMIT;")
        else:
            database.execute("BEGIN EXCLUSIVE")
            database.commit()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors in words."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if _BUSY in str(error):
                raise OutputError(
                    f"another `cdrl batch` works with the journal {self.path}: wait for its end, or stop it"
                ) from None
            if _NOT_A_DATABASE in str(error):
                raise InputError(f"{self.path} is no journal of cdrl batch: name another one with --journal") from None
            if isinstance(error, sqlite3.OperationalError):
                raise OutputError(
                    f"the journal {self.path} cannot be written ({error}): free some space or name another one with "
                    "--journal, then run it again"
                ) from None
            raise InputError(
                f"the journal {self.path} is damaged ({error}): name a new one with --journal, and add --overwrite"
            ) from None


_HEAD = {"application_id": APPLICATION, "user_version": VERSION}


def _stored(name: Path | str) -> str | bytes:
    """A name as SQLite takes it: text, or bytes where it is no UTF-8, as names on disk may be."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return os.fsencode(name)
    return str(name)


def _identify(path: Path) -> tuple[str, int, int]:
    """A regular file's real name, size in bytes, and time of change in nanoseconds; a size of −1 where it is none."""
    try:
        status = path.stat()
        return (str(path.resolve()), status.st_size, status.st_mtime_ns) if path.is_file() else ("", -1, 0)
    except (OSError, ValueError):
        return "", -1, 0
