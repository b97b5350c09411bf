"""Pictures of what was measured: attention, retrieval, shut lips, the gradient's way, and who is taken for whom.

Faces are shown of made people and of CREMA-D alone: the licences of the others do not let them be passed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl.evaluation.representation.attention import Attention
from cdrl.evaluation.representation.closing import ShutPair
from cdrl.evaluation.representation.features import ContentFeatures
from cdrl.evaluation.representation.gradient import Path
from cdrl.evaluation.representation.moments import Ints, Moments
from cdrl.evaluation.representation.retrieval import Queries

Picture = NDArray[np.uint8]

_SIDE = 128  # pixels of a face
_CAPTION = 18
_INK, _PAPER = (32, 32, 32), 255
_RIGHT, _WRONG = (40, 160, 60), (200, 50, 40)
_SHOWN = {"crema-d", "crema_d", "cremad"}


def may_be_shown(moments: Moments, row: int) -> bool:
    """Whether the licence of a row's clip lets its picture be passed on."""
    facts = moments.clips[moments.clip[row]].metadata
    return bool(facts.synthetic or facts.dataset.lower() in _SHOWN)


def attention_maps(moments: Moments, maps: Mapping[str, Attention], rows: Ints) -> Picture | None:
    """The mean map of each condition laid over a few faces of the block; None where none may be shown."""
    rows = _spread(np.array([row for row in rows if may_be_shown(moments, row)], np.intp), 4)
    if not len(rows) or not maps:
        return None
    lines = []
    for condition, found in maps.items():
        share = np.mean([np.mean([np.mean(v) for v in clips.values()]) for clips in found.shares.values()])
        faces = [overlaid(moments.images(np.array([row]))[0], found.mean_map) for row in rows]
        lines.append(_line(faces, f"{moments.block}, {condition}: {share:.2f} of the attention in the lower face"))
    plain = [moments.images(np.array([row]))[0] for row in rows]
    return np.vstack([_line(plain, f"{moments.block}, as it is"), *lines])


