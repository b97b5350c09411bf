"""The one typed table of a data set's clips, whatever layout it comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cdrl.datasets.clip import Clip, Problem
from cdrl.datasets.layouts import READERS, TABLE, FolderScan, detect_layout
from cdrl.errors import CdrlError, InputError, InputNotFoundError, UsageError
from cdrl.media import probe

LAYOUTS = ("auto", *READERS)


@dataclass(frozen=True)
class ClipTable:
    """The clips of a data set."""

    folder: Path
    layout: str
    """A key of `cdrl.datasets.layouts.READERS`."""
    clips: tuple[Clip, ...]
    """Those whose files are there."""
    problems: tuple[Problem, ...] = ()
    """Clips that are missing or broken."""
    remarks: Mapping[str, int] = field(default_factory=dict)
    """What is true of clips, and of how many."""


def read_dataset(folder: Path, layout: str = "auto") -> ClipTable:
    """Read the table of a data set; no clip is opened.

    Args:
        folder: The data set's folder.
        layout: One of `LAYOUTS`; "auto" detects it.

    Raises:
        UsageError: The layout is unknown.
        InputNotFoundError: There is no such folder, or no table where the layout needs one.
        InputError: The folder is in none of the layouts, or holds no clip at all.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    if not folder.is_dir():
        raise InputNotFoundError(f"{folder}: no such folder")
    chosen = detect_layout(folder) if layout == "auto" else layout
    if chosen is None:
        raise InputError(
            f"{folder}: in none of the layouts {', '.join(READERS)}; write a {TABLE} with path,actor,emotion"
        )
    if chosen == "plain" and not (folder / TABLE).is_file():
        raise InputNotFoundError(f"{folder}: holds no {TABLE}, which the plain layout needs")
    scan = READERS[chosen](folder)
    clips = [clip for clip in _remove_duplicates(scan) if _check_file(scan, clip)]
    if not clips and not scan.problems:
        raise InputError(f"{folder}: an empty data set, no clip in the layout {chosen}")
    return ClipTable(folder, chosen, tuple(clips), tuple(scan.problems), dict(scan.remarks))


def probe_clips(table: ClipTable, watch: Callable[[Sequence[Clip]], Iterable[Clip]] = iter) -> ClipTable:
    """Open every clip of a table.

    Args:
        table: The table.
        watch: Hands on the clips; it may show progress.

    Returns:
        The table with frame rate and sound filled in, and broken clips among the problems.
    """
    scan = FolderScan(table.folder, problems=list(table.problems), remarks=Counter(table.remarks))
    for clip in watch(table.clips):
        try:
            info = probe(clip.path)
        except CdrlError as error:
            scan.add_problem(clip.path, str(error).removeprefix(str(clip.path)).lstrip(": "))
            continue
        sound = clip.sound is not None or any(track.kind == "audio" for track in info.tracks)
        if clip.has_sound is not None and clip.has_sound != sound:
            said = "sound, but without" if clip.has_sound else "no sound, but with some"
            scan.remarks[f"clips said to have {said}"] += 1
        scan.remarks.update(f"clips with a flaw ({note})" for note in info.notes)
        scan.clips.append(replace(clip, has_sound=sound, rate=info.rate))
    return replace(table, clips=tuple(scan.clips), problems=tuple(scan.problems), remarks=dict(scan.remarks))


def _remove_duplicates(scan: FolderScan) -> list[Clip]:
    """The clips, each once and with an id of its own."""
    clips, ids = dict[Path, Clip](), Counter[str]()
    for clip in scan.clips:
        if clip.path in clips:
            scan.remarks["rows that name a clip a second time, left out"] += 1
            continue
        ids[clip.id] += 1
        clips[clip.path] = clip if ids[clip.id] == 1 else replace(clip, id=f"{clip.id}-{ids[clip.id]}")
    return list(clips.values())


def _check_file(scan: FolderScan, clip: Clip) -> bool:
    """Whether a clip's file can be opened; a problem is noted where it cannot."""
    path = clip.path
    if path.is_file() and path.stat().st_size:
        return True
    reason = "an empty file" if path.is_file() else "not a file" if path.exists() else "missing: no such file"
    scan.add_problem(path, reason)
    return False
