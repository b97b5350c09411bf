"""What outputs are compared with beside their source: real clips of the same person.

Their neutral clips say who they are, their clips of the asked emotion what it looks like (FAD, CSIM), and a clip of the
same words in that emotion how the mouth really moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import FaceError, InputError
from cdrl.evaluation import measures
from cdrl.evaluation.judges import EMOTIONS as CLASSES
from cdrl.evaluation.observe import Observation
from cdrl.evaluation.people import ClipRow, neutral_clips
from cdrl.evaluation.score import Scores, common_frames, reasons
from cdrl.evaluation.store import Store
from cdrl.evaluation.truth import Take, warped_truth

Array = NDArray[np.float64]
Row = dict[str, Any]

_FEWEST = 2  # features on each side that have a covariance


@dataclass
class Targets:
    """Real clips by person: `clips` all that may be neutral references, `real` those that show a labelled emotion.

    A real clip that cannot be read or shows no face is left out and kept in `unread`, with the reason.
    """

    clips: Sequence[ClipRow]
    real: Sequence[ClipRow]
    store: Store
    unread: dict[str, str] = field(default_factory=dict)
    _identity: dict[tuple[str, str], Array | None] = field(default_factory=dict)
    _truths: dict[tuple[Path, str], list[tuple[Array, str]]] = field(default_factory=dict)

    def look(self, clip: ClipRow) -> Observation | None:
        """The clip as the judges saw it, in its own layout."""
        try:
            return self.store.file(clip.path)
        except (InputError, FaceError) as error:
            self.unread[clip.path.name] = str(error)
            return None

    def reference(self, person: str, sentence: str, source: Observation | None) -> tuple[Array | None, str]:
        """Recognition vectors [N,D] of a person's neutral clips of other sentences (all, where it is empty)."""
        key = (person, sentence)
        if key not in self._identity:
            others = [c for c in neutral_clips(self.clips, person) if not sentence or c.sentence != sentence]
            found = [seen.identity for clip in others if (seen := self.look(clip)) is not None]
            self._identity[key] = np.concatenate(found) if found else None
        vectors = self._identity[key]
        if vectors is not None:
            return vectors, "other neutral clips"
        return (source.identity, "the source itself") if source is not None else (None, "")

    def features(self, person: str, emotion: str, without: Collection[Path] = ()) -> tuple[Array, Array] | None:
        """(recognition [N,D], expression [M,D']) of the person's real clips of an emotion; None without any.

        `without`: files that were edited. An output must not be near because its source shows the emotion already.
        """
        clips = [clip for clip in self.real if (clip.person, clip.emotion) == (person, emotion)]
        clips = [clip for clip in clips if clip.path.resolve() not in without]
        seen = [found for clip in clips if (found := self.look(clip)) is not None]
        if not seen:
            return None
        return np.concatenate([each.identity for each in seen]), np.concatenate([each.expression for each in seen])

    def truths(self, source: ClipRow, seen: Observation, emotion: str) -> list[tuple[Array, str]]:
        """`mouth_shape` [T,40,2], at the source's frames, of every real take of its words in the emotion, and by what
        each was aligned."""
        key = (source.path, emotion)
        if key not in self._truths:
            wanted = (source.person, emotion, source.words, source.dataset)
            takes = [c for c in self.real if source.words and (c.person, c.emotion, c.words, c.dataset) == wanted]
            found = []
            for clip in takes:
                real = self.look(clip) if clip.path != source.path else None
                if real is not None:
                    ours = Take(seen.points, source.path, source.sound)
                    found.append(warped_truth(ours, Take(real.points, clip.path, clip.sound)))
            self._truths[key] = [(measures.mouth_shape(truth[0]), truth[1]) for truth in found if truth is not None]
        return self._truths[key]

    def mouth(self, source: ClipRow, seen: Observation, output: Observation, emotion: str, lag: int = 0) -> Scores:
        """`mouth_distance` of the output and `mouth_distance_source` to the warped truth, in percent of the eyes'
        distance, mean over its takes; empty where nobody said these words in that emotion, None where no frame of any
        take has a face in both."""
        truths = self.truths(source, seen, emotion)
        if not truths:
            return {}
        here, there = common_frames(seen, output, lag)
        shapes = {"mouth_distance": output.points[there], "mouth_distance_source": seen.points[here]}
        found: Scores = {}
        for name, points in shapes.items():
            shape = measures.mouth_shape(points)
            distances = [measures.mouth_distance(shape, truth[here]) for truth, _ in truths]
            known = [distance for distance in distances if distance is not None]
            found[name] = float(np.mean(known)) if known else None
        return found

    def real_rows(self) -> list[Row]:
        """Real emotional clips: what the emotion network gives them, and how like their own neutral frames they are."""
        rows: list[Row] = []
        for clip in self.real:
            seen = self.look(clip)
            if seen is None:
                continue
            reference, _ = self.reference(clip.person, "", None)
            others = [
                cosine
                for (person, _sentence), vectors in self._identity.items()
                if person != clip.person and vectors is not None
                if (cosine := measures.identity_cosine(seen.identity, vectors)) is not None
            ]
            rows.append(
                {
                    "person": clip.person,
                    "emotion": clip.emotion,
                    "source": clip.path.name,
                    "p": {name: measures.mean_probability(seen.emotion, k) for k, name in enumerate(CLASSES)},
                    "identity": None if reference is None else measures.identity_cosine(seen.identity, reference),
                    "identity_others": float(np.mean(others)) if others else None,
                }
            )
        return rows


