"""Who is judged on what: the split of people, and the clips of `clips.csv` that each set takes.

The split stands in `people.json` beside this file and nowhere else: *report* people are looked at only for the final
table, *tune* people while an edit is being made, everyone else is for fitting. A person is never judged by a prior
they are part of.
"""

import csv
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from cdrl.errors import InputNotFoundError

SetName = Literal["tune", "report"]

EMOTIONS = ("angry", "disgusted", "happy", "sad", "surprised")  # what the headline averages over
APART = ("fear",)  # judged and printed, but in no average: the emotion network hardly sees real fear


@dataclass(frozen=True)
class People:
    """The split. `tune_datasets`: whole collections of unnamed people that belong to *tune*."""

    report: tuple[str, ...]
    tune: tuple[str, ...]
    tune_datasets: tuple[str, ...]

    def part(self, person: str, dataset: str = "") -> Literal["fit", "tune", "report"]:
        """Which part a person (of a dataset) belongs to."""
        if person in self.report:
            return "report"
        return "tune" if person in self.tune or dataset in self.tune_datasets else "fit"


@dataclass(frozen=True)
class ClipRow:
    """A row of `clips.csv`: a real clip of one person; `emotion` is empty where it is unlabelled."""

    path: Path
    dataset: str
    person: str
    emotion: str
    sentence: str


def read_people() -> People:
    """The split of this package."""
    raw = json.loads(files("cdrl.evaluation").joinpath("people.json").read_text(encoding="utf-8"))
    return People(tuple(raw["report"]), tuple(raw["tune"]), tuple(raw["tune_datasets"]))


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
            )
            for row in csv.DictReader(file)
        ]


def sentence_number(name: str) -> str:
    """The sentence's number in names like `..._M003_source_sad_033__source.mp4`, `xref_..._sad_033.mp4`; else empty."""
    last = Path(name).stem.split("__")[0].rsplit("_", 1)[-1]
    return last if last.isdigit() and len(last) == 3 else ""


def neutral_clips(clips: list[ClipRow], person: str) -> list[ClipRow]:
    """A person's neutral clips: sources to be edited, and what identity is compared with."""
    return [clip for clip in clips if clip.person == person and clip.emotion == "neutral"]


def real_clips(clips: list[ClipRow]) -> list[ClipRow]:
    """Clips that really show a labelled emotion by a known person: the target of every edit.

    Collections whose labels were guessed from a file's name (styletalk) are left out.
    """
    known = {"mead", "crema_d"}
    return [
        clip
        for clip in clips
        if clip.dataset in known and clip.emotion in (*EMOTIONS, *APART) and not clip.person.startswith("other")
    ]
