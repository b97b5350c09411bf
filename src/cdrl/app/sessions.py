"""Who is at work: a folder and a state for each open page, so that two users never mix, and nothing stays behind."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cdrl.app.scene import Scene
from cdrl.app.timeline import Timeline
from cdrl.errors import InputError, OutputError
from cdrl.manipulation.prior import Pattern
from cdrl.media import VideoInfo

IDLE = 3600.0  # seconds without a call after which a session is closed; a page that is open calls when it is used
BROKEN_OFF = 120.0  # seconds without a new byte after which an upload is given up
_ROOT = "cdrl-app-"
SESSION = "session-"
"""How the folders of sessions begin."""
_LONGEST_NAME = 80  # characters of an upload's name that are kept


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
    """The state of one open page. `lock` is held while it is read or changed; `cancelled` stops a running edit."""

    folder: Path
    uploads: Uploads
    taken: dict[Path, tuple[Path, int]] = field(default_factory=dict)
    """File of ours → the upload it was, as `Uploads` knows it."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    cancelled: threading.Event = field(default_factory=threading.Event)
    used: float = field(default_factory=time.monotonic)
    info: VideoInfo | None = None
    scene: Scene | None = None
    timeline: Timeline | None = None
    played: Path | None = None
    """What the page plays as the source: the clip itself, or a copy that browsers can play."""
    reference: Path | None = None
    patterns: dict[Path, Pattern] = field(default_factory=dict)
    consent: bool = False
    result: Path | None = None
    """The folder of the last finished edit."""
    running: int = 0
    """Edits and looks at work now: the folder stays until they have ended."""
    closed: bool = False

    def take(self, upload: str | Path) -> Path:
        """The uploaded file under a harmless name in this session's folder. Raises InputError."""
        given = Path(upload)
        name = re.sub(r"[^\w.-]+", "_", given.name)[-_LONGEST_NAME:].lstrip(".-") or "clip"
        kept = self.folder / secrets.token_hex(8) / name
        try:
            held = self.uploads.hold(given)
            kept.parent.mkdir()
            try:
                kept.hardlink_to(given)
            except OSError:  # another file system
                shutil.copyfile(given, kept)
        except OSError as error:
            raise InputError(f"{name} did not arrive ({error.strerror}): upload it again") from None
        self.taken[kept] = held
        return kept

    def drop(self, kept: Path) -> None:
        """Remove what was taken."""
        if kept in self.taken:
            self.uploads.release(self.taken.pop(kept))
        shutil.rmtree(kept.parent, ignore_errors=True)

    def drop_clip(self) -> None:
        """Forget the clip and remove everything made of it."""
        if self.info is not None:
            self.drop(self.info.path)
        if self.result is not None:
            shutil.rmtree(self.result, ignore_errors=True)
        self.info = self.scene = self.timeline = self.played = self.result = None

    def end(self) -> None:
        """Remove everything, for good."""
        for kept in list(self.taken):
            self.drop(kept)
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self, error: BaseException) -> str:
        """An error's sentence for the page: files by the names their user knows, not by where we keep them."""
        text = re.sub(re.escape(str(self.folder)) + r"/(?:[0-9a-f]{16}/)?", "", str(error))
        return " ".join(text.split())


class Sessions:
    """All sessions of a running app, in one temporary folder that is removed at the end."""

    def __init__(self) -> None:
        remove_left_behind()
        self.root = Path(tempfile.mkdtemp(prefix=f"{_ROOT}{os.getpid()}-"))
        self._uploads = Uploads()
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, key: str | None) -> Session:
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
        self._remove_broken_off()
        return session

    def _remove_broken_off(self) -> None:
        """Uploads that were too large, or whose sender has left: Gradio leaves what has arrived of them."""
        for path in self.root.glob("tmp*"):
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > BROKEN_OFF:
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
def at_work(session: Session) -> Iterator[None]:
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
                session.end()


def _remove(session: Session) -> None:
    session.cancelled.set()
    with session.lock:
        session.closed = True
        if not session.running:
            session.end()


def remove_left_behind() -> None:
    """Folders of apps that were killed and could not clean up."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_ROOT}*-*"):
        number = folder.name[len(_ROOT) :].split("-")[0]
        if not number.isdecimal() or folder.is_symlink() or folder.stat().st_uid != os.getuid():
            continue
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            with suppress(OSError):
                shutil.rmtree(folder)
        except OSError:
            continue
