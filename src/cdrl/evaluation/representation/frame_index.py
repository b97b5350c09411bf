"""The frames that are measured, of all clips in one long row, so that every measure is an index into it.

A block is a group of people who are reported apart: synthetic people, real people of the test split, and real people of
the validation split, who tuned the training and are shown for what they are. Nobody of the train split is in any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cdrl.datasets.pairs import align_frames, detect_speaking, group_by_content
from cdrl.datasets.prepared import PreparedClip
from cdrl.errors import UsageError

Ints = NDArray[np.intp]

SYNTHETIC, REAL, TUNED = "synthetic", "real", "real, tuned on"
MIN_GAP = 0.2
"""Seconds: what lies nearer to a frame is too like it to count as another moment."""


@dataclass(frozen=True)
class FrameIndex:
    """The frames of one block's clips, N rows; those of a clip follow one another, as its frames do."""

    block: str
    """`SYNTHETIC`, `REAL` or `TUNED`."""
    clips: tuple[PreparedClip, ...]
    """The clips."""
    clip: Ints
    """Number [N] of each row's clip."""
    frame: Ints
    """Number [N] of the frame in its clip."""
    time: NDArray[np.float64]
    """Seconds [N] in the clip."""
    speaking: NDArray[np.bool_]
    """Whether the person speaks [N]: the truth of a synthetic clip, else whether the mouth moves around the frame."""
    landmarks: NDArray[np.float32]
    """Landmarks [N, 478, 3] in pixels of the crop."""

    def __len__(self) -> int:
        return len(self.clip)

    def rows_of(self, clips: Iterable[int], speaking: bool = True) -> Ints:
        """Return the rows of some clips; only those in which their people speak unless `speaking` is False."""
        inside = np.isin(self.clip, list(clips))
        return np.flatnonzero(inside & self.speaking if speaking else inside)

    def images(self, rows: Ints) -> NDArray[np.uint8]:
        """Read the pictures [n, 224, 224, 3] RGB of some rows."""
        return np.stack([self.clips[self.clip[row]].image(int(self.frame[row])) for row in rows])

    def read_window(self, row: int, offsets: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Read pictures [n, 224, 224, 3] and landmarks [n, 478, 3] at `offsets` from a row's frame, ends held."""
        clip = self.clips[self.clip[row]]
        frames = np.clip(self.frame[row] + np.array(offsets), 0, clip.count - 1)
        pictures = np.stack([clip.image(int(frame)) for frame in frames])
        return pictures, np.asarray(clip.landmarks, np.float32)[frames]

    def table(self, rows: Ints, **columns: ArrayLike) -> pd.DataFrame:
        """Tabulate rows: columns `person` and `clip` (its name), and further `columns` of n values each."""
        clips = [self.clips[number] for number in self.clip[rows]]
        names = {"person": list(map(name_person, clips)), "clip": [clip.metadata.id for clip in clips]}
        return pd.DataFrame({**names, **columns})

    def visemes(self, rows: Ints) -> Ints:
        """Read the viseme [n] of each row from the truth of synthetic clips; −1 where none is known."""
        truths = [self.clips[number].ground_truth for number in self.clip[rows]]
        frames = self.frame[rows]
        return np.array([-1 if t is None else int(t.visemes[f]) for t, f in zip(truths, frames, strict=True)], np.intp)

    def content_groups(self) -> list[list[int]]:
        """Group the numbers of clips of one person and one sentence in different emotions."""
        number = {id(clip): index for index, clip in enumerate(self.clips)}
        return [[number[id(clip)] for clip in group] for group in group_by_content(self.clips)]

    def align(self, first: int, second: int, most: int) -> Ints:
        """Align clips `first` and `second`: rows [k, 2] of the same moment of what is said, both speaking.

        At most `most` of them, evenly. No row of `first` stands in it twice, so that a slow take does not count more
        than a quick one.
        """
        pairs = np.asarray(align_frames(self.clips[first], self.clips[second]), np.intp).reshape(-1, 2)
        columns = []
        for column, clip in enumerate((first, second)):
            lookup = np.full(self.clips[clip].count, -1, np.intp)
            rows = self.rows_of([clip], speaking=False)
            lookup[self.frame[rows]] = rows
            columns.append(lookup[pairs[:, column]])
        rows = np.stack(columns, 1)
        rows = rows[(rows >= 0).all(1)]
        rows = rows[self.speaking[rows].all(1)]
        return pick_evenly(rows[np.unique(rows[:, 0], return_index=True)[1]], most)


def name_person(clip: PreparedClip) -> str:
    """Name the person of a clip as DATASET/ACTOR: actors of two data sets may have one name."""
    return f"{clip.metadata.dataset}/{clip.metadata.actor}"


def pick_evenly(rows: Ints, most: int) -> Ints:
    """Pick at most `most` of the rows [n, ...], evenly."""
    picked: Ints = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.intp))]
    return picked


