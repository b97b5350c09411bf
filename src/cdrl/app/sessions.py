"""Who is at work: a folder and a state for each open page, so that two users never mix, and nothing stays behind."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cdrl.app.scene import Scene, Timeline
from cdrl.errors import InputError, OutputError, UsageError
from cdrl.manipulation.expression_change import ExpressionChange
from cdrl.manipulation.manipulator import Manipulator
from cdrl.media import VideoInfo
from cdrl.media.encoding import FILM_PROFILES, PROFILES
from cdrl.request import RENDERERS, EditRequest

IDLE = 3600.0  # seconds without a call after which a session is closed; a page that is open calls when it is used
STALE_AFTER = 120.0  # seconds without a new byte after which an upload is given up
_ROOT = "cdrl-app-"
SESSION = "session-"
"""How the folders of sessions begin."""
RESULTS = 4
"""Finished edits of one clip that are stored to be downloaded."""
_CLOCKS_APART = 60.0  # seconds that the clocks of processes and files may differ
_LONGEST_NAME = 80  # characters of an upload's name that are stored


class Uploads:
    """Uploads as Gradio keeps them: in one file for all who sent the same content, which goes with the last of them.

    Who sends the same again puts a new file in the place of the old one; that is not for those before to remove.
    """

    def __init__(self) -> None:
        self._held: Counter[tuple[Path, int]] = Counter()
        self._lock = threading.Lock()

    def hold(self, upload: Path) -> tuple[Path, int]:
        """One more has it; gives what `release` takes. Raises OSError where it is gone."""
        with self._lock:
            held = upload, upload.stat().st_ino
            self._held[held] += 1
            return held

    def release(self, held: tuple[Path, int]) -> None:
        """One has done with it."""
        upload, number = held
        with self._lock, suppress(OSError):
            self._held[held] -= 1
            if self._held[held] <= 0:
                del self._held[held]
                if upload.stat().st_ino == number:
                    upload.unlink()
                    upload.parent.rmdir()


@dataclass
class Session:
    """The state of one open page. `lock` is held while it is read or changed."""

    folder: Path
    uploads: Uploads
    taken: dict[Path, tuple[Path, int]] = field(default_factory=dict)
    """File of ours → the upload it was, as `Uploads` knows it."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    edits: set[threading.Event] = field(default_factory=set)
    """One for each edit that runs or waits; setting it stops that edit, and no other."""
    used: float = field(default_factory=time.monotonic)
    info: VideoInfo | None = None
    opening: object | None = None
    """The call that opened a clip last; one that was overtaken gives up."""
    scene: Scene | None = None
    """The clip with its largest face."""
    others: dict[str, Scene] = field(default_factory=dict)
    """The clip with another of its faces."""
    timeline: Timeline | None = None
    played: Path | None = None
    """What the page plays as the source: the clip itself, or a copy that browsers can play."""
    reference: Path | None = None
    neutral: Path | None = None
    """A photo or clip of the neutral face of the person in the clip."""
    patterns: dict[Path, ExpressionChange] = field(default_factory=dict)
    manipulator: tuple[object, Manipulator] | None = None
    """That of the last preview, and what it was made of."""
    consent: bool = False
    results: list[Path] = field(default_factory=list)
    """The folders of finished edits, the oldest first."""
    held: Counter[Path] = field(default_factory=Counter)
    """Files of ours that edits or looks read now."""
    unwanted: set[Path] = field(default_factory=set)
    """Those of them that are to be removed then."""
    running: int = 0
    """Edits and looks at work now: the folder stays until they have ended."""
    closed: bool = False

    def store_upload(self, upload: str | Path) -> Path:
        """The uploaded file under a harmless name in this session's folder. Raises InputError."""
        given = Path(upload)
        name = re.sub(r"[^\w.-]+", "_", given.name)[-_LONGEST_NAME:].lstrip(".-") or "clip"
        stored = self.folder / secrets.token_hex(8) / name
        try:
            held = self.uploads.hold(given)
            stored.parent.mkdir()
            try:
                stored.hardlink_to(given)
            except OSError:  # another file system
                shutil.copyfile(given, stored)
        except OSError as error:
            raise InputError(f"{name} did not arrive ({error.strerror}): upload it again") from None
        self.taken[stored] = held
        return stored

    def remove_upload(self, stored: Path) -> None:
        """Remove what was taken, now or as soon as nobody reads it any more."""
        with self.lock:
            if self.held[stored]:
                self.unwanted.add(stored)
                return
            self.unwanted.discard(stored)
            self.patterns.pop(stored, None)
            if stored in self.taken:
                self.uploads.release(self.taken.pop(stored))
        shutil.rmtree(stored.parent, ignore_errors=True)

    @contextmanager
    def hold(self, *files: Path) -> Iterator[None]:
        """Keeps files until the block ends, whatever else the session does meanwhile."""
        with self.lock:
            self.held.update(files)
        try:
            yield
        finally:
            with self.lock:
                self.held.subtract(files)
                gone = [path for path in files if path in self.unwanted and not self.held[path]]
            for path in gone:
                self.remove_upload(path)

    @contextmanager
    def lend(self, upload: str | Path | None) -> Iterator[Path | None]:
        """The uploaded file for one call alone; None where none is given. Raises InputError."""
        if upload is None:
            yield None
            return
        stored = self.store_upload(upload)
        try:
            with self.hold(stored):
                yield stored
        finally:
            self.remove_upload(stored)

    @contextmanager
    def edit(self) -> Iterator[threading.Event]:
        """An edit that runs or waits until the block ends; gives what stops it."""
        canceled = threading.Event()
        with self.lock:
            self.edits.add(canceled)
            if self.closed:
                canceled.set()
        try:
            yield canceled
        finally:
            with self.lock:
                self.edits.discard(canceled)

    def cancel(self) -> None:
        """Stop every edit, those that wait for their turn included."""
        for canceled in list(self.edits):
            canceled.set()

    def request(self, neutral: Path | None, **fields: Any) -> EditRequest:
        """Make a request for the session's clip.

        Args:
            neutral: A photo or clip of the person's neutral face, if one was given.
            fields: Further fields of the request.

        Raises:
            UsageError: No clip is open, or the request makes no sense, or names a file of this machine.
        """
        if self.info is None:
            raise UsageError("no clip is open: upload or record one first")
        if fields.get("renderer") not in (None, *RENDERERS):
            raise UsageError(f"there is no such renderer here: choose {' or '.join(RENDERERS)}")
        if fields.get("profile") in set(PROFILES) - set(FILM_PROFILES):
            raise UsageError(f"the app writes no numbered pictures: choose one of {', '.join(FILM_PROFILES)}")
        return EditRequest(self.info.path, enroll={} if neutral is None else {"neutral": neutral}, **fields)

    def keep(self, result: Path) -> None:
        """Remember a finished edit; of more than `RESULTS` the oldest go."""
        with self.lock:
            self.results.append(result)
            gone, self.results = self.results[:-RESULTS], self.results[-RESULTS:]
        for folder in gone:
            shutil.rmtree(folder, ignore_errors=True)

    def drop_clip(self) -> None:
        """Forget the clip and remove everything made of it."""
        if self.info is not None:
            self.remove_upload(self.info.path)
        for folder in self.results:
            shutil.rmtree(folder, ignore_errors=True)
        self.results, self.others = [], {}
        self.info = self.scene = self.timeline = self.played = None

    def cleanup(self) -> None:
        """Remove everything, for good."""
        for stored in list(self.taken):
            self.remove_upload(stored)
        shutil.rmtree(self.folder, ignore_errors=True)

    def format_error(self, error: BaseException) -> str:
        """An error's sentence for the page: files by the names their user knows, not by where we keep them."""
        text = re.sub(re.escape(str(self.folder)) + r"[\\/](?:[0-9a-f]{16}[\\/])?", "", str(error))
        return " ".join(text.split())


