"""The same through HTTP, for programs: /open, /preview, /edit, /cancel of a `gradio_client`, one session a client."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from cdrl.app.sessions import Session, Sessions
from cdrl.app.studio import LARGEST, Result, Studio
from cdrl.emotions import MAX_INTENSITY
from cdrl.errors import CdrlError, FaceError, Interrupted, UsageError
from cdrl.plan import REGIONS
from cdrl.project import Project
from cdrl.pipeline.report import NO_FACE


class Api:
    """Handlers behind invisible fields; errors are one sentence in the client's exception."""

    def __init__(self, studio: Studio, sessions: Sessions) -> None:
        self.studio = studio
        self.sessions = sessions

    def connect(self) -> None:
        """Adds the fields and the endpoints to the page that is being made."""
        with gr.Row(visible=False):
            clip, reference, neutral = (gr.File(label=label) for label in ("clip", "reference", "neutral"))
            button = gr.Button()
            wish = [
                gr.Textbox(label="emotion"),
                gr.Textbox(label="segments"),
                gr.Number(1.0, label="intensity", maximum=MAX_INTENSITY),
                gr.CheckboxGroup(list(REGIONS), value=[], label="regions"),
                gr.Textbox(LARGEST, label="face"),
                reference,
            ]
            moment, consent = gr.Number(None, label="moment"), gr.Checkbox(label="consent")
            facts, still, said = gr.JSON(), gr.Image(format="png"), gr.Textbox()
            files = [gr.File(label=label) for label in ("video", "report", "project")]
        look: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "look"}
        button.click(self.open, clip, facts, api_name="open", **look)
        button.click(self.preview, [*wish, moment, neutral], still, api_name="preview", **look)
        # Edits wait for their turn in the studio, not in Gradio's queue: there they could not be cancelled.
        button.click(self.edit, [*wish, consent, neutral], files, api_name="edit", concurrency_limit=None)
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
        face: str = LARGEST,
        reference: str | None = None,
        moment: float | None = None,
        neutral: str | None = None,
    ) -> Any:
        """The frame nearest to `moment` (default: the first that shows the face) as it will be: RGB [H, W, 3]."""
        session = self.sessions.of(request.session_hash)
        with _plainly(session), session.lend(reference) as shown, session.lend(neutral) as own:
            wish = _wish(session, emotion, segments, intensity, regions, face, shown, own)
            found = self.studio.preview(session, wish, None if moment is None else float(moment))
            if found.skipped == NO_FACE:
                first = self.studio.scene(session, wish.face).first.frame.time
                raise FaceError(
                    f"no face is seen at {float(found.frame.time):.1f} s: give another moment; one is seen at "
                    f"{float(first):.1f} s"
                )
            return found.frame.rgb()

    def edit(
        self,
        request: gr.Request,
        emotion: str | None = None,
        segments: str | None = None,
        intensity: float = 1.0,
        regions: Sequence[str] = (),
        face: str = LARGEST,
        reference: str | None = None,
        consent: bool = False,
        neutral: str | None = None,
    ) -> Generator[Any, None, None]:
        """The edited clip, its report and its project."""
        session = self.sessions.of(request.session_hash)
        with _plainly(session), session.lend(reference) as shown, session.lend(neutral) as own:
            wish = _wish(session, emotion, segments, intensity, regions, face, shown, own)
            with closing(self.studio.edit(session, wish, bool(consent))) as steps:
                for step in steps:
                    if isinstance(step, Result):
                        yield str(step.video), str(step.report), str(step.project)
                    else:
                        yield None, None, None  # where a client that has left is noticed

    def cancel(self, request: gr.Request) -> str:
        """Stops the session's edits, those that wait for their turn included."""
        self.sessions.of(request.session_hash).cancel()
        return "cancelling"


def _wish(
    session: Session,
    emotion: str | None,
    segments: str | None,
    intensity: float,
    regions: Sequence[str],
    face: str,
    reference: Path | None,
    neutral: Path | None,
) -> Project:
    if session.info is None:
        raise UsageError("no clip is open: call /open first")
    return Project(
        session.info.path,
        emotion=emotion or None,
        segments=segments or None,
        reference=reference,
        intensity=float(intensity),
        regions=tuple(regions),
        face=face,
        enroll={} if neutral is None else {"neutral": neutral},
    )


@contextmanager
def _plainly(session: Session) -> Iterator[None]:
    try:
        yield
    except (CdrlError, Interrupted) as error:
        raise gr.Error(session.said(error), print_exception=False) from None