def overlaid(face: Picture, weights: NDArray[np.float32]) -> Picture:
    """A face [h, w, 3] with a map [rows, columns] over it: the redder, the more."""
    large = cv2.resize(weights, (face.shape[1], face.shape[0]), interpolation=cv2.INTER_LINEAR)
    level = (255 * np.clip(large / max(float(weights.max()), 1e-9), 0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    share = 0.15 + 0.45 * (level[..., None] / 255)
    mixed: Picture = (face * (1 - share) + colours * share).round().astype(np.uint8)
    return mixed


def retrieval_strips(moments: Moments, queries: Queries, seen: ContentFeatures, strips: int = 6) -> Picture | None:
    """Query, match, and what each condition finds among the 32, framed green where it is the match."""
    shown = [k for k, row in enumerate(queries.query) if may_be_shown(moments, row)]
    conditions = [
        name for name, vectors in seen.vectors.items() if shown and np.isfinite(vectors[queries.query[shown]]).all()
    ]
    if not shown or not conditions:
        return None
    lines = [_captions(["query", "match", *conditions])]
    for k in _spread(np.array(shown, np.intp), strips):
        row, candidates = int(queries.query[k]), queries.candidates[k]
        faces = [*moments.images(np.array([row, candidates[0]]))]
        for condition in conditions:
            vectors = seen.vectors[condition]
            best = int(np.argmax(vectors[candidates] @ vectors[row]))
            face = moments.images(candidates[best : best + 1])[0]
            faces.append(_framed(face, _RIGHT if best == 0 else _WRONG))
        facts = [moments.clips[moments.clip[r]].metadata for r in (row, int(candidates[0]))]
        lines.append(
            _line(faces, f"{facts[0].dataset} {facts[0].actor}: {facts[0].emotion}, found in {facts[1].emotion}")
        )
    return np.vstack(_same_width(lines))


def shut_lips(moments: Moments, pairs: Sequence[ShutPair], lost: Mapping[int, tuple[float, float]]) -> Picture | None:
    """Frames as they are, with lips shut, with brows moved; `lost` [pair] is what each costs of the cosine."""
    shown = [k for k, pair in enumerate(pairs) if may_be_shown(moments, pair.row) and k in lost]
    if not shown:
        return None
    lines = [_captions(["as it is", "lips shut", "brows moved"])]
    for k in _spread(np.array(shown, np.intp), 6):
        pair, (closed, control) = pairs[k], lost[k]
        caption = f"cosine falls by {closed:.2f}, and {control:.2f}"
        lines.append(_line(list(pair.middle), caption))
    return np.vstack(_same_width(lines))


def gradient_paths(moments: Moments, paths: Sequence[Path]) -> Picture | None:
    """Where descent starts, where it ends, and the frame whose content it follows."""
    shown = [path for path in paths if may_be_shown(moments, path.start.row)][:6]
    if not shown:
        return None
    lines = [_captions(["start", "end", "content wanted"])]
    for path in shown:
        caption = f"cosine {path.cosine[0]:.2f} to {path.cosine[1]:.2f}, amount {path.amount:+.2f}"
        lines.append(_line(list(path.pictures), caption))
    return np.vstack(_same_width(lines))


def confusion(counts: NDArray[np.int64], title: str) -> Picture:
    """Counts [7, 7] as shares of their row: true emotion down, recognised emotion across."""
    cell, left, top = 64, 100, 44
    canvas = np.full((top + 7 * cell, left + 7 * cell, 3), _PAPER, np.uint8)
    _write(canvas, title, (4, 14))
    cases = counts.sum(1)
    for row, emotion in enumerate(EMOTIONS):
        _write(canvas, emotion[:9], (left + row * cell + 4, 36))
        _write(canvas, f"{emotion} {cases[row]}", (4, top + row * cell + cell // 2))
        for column in range(7):
            share = counts[row, column] / max(cases[row], 1)
            colour = np.array([255, 255, 255]) - share * np.array([215, 130, 60])
            y, x = top + row * cell, left + column * cell
            canvas[y : y + cell - 1, x : x + cell - 1] = colour.round().astype(np.uint8)
            if counts[row, column]:
                _write(canvas, f"{share:.2f}", (x + 16, y + cell // 2 + 4))
    return canvas


def encode(picture: Picture) -> bytes:
    """RGB [h, w, 3] as the bytes of a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(data)


def _spread(values: Ints, most: int) -> Ints:
    """At most `most` of the values, evenly."""
    found: Ints = values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(np.intp))]
    return found


def _line(faces: Sequence[Picture], caption: str) -> Picture:
    """Faces side by side with a caption over them."""
    small = [cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for face in faces]
    strip = np.hstack(small)
    head = np.full((_CAPTION, strip.shape[1], 3), _PAPER, np.uint8)
    _write(head, caption, (3, 13))
    return np.vstack([head, strip])


def _captions(names: Sequence[str]) -> Picture:
    """A line of column headings, each in two lines where it is long."""
    head = np.full((2 * _CAPTION, len(names) * _SIDE, 3), _PAPER, np.uint8)
    for place, name in enumerate(names):
        words = name.split(", ")
        for line, part in enumerate(words[:2]):
            _write(head, part, (place * _SIDE + 3, 13 + 15 * line))
    return head


def _framed(face: Picture, colour: tuple[int, int, int]) -> Picture:
    framed = face.copy()
    cv2.rectangle(framed, (3, 3), (framed.shape[1] - 4, framed.shape[0] - 4), colour, 6)
    return framed


def _same_width(lines: Sequence[Picture]) -> list[Picture]:
    width = max(line.shape[1] for line in lines)
    wide = [((0, 0), (0, width - line.shape[1]), (0, 0)) for line in lines]
    return [np.pad(line, pad, constant_values=_PAPER) for line, pad in zip(lines, wide, strict=True)]


def _write(canvas: Picture, text: str, place: tuple[int, int]) -> None:
    plain = text.replace("→", "to").encode("ascii", "replace").decode()  # the drawn font knows no more
    cv2.putText(canvas, plain, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