def index_frames(block: str, clips: Sequence[PreparedClip], frames: int) -> FrameIndex:
    """Index at most `frames` frames of each clip, from where its person begins to speak where that leaves enough."""
    parts: dict[str, list[NDArray[Any]]] = defaultdict(list)
    for number, clip in enumerate(clips):
        speaking = detect_speaking(clip)
        start = int(min(np.argmax(speaking) if speaking.any() else 0, max(clip.count - frames, 0)))
        chosen = np.arange(start, min(start + frames, clip.count), dtype=np.intp)
        parts["clip"].append(np.full(len(chosen), number, np.intp))
        parts["frame"].append(chosen)
        parts["time"].append(np.asarray(clip.times, float)[chosen])
        parts["speaking"].append(speaking[chosen])
        parts["landmarks"].append(np.asarray(clip.landmarks, np.float32)[chosen])
    return FrameIndex(block, tuple(clips), **{name: np.concatenate(arrays) for name, arrays in parts.items()})


def index_blocks(clips: Sequence[PreparedClip], frames: int, limit: int, seed: int = 0) -> dict[str, FrameIndex]:
    """Index the blocks that there are, each thinned to about `limit` frames.

    Raises:
        UsageError: No clip is of a person who may be measured.
    """
    blocks: dict[str, list[PreparedClip]] = {
        name: [clip for clip in clips if (clip.metadata.synthetic, clip.metadata.split) == wanted]
        for name, wanted in ((SYNTHETIC, (True, "test")), (REAL, (False, "test")), (TUNED, (False, "validation")))
    }
    if not blocks[SYNTHETIC] and not blocks[REAL]:
        splits = ", ".join(sorted({str(clip.metadata.split) for clip in clips})) or "no split at all: it is empty"
        raise UsageError(
            f"no person in the data may be measured: all clips are of people for {splits}; prepare clips of people for "
            "test, or make more people with `cdrl data synth`"
        )
    thinned = {name: _thin(chosen, frames, limit, seed) for name, chosen in blocks.items()}
    return {name: index_frames(name, chosen, frames) for name, chosen in thinned.items() if chosen}


def _thin(clips: Sequence[PreparedClip], frames: int, limit: int, seed: int) -> list[PreparedClip]:
    """Whole sentences of a person, one of each person after the other, until there are about `limit` frames."""
    sentences: dict[str, dict[str, list[PreparedClip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        sentences[name_person(clip)][clip.metadata.sentence_id or clip.metadata.id].append(clip)
    random = np.random.default_rng(seed)
    queues = []
    for person in sorted(sentences):
        names = sorted(sentences[person])
        queue = [sentences[person][names[index]] for index in random.permutation(len(names))]
        # What is said in many emotions first, as most measures are about that; of two alike, the last drawn.
        queues.append(sorted(queue, key=lambda group: len({clip.metadata.emotion for clip in group}))[::-1])
    chosen: set[int] = set()
    spent = 0
    for group in chain.from_iterable(zip_longest(*queues, fillvalue=[])):
        if spent < limit:
            chosen |= {id(clip) for clip in group}
            spent += sum(min(clip.count, frames) for clip in group)
    return [clip for clip in clips if id(clip) in chosen]