class Sessions:
    """All sessions of a running app, in one temporary folder that is removed at the end."""

    def __init__(self) -> None:
        remove_left_behind()
        try:
            self.root = Path(tempfile.mkdtemp(prefix=f"{_ROOT}{os.getpid()}-"))
        except OSError as error:
            raise OutputError(f"no temporary folder can be made ({error.strerror}): set TMPDIR to one") from None
        self._uploads = Uploads()
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def get(self, key: str | None) -> Session:
        """The session of a page, made where it is new. Sessions that nobody uses any more are closed."""
        if not key:
            raise InputError("this call belongs to no session: reload the page")
        with self._lock:
            idle = [name for name, session in self._open.items() if time.monotonic() - session.used > IDLE]
            gone = [self._open.pop(name) for name in idle if not self._open[name].running]
            session = self._open.get(key)
            if session is None:
                try:
                    session = Session(Path(tempfile.mkdtemp(prefix=SESSION, dir=self.root)), self._uploads)
                except OSError as error:
                    raise OutputError(f"no room for uploads ({error.strerror}): free space on {self.root}") from None
                self._open[key] = session
            session.used = time.monotonic()
        for old in gone:
            _remove(old)
        self._remove_stale_uploads()
        return session

    def _remove_stale_uploads(self) -> None:
        """Uploads that were too large, or whose sender has left: Gradio leaves what has arrived of them."""
        for path in self.root.glob("tmp*"):
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > STALE_AFTER:
                    path.unlink()

    def close(self, key: str | None) -> None:
        """The page is closed: stop what it asked for, remove its files."""
        with self._lock:
            session = self._open.pop(key or "", None)
        if session is not None:
            _remove(session)

    def close_all(self) -> None:
        """Stop everything, remove everything."""
        with self._lock:
            left = list(self._open.values())
            self._open.clear()
        for session in left:
            _remove(session)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def in_use(session: Session) -> Iterator[None]:
    """Keeps the session's folder until the block ends. Raises InputError when the page is closed already."""
    with session.lock:
        if session.closed:
            raise InputError("the page was closed meanwhile: reload it")
        session.running += 1
    try:
        yield
    finally:
        with session.lock:
            session.running -= 1
            if session.closed and not session.running:
                session.cleanup()


def _remove(session: Session) -> None:
    session.cancel()
    with session.lock:
        session.closed = True
        if not session.running:
            session.cleanup()


def remove_left_behind() -> None:
    """Removes the folders of apps that were killed and could not clean up; no others, and not those it may not."""
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_ROOT}*-*"):
            with suppress(OSError):  # another app that starts now may remove it first
                if _is_left_behind(folder):
                    shutil.rmtree(folder)


def _is_left_behind(folder: Path) -> bool:
    """Whether the app that made the folder is gone. Raises OSError where that cannot be told."""
    number = folder.name[len(_ROOT) :].split("-")[0]
    status = folder.lstat()
    own = not hasattr(os, "getuid") or status.st_uid == os.getuid()  # Windows has a temporary folder for each user
    if not number.isdecimal() or not stat.S_ISDIR(status.st_mode) or not own:
        return False
    try:
        # Numbers come again: who began after the last change in the folder has not made it.
        return bool(psutil.Process(int(number)).create_time() > status.st_mtime + _CLOCKS_APART)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OverflowError, ValueError):
        return False
