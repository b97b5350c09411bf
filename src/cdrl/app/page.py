"""The page's fields and where they stand. What they do is in `events`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from cdrl.app.form import BLEND, COLUMNS, EMOTION, MODES, OVER_TIME, REFERENCE
from cdrl.app.service import CONSENT, PURPOSE
from cdrl.emotions import EMOTIONS, MAX_INTENSITY
from cdrl.media import Limits
from cdrl.plan import REGIONS

_HERE = Path(__file__).parent
STYLE = (_HERE / "style.css").read_text(encoding="utf-8")
HEAD = f"<script>{(_HERE / 'player.js').read_text(encoding='utf-8')}</script>"
FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
"""What the reader's machine has: none is fetched."""

LINES = {"source": "#94a3b8", "edited": "#14b8a6"}
COLOURS = {
    "neutral": "#94a3b8", "angry": "#dc2626", "disgusted": "#65a30d", "fear": "#7c3aed", "happy": "#d97706",
    "sad": "#2563eb", "surprised": "#0d9488", "reference": "#db2777",
}  # fmt: skip
"""Of the lines in plots."""

DOWNLOADS = {"video": "Video", "report": "Report", "project": "Project", "record": "Record"}

_CAMERA = {"video": {"width": {"ideal": 1280}, "height": {"ideal": 720}}, "audio": True}

PREVIEW, SOURCE, RESULT = "preview", "source", "result"
"""Tabs of the stage."""