_Output = tuple[Row, Path, tuple[Array, NDArray[np.float32]]]
"""A row, the file its output was made of, and the output's recognition and expression features."""


@dataclass
class Cells:
    """All outputs of a block, method, person and emotion together: FAD and CSIM are of such a cell, not of a clip."""

    targets: Targets
    _seen: dict[tuple[str, str, str, str], list[_Output]] = field(default_factory=lambda: defaultdict(list))

    def add(self, row: Row, source: Path, output: Observation) -> None:
        """Remember what was seen of a row's output, and what it was made of."""
        features = output.identity, output.expression.astype(np.float32)
        self._seen[row["block"], row["method"], row["person"], row["emotion"]].append((row, source.resolve(), features))

    def fill(self) -> None:
        """Write `fad`, `fad_frames` and `csim` of its cell into the measures of every row; rows of a person without a
        real clip of that emotion, beside what was edited, get none."""
        for (_, _, person, emotion), cell in self._seen.items():
            real = self.targets.features(person, emotion, {source for _, source, _ in cell})
            if real is None:
                continue
            recognition, expression = zip(*(features for _, _, features in cell), strict=True)
            values = likeness(np.concatenate(recognition), np.concatenate(expression).astype(np.float64), *real)
            for row, _, _ in cell:
                row["measures"].update(values)
                row.setdefault("reasons", {}).update(reasons({"csim": values["csim"]}))


def likeness(recognition: Array, expression: Array, real_recognition: Array, real_expression: Array) -> Row:
    """FAD and CSIM of one cell: features of the outputs, and of the real frames.

    FAD takes the same number of frames, `fad_frames`, on both sides; with fewer than two there is none. CSIM is None
    where a side has no frame.
    """
    values: Row = {"csim": measures.pairwise_cosine(expression, real_expression)}
    ours, theirs = measures.same_count(recognition, real_recognition)
    if len(ours) >= _FEWEST:
        values |= {"fad": measures.frechet_distance(ours, theirs), "fad_frames": len(ours)}
    return values


def floor(targets: Targets, people: Sequence[str]) -> Row:
    """Real frames against other real frames of the same person and emotion: what an edit cannot be better than.

    Odd clips against even ones where there are two or more, else the halves of the one clip. N is half of what an edit
    is compared at, which makes FAD larger: `frames` says what it was.
    """
    fad, csim, frames = defaultdict(list), defaultdict(list), set()
    wanted = sorted({(clip.person, clip.emotion) for clip in targets.real if clip.person in people})
    for person, emotion in wanted:
        clips = [clip for clip in targets.real if (clip.person, clip.emotion) == (person, emotion)]
        seen = [found for clip in clips if (found := targets.look(clip)) is not None]
        if not seen:
            continue
        halves = [_half(seen, side) for side in (0, 1)]
        values = likeness(*halves[0], *halves[1])
        if values["csim"] is not None:
            csim[person].append(values["csim"])
        if "fad" in values:
            fad[person].append(values["fad"])
            frames.add(values["fad_frames"])
    return {
        "fad": measures.people_mean(fad) if fad else None,
        "csim": measures.people_mean(csim) if csim else None,
        "frames": [min(frames), max(frames)] if frames else None,
        "people": sorted(csim),
    }


def _half(seen: Sequence[Observation], side: int) -> tuple[Array, Array]:
    if len(seen) > 1:
        mine = seen[side::2]
        return np.concatenate([s.identity for s in mine]), np.concatenate([s.expression for s in mine])
    recognition, expression = seen[0].identity, seen[0].expression
    first = slice(None, len(recognition) // 2), slice(None, len(expression) // 2)
    second = slice(len(recognition) // 2, None), slice(len(expression) // 2, None)
    a, b = (first, second)[side]
    return recognition[a], expression[b]
