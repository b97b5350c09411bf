"""The same through HTTP, for programs: /open, /preview, /edit, /cancel of a `gradio_client`, one session a client."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from inspect import Parameter, Signature, isgeneratorfunction
from typing import Any, cast

import gradio as gr

from cdrl.app.service import LARGEST, EditResult, EditService
from cdrl.app.sessions import Session, Sessions
from cdrl.emotions import MAX_INTENSITY
from cdrl.errors import CdrlError, FaceError, InterruptedByUser, UsageError
from cdrl.media import ColorTags
from cdrl.media.tone import show_frame
from cdrl.pipeline.report import NO_FACE
from cdrl.plan import REGIONS
from cdrl.request import EditRequest


class Api:
    """Handlers behind invisible fields; errors are one sentence in the client's exception."""

    def __init__(self, service: EditService, sessions: Sessions) -> None:
        self.service = service
        self.sessions = sessions

    def connect(self) -> None:
        """Add the fields and the endpoints to the page that is being made."""
        with gr.Row(visible=False):
            clip, neutral = gr.File(label="clip"), gr.File(label="neutral")
            button = gr.Button()
            inputs = {
                "emotion": gr.Textbox(label="emotion"),
                "reference": gr.File(label="reference"),
                "segments": gr.Textbox(label="segments"),
                "intensity": gr.Number(1.0, label="intensity", maximum=MAX_INTENSITY),
                "regions": gr.CheckboxGroup(list(REGIONS), value=[], label="regions"),
                "face": gr.Textbox(LARGEST, label="face"),
                "renderer": gr.Textbox(label="renderer"),
            }
            profile = gr.Textbox(label="profile")
            moment, consent = gr.Number(None, label="moment"), gr.Checkbox(label="consent")
            facts, still, answer = gr.JSON(), gr.Image(format="png"), gr.Textbox()
            files = [gr.File(label=label) for label in ("video", "report", "project")]
        look: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "look"}
        button.click(self.open, clip, facts, api_name="open", **look)
        previews = _with_fields(self.preview, [*inputs, "moment", "neutral"])
        button.click(previews, [*inputs.values(), moment, neutral], still, api_name="preview", **look)
        # Edits wait for their turn in the service, not in Gradio's queue: there they could not be canceled.
        edits = _with_fields(self.edit, [*inputs, "consent", "neutral", "profile"])
        given = [*inputs.values(), consent, neutral, profile]
        button.click(edits, given, files, api_name="edit", concurrency_limit=None)
        button.click(self.cancel, None, answer, api_name="cancel", queue=False)

    def open(self, request: gr.Request, clip: str | None) -> dict[str, Any]:
        """Makes an uploaded clip the session's; what it holds."""
        session = self.sessions.get(request.session_hash)
        with _plain_errors(session):
            if clip is None:
                raise UsageError("no clip has arrived: upload one")
            self.service.open_clip(session, clip)
            self.service.look_through(session)
            info, scene, timeline = session.info, session.scene, session.timeline
            if info is None or scene is None or timeline is None:
                raise UsageError("another clip was opened meanwhile")
            size = {"width": info.width, "height": info.height}
            return {"name": info.path.name, **size, "seconds": timeline.seconds, "faces": len(scene.faces)}

    def preview(self, request: gr.Request, values: dict[str, Any]) -> Any:
        """The frame nearest to `moment` (default: the first that shows the face) as it will be: RGB [H, W, 3]."""
        session, moment = self.sessions.get(request.session_hash), values.pop("moment", None)
        with _plain_errors(session), _edit_request(session, values) as edit_request:
            edited = self.service.preview(session, edit_request, None if moment is None else float(moment))
            if edited.skipped == NO_FACE:
                first = self.service.scene(session, edit_request.face).first.frame.time
                raise FaceError(
                    f"no face is seen at {float(edited.frame.time):.1f} s: give another moment; one is seen at "
                    f"{float(first):.1f} s"
                )
            return show_frame(edited.frame, ColorTags() if session.info is None else session.info.color)

    def edit(self, request: gr.Request, values: dict[str, Any]) -> Generator[Any, None, None]:
        """The edited clip, its report and its project."""
        session, consent = self.sessions.get(request.session_hash), bool(values.pop("consent", False))
        with (
            _plain_errors(session),
            _edit_request(session, values) as edit_request,
            closing(self.service.edit(session, edit_request, consent)) as steps,
        ):
            for step in steps:
                if isinstance(step, EditResult):
                    yield str(step.video), str(step.report), str(step.project)
                else:
                    yield None, None, None  # where a client that has left is noticed

    def cancel(self, request: gr.Request) -> str:
        """Stops the session's edits, those that wait for their turn included."""
        self.sessions.get(request.session_hash).cancel()
        return "canceling"


def _with_fields(handler: Callable[[gr.Request, dict[str, Any]], Any], names: Sequence[str]) -> Callable[..., Any]:
    """A handler's endpoint: Gradio takes the names of its arguments and their defaults from the signature."""
    defaults = {entry.name: entry.default for entry in fields(EditRequest)} | {"regions": (), "consent": False}
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(name)) for name in names]

    def call(request: gr.Request, *values: Any) -> Any:
        return handler(request, dict(zip(names, values, strict=False)))

    def call_in_steps(request: gr.Request, *values: Any) -> Any:
        yield from handler(request, dict(zip(names, values, strict=False)))

    endpoint: Any = call_in_steps if isgeneratorfunction(handler) else call
    endpoint.__signature__ = Signature([Parameter("request", Parameter.POSITIONAL_OR_KEYWORD), *parameters])
    endpoint.__annotations__ = {"request": gr.Request}
    endpoint.__doc__ = handler.__doc__
    return cast(Callable[..., Any], endpoint)


@contextmanager
def _edit_request(session: Session, values: dict[str, Any]) -> Iterator[EditRequest]:
    """The request of a call, whose uploads stay until the block ends."""
    texts = ("emotion", "segments", "renderer", "profile")
    values = {name: value or None if name in texts else value for name, value in values.items()}
    reference, neutral = values.pop("reference", None), values.pop("neutral", None)
    with session.lend(reference) as own_reference, session.lend(neutral) as own_neutral:
        yield session.request(own_neutral, reference=own_reference, **values)


@contextmanager
def _plain_errors(session: Session) -> Iterator[None]:
    try:
        yield
    except (CdrlError, InterruptedByUser) as error:
        raise gr.Error(session.format_error(error), print_exception=False) from None
