"""The people who are judged, and the moments of their clips in one long row, so that every measure is an index into it.

A block is a group of people who are reported apart: made people, real people of the part "test", and real people of the
part "validation", who tuned the training and are shown for what they are. Nobody of the part "train" is in any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.pairs import align_frames, detect_speaking, group_by_content
from cdrl.datasets.prepared import PreparedClip
from cdrl.errors import UsageError

Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]

SYNTHETIC, REAL, TUNED = "synthetic", "real", "real, tuned on"
APART = 0.2  # seconds: what lies nearer to a moment is too like it to be another one


@dataclass(frozen=True)
class Moments:
    """All judged moments of the clips of one block, N rows; `clips[clip[r]]` and its frame `frame[r]` are row r's.

    `speaking`: the truth of a made clip, else whether the mouth moves around the moment. `time`: seconds in the clip.
    `landmarks` [N, 478, 3]: pixels of the crop. A clip's rows follow one another, as its frames do.
    """

    block: str
    clips: tuple[PreparedClip, ...]
    clip: Ints
    frame: Ints
    time: NDArray[np.float64]
    speaking: Flags
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.clip)

    def rows(self, clip: int) -> Ints:
        """The rows of clip number `clip`."""
        return np.flatnonzero(self.clip == clip)

    def of_clips(self, clips: Iterable[int], speaking: bool = True) -> Ints:
        """The rows of some clips; only those in which their people speak unless `speaking` is False."""
        inside = np.isin(self.clip, list(clips))
        return np.flatnonzero(inside & self.speaking if speaking else inside)

    def images(self, rows: Ints) -> NDArray[np.uint8]:
        """[n, 224, 224, 3] RGB of some rows."""
        return np.stack([self.clips[self.clip[row]].image(int(self.frame[row])) for row in rows])

    def around(self, row: int, offsets: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Pictures [n, 224, 224, 3] and landmarks [n, 478, 3] of the frames at `offsets` from a row's, ends held."""
        clip = self.clips[self.clip[row]]
        frames = np.clip(self.frame[row] + np.array(offsets), 0, clip.count - 1)
        pictures = np.stack([clip.image(int(frame)) for frame in frames])
        return pictures, np.asarray(clip.landmarks, np.float32)[frames]

    def person(self, row: int) -> str:
        """Who is seen in a row, as DATASET/ACTOR."""
        return person_of(self.clips[self.clip[row]])

    def groups(self) -> list[list[int]]:
        """Numbers of clips of one person and one sentence in different emotions, group by group."""
        number = {id(clip): index for index, clip in enumerate(self.clips)}
        return [[number[id(clip)] for clip in group] for group in group_by_content(self.clips)]

    def matches(self, first: int, second: int) -> NDArray[np.intp]:
        """[k, 2] rows of clips `first` and `second` that are the same moment of what is said, both speaking.

        No row of `first` stands in it twice, so that a slow take does not count more than a quick one.
        """
        pairs = np.asarray(align_frames(self.clips[first], self.clips[second]), np.intp).reshape(-1, 2)
        table = []
        for column, clip in enumerate((first, second)):
            lookup = np.full(self.clips[clip].count, -1, np.intp)
            rows = self.rows(clip)
            lookup[self.frame[rows]] = rows
            table.append(lookup[pairs[:, column]])
        rows = np.stack(table, 1)
        rows = rows[(rows >= 0).all(1)]
        rows = rows[self.speaking[rows].all(1)]
        _, once = np.unique(rows[:, 0], return_index=True)
        return rows[once]


def person_of(clip: PreparedClip) -> str:
    """DATASET/ACTOR: actors of two data sets may have one name."""
    return f"{clip.metadata.dataset}/{clip.metadata.actor}"


def gather(block: str, clips: Sequence[PreparedClip], frames: int) -> Moments:
    """At most `frames` frames of each clip, from where its person begins to speak where that leaves enough of them."""
    parts: dict[str, list[NDArray[Any]]] = defaultdict(list)
    for number, clip in enumerate(clips):
        talks = detect_speaking(clip)
        start = int(min(np.argmax(talks) if talks.any() else 0, max(clip.count - frames, 0)))
        chosen = np.arange(start, min(start + frames, clip.count), dtype=np.intp)
        parts["clip"].append(np.full(len(chosen), number, np.intp))
        parts["frame"].append(chosen)
        parts["time"].append(np.asarray(clip.times, float)[chosen])
        parts["speaking"].append(talks[chosen])
        parts["landmarks"].append(np.asarray(clip.landmarks, np.float32)[chosen])
    arrays = {name: np.concatenate(found) for name, found in parts.items()}
    return Moments(block, tuple(clips), **arrays)


def judged(clips: Sequence[PreparedClip], frames: int, limit: int, seed: int = 0) -> dict[str, Moments]:
    """The blocks there are, by name; each thinned to about `limit` moments.

    Raises UsageError where no clip is of somebody who may be judged.
    """
    wanted = {
        SYNTHETIC: [clip for clip in clips if clip.metadata.synthetic and clip.metadata.split == "test"],
        REAL: [clip for clip in clips if not clip.metadata.synthetic and clip.metadata.split == "test"],
        TUNED: [clip for clip in clips if not clip.metadata.synthetic and clip.metadata.split == "validation"],
    }
    if not wanted[SYNTHETIC] and not wanted[REAL]:
        parts = ", ".join(sorted({str(clip.metadata.split) for clip in clips})) or "no part at all: it is empty"
        raise UsageError(
            f"nobody in the data may be judged: all clips are of people for {parts}; prepare clips of people for "
            "test, or make more people with `cdrl data synth`"
        )
    thinned = {name: _thin(found, frames, limit, seed) for name, found in wanted.items()}
    return {name: gather(name, found, frames) for name, found in thinned.items() if found}


def _thin(clips: Sequence[PreparedClip], frames: int, limit: int, seed: int) -> list[PreparedClip]:
    """Whole sentences of a person, one of each person after the other, until there are about `limit` frames."""
    sentences: dict[str, dict[str, list[PreparedClip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        sentences[person_of(clip)][clip.metadata.sentence_id or clip.metadata.id].append(clip)
    random = np.random.default_rng(seed)
    queues = []
    for person in sorted(sentences):
        names = sorted(sentences[person])
        queue = [sentences[person][names[index]] for index in random.permutation(len(names))]
        # Taken from the end: what is said in many emotions first, as most questions are about that.
        queues.append(sorted(queue, key=lambda group: len({clip.metadata.emotion for clip in group})))
    kept: list[PreparedClip] = []
    spent = 0
    while any(queues) and spent < limit:
        for queue in queues:
            if queue and spent < limit:
                group = queue.pop()
                kept += group
                spent += sum(min(clip.count, frames) for clip in group)
    order = {id(clip): index for index, clip in enumerate(clips)}
    return sorted(kept, key=lambda clip: order[id(clip)])