@dataclass(frozen=True)
class Page:
    """The components that events read or write."""

    clip: Any
    camera: Any
    notice: Any
    studio: Any
    stage: Any
    preview: Any
    note: Any
    moment: Any
    source: Any
    result: Any
    video: Any
    report: Any
    project: Any
    record: Any
    lips: Any
    curves: Any
    timeline: Any
    rows: Any
    add: Any
    faces: Any
    face: Any
    mode: Any
    emotion: Any
    blend: Any
    first: Any
    second: Any
    share: Any
    reference: Any
    reference_note: Any
    neutral: Any
    neutral_note: Any
    intensity: Any
    regions: Any
    consent: Any
    edit: Any
    cancel: Any
    status: Any

    @property
    def downloads(self) -> list[Any]:
        """What a finished edit gives."""
        return [getattr(self, name) for name in DOWNLOADS]

    @property
    def form(self) -> list[Any]:
        """The fields of `form.Form`, in its order."""
        return [
            self.mode, self.emotion, self.first, self.second, self.share,
            self.rows, self.intensity, self.regions, self.face,
        ]  # fmt: skip


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
    made: dict[str, Any] = {}
    with gr.Blocks(title="cdrl", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(f'<header class="cdrl-head"><h1>cdrl</h1><p>{PURPOSE}</p></header>')
        _inputs(made, limits)
        with gr.Row(visible=False, elem_id="studio") as made["studio"]:
            with gr.Column(elem_id="stage", min_width=0):
                _stage(made)
            with gr.Column(elem_id="controls", min_width=0):
                _controls(made)
            with gr.Column(elem_id="times", min_width=0):
                _times(made)
        yield blocks, Page(**made)


def _inputs(made: dict[str, Any], limits: Limits) -> None:
    size = f"at most {limits.max_bytes / 1e6:,.0f} MB, {limits.max_seconds} s"
    with gr.Tabs():
        with gr.Tab("Upload"):
            made["clip"] = gr.File(label=f"A talking person, {size}", height=200, elem_id="clip")
        with gr.Tab("Record"):
            made["camera"] = gr.Video(
                sources=["webcam"], label="Record yourself", height=260, include_audio=True,
                webcam_options=gr.WebcamOptions(mirror=False, constraints=_CAMERA), elem_id="camera",
            )  # fmt: skip
    made["notice"] = gr.HTML(elem_id="notice")


def _stage(made: dict[str, Any]) -> None:
    with gr.Tabs(selected=PREVIEW) as made["stage"]:
        with gr.Tab("Preview", id=PREVIEW):
            made["preview"] = gr.HTML(elem_id="preview")
            made["note"] = gr.HTML(elem_id="note")
        with gr.Tab("Source", id=SOURCE):
            made["source"] = gr.HTML(elem_id="source")
        with gr.Tab("Result", id=RESULT):
            made["result"] = gr.HTML("<p class='cdrl-note'>Nothing is edited yet.</p>", elem_id="result")
            with gr.Row():
                for name, label in DOWNLOADS.items():
                    made[name] = gr.DownloadButton(
                        f"↓ {label}", visible=False, size="md", min_width=90, elem_id=f"get-{name}"
                    )
            with gr.Row():
                made["lips"] = _plot("Lip opening", "opening", None, LINES)
                made["curves"] = _plot("Emotion over time", "amount", MAX_INTENSITY, COLOURS)


def _plot(title: str, y: str, highest: float | None, colors: dict[str, str]) -> Any:
    return gr.LinePlot(
        x="s", y=y, color="line", color_map=colors, color_title=" ", title=title, y_title=y,
        y_lim=highest and [0, highest], x_title="seconds", visible=False, height=220, min_width=280, buttons=[],
        elem_id=f"plot-{y}",
    )  # fmt: skip


def _times(made: dict[str, Any]) -> None:
    made["timeline"] = gr.HTML(elem_id="timeline")
    made["moment"] = gr.Slider(0, 1, value=0, step=0.1, label="Moment shown in the preview, seconds", visible=False)
    made["rows"] = gr.Dataframe(
        headers=list(COLUMNS), datatype=["str"] * 4, type="array", column_count=4, row_count=2, visible=False,
        label="Segments: an emotion, a blend such as happy+surprised, or reference; an empty end is the clip's own",
        interactive=True, buttons=[], elem_id="segments",
    )  # fmt: skip
    made["add"] = gr.Button("Add a segment", size="sm", visible=False, elem_id="add")


def _controls(made: dict[str, Any]) -> None:
    names = [(name.capitalize(), name) for name in EMOTIONS]
    made["faces"] = gr.HTML(visible=False, elem_id="faces")
    made["face"] = gr.Radio(["largest"], value="largest", label="Whose face", visible=False, elem_id="face")
    made["mode"] = gr.Radio(list(MODES), value=EMOTION, label="What to show", elem_id="mode")
    made["emotion"] = gr.Radio(names, value="happy", label="Emotion", elem_id="emotion")
    with gr.Group(visible=False) as made["blend"]:
        made["first"] = gr.Dropdown(names, value="happy", label="One emotion")
        made["second"] = gr.Dropdown(names, value="surprised", label="and another")
        made["share"] = gr.Slider(0, 1, value=0.4, step=0.05, label="Share of the other")
    made["reference"] = gr.File(
        label="A clip or photo of anyone who shows it", height=170, visible=False, elem_id="reference"
    )
    made["reference_note"] = gr.HTML(elem_id="reference-note")
    made["neutral"] = gr.File(
        label="Neutral face (photo or clip of this person, optional)", height=120, elem_id="neutral"
    )
    made["neutral_note"] = gr.HTML(elem_id="neutral-note")
    made["intensity"] = gr.Slider(
        0, MAX_INTENSITY, value=1, step=0.05, label="Intensity; 1 is how people usually show it", elem_id="intensity"
    )
    made["regions"] = gr.CheckboxGroup(
        [(name.capitalize(), name) for name in REGIONS], value=list(REGIONS), label="Parts of the face"
    )
    made["consent"] = gr.Checkbox(label=CONSENT, elem_id="consent")
    with gr.Row():
        made["edit"] = gr.Button("Edit the whole clip", variant="primary", elem_id="edit")
        made["cancel"] = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
    made["status"] = gr.HTML(elem_id="status")


SHOWN: dict[str, Callable[[str], bool]] = {
    "emotion": lambda mode: mode == EMOTION,
    "blend": lambda mode: mode == BLEND,
    "reference": lambda mode: mode in (REFERENCE, OVER_TIME),
    "rows": lambda mode: mode == OVER_TIME,
    "add": lambda mode: mode == OVER_TIME,
}
"""Field → whether it is seen in that mode."""
