"""The one typed table of a data set's clips, whatever layout it comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cdrl.datasets.clip import Clip, Problem
from cdrl.datasets.layouts import READERS, Found, recognise
from cdrl.errors import CdrlError, InputError, InputNotFoundError, UsageError
from cdrl.media import probe

__all__ = ["LAYOUTS", "Clip", "Problem", "Table", "probed", "read_dataset"]

LAYOUTS = ("auto", *READERS)


@dataclass(frozen=True)
class Table:
    """The clips of a data set that are there, and `problems`: those that are missing or broken, by name.

    `remarks`: what else there is to know, and of how many clips.
    """

    folder: Path
    layout: str
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


def read_dataset(folder: Path, layout: str = "auto") -> Table:
    """The table of the data set in `folder`; no clip is opened.

    Raises UsageError for an unknown layout, InputNotFoundError where there is no such folder, and InputError where the
    folder is in none of the layouts or holds no clip at all.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    if not folder.is_dir():
        raise InputNotFoundError(f"{folder}: no such folder")
    chosen = recognise(folder) if layout == "auto" else layout
    if chosen is None:
        raise InputError(
            f"{folder}: in none of the layouts {', '.join(READERS)}; write a clips.csv with path,actor,emotion"
        )
    if chosen == "plain" and not (folder / "clips.csv").is_file():
        raise InputNotFoundError(f"{folder}: holds no clips.csv, which the plain layout needs")
    found = READERS[chosen](folder)
    clips = _unique(found)
    there, problems = [], list(found.problems)
    for clip in clips:
        reason = _absent(clip)
        if reason:
            problems.append(Problem(found.name(clip.path), reason))
        else:
            there.append(clip)
    if not there and not problems:
        raise InputError(f"{folder}: an empty data set, no clip in the layout {chosen}")
    return Table(folder, chosen, tuple(there), tuple(problems), dict(found.remarks))


def probed(table: Table, watch: Callable[[Sequence[Clip]], Iterable[Clip]] = iter) -> Table:
    """The table with every clip opened: frame rate and sound filled in, broken clips among the problems.

    `watch` may show progress while it hands on the clips.
    """
    clips, problems, remarks = [], list(table.problems), Counter(table.remarks)
    for clip in watch(table.clips):
        try:
            info = probe(clip.path)
        except CdrlError as error:
            problems.append(Problem(_name(table, clip), str(error).removeprefix(str(clip.path)).lstrip(": ")))
            continue
        heard = clip.sound is not None or any(track.kind == "audio" for track in info.tracks)
        if clip.has_sound is not None and clip.has_sound != heard:
            remarks[f"clips said to have {'sound, but without' if clip.has_sound else 'no sound, but with some'}"] += 1
        for note in info.notes:
            remarks[f"clips with a flaw ({note})"] += 1
        clips.append(replace(clip, has_sound=heard, rate=info.rate))
    return replace(table, clips=tuple(clips), problems=tuple(problems), remarks=dict(remarks))


def _name(table: Table, clip: Clip) -> str:
    return clip.path.relative_to(table.folder).as_posix() if clip.path.is_relative_to(table.folder) else str(clip.path)


def _unique(found: Found) -> list[Clip]:
    """The clips, each once and with an id of its own."""
    seen, kept, ids = set[Path](), [], Counter[str]()
    for clip in found.clips:
        if clip.path in seen:
            found.remarks["rows that name a clip a second time, left out"] += 1
            continue
        seen.add(clip.path)
        ids[clip.id] += 1
        kept.append(clip if ids[clip.id] == 1 else replace(clip, id=f"{clip.id}-{ids[clip.id]}"))
    return kept


def _absent(clip: Clip) -> str:
    """Why a clip's file cannot be there; empty where it can."""
    if not clip.path.exists():
        return "missing: no such file"
    if not clip.path.is_file():
        return "not a file"
    return "" if clip.path.stat().st_size else "an empty file"
