"""What outputs are compared with beside their source: real clips of the same person.

Their neutral clips say who they are, their clips of the asked emotion what it looks like (FAD, CSIM), and a clip of the
same words in that emotion how the mouth really moves. That one is warped to the source's time: by what is heard where
both have sound, else by the motion of the mouth (`cdrl.datasets.pairs`). The path is found between the *source* and the
real clip, never with the output, so that every method is compared with the same truth.

What was edited is no real clip, and what is there twice counts once: found by what is seen (`same_footage`), whatever a
file is called and however it was encoded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.datasets.pairs import align_mouth_motion, align_speech, measure_mouth_motion
from cdrl.errors import FaceError, InputError, ModelFileError
from cdrl.evaluation import measures
from cdrl.evaluation.clip_features import ClipFeatures, FeatureCache
from cdrl.evaluation.clip_tables import ClipRecord, select_neutral_clips
from cdrl.evaluation.clips import read_frame_rate
from cdrl.evaluation.evaluators import CLASSES
from cdrl.evaluation.json_numbers import finite_or_none
from cdrl.evaluation.same_footage import Signature, describe_footage, is_same_footage
from cdrl.evaluation.score import Scores, align_frames, explain_missing
from cdrl.evaluation.speech_pauses import read_speech
from cdrl.speech.dtw import map_frames
from cdrl.speech.features import SpeechEncoder
from cdrl.speech.loading import load_speech_encoder

Array = NDArray[np.float64]
Row = dict[str, Any]

Features = tuple[Array, NDArray[np.floating]]
"""Recognition [N,D] and expression [M,D'] vectors."""
Take = tuple[ClipRecord, ClipFeatures]
"""A real clip and what is seen in it."""
_FEWEST = 2  # features on each side that have a covariance
_MIN_FRAMES = 8  # with a face: fewer are no sentence


@dataclass
class References:
    """The real clips of a data set, by person."""

    clips: Sequence[ClipRecord]
    """All that may be neutral references."""
    real: Sequence[ClipRecord]
    """Those that show a labeled emotion."""
    cache: FeatureCache
    unread: dict[str, str] = field(default_factory=dict)
    """Name of a real clip that cannot be read or shows no face → why; it is left out."""
    repeated: dict[str, str] = field(default_factory=dict)
    """Name of a real clip that shows the footage of a source, or of another real clip → what became of it."""
    _identity: dict[tuple[str, str], Array | None] = field(default_factory=dict)
    _other_identities: dict[Path, Array | None] = field(default_factory=dict)
    _takes: dict[tuple[Path, str], list[Take]] = field(default_factory=dict)
    _truths: dict[tuple[Path, str], list[Array]] = field(default_factory=dict)
    _signatures: dict[Path, Signature] = field(default_factory=dict)

    def extract(self, clip: ClipRecord) -> ClipFeatures | None:
        """Return the clip's features in its own layout; None, and a note in `unread`, where there are none."""
        try:
            return self.cache.extract(clip.path)
        except (InputError, FaceError) as error:
            self.unread[clip.path.name] = str(error)
            return None

    def find_identity(self, person: str, sentence: str = "") -> Array | None:
        """Return recognition vectors [N,D] of a person's neutral clips of other sentences (all, where it is empty)."""
        key = (person, sentence)
        if key not in self._identity:
            clips = [c for c in select_neutral_clips(self.clips, person) if not sentence or c.sentence != sentence]
            vectors = [features.identity for clip in clips if (features := self.extract(clip)) is not None]
            self._identity[key] = np.concatenate(vectors) if vectors else None
        return self._identity[key]

    def find_other_identity(self, source: ClipRecord) -> Array | None:
        """Return recognition vectors [N,D] of neutral clips of a source's person that do not show the source.

        They are of other sentences; where its sentence is unknown, of other footage.
        """
        if source.sentence:
            return self.find_identity(source.person, source.sentence)
        if source.path not in self._other_identities:
            self.find_identity(source.person)  # kept, for other people's clips to be compared with
            takes = self._select(select_neutral_clips(self.clips, source.person), [source.path])
            vectors = [features.identity for _, features in takes]
            self._other_identities[source.path] = np.concatenate(vectors) if vectors else None
        return self._other_identities[source.path]

    def find_real(self, person: str, emotion: str, without: Collection[Path] = ()) -> list[Take]:
        """Return the person's real clips of an emotion with their features, each footage once.

        Args:
            person: Who is seen.
            emotion: What they show.
            without: Files that were edited: an output must not be near because its source shows the emotion already.
        """
        return self._select([clip for clip in self.real if (clip.person, clip.emotion) == (person, emotion)], without)

    def _select(self, clips: Iterable[ClipRecord], without: Collection[Path]) -> list[Take]:
        """Those of the clips that can be read, less what was edited, each footage once; what is left out is noted."""
        edited, selected = {path.resolve() for path in without}, list[Take]()
        for clip in clips:
            path = clip.path.resolve()
            if path in edited or (features := self.extract(clip)) is None:
                continue
            if (source := self._find_same(path, edited)) is not None:
                self.repeated[clip.path.name] = f"no real clip beside what was made of {source.name}: the same footage"
            elif (other := self._find_same(path, [take.path.resolve() for take, _ in selected])) is not None:
                self.repeated[clip.path.name] = f"counted once: the same footage as {other.name}"
            else:
                selected.append((clip, features))
        return selected

    def _find_same(self, path: Path, others: Iterable[Path]) -> Path | None:
        """Which of the other files shows the same footage."""
        return next((other for other in others if is_same_footage(self._describe(path), self._describe(other))), None)

    def _describe(self, path: Path) -> Signature:
        if path not in self._signatures:
            try:
                signature = describe_footage(self.cache.extract(path), float(read_frame_rate(path)))
            except (InputError, FaceError):  # the tile of a published video may be seen better than the clip cut of it
                signature = np.zeros((0, 0), np.float32)
            self._signatures[path] = signature
        return self._signatures[path]

    def find_takes(self, source: ClipRecord, emotion: str) -> list[Take]:
        """Return every real take of a source's words in the emotion, with its features."""
        key = (source.path, emotion)
        if key not in self._takes:
            label = (source.person, emotion, source.words, source.dataset)
            takes = [c for c in self.real if source.words and (c.person, c.emotion, c.words, c.dataset) == label]
            self._takes[key] = self._select(takes, [source.path])
        return self._takes[key]

    def _find_truths(self, source: ClipRecord, features: ClipFeatures, emotion: str) -> list[Array]:
        """`mouth_shape` [T,40,2], at the source's frames, of every real take of its words in the emotion."""
        key = (source.path, emotion)
        if key not in self._truths:
            takes = self.find_takes(source, emotion)
            aligned = [align_ground_truth(source, features.points, clip, real.points) for clip, real in takes]
            self._truths[key] = [measures.mouth_shape(points) for points in aligned if points is not None]
        return self._truths[key]

    def score_brows(self, source: ClipRecord, output: ClipFeatures, emotion: str) -> float | None:
        """Divide the brows' motion in an output by that in the person's real takes of the same words in the emotion.

        A take is not warped, which would change how fast it moves; its motion is counted in the source's frames.

        Args:
            source: The clip that was edited.
            output: The edited file's features.
            emotion: The one that was asked for.

        Returns:
            ≥ 0; 1: as lively. None where nobody said these words in that emotion and moved the brows.
        """
        real = []
        for clip, features in self.find_takes(source, emotion):
            if dynamics := measures.brow_dynamics(features.points):
                real.append(dynamics * float(read_frame_rate(clip.path) / read_frame_rate(source.path)))
        return (measures.brow_dynamics(output.points) or 0.0) / float(np.mean(real)) if real else None

    def score_mouth(
        self, source: ClipRecord, features: ClipFeatures, output: ClipFeatures, emotion: str, lag: int = 0
    ) -> Scores:
        """Compare mouths with the person's real takes of the same words in the emotion.

        Args:
            source: The clip that was edited.
            features: Its features.
            output: The edited file's features.
            emotion: The one that was asked for.
            lag: Frames that the output is behind its source.

        Returns:
            `mouth_distance` of the output and `mouth_distance_source`, in percent of the eyes' distance, mean over the
            takes; empty where nobody said these words in that emotion, None where no frame of any take has a face in
            both.
        """
        truths = self._find_truths(source, features, emotion)
        here, there = align_frames(features, output, lag)
        shapes = {"mouth_distance": output.points[there], "mouth_distance_source": features.points[here]}
        scores: Scores = {}
        for name, points in shapes.items() if truths else ():
            distances = [measures.mouth_distance(measures.mouth_shape(points), truth[here]) for truth in truths]
            scores[name] = _mean_known(distances)
        return scores

    def describe_real_clips(self) -> list[Row]:
        """Return what the emotion network gives each real clip, and how like its person's neutral frames it is."""
        rows: list[Row] = []
        groups = dict.fromkeys((clip.person, clip.emotion) for clip in self.real)
        distinct = {clip.path: features for group in groups for clip, features in self.find_real(*group)}
        for clip in self.real:
            if clip.path not in distinct:
                continue
            features = distinct[clip.path]
            own = self.find_identity(clip.person)
            strangers = [v for (person, _), v in self._identity.items() if person != clip.person and v is not None]
            others = [measures.identity_cosine(features.identity, vectors) for vectors in strangers]
            facts = {"person": clip.person, "emotion": clip.emotion, "source": clip.path.name}
            cosines = {
                "p": {name: measures.mean_probability(features.emotion, k) for k, name in enumerate(CLASSES)},
                "identity": None if own is None else measures.identity_cosine(features.identity, own),
                "identity_others": _mean_known(others),
            }
            rows.append({**facts, **cosines})
        return rows

    def estimate_floor(self, people: Collection[str], excluded: Collection[str] = ()) -> Row:
        """Compare real frames with other real frames of the same person and emotion: no edit can be better.

        Odd clips against even ones where there are two or more, else the halves of the one clip. N is half of what an
        edit is compared at, which makes FAD larger: `frames` says what it was.

        Args:
            people: Whose real clips are compared.
            excluded: Emotions that are in no mean.
        """
        values: list[Row] = []
        groups = {(clip.person, clip.emotion) for clip in self.real if clip.person in people}
        for person, emotion in sorted(group for group in groups if group[1] not in excluded):
            if takes := self.find_real(person, emotion):
                halves = _split_halves([features for _, features in takes])
                values.append({"person": person, **compare_to_real(*halves)})
        table = pd.DataFrame(values, columns=["person", "fad", "csim", "fad_frames"])
        means = table.astype({"fad": float, "csim": float}).groupby("person")[["fad", "csim"]].mean()
        counts = table["fad_frames"].dropna()
        return {
            "fad": finite_or_none(means["fad"].mean()),
            "csim": finite_or_none(means["csim"].mean()),
            "frames": [int(counts.min()), int(counts.max())] if len(counts) else None,
            "people": list(means.index[means["csim"].notna()]),
        }


def _mean_known(values: Sequence[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _join_features(clips: Sequence[ClipFeatures]) -> Features:
    return np.concatenate([clip.identity for clip in clips]), np.concatenate([clip.expression for clip in clips])


def _split_halves(clips: Sequence[ClipFeatures]) -> tuple[Features, Features]:
    if len(clips) > 1:
        return _join_features(clips[::2]), _join_features(clips[1::2])
    identity, expression = clips[0].identity, clips[0].expression
    n, m = len(identity) // 2, len(expression) // 2
    return (identity[:n], expression[:m]), (identity[n:], expression[m:])


class Groups:
    """The outputs of each block, method, person and emotion: FAD and CSIM are of such a group, not of a clip."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._outputs: dict[tuple[str, str, str, str], list[tuple[Row, Path, Features]]] = defaultdict(list)

    def add(self, row: Row, source: Path, output: ClipFeatures) -> None:
        """Remember the features of a row's output, and the file that it was made of."""
        vectors = output.identity, output.expression.astype(np.float32)
        group = self._outputs[row["block"], row["method"], row["person"], row["emotion"]]
        group.append((row, source.resolve(), vectors))

    def fill_scores(self) -> None:
        """Write `fad`, `fad_frames` and `csim` of its group into the measures of every row.

        Rows of a person without a real clip of that emotion, beside what was edited, get none.
        """
        for (_, _, person, emotion), outputs in self._outputs.items():
            real = self._references.find_real(person, emotion, {source for _, source, _ in outputs})
            if not real:
                continue
            recognition, expression = (np.concatenate(parts) for parts in zip(*(v for _, _, v in outputs), strict=True))
            values = compare_to_real((recognition, expression), _join_features([features for _, features in real]))
            for row, _, _ in outputs:
                row["measures"].update(values)
                row.setdefault("reasons", {}).update(explain_missing({"csim": values["csim"]}))


def compare_to_real(outputs: Features, real: Features) -> Row:
    """Compute FAD and CSIM of one group.

    Args:
        outputs: Features of the outputs.
        real: Features of the real frames.

    Returns:
        `csim`, None where a side has no frame. `fad`, of the same number of frames, `fad_frames`, on both sides; with
        fewer than two there is none.
    """
    values: Row = {"csim": measures.pairwise_cosine(outputs[1].astype(np.float64), real[1].astype(np.float64))}
    ours, theirs = measures.match_counts(outputs[0], real[0])
    if len(ours) >= _FEWEST:
        values |= {"fad": measures.frechet_distance(ours, theirs), "fad_frames": len(ours)}
    return values


@cache
def load_encoder() -> SpeechEncoder:
    """Return Whisper's encoder, the more exact; the spectrum's where Whisper or what runs it is not installed."""
    try:
        return load_speech_encoder("whisper")
    except (ModelFileError, ModuleNotFoundError):
        return load_speech_encoder("mel")


def align_ground_truth(source: ClipRecord, ours: Array, real: ClipRecord, theirs: Array) -> Array | None:
    """Warp a real take to the source's time, by sound or, where one has none, by the motion of the mouth.

    Args:
        source: The clip that was edited.
        ours: Its landmarks [T,468,2] in pixels, NaN without a face.
        real: The real take of the same sentence.
        theirs: Its landmarks [T',468,2].

    Returns:
        The real take's landmarks at the source's frames [T,468,2], NaN where the moment has no face. None where either
        shows a face too rarely to be aligned.
    """
    takes = ((source, ours), (real, theirs))
    visible = [np.flatnonzero(np.isfinite(points[:, 0, 0])) for _, points in takes]
    if min(map(len, visible)) < _MIN_FRAMES:
        return None
    times = [np.arange(len(points)) / float(read_frame_rate(clip.path)) for clip, points in takes]
    speech, other = (read_speech(clip.sound or clip.path) for clip, _ in takes)
    if speech is not None and other is not None:
        encode = load_encoder()
        path = align_speech(encode(speech).resample(times[0]), encode(other).resample(times[1]))
        return theirs[map_frames(path, len(ours))]
    motions = [
        measure_mouth_motion(points[index].astype(np.float32), time[index])
        for (_, points), index, time in zip(takes, visible, times, strict=True)
    ]
    aligned = np.full_like(ours, np.nan)
    aligned[visible[0]] = theirs[visible[1]][map_frames(align_mouth_motion(*motions), len(visible[0]))]
    return aligned
