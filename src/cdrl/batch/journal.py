"""What a batch has done so far, one JSON object a line, each on the disk before anything relies on it.

`seen`: the SHA-256 of a file at a size and time of change · `asked`: a job is to be done · `done`, `failed`: its end.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from cdrl.errors import InputError, OutputError
from cdrl.files import file_sha256

HEAD = {"event": "journal", "of": "cdrl batch", "version": 1}


class Journal:
    """In a `with` block: an open journal that nobody else writes to. Raises OutputError and InputError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        """Lines that cannot be read and were passed over; their jobs are looked at anew."""
        self._seen: dict[str, tuple[int, int, str]] = {}
        self._asked: dict[str, dict[str, Any]] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._left: set[tuple[str, str]] = set()

    def __enter__(self) -> Journal:
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise OutputError(f"the journal {self.path} cannot be written ({error.strerror}); see --journal") from None
        try:
            self._lock()
            self._load()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def append(self, *entries: dict[str, Any]) -> None:
        """Add lines, all of them or none, and wait until they are on the disk."""
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode("utf-8", "replace")
        before = os.fstat(self._descriptor).st_size
        try:
            view = memoryview(text)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise OutputError(
                f"the journal {self.path} cannot be written ({error.strerror}): free some space, then run it again"
            ) from None
        for entry in entries:
            self._take(entry)

    def sha256(self, path: Path, most: int) -> str:
        """SHA-256 of a regular file of at most `most` bytes; read only where its size or time has changed since it
        was last seen. Empty where there is none."""
        try:
            status = path.stat()
            if not path.is_file() or status.st_size > most:
                return ""
            known = self._seen.get(str(path.resolve()))
            if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
                return known[2]
            found = file_sha256(path)
        except (OSError, ValueError):
            return ""
        file = {"path": str(path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        self.append({"event": "seen", **file, "sha256": found})
        return found

    def done(self, key: str) -> dict[str, Any] | None:
        """What was written when the job of that key was done."""
        return self._done.get(key)

    def ours(self, output: Path, sha256: str) -> bool:
        """Whether a job, this one or another, left the file `output` with that content."""
        return (str(output), sha256) in self._left

    def begun(self) -> Iterable[Path]:
        """Folders in which jobs that were asked for did or do their work."""
        return [Path(str(entry.get("staging", ""))) for entry in self._asked.values()]

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"another cdrl batch works with the journal {self.path}: wait for it, or stop it"
            ) from None
        except OSError:
            pass  # a file system that has no locks

    def _load(self) -> None:
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            content = file.read()
        whole, _, torn = content.rpartition(b"\n")
        lines = whole.splitlines()
        if content and (not lines or _decoded(lines[0]) != HEAD) and not json.dumps(HEAD).encode().startswith(content):
            raise InputError(f"{self.path} is no journal of cdrl batch: name another one with --journal")
        if torn:  # what was being written when the machine stopped
            os.ftruncate(self._descriptor, len(content) - len(torn))
        if not lines:
            self.append(HEAD)
        for line in lines[1:]:
            self._take(_decoded(line))

    def _take(self, entry: dict[str, Any]) -> None:
        key = str(entry.get("key"))
        match entry:
            case {"event": "seen", "path": str(path), "size": int(size), "mtime_ns": int(mtime), "sha256": str(sha)}:
                self._seen[path] = (size, mtime, sha)
            case {"event": "asked", "staging": str()}:
                self._asked[key] = entry
            case {"event": "done", "sha256": str(sha), "output": str(output)}:
                self._done[key] = entry
                self._left.add((output, sha))
                self._asked.pop(key, None)
            case {"event": "failed"}:
                self._asked.pop(key, None)
            case {"event": "journal"}:
                pass
            case _:
                self.damaged += 1


def _decoded(line: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        entry = json.loads(line)
        if isinstance(entry, dict):
            return entry
    return {}
