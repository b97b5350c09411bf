"""The same through HTTP, for programs: /open, /preview, /edit, /cancel of a `gradio_client`, one session a client."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import gradio as gr

from cdrl.app.sessions import Session, Sessions
from cdrl.app.studio import Progress, Studio
from cdrl.emotions import MAX_INTENSITY
from cdrl.errors import CdrlError, Interrupted, UsageError
from cdrl.manipulation.plan import REGIONS
from cdrl.project import Project


class Api:
    """Handlers behind invisible fields; errors are one sentence in the client's exception."""

    def __init__(self, studio: Studio, sessions: Sessions) -> None:
        self.studio = studio
        self.sessions = sessions

    def connect(self, edits: int) -> None:
        """Adds the fields and the endpoints to the page that is being made."""
        with gr.Row(visible=False):
            clip, reference, button = gr.File(label="clip"), gr.File(label="reference"), gr.Button()
            wish = [
                gr.Textbox(label="emotion"),
                gr.Textbox(label="segments"),
                gr.Number(1.0, label="intensity", maximum=MAX_INTENSITY),
                gr.CheckboxGroup(list(REGIONS), value=[], label="regions"),
                gr.Textbox("largest", label="face"),
                reference,
            ]
            moment, consent = gr.Number(0.0, label="moment"), gr.Checkbox(label="consent")
            facts, still, said = gr.JSON(), gr.Image(format="png"), gr.Textbox()
            files = [gr.File(label=label) for label in ("video", "report", "project")]
        look: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "look"}
        button.click(self.open, clip, facts, api_name="open", **look)
        button.click(self.preview, [*wish, moment], still, api_name="preview", **look)
        edit: dict[str, Any] = {"concurrency_limit": edits, "concurrency_id": "edit"}
        button.click(self.edit, [*wish, consent], files, api_name="edit", **edit)
        button.click(self.cancel, None, said, api_name="cancel", queue=False)

    def open(self, request: gr.Request, clip: str | None) -> dict[str, Any]:
        """Makes an uploaded clip the session's; what it holds."""
        session = self.sessions.of(request.session_hash)
        with _plainly(session):
            if clip is None:
                raise UsageError("no clip has arrived: upload one")
            self.studio.open(session, clip)
            self.studio.look_through(session)
            info, scene, timeline = session.info, session.scene, session.timeline
            if info is None or scene is None or timeline is None:
                raise UsageError("another clip was opened meanwhile")
            size = {"width": info.width, "height": info.height}
            return {"name": info.path.name, **size, "seconds": timeline.seconds, "faces": len(scene.faces)}

    def preview(
        self,
        request: gr.Request,
        emotion: str | None = None,
        segments: str | None = None,
        intensity: float = 1.0,
        regions: Sequence[str] = (),
        face: str = "largest",
        reference: str | None = None,
        moment: float = 0.0,
    ) -> Any:
        """The frame nearest to `moment` as it will be: RGB [H, W, 3]."""
        session = self.sessions.of(request.session_hash)
        with _plainly(session):
            wish = self._wish(session, emotion, segments, intensity, regions, face, reference)
            self.studio.choose_face(session, wish.face)
            return self.studio.preview(session, wish, float(moment)).frame.rgb()

    def edit(
        self,
        request: gr.Request,
        emotion: str | None = None,
        segments: str | None = None,
        intensity: float = 1.0,
        regions: Sequence[str] = (),
        face: str = "largest",
        reference: str | None = None,
        consent: bool = False,
    ) -> Generator[Any, None, None]:
        """The edited clip, its report and its project."""
        session = self.sessions.of(request.session_hash)
        with _plainly(session):
            self.studio.begin(session, bool(consent))
            wish = self._wish(session, emotion, segments, intensity, regions, face, reference)
            with closing(self.studio.edit(session, wish)) as steps:
                for step in steps:
                    if isinstance(step, Progress):
                        yield None, None, None  # where a client that has left is noticed
                    else:
                        yield str(step.video), str(step.report), str(step.project)

    def cancel(self, request: gr.Request) -> str:
        """Stops the session's edit."""
        self.sessions.of(request.session_hash).cancelled.set()
        return "cancelling"

    def _wish(
        self,
        session: Session,
        emotion: str | None,
        segments: str | None,
        intensity: float,
        regions: Sequence[str],
        face: str,
        reference: str | None,
    ) -> Project:
        if session.info is None:
            raise UsageError("no clip is open: call /open first")
        self.studio.refer(session, reference)
        return Project(
            session.info.path,
            emotion=emotion or None,
            segments=segments or None,
            reference=session.reference,
            intensity=float(intensity),
            regions=tuple(regions),
            face=face,
        )


@contextmanager
def _plainly(session: Session) -> Iterator[None]:
    try:
        yield
    except (CdrlError, Interrupted) as error:
        raise gr.Error(session.said(error), print_exception=False) from None
