"""Who is judged on what: the split of people, and the clips of `clips.csv` that each set takes.

The split stands in `cdrl.datasets.splits` and nowhere else: *report* people are looked at only for the final
table, *tune* people while an edit is being made, everyone else is for fitting. A person is never judged by a prior
they are part of.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cdrl.datasets.layouts import make_sentence_id
from cdrl.errors import InputNotFoundError

SetName = Literal["tune", "report"]

EMOTIONS = ("angry", "disgusted", "happy", "sad", "surprised")  # what the headline averages over
APART = ("fear",)  # judged and printed, but in no average: the emotion network hardly sees real fear


@dataclass(frozen=True)
class ClipRow:
    """A real clip of one person; `emotion` is empty where it is unlabelled.

    `sentence` tells a person's sentences apart; `words` is equal for the same words only, in whatever emotion, and
    empty where they are unknown. `sound`: where it lies when not in the clip itself.
    """

    path: Path
    dataset: str
    person: str
    emotion: str
    sentence: str
    words: str = ""
    sound: Path | None = None


def read_clips(folder: Path) -> list[ClipRow]:
    """The rows of `folder/clips.csv` (columns path, dataset, actor, emotion, content_id, ...)."""
    table = folder / "clips.csv"
    if not table.is_file():
        raise InputNotFoundError(f"{folder} holds no clips.csv: name the data folder with --data")
    with table.open(newline="", encoding="utf-8") as file:
        return [
            ClipRow(
                folder / row["path"],
                row["dataset"],
                row["actor"],
                row["emotion"],
                row["content_id"].rsplit("_", 1)[-1] or sentence_number(row["path"]),
                make_sentence_id(row.get("sentence") or ""),
            )
            for row in csv.DictReader(file)
        ]


def sentence_number(name: str) -> str:
    """The sentence's number in names like `..._M003_source_sad_033__source.mp4`, `xref_..._sad_033.mp4`; else empty."""
    last = Path(name).stem.split("__")[0].rsplit("_", 1)[-1]
    return last if last.isdigit() and len(last) == 3 else ""


def neutral_clips(clips: Sequence[ClipRow], person: str) -> list[ClipRow]:
    """A person's neutral clips: sources to be edited, and what identity is compared with."""
    return [clip for clip in clips if clip.person == person and clip.emotion == "neutral"]


def real_clips(clips: Sequence[ClipRow]) -> list[ClipRow]:
    """Clips that really show a labelled emotion by a known person: the target of every edit.

    Collections whose labels were guessed from a file's name (styletalk) are left out.
    """
    known = {"mead", "crema_d"}
    return [
        clip
        for clip in clips
        if clip.dataset in known and clip.emotion in (*EMOTIONS, *APART) and not clip.person.startswith("other")
    ]
