"""Figures of what was measured: attention, retrieval, closed lips, gradient descent, and confusions of emotions.

Faces are shown of synthetic people and of CREMA-D alone: the licenses of the others do not let them be passed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl.evaluation.representation.features import ContentFeatures
from cdrl.evaluation.representation.frame_index import FrameIndex, pick_evenly
from cdrl.evaluation.representation.similarity import Queries
from experiments.attention import Attention
from experiments.lip_closure import ClosurePair, Falls
from experiments.mouth_gradient import Descent

Picture = NDArray[np.uint8]

_SIDE = 128  # pixels of a face
_CAPTION = 18
_LINES = 6  # of faces in a figure
_INK, _PAPER = (32, 32, 32), 255
_RIGHT, _WRONG = (40, 160, 60), (200, 50, 40)
_SHOWN = {"crema-d", "crema_d", "cremad"}


def may_be_shown(index: FrameIndex, row: int) -> bool:
    """Return whether the license of a row's clip lets its picture be passed on."""
    metadata = index.clips[index.clip[row]].metadata
    return bool(metadata.synthetic or metadata.dataset.lower() in _SHOWN)


def draw_attention(index: FrameIndex, maps: Mapping[str, Attention]) -> Picture | None:
    """Draw the mean map of each condition over a few faces of the block; None where none may be shown."""
    rows = np.array([row for row in np.flatnonzero(index.speaking).tolist() if may_be_shown(index, row)], np.intp)
    if not len(rows) or not maps:
        return None
    faces = list(index.images(pick_evenly(rows, 4)))
    lines = [_draw_line(faces, f"{index.block}, as it is")]
    for condition, attention in maps.items():
        share = attention.shares.groupby(["person", "clip"])["value"].mean().groupby("person").mean().mean()
        caption = f"{index.block}, {condition}: {share:.2f} of the attention in the lower face"
        lines.append(_draw_line([overlay_map(face, attention.mean_map) for face in faces], caption))
    return np.vstack(lines)


def overlay_map(face: Picture, weights: NDArray[np.float32]) -> Picture:
    """Overlay a face [h, w, 3] with a map [rows, columns]: the redder, the more."""
    large = cv2.resize(weights, (face.shape[1], face.shape[0]), interpolation=cv2.INTER_LINEAR)
    level = (255 * np.clip(large / max(float(weights.max()), 1e-9), 0, 1)).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    share = 0.15 + 0.45 * (level[..., None] / 255)
    mixed: Picture = (face * (1 - share) + colors * share).round().astype(np.uint8)
    return mixed


def draw_retrieval(index: FrameIndex, queries: Queries, features: ContentFeatures) -> Picture | None:
    """Draw query, match, and what each condition finds among the 32, framed green where it is the match."""
    rows = queries.table["row"].to_numpy(np.intp)
    shown = np.array([k for k, row in enumerate(rows) if may_be_shown(index, row)], np.intp)
    conditions = [name for name, vectors in features.vectors.items() if np.isfinite(vectors[rows[shown]]).all()]
    if not len(shown) or not conditions:
        return None
    lines = [_draw_headings(["query", "match", *conditions])]
    for k in pick_evenly(shown, _LINES):
        row, candidates = int(rows[k]), queries.candidates[k]
        faces = [*index.images(np.array([row, candidates[0]]))]
        for condition in conditions:
            vectors = features.vectors[condition]
            best = int(np.argmax(vectors[candidates] @ vectors[row]))
            faces.append(_draw_frame(index.images(candidates[best : best + 1])[0], _RIGHT if best == 0 else _WRONG))
        one, two = (index.clips[index.clip[r]].metadata for r in (row, candidates[0]))
        lines.append(_draw_line(faces, f"{one.dataset} {one.actor}: {one.emotion}, found in {two.emotion}"))
    return _stack(lines)


