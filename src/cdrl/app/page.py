"""The page's fields and where they stand. What they do is in `events`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from cdrl.app.form import BLEND, COLUMNS, EMOTION, MODES, OVER_TIME, REFERENCE, Form
from cdrl.app.service import CONSENT, PURPOSE
from cdrl.emotions import EMOTIONS, MAX_INTENSITY
from cdrl.media import Limits
from cdrl.media.encoding import DEFAULT_PROFILE
from cdrl.plan import REGIONS
from cdrl.request import RENDERERS

_HERE = Path(__file__).parent
STYLE = (_HERE / "style.css").read_text(encoding="utf-8")
HEAD = f"<script>{(_HERE / 'player.js').read_text(encoding='utf-8')}</script>"
FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
"""What the reader's machine has: none is fetched."""

LINES = {"source": "#94a3b8", "edited": "#14b8a6"}
COLORS = {
    "neutral": "#94a3b8", "angry": "#dc2626", "disgusted": "#65a30d", "fear": "#7c3aed", "happy": "#d97706",
    "sad": "#2563eb", "surprised": "#0d9488", "reference": "#db2777",
}  # fmt: skip
"""Of the lines in plots."""

DOWNLOADS = {"video": "Video", "report": "Report", "project": "Project", "record": "Record"}

_CAMERA = {"video": {"width": {"ideal": 1280}, "height": {"ideal": 720}}, "audio": True}

PROFILE_TEXTS = {
    "web": "Web: small, plays everywhere", "fast": "Fast: less time, twice the size",
    "archive": "Archive: near lossless", "prores": "Editing: ProRes in MOV", "dnxhr": "Editing: DNxHR in MOV",
    "ffv1": "Keeping: FFV1 in MKV, lossless",
}  # fmt: skip
"""Profile → what it is for, in the page's words."""

PREVIEW, SOURCE, RESULT = "preview", "source", "result"
"""Tabs of the stage."""


class Page(SimpleNamespace):
    """The components that events read or write, each under the name that it gets below."""

    @property
    def downloads(self) -> list[Any]:
        """What a finished edit gives."""
        return [getattr(self, name) for name in DOWNLOADS]

    @property
    def form(self) -> list[Any]:
        """The fields of `form.Form`, in its order."""
        return [getattr(self, entry.name) for entry in fields(Form)]


def theme() -> Any:
    """Quiet colors, and fonts that need no network."""
    return gr.themes.Default(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=FONTS,
        font_mono=("ui-monospace", "monospace"),
    ).set(
        body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400",
        # White on the hue's usual step is too faint to read.
        button_primary_background_fill="*primary_700", button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800", button_primary_background_fill_hover_dark="*primary_800",
    )  # fmt: skip


