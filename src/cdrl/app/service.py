"""What a page can ask for, without the page: open a clip, preview, edit with progress, cancel."""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cdrl.app.scene import Scene, look_through, plays_in_browsers
from cdrl.app.sessions import Session, in_use
from cdrl.errors import InputError, InterruptedByUser, UsageError
from cdrl.files import atomic_write
from cdrl.manipulation.manipulator import Manipulator
from cdrl.media import EncoderOptions, Limits, VideoInfo, probe
from cdrl.pipeline.editor import Editor
from cdrl.pipeline.job import ProgressCallback
from cdrl.pipeline.report import Report
from cdrl.pipeline.stages import EditedFrame
from cdrl.plan import EditPlan
from cdrl.project import write_project
from cdrl.provenance import sidecar_path
from cdrl.request import EditRequest

CONSENT = "I have the consent of the person shown, and will say that the clip was edited where I show it."
PURPOSE = (
    "For film, dubbing, avatars and research: change how a talking person seems to feel, keep what they say. "
    "Not for deceiving anyone about what somebody felt or did."
)
LARGEST = "largest"
_CANCELED = "canceled: nothing was written"
_TICK = 0.2  # seconds between two looks at how far an edit is


@dataclass(frozen=True)
class EditResult:
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
class Waiting:
    """Others are edited first."""


@dataclass(frozen=True)
class EditProgress:
    """Frames done, and of a total; None where that is not known."""

    done: int
    total: int | None


