"""What a page can ask for, without the page: open a clip, preview, edit with progress, cancel."""

from __future__ import annotations

import json
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

from cdrl.app.scene import Scene
from cdrl.app.sessions import Session, at_work
from cdrl.app.timeline import look_through, plays_in_browsers
from cdrl.editor import Editor
from cdrl.errors import InputError, Interrupted, UsageError
from cdrl.files import atomic_write
from cdrl.frame_editor import Edited
from cdrl.manipulation.plan import EditPlan
from cdrl.manipulation.prior import Pattern
from cdrl.media import EncoderOptions, Limits, VideoInfo, probe
from cdrl.project import Project
from cdrl.provenance import sidecar_path
from cdrl.report import Report

CONSENT = "I have the consent of the person shown, and will say that the clip was edited where I show it."
PURPOSE = (
    "For film, dubbing, avatars and research: change how a talking person seems to feel, keep what they say. "
    "Not for deceiving anyone about what somebody felt or did."
)
_TICK = 0.2  # seconds between two looks at how far an edit is


@dataclass(frozen=True)
class Result:
    """A finished edit: files to download, and what the page plays for it."""

    video: Path
    report: Path
    project: Path
    record: Path
    """The sidecar that says how the video was made."""
    played: Path
    summary: Report
    notes: tuple[str, ...]
    """What a user should know, one sentence each."""


@dataclass(frozen=True)
class Progress:
    """Frames done of a total; None where it isn't known."""

    done: int
    total: int | None


class Studio:
    """An editor and the limits on what is uploaded; sessions come with each call."""

    def __init__(self, editor: Editor, limits: Limits, model: str | None = None) -> None:
        self.editor = editor
        self.limits = limits
        self._model = model

    def open(self, session: Session, upload: str | Path) -> None:
        """Makes the upload the session's clip, and surveys the largest face. Raises any CdrlError."""
        session.cancelled.set()  # an edit of the clip before is of no use any more
        with at_work(session), session.lock:
            path = session.take(upload)  # before the old one goes: it may be the same
            session.drop_clip()
            try:
                info = probe(path, self.limits)
                if info.photo:
                    raise InputError(f"{path} is a photo: give a video (photos serve as references)")
                session.scene = Scene.look(path, self.editor, "largest", self.limits)
            except BaseException:
                session.drop(path)
                raise
            session.info = info

    def look_through(self, session: Session) -> None:
        """Reads the whole clip once: moments, sound, and a copy to play where browsers can't play the clip itself."""
        with at_work(session):
            info, _ = _opened(session)
            plays = plays_in_browsers(info)
            copy = None if plays else info.path.parent / f"{secrets.token_hex(8)}.mp4"
            timeline = look_through(info, self.limits, copy, lambda: session.info is info and not session.closed)
            with session.lock:
                if session.info is info:
                    session.timeline, session.played = timeline, copy or info.path
                    if session.scene is not None:
                        session.scene.add(timeline.moments)

    def choose_face(self, session: Session, face: str) -> None:
        """Surveys another face of the clip. Raises FaceError and UsageError."""
        with at_work(session), session.lock:
            info, scene = _opened(session)
            if scene.face != face:
                session.scene = Scene.look(info.path, self.editor, face, self.limits)
                session.scene.faces = scene.faces
                session.scene.add(scene.moments)

    def refer(self, session: Session, upload: str | Path | None) -> None:
        """Makes the upload the clip or photo whose expression is to be shown; None forgets it. Raises any CdrlError."""
        with at_work(session), session.lock:
            path = None if upload is None else session.take(upload)  # before the old one goes: it may be the same
            before, session.reference = session.reference, None
            if before is not None:
                session.patterns.pop(before, None)
                session.drop(before)
            if path is not None:
                try:
                    session.patterns[path] = self.editor.expression_of(path, self.limits)
                except BaseException:
                    session.drop(path)
                    raise
                session.reference = path

    def preview(self, session: Session, wish: Project, moment: float = 0.0) -> Edited:
        """The frame kept nearest to `moment`, in seconds, as the edit will show it. Raises any CdrlError."""
        with at_work(session), session.lock:
            info, scene = _opened(session)
            plan = EditPlan.parse(wish.emotion, wish.reference, wish.intensity, wish.regions, wish.segments)
            plan = plan.at_rate(info.rate)
            return scene.preview(moment, plan, self.editor.manipulator(plan, pattern=_pattern(session, wish)))

    def begin(self, session: Session, consent: bool) -> None:
        """Called when an edit is asked for, before it waits for its turn, so that it can be cancelled while it does."""
        with session.lock:
            session.consent = session.consent or consent
            session.cancelled = threading.Event()

    def edit(self, session: Session, wish: Project) -> Generator[Progress | Result, None, None]:
        """Edits the whole clip; closing the generator, or setting `session.cancelled`, leaves no file.

        Raises Interrupted when cancelled, and any CdrlError.
        """
        with at_work(session):
            _opened(session)
            if not session.consent:
                raise UsageError("the consent of the person shown is needed first: tick the line above the button")
            folder = session.folder / secrets.token_hex(8)
            folder.mkdir()
            try:
                yield from _followed(session, lambda told: self._carry_out(wish, folder, told))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            with session.lock:
                before, session.result = session.result, folder
                if before is not None:
                    shutil.rmtree(before, ignore_errors=True)

    def _carry_out(self, wish: Project, folder: Path, told: Callable[[int, int | None], None]) -> Result:
        video = folder / f"{wish.source.stem}_{named(wish)}.mp4"
        job = self.editor.edit(wish.source, **wish.wish, limits=self.limits)
        report = job.save(video, encoder=EncoderOptions(), progress=told, measure_lips=True)
        told(report.total, report.total)
        # The project lies beside its clip wherever it is downloaded to, so it names files without folders.
        facts = report.to_json() | {"source": wish.source.name, "output": video.name}
        facts["warnings"] = [line.replace(f"{wish.source}: ", "") for line in report.warnings]
        text = json.dumps(facts, indent=2, ensure_ascii=False).replace(f"{folder}/", "") + "\n"
        told_by, project = video.with_suffix(".report.json"), video.with_suffix(".project.json")
        atomic_write(told_by, [text.encode()])
        reference = None if wish.reference is None else folder / wish.reference.name
        replace(wish, source=folder / wish.source.name, reference=reference, model=self._model).write(project)
        record = sidecar_path(video)
        return Result(video, told_by, project, record, self._playable(video, told), report, tuple(facts["warnings"]))

    def _playable(self, video: Path, told: Callable[[int, int | None], None]) -> Path:
        info = probe(video, self.limits)
        if plays_in_browsers(info):
            return video
        copy = video.with_name(f"{secrets.token_hex(8)}.mp4")

        def wanted() -> bool:
            told(1, 1)  # raises when it is not
            return True

        look_through(info, self.limits, copy, wanted)
        return copy


