"""Pieces of the page that Gradio has no component for: pairs side by side, the timeline, progress."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.app.scene import BINS, Timeline
from cdrl.plan import EditPlan

_WIDEST = 960  # pixels of a preview; more is not seen in half a page


def file_address(path: Path) -> str:
    """Where the page finds a file of its session."""
    return "/gradio_api/file=" + quote(path.as_posix())


def picture(rgb: NDArray[np.uint8], alt: str, quality: int = 92) -> str:
    """An image that travels inside the page."""
    height, width = rgb.shape[:2]
    if width > _WIDEST:
        size = (_WIDEST, round(height * _WIDEST / width))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    coded = base64.b64encode(data.tobytes()).decode()
    return f'<img src="data:image/jpeg;base64,{coded}" alt="{escape(alt)}" width="{width}" height="{height}">'


def pictures(source: NDArray[np.uint8], edited: NDArray[np.uint8]) -> str:
    """Two pictures side by side."""
    return _pair(picture(source, "The clip as it is"), picture(edited, "The clip as it will be"), "Preview")


def videos(source: Path, edited: Path) -> str:
    """Two videos side by side with one set of controls; `player.js` keeps them together."""
    tags = [
        f'<video src="{escape(file_address(path))}" preload="auto" playsinline {more}></video>'
        for path, more in ((source, "muted"), (edited, ""))
    ]
    return f'<div class="cdrl-player">{_pair(tags[0], tags[1], "Edited")}{_BAR}</div>'


def video(path: Path) -> str:
    """One video with the browser's own controls."""
    return f'<video class="cdrl-single" src="{escape(file_address(path))}" controls playsinline></video>'


_BAR = (
    '<div class="cdrl-bar"><button type="button" class="cdrl-play" aria-label="Play">▶</button>'
    '<input type="range" class="cdrl-seek" min="0" max="1" step="any" value="0" aria-label="Position">'
    '<span class="cdrl-time">0:00</span></div>'
)


def _pair(first: str, second: str, name: str) -> str:
    return (
        f'<div class="cdrl-pair"><figure>{first}<figcaption>Source</figcaption></figure>'
        f'<figure class="cdrl-edited">{second}<figcaption>{name}</figcaption></figure></div>'
    )


def portraits(faces: Sequence[NDArray[np.uint8]]) -> str:
    """The faces to choose from, numbered from the left."""
    shown = (
        f"<figure>{picture(face, f'Face {number}')}<figcaption>{number}</figcaption></figure>"
        for number, face in enumerate(faces, 1)
    )
    return f'<div class="cdrl-faces">{"".join(shown)}</div>'


def timeline(seen: Timeline, plan: EditPlan | None = None, moment: float = 0.0) -> str:
    """Thumbnails over the sound's envelope; the plan's segments as bands, the moment previewed as a line."""
    strip = "".join(picture(each, "", 80) for each in seen.thumbnails)
    bands = "" if plan is None else "".join(_bands(plan, seen.seconds))
    mark = f'<i class="cdrl-mark" style="left:{_percent(moment, seen.seconds)}"></i>'
    ticks = "".join(f"<span>{seen.seconds * n / 4:.1f} s</span>" for n in range(5))
    return (
        f'<div class="cdrl-timeline" role="img" aria-label="Pictures and sound over {seen.seconds:.1f} seconds">'
        f'<div class="cdrl-strip">{strip}</div>{_wave(seen)}<div class="cdrl-bands">{bands}</div>{mark}'
        f'</div><div class="cdrl-ticks">{ticks}</div>'
    )


def _wave(seen: Timeline) -> str:
    if seen.envelope is None:
        return '<p class="cdrl-silent">no sound</p>'
    up = [f"{n},{20 - 19 * float(loud):.1f}" for n, loud in enumerate(seen.envelope)]
    down = [f"{n},{20 + 19 * float(loud):.1f}" for n, loud in reversed(list(enumerate(seen.envelope)))]
    return (
        f'<svg class="cdrl-wave" viewBox="0 0 {BINS - 1} 40" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{" ".join(up + down)}"/></svg>'
    )


def _bands(plan: EditPlan, seconds: float) -> list[str]:
    bands = []
    for segment in plan.segments:
        start, end = float(segment.start), seconds if segment.end is None else min(float(segment.end), seconds)
        if start < end:
            place = f"left:{_percent(start, seconds)};width:{_percent(end - start, seconds)}"
            text = escape(" + ".join(segment.amounts))
            bands.append(f'<span style="{place}" title="{text}">{text}</span>')
    return bands


def _percent(part: float, whole: float) -> str:
    return f"{100 * min(max(part / max(whole, 1e-3), 0), 1):.2f}%"


def progress(done: int, total: int | None) -> str:
    """A bar, and in words how far an edit is."""
    place, said = "", f"{done} frames"
    if not done:
        said = "Looking at the face …"
    elif total is not None:
        share = min(done, total)
        place, said = f' max="{total}" value="{share}"', f"{share} of {total} frames"
    return f'<div class="cdrl-progress" role="status"><progress{place}></progress><span>{said}</span></div>'


def sentence(text: str, alarm: bool = False) -> str:
    """One line for the user; an alarm is read out at once."""
    kind, text = ("alert", "cdrl-alarm") if alarm else ("status", "cdrl-note"), text[:1].upper() + text[1:]
    return f'<p role="{kind[0]}" class="{kind[1]}">{escape(text)}</p>' if text else ""