def draw_closure(index: FrameIndex, pairs: Sequence[ClosurePair], falls: Falls) -> Picture | None:
    """Draw frames as they are, with closed lips, with raised brows, and what each costs of the cosine."""
    known = {name: closed for name, (closed, _) in falls.items() if np.isfinite(closed).any()}
    if not pairs or not known:
        return None
    closed, control = falls[next(iter(known))]
    shown = [k for k, pair in enumerate(pairs) if may_be_shown(index, pair.row) and np.isfinite(closed[k])]
    lines = [_draw_headings(["as it is", "lips closed", "brows raised"])]
    for k in pick_evenly(np.array(shown, np.intp), _LINES):
        lines.append(_draw_line(list(pairs[k].middle), f"cosine falls by {closed[k]:.2f}, and {control[k]:.2f}"))
    return _stack(lines) if shown else None


def draw_descents(index: FrameIndex, descents: Sequence[Descent]) -> Picture | None:
    """Draw where descent starts, where it ends, and the frame whose content it follows."""
    shown = [descent for descent in descents if may_be_shown(index, descent.start.row)][:_LINES]
    lines = [_draw_headings(["start", "end", "content wanted"])]
    for descent in shown:
        caption = f"cosine {descent.cosine[0]:.2f} to {descent.cosine[1]:.2f}, amount {descent.amount:+.2f}"
        lines.append(_draw_line(descent.pictures, caption))
    return _stack(lines) if shown else None


def draw_confusion(counts: NDArray[np.int64], title: str) -> Picture:
    """Draw counts [7, 7] as shares of their row: true emotion down, recognized emotion across."""
    cell, left, top = 64, 100, 44
    canvas = np.full((top + 7 * cell, left + 7 * cell, 3), _PAPER, np.uint8)
    _draw_text(canvas, title, (4, 14))
    cases = counts.sum(1)
    for row, emotion in enumerate(EMOTIONS):
        _draw_text(canvas, emotion[:9], (left + row * cell + 4, 36))
        _draw_text(canvas, f"{emotion} {cases[row]}", (4, top + row * cell + cell // 2))
        for column in range(7):
            share = counts[row, column] / max(cases[row], 1)
            color = np.array([255, 255, 255]) - share * np.array([215, 130, 60])
            y, x = top + row * cell, left + column * cell
            canvas[y : y + cell - 1, x : x + cell - 1] = color.round().astype(np.uint8)
            if counts[row, column]:
                _draw_text(canvas, f"{share:.2f}", (x + 16, y + cell // 2 + 4))
    return canvas


def encode_png(picture: Picture) -> bytes:
    """Encode RGB [h, w, 3] as the bytes of a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(data)


def _draw_line(faces: Sequence[Picture], caption: str) -> Picture:
    """Faces side by side with a caption over them."""
    small = [cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for face in faces]
    strip = np.hstack(small)
    head = np.full((_CAPTION, strip.shape[1], 3), _PAPER, np.uint8)
    _draw_text(head, caption, (3, 13))
    return np.vstack([head, strip])


def _draw_headings(names: Sequence[str]) -> Picture:
    """A line of column headings, each in two lines where it is long."""
    head = np.full((2 * _CAPTION, len(names) * _SIDE, 3), _PAPER, np.uint8)
    for place, name in enumerate(names):
        words = name.split(", ")
        for line, part in enumerate(words[:2]):
            _draw_text(head, part, (place * _SIDE + 3, 13 + 15 * line))
    return head


def _draw_frame(face: Picture, color: tuple[int, int, int]) -> Picture:
    framed = face.copy()
    cv2.rectangle(framed, (3, 3), (framed.shape[1] - 4, framed.shape[0] - 4), color, 6)
    return framed


def _stack(lines: Sequence[Picture]) -> Picture:
    width = max(line.shape[1] for line in lines)
    wide = [((0, 0), (0, width - line.shape[1]), (0, 0)) for line in lines]
    return np.vstack([np.pad(line, pad, constant_values=_PAPER) for line, pad in zip(lines, wide, strict=True)])


def _draw_text(canvas: Picture, text: str, place: tuple[int, int]) -> None:
    plain = text.replace("→", "to").encode("ascii", "replace").decode()  # the drawn font knows no more
    cv2.putText(canvas, plain, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
