"""The clips that a data folder names, and the people whose real clips are references.

The split of people stands in `cdrl.datasets.splits` and nowhere else: *report* people are looked at only for the final
table, *tune* people while an edit is being made, everyone else is for fitting. A person is never evaluated by a prior
they are part of.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdrl.csv_tables import read_rows
from cdrl.datasets.layouts import make_sentence_id
from cdrl.errors import InputNotFoundError, UsageError
from cdrl.evaluation.measure_registry import DEFAULT_TARGETS

_CLIP_COLUMNS = ("path", "dataset", "actor", "emotion", "content_id")
_LABELED = ("mead", "crema_d")  # collections whose labels were not guessed from a file's name


@dataclass(frozen=True)
class ClipRecord:
    """A real clip of one person."""

    path: Path
    dataset: str
    person: str
    emotion: str
    """Empty where it is unlabeled."""
    sentence: str
    """Tells a person's sentences apart."""
    words: str = ""
    """Equal for the same words only, in whatever emotion; empty where they are unknown."""
    sound: Path | None = None
    """Where its sound lies, when not in the clip itself."""


def read_clips(folder: Path) -> list[ClipRecord]:
    """Read `folder/clips.csv` (columns path, dataset, actor, emotion, content_id and, where known, sentence).

    Raises:
        InputNotFoundError: There is none.
        InputError: It is no table.
        UsageError: A column is missing.
    """
    table = folder / "clips.csv"
    if not table.is_file():
        raise InputNotFoundError(f"{folder} holds no clips.csv: name the data folder with --data")
    clips = []
    for _, row in read_rows(table, _CLIP_COLUMNS, UsageError):
        facts = folder / row["path"], row["dataset"], row["actor"], row["emotion"]
        sentence = row["content_id"].rsplit("_", 1)[-1] or parse_sentence_number(row["path"])
        clips.append(ClipRecord(*facts, sentence, make_sentence_id(row.get("sentence", ""))))
    return clips


def parse_sentence_number(name: str) -> str:
    """Return the sentence's number in names like `..._M003_source_sad_033__source.mp4`; empty where there is none."""
    last = Path(name).stem.split("__")[0].rsplit("_", 1)[-1]
    return last if last.isdigit() and len(last) == 3 else ""


def select_neutral_clips(clips: Sequence[ClipRecord], person: str) -> list[ClipRecord]:
    """Return a person's neutral clips: sources to be edited, and what identity is compared with."""
    return [clip for clip in clips if clip.person == person and clip.emotion == "neutral"]


def select_real_clips(clips: Sequence[ClipRecord], emotions: Collection[str] = DEFAULT_TARGETS) -> list[ClipRecord]:
    """Return clips that really show one of the labeled emotions by a known person: the target of every edit."""
    labeled = [clip for clip in clips if clip.dataset in _LABELED and clip.emotion in emotions]
    return [clip for clip in labeled if not clip.person.startswith("other")]