def named(wish: Project) -> str:
    """What an edit shows, in a few characters for a file's name."""
    if wish.segments is not None:
        return "over_time"
    text = "reference" if wish.emotion is None else wish.emotion
    return "".join(letter if letter.isalnum() or letter in "+." else "_" for letter in text)[:40]


def _opened(session: Session) -> tuple[VideoInfo, Scene]:
    if session.info is None or session.scene is None:
        raise UsageError("no clip is open: upload or record one first")
    return session.info, session.scene


def _pattern(session: Session, wish: Project) -> Pattern | None:
    return None if wish.reference is None else session.patterns.get(wish.reference)


def _followed(
    session: Session, work: Callable[[Callable[[int, int | None], None]], Result]
) -> Generator[Progress | Result, None, None]:
    """Runs `work` in a thread, tells how far it is, and stops it when the session or the listener wants no more."""
    said: queue.Queue[Progress | Result | BaseException] = queue.Queue()
    left, cancelled = threading.Event(), session.cancelled

    def told(done: int, total: int | None) -> None:
        if left.is_set() or cancelled.is_set():
            raise Interrupted("cancelled: nothing was written")
        said.put(Progress(done, total))

    def run() -> None:
        try:
            said.put(work(told))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is listened to
            said.put(error)

    thread = threading.Thread(target=run, name="edit", daemon=True)
    thread.start()
    try:
        while True:
            item = said.get()
            while isinstance(item, Progress) and not said.empty():
                item = said.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, Result):
                return
            time.sleep(_TICK)
    finally:
        left.set()
        thread.join()
