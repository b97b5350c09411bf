"""What happens when something on the page is touched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import gradio as gr

from cdrl.app import markup
from cdrl.app.form import OVER_TIME, Form
from cdrl.app.page import DOWNLOADS, PREVIEW, RESULT, SHOWN, Page
from cdrl.app.plots import curves, lips
from cdrl.app.service import EditProgress, EditResult, EditService, Waiting
from cdrl.app.sessions import Session, Sessions
from cdrl.errors import CdrlError, InterruptedByUser, UsageError
from cdrl.media import ColorTags
from cdrl.media.tone import show_frame
from cdrl.pipeline.report import NO_FACE

_SHOW_RESULT = "() => document.querySelector('.cdrl-player')?.scrollIntoView({block: 'nearest', behavior: 'smooth'})"

Update = dict[Any, Any]
"""Component → its new value or properties."""


class Events:
    """Handlers of one page's components. Each gets the caller's session, and turns errors into one sentence."""

    def __init__(self, page: Page, service: EditService, sessions: Sessions) -> None:
        self.page = page
        self.service = service
        self.sessions = sessions

    def connect(self) -> None:
        """Ties the handlers to the page."""
        page, private = self.page, {"api_visibility": "private", "show_progress": "hidden"}
        looks = {"concurrency_limit": 2, "concurrency_id": "look"} | private
        result = [page.result, *page.downloads, page.lips, page.curves, page.stage, page.status]
        shown_when_opened = [page.notice, page.studio, page.preview, page.note, page.source, page.timeline, page.moment,
                  page.faces, page.face, *result]  # fmt: skip
        for field, event in ((page.clip, page.clip.upload), (page.camera, page.camera.stop_recording)):
            event(lambda: markup.sentence("Looking at the clip …"), None, page.notice, queue=False, **private).then(
                self.open, [field, *page.form], shown_when_opened, **looks
            ).success(self.look_through, page.form, [page.timeline, page.source, page.moment, page.rows], **looks)
        page.mode.change(self.choose_mode, page.mode, [getattr(page, name) for name in SHOWN], queue=False, **private)
        page.add.click(lambda rows: [*rows, [""] * 4], page.rows, page.rows, queue=False, **private)
        page.clip.clear(self.cleared, None, [page.studio, page.notice], queue=False, **private)
        unseen = (page.face, page.profile)
        fields = [field for field in page.form if all(field is not other for other in unseen)] + [page.moment]
        shown = [page.preview, page.note, page.timeline, page.stage]
        follows = {"trigger_mode": "always_last", "concurrency_limit": 4, "concurrency_id": "preview"} | private
        values = [*page.form, page.moment]
        gr.on([field.change for field in fields], self.preview, values, shown, **follows)
        page.face.input(self.choose_face, page.face, page.note, **looks).then(self.preview, values, shown, **follows)
        gr.on([page.reference.upload, page.reference.clear], self.refer, page.reference, page.reference_note,
              **looks).then(self.preview, values, shown, **follows)  # fmt: skip
        gr.on([page.neutral.upload, page.neutral.clear], self.enroll, page.neutral, page.neutral_note,
              **looks).then(self.preview, values, shown, **follows)  # fmt: skip
        buttons = [page.edit, page.cancel]
        # Edits wait for their turn in the service, not in Gradio's queue: there they could not be canceled.
        page.edit.click(
            self.edit, [page.consent, *page.form], buttons + result, concurrency_limit=None, **private
        ).then(None, None, None, js=_SHOW_RESULT, **private)
        page.cancel.click(self.cancel, None, page.status, queue=False, **private)

    def open(self, request: gr.Request, upload: str | None, *form: Any) -> Update:
        """A clip has arrived: survey it and show the first preview."""
        page, session = self.page, self.sessions.get(request.session_hash)
        form = (*form[:-1], "largest")
        with told(session, page.notice, {page.studio: gr.update(visible=False)}) as failed:
            if upload is None:
                raise UsageError("no clip has arrived: upload or record one")
            self.service.open_clip(session, upload)
            update = self._preview(session, (*form, None))
            return update | self._fresh(session)
        return failed

    def _fresh(self, session: Session) -> Update:
        """The page as it stands when a clip was just opened."""
        page, faces, first = self.page, session.scene.faces if session.scene else [], _first(session)
        several = len(faces) > 1
        choices = [("Largest", "largest"), *((str(n), str(n)) for n in range(1, len(faces) + 1))]
        gone = gr.update(visible=False, value=None)
        return {
            page.notice: "",
            page.studio: gr.update(visible=True),
            page.stage: gr.update(selected=PREVIEW),
            page.source: markup.sentence("The clip is being read …"),
            page.result: markup.sentence("Nothing is edited yet."),
            page.timeline: "",
            page.moment: gr.update(visible=False, maximum=max(first, 1.0), value=first),
            page.faces: gr.update(visible=several, value=markup.portraits(faces) if several else ""),
            page.face: gr.update(visible=several, choices=choices, value="largest"),
            page.status: "",
            **dict.fromkeys((*page.downloads, page.lips, page.curves), gone),
        }

    def look_through(self, request: gr.Request, *form: Any) -> Update:
        """The rest of the clip: timeline, more moments, and a player."""
        page, session = self.page, self.sessions.get(request.session_hash)
        with told(session, page.source) as failed:
            self.service.look_through(session)
            if session.timeline is None or session.played is None:
                return {page.source: gr.skip()}
            seconds = session.timeline.seconds
            half = f"{seconds / 2:.1f}"
            return {
                page.timeline: self._timeline(session, form, _first(session)),
                page.source: markup.video(session.played),
                page.moment: gr.update(maximum=round(seconds, 1), visible=len(session.timeline.moments) > 1),
                page.rows: [["0", half, "happy", "1"], [half, "", "surprised", "1"]],
            }
        return failed

    def cleared(self, request: gr.Request) -> Update:
        """The clip was taken away."""
        session = self.sessions.get(request.session_hash)
        session.cancel()
        with session.lock:
            session.opening = None
            session.drop_clip()
        return {self.page.studio: gr.update(visible=False), self.page.notice: ""}

    def choose_mode(self, mode: str) -> Update:
        """Only the fields that are of use are shown."""
        return {getattr(self.page, name): gr.update(visible=mode in modes) for name, modes in SHOWN.items()}

    def preview(self, request: gr.Request, *values: Any) -> Update:
        """The moment as it will be."""
        session = self.sessions.get(request.session_hash)
        if session.scene is None:
            return {self.page.note: ""}
        with told(session, self.page.note, alarm=False) as failed:
            return self._preview(session, values) | {self.page.stage: gr.update(selected=PREVIEW)}
        return failed

    def _preview(self, session: Session, values: tuple[Any, ...]) -> Update:
        page, edit_request = self.page, Form(*values[:-1]).request(session)
        found = self.service.preview(session, edit_request, None if values[-1] is None else float(values[-1]))
        color = ColorTags() if session.info is None else session.info.color
        note = "" if found.skipped is None else f"Not edited at this moment: {found.skipped}."
        if found.skipped == NO_FACE:
            note += f" One is seen at {float(self.service.scene(session, edit_request.face).first.frame.time):.1f} s."
        return {
            page.preview: markup.pictures(*(show_frame(frame, color) for frame in (found.source, found.frame))),
            page.note: markup.sentence(note),
            page.timeline: self._timeline(session, values[:-1], float(found.frame.time)),
        }

    def _timeline(self, session: Session, form: tuple[Any, ...], moment: float) -> Any:
        if session.timeline is None:
            return gr.skip()
        try:
            plan = Form(*form).request(session).plan if form[0] == OVER_TIME else None
            if plan is not None and session.info is not None:
                plan = plan.at_rate(session.info.rate)
        except UsageError:
            plan = None
        return markup.timeline(session.timeline, plan, moment)

    def choose_face(self, request: gr.Request, face: str) -> Update:
        """Another person is to be edited."""
        return self._carry_out(request, self.page.note, lambda session: self.service.scene(session, face))

    def refer(self, request: gr.Request, upload: str | None) -> Update:
        """A reference has arrived, or was taken away."""
        note = self.page.reference_note
        return self._carry_out(request, note, lambda session: self.service.set_reference(session, upload))

    def enroll(self, request: gr.Request, upload: str | None) -> Update:
        """A photo or clip of the person's neutral face has arrived, or was taken away."""
        note = self.page.neutral_note
        return self._carry_out(request, note, lambda session: self.service.set_neutral(session, upload))

    def _carry_out(self, request: gr.Request, note: Any, act: Callable[[Session], object]) -> Update:
        """Do what shows nothing but, in `note`, why it failed."""
        session = self.sessions.get(request.session_hash)
        with told(session, note) as failed:
            act(session)
            return {note: ""}
        return failed

    def edit(self, request: gr.Request, consent: bool, *form: Any) -> Generator[Update, None, None]:
        """The whole clip, with progress."""
        page, session = self.page, self.sessions.get(request.session_hash)
        busy: Update = {page.edit: gr.update(interactive=False), page.cancel: gr.update(visible=True)}
        ready: Update = {page.edit: gr.update(interactive=True), page.cancel: gr.update(visible=False)}
        with told(session, page.status, ready) as failed:
            with closing(self.service.edit(session, Form(*form).request(session), consent)) as steps:
                for step in steps:
                    if isinstance(step, Waiting):
                        yield busy | {page.status: markup.sentence("Waiting for its turn …")}
                    elif isinstance(step, EditProgress):
                        yield busy | {page.status: markup.progress(step.done, step.total)}
                    else:
                        yield ready | self._finished(session, step)
            return
        yield failed

    def _finished(self, session: Session, result: EditResult) -> Update:
        page = self.page
        said = " ".join([f"{result.summary.edited} of {result.summary.total} frames edited.", *result.notes])
        return {
            page.status: markup.sentence(said),
            page.result: markup.videos(session.played or result.played, result.played),
            **{getattr(page, name): gr.update(visible=True, value=str(getattr(result, name))) for name in DOWNLOADS},
            page.lips: gr.update(visible=True, value=lips(result.summary)),
            page.curves: gr.update(visible=True, value=curves(result.summary)),
            page.stage: gr.update(selected=RESULT),
        }

    def cancel(self, request: gr.Request) -> Update:
        """Stop the edit; it says itself when it has stopped."""
        self.sessions.get(request.session_hash).cancel()
        return {self.page.status: markup.sentence("Canceling …")}

    def close(self, request: gr.Request) -> None:
        """The page was closed or loaded anew."""
        self.sessions.close(request.session_hash)


def _first(session: Session) -> float:
    """When the face is first seen, seconds as the page's slider has them."""
    return round(float(session.scene.first.frame.time), 1) if session.scene else 0.0


@contextmanager
def told(session: Session, note: Any, also: Update | None = None, *, alarm: bool = True) -> Iterator[Update]:
    """Fills the given update where the block fails: the error's sentence in `note`, and `also`; never a traceback."""
    update: Update = {}
    try:
        yield update
        return
    except (CdrlError, InterruptedByUser) as error:
        said = session.format_error(error)
    except Exception as error:  # noqa: BLE001 - the page's last line of defense; the terminal gets the kind of error
        said = f"unexpected {type(error).__name__}: {session.format_error(error)}"
        print(f"cdrl: error: {said}", file=sys.stderr)  # noqa: T201
        said += "; please report it"
    update |= {**(also or {}), note: markup.sentence(said, alarm)}