class Turns:
    """Who edits now, and who waits: `limit` edits run at the same time, first come, first served."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._line: list[object] = []
        self._lock = threading.Lock()

    @contextmanager
    def stand_in_line(self) -> Iterator[Callable[[], bool]]:
        """A place at the end of the line until the block ends; what it gives says whether its turn has come."""
        place = object()
        with self._lock:
            self._line.append(place)
        try:
            yield lambda: self._has_come(place)
        finally:
            with self._lock:
                self._line.remove(place)

    def _has_come(self, place: object) -> bool:
        with self._lock:
            return self._line.index(place) < self.limit


class EditService:
    """An editor and the limits on what is uploaded; sessions come with each call."""

    def __init__(self, editor: Editor, limits: Limits, model: str | None = None, edits: int = 1) -> None:
        """`model`: as `cdrl.load` takes it, for the projects; `edits`: clips that are edited at the same time."""
        self.editor = editor
        self.limits = limits
        self.turns = Turns(edits)
        self._model = model

    def open_clip(self, session: Session, upload: str | Path) -> None:
        """Makes the upload the session's clip, and surveys the largest face. Raises any CdrlError.

        Of two clips that are opened at the same time the later stays.
        """
        session.cancel()  # edits of the clip before are of no use any more
        call = object()
        with in_use(session):
            with session.lock:
                path = session.store_upload(upload)  # before the old one goes: it may be the same
                session.drop_clip()
                session.opening = call
            try:
                info = probe(path, self.limits)
                if info.photo:
                    raise InputError(f"{path} is a photo: give a video (photos serve as references)")
                scene = Scene.look(
                    path, self.editor, LARGEST, self.limits, lambda: session.opening is call and not session.closed
                )
                with session.lock:
                    if session.opening is not call:
                        raise InputError("another clip was opened meanwhile")
                    session.info, session.scene = info, scene
            except BaseException:
                session.remove_upload(path)
                raise

    def look_through(self, session: Session) -> None:
        """Reads the whole clip once: moments, sound, and a copy to play where browsers can't play the clip itself."""
        with in_use(session):
            info, _ = _opened(session)
            plays = plays_in_browsers(info)
            copy = None if plays else info.path.parent / f"{secrets.token_hex(8)}.mp4"
            timeline = look_through(info, self.limits, copy, lambda: session.info is info and not session.closed)
            with session.lock:
                if session.info is info:
                    session.timeline, session.played = timeline, copy or info.path
                    for scene in filter(None, (session.scene, *session.others.values())):
                        scene.add(timeline.moments)

    def scene(self, session: Session, face: str = LARGEST) -> Scene:
        """The session's clip with that face, surveyed once. Raises FaceError and UsageError."""
        with in_use(session):
            info, scene = _opened(session)
            if face != LARGEST:
                with session.lock:
                    known = session.others.get(face)
                scene = known or self._look_at(session, info, face)
            return scene

    def _look_at(self, session: Session, info: VideoInfo, face: str) -> Scene:
        with session.hold(info.path):
            scene = Scene.look(
                info.path, self.editor, face, self.limits, lambda: session.info is info and not session.closed
            )
        with session.lock:
            if session.info is not info or session.scene is None:
                raise InputError("another clip was opened meanwhile")
            scene.faces = session.scene.faces
            scene.add(session.scene.moments)
            session.others[face] = scene
        return scene

    def set_reference(self, session: Session, upload: str | Path | None) -> None:
        """Makes the upload the clip or photo whose expression is to be shown; None forgets it. Raises any CdrlError."""
        with in_use(session):
            path, pattern = None if upload is None else session.store_upload(upload), None
            try:
                pattern = None if path is None else self.editor.expression_of(path, self.limits)
            finally:
                with session.lock:
                    before, session.reference = session.reference, path if pattern is not None else None
                    if path is not None and pattern is not None:
                        session.patterns[path] = pattern
                for old in filter(None, (before, path if pattern is None else None)):
                    session.remove_upload(old)

    def set_neutral(self, session: Session, upload: str | Path | None) -> None:
        """Take an upload for the photo or clip of the person's neutral face; None forgets it. Raises CdrlError."""
        with in_use(session):
            path, seen = None if upload is None else session.store_upload(upload), False
            try:
                if path is not None:
                    self.editor.manipulator(EditPlan.parse("neutral"), {"neutral": path}, self.limits)
                    seen = True
            finally:
                with session.lock:
                    before, session.neutral = session.neutral, path if seen else None
                for old in filter(None, (before, None if seen else path)):
                    session.remove_upload(old)

    def preview(self, session: Session, request: EditRequest, moment: float | None = None) -> EditedFrame:
        """Edit one frame as the whole clip's edit will.

        Args:
            session: Whose clip it is.
            request: What is asked for.
            moment: Seconds; the nearest frame that is kept is taken. None: the first that shows the face.

        Raises:
            CdrlError: It cannot be edited.
        """
        scene = self.scene(session, request.face)
        with in_use(session), session.hold(*request.inputs):
            manipulator = self._manipulator(session, request)
            with session.lock:
                return scene.preview(moment, request.plan, manipulator, self.editor.find_renderer(request.renderer))

    def _manipulator(self, session: Session, request: EditRequest) -> Manipulator:
        """The request's manipulator; the last one serves on while files and regions stay: a slider costs a frame."""
        key = (request.plan.regions, request.reference, *request.enroll.items())
        known = session.manipulator
        if known is None or known[0] != key:
            pattern = None if request.reference is None else session.patterns.get(request.reference)
            known = key, self.editor.manipulator(request.plan, request.enroll, self.limits, pattern)
            session.manipulator = known
        return known[1]

    def edit(
        self, session: Session, request: EditRequest, consent: bool = False
    ) -> Generator[Waiting | EditProgress | EditResult, None, None]:
        """Edit the whole clip when its turn comes; closing the generator, or `session.cancel()`, leaves no file.

        Args:
            session: Whose clip it is.
            request: What is asked for.
            consent: Whether the consent of the person shown was stated with this call.

        Raises:
            InterruptedByUser: The edit was canceled.
            CdrlError: It cannot be carried out.
        """
        with in_use(session), session.edit() as canceled, session.hold(*request.inputs):
            _opened(session)
            session.consent = session.consent or consent
            if not session.consent:
                raise UsageError("the consent of the person shown is needed first: tick the line above the button")
            with self.turns.stand_in_line() as has_come:
                while not has_come() and not canceled.is_set():
                    yield Waiting()
                    time.sleep(_TICK)
                if canceled.is_set():
                    raise InterruptedByUser(_CANCELED)
                yield from self._edit(session, request, canceled)

    def _edit(
        self, session: Session, request: EditRequest, canceled: threading.Event
    ) -> Generator[EditProgress | EditResult, None, None]:
        folder = session.folder / secrets.token_hex(8)
        folder.mkdir()
        try:
            yield from _run_with_progress(canceled, lambda on_progress: self._save(request, folder, on_progress))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        session.keep(folder)

    def _save(self, request: EditRequest, folder: Path, on_progress: ProgressCallback) -> EditResult:
        endings = EncoderOptions().with_profile(request.profile).settings.suffixes or (".mp4",)
        video = folder / f"{request.source.stem}_{request.label}{endings[0]}"
        job = self.editor.edit(request, limits=self.limits)
        report = job.save(video, progress=on_progress, measure_lips=True)
        on_progress(report.total, report.total)
        # The project lies beside its clip wherever it is downloaded to, so it names files without folders.
        facts = report.to_json() | {"source": request.source.name, "output": video.name}
        facts["warnings"] = [line.replace(f"{request.source}: ", "") for line in report.warnings]
        ours = json.dumps(f"{folder}{os.sep}", ensure_ascii=False)[1:-1]
        text = json.dumps(facts, indent=2, ensure_ascii=False).replace(ours, "") + "\n"
        report_file, project = video.with_suffix(".report.json"), video.with_suffix(".project.json")
        atomic_write(report_file, [text.encode()])
        reference = None if request.reference is None else folder / request.reference.name
        enroll = {name: folder / path.name for name, path in request.enroll.items()}
        named_alone = replace(request, source=folder / request.source.name, reference=reference, enroll=enroll)
        write_project(replace(named_alone, model=self._model), project)
        played = self._playable(video, on_progress)
        return EditResult(video, report_file, project, sidecar_path(video), played, report, tuple(facts["warnings"]))

    def _playable(self, video: Path, on_progress: ProgressCallback) -> Path:
        limits = replace(self.limits, max_bytes=max(self.limits.max_bytes, video.stat().st_size))  # those of uploads
        info = probe(video, limits)
        if plays_in_browsers(info):
            return video
        copy = video.with_name(f"{secrets.token_hex(8)}.mp4")

        def wanted() -> bool:
            on_progress(1, 1)  # raises when it is not
            return True

        look_through(info, limits, copy, wanted)
        return copy


def _opened(session: Session) -> tuple[VideoInfo, Scene]:
    with session.lock:
        info, scene = session.info, session.scene
    if info is None or scene is None:
        raise UsageError("no clip is open: upload or record one first")
    return info, scene


def _run_with_progress(
    canceled: threading.Event, work: Callable[[ProgressCallback], EditResult]
) -> Generator[EditProgress | EditResult, None, None]:
    """Runs `work` in a thread, tells how far it is, and stops it when it is canceled or the listener leaves."""
    said: queue.Queue[EditProgress | EditResult | BaseException] = queue.Queue()
    left = threading.Event()

    def on_progress(done: int, total: int | None) -> None:
        if left.is_set() or canceled.is_set():
            raise InterruptedByUser(_CANCELED)
        said.put(EditProgress(done, total))

    def run() -> None:
        try:
            said.put(work(on_progress))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is listened to
            said.put(error)

    thread = threading.Thread(target=run, name="edit", daemon=True)
    thread.start()
    try:
        while True:
            item = said.get()
            while isinstance(item, EditProgress) and not said.empty():
                item = said.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, EditResult):
                return
            time.sleep(_TICK)
    finally:
        left.set()
        thread.join()