@contextmanager
def layout(limits: Limits) -> Iterator[tuple[Any, Page]]:
    """The page, open for events: Gradio's blocks, and the components in them."""
    page = Page()
    with gr.Blocks(title="cdrl", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(f'<header class="cdrl-head"><h1>cdrl</h1><p>{PURPOSE}</p></header>')
        _inputs(page, limits)
        with gr.Row(visible=False, elem_id="studio") as page.studio:
            with gr.Column(elem_id="stage", min_width=0):
                _stage(page)
            with gr.Column(elem_id="controls", min_width=0):
                _controls(page)
            with gr.Column(elem_id="times", min_width=0):
                _times(page)
        yield blocks, page


def _inputs(page: Page, limits: Limits) -> None:
    size = f"at most {limits.max_bytes / 1e6:,.0f} MB, {limits.max_seconds} s"
    with gr.Tabs():
        with gr.Tab("Upload"):
            page.clip = gr.File(label=f"A talking person, {size}", height=200, elem_id="clip")
        with gr.Tab("Record"):
            page.camera = gr.Video(
                sources=["webcam"], label="Record yourself", height=260, include_audio=True,
                webcam_options=gr.WebcamOptions(mirror=False, constraints=_CAMERA), elem_id="camera",
            )  # fmt: skip
    page.notice = gr.HTML(elem_id="notice")


def _stage(page: Page) -> None:
    with gr.Tabs(selected=PREVIEW) as page.stage:
        with gr.Tab("Preview", id=PREVIEW):
            page.preview = gr.HTML(elem_id="preview")
            page.note = gr.HTML(elem_id="note")
        with gr.Tab("Source", id=SOURCE):
            page.source = gr.HTML(elem_id="source")
        with gr.Tab("Result", id=RESULT):
            page.result = gr.HTML("<p class='cdrl-note'>Nothing is edited yet.</p>", elem_id="result")
            with gr.Row():
                for name, label in DOWNLOADS.items():
                    look = {"visible": False, "size": "md", "min_width": 90}
                    setattr(page, name, gr.DownloadButton(f"↓ {label}", elem_id=f"get-{name}", **look))
            with gr.Row():
                page.lips = _plot("Lip opening", "opening", None, LINES)
                page.curves = _plot("Emotion over time", "amount", MAX_INTENSITY, COLORS)


def _plot(title: str, y: str, highest: float | None, colors: dict[str, str]) -> Any:
    return gr.LinePlot(
        x="s", y=y, color="line", color_map=colors, color_title=" ", title=title, y_title=y,
        y_lim=highest and [0, highest], x_title="seconds", visible=False, height=220, min_width=280, buttons=[],
        elem_id=f"plot-{y}",
    )  # fmt: skip


def _times(page: Page) -> None:
    page.timeline = gr.HTML(elem_id="timeline")
    page.moment = gr.Slider(0, 1, value=0, step=0.1, label="Moment shown in the preview, seconds", visible=False)
    page.rows = gr.Dataframe(
        headers=list(COLUMNS), datatype=["str"] * 4, type="array", column_count=4, row_count=2, visible=False,
        label="Segments: an emotion, a blend such as happy+surprised, or reference; an empty end is the clip's own",
        interactive=True, buttons=[], elem_id="segments",
    )  # fmt: skip
    page.add = gr.Button("Add a segment", size="sm", visible=False, elem_id="add")


def _controls(page: Page) -> None:
    names = [(name.capitalize(), name) for name in EMOTIONS]
    page.faces = gr.HTML(visible=False, elem_id="faces")
    page.face = gr.Radio(["largest"], value="largest", label="Whose face", visible=False, elem_id="face")
    page.mode = gr.Radio(list(MODES), value=EMOTION, label="What to show", elem_id="mode")
    page.emotion = gr.Radio(names, value="happy", label="Emotion", elem_id="emotion")
    with gr.Group(visible=False) as page.blend:
        page.first = gr.Dropdown(names, value="happy", label="One emotion")
        page.second = gr.Dropdown(names, value="surprised", label="and another")
        page.share = gr.Slider(0, 1, value=0.4, step=0.05, label="Share of the other")
    page.reference = gr.File(
        label="A clip or photo of anyone who shows it", height=170, visible=False, elem_id="reference"
    )
    page.reference_note = gr.HTML(elem_id="reference-note")
    page.neutral = gr.File(label="Neutral face (photo or clip of this person, optional)", height=120, elem_id="neutral")
    page.neutral_note = gr.HTML(elem_id="neutral-note")
    page.intensity = gr.Slider(
        0, MAX_INTENSITY, value=1, step=0.05, label="Intensity; 1 is how people usually show it", elem_id="intensity"
    )
    page.regions = gr.CheckboxGroup(
        [(name.capitalize(), name) for name in REGIONS], value=list(REGIONS), label="Parts of the face"
    )
    page.renderer = gr.Radio(
        [(name.capitalize(), name) for name in RENDERERS], value=RENDERERS[0], label="Renderer", elem_id="renderer",
        info="Neural (experimental) lets a network correct the warped face.",
    )  # fmt: skip
    page.profile = gr.Dropdown(
        [(text, name) for name, text in PROFILE_TEXTS.items()], value=DEFAULT_PROFILE, label="Result for",
        elem_id="profile", info="What browsers cannot play is played here as a copy.",
    )  # fmt: skip
    page.consent = gr.Checkbox(label=CONSENT, elem_id="consent")
    with gr.Row():
        page.edit = gr.Button("Edit the whole clip", variant="primary", elem_id="edit")
        page.cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
    page.status = gr.HTML(elem_id="status")


SHOWN = {
    "emotion": [EMOTION],
    "blend": [BLEND],
    "reference": [REFERENCE, OVER_TIME],
    "rows": [OVER_TIME],
    "add": [OVER_TIME],
}
"""Field → the modes in which it is seen."""
