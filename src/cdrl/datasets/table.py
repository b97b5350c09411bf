"""Reads a data set into one typed table, whatever layout it comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cdrl.datasets.clip import Clip, ClipTable
from cdrl.datasets.layouts import READERS, TABLE, detect_layout
from cdrl.errors import CdrlError, InputError, InputNotFoundError, UsageError
from cdrl.media import probe

LAYOUTS = ("auto", *READERS)


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
    table = ClipTable(folder, chosen)
    READERS[chosen](table)
    table.clips = [clip for clip in _remove_duplicates(table) if _check_file(table, clip)]
    if not table.clips and not table.problems:
        raise InputError(f"{folder}: an empty data set, no clip in the layout {chosen}")
    return table


def probe_clips(table: ClipTable, watch: Callable[[Sequence[Clip]], Iterable[Clip]] = iter) -> ClipTable:
    """Open every clip of a table.

    Args:
        table: The table.
        watch: Hands on the clips; it may show progress.

    Returns:
        The table with frame rate and sound filled in, and broken clips among the problems.
    """
    probed = replace(table, clips=[], problems=list(table.problems), remarks=Counter(table.remarks))
    for clip in watch(table.clips):
        try:
            info = probe(clip.path)
        except CdrlError as error:
            probed.add_problem(clip.path, str(error).removeprefix(str(clip.path)).lstrip(": "))
            continue
        sound = clip.sound is not None or any(track.kind == "audio" for track in info.tracks)
        if clip.has_sound is not None and clip.has_sound != sound:
            claim = "sound, but without" if clip.has_sound else "no sound, but with some"
            probed.remarks[f"clips said to have {claim}"] += 1
        probed.remarks.update(f"clips with a flaw ({note})" for note in info.notes)
        probed.clips.append(replace(clip, has_sound=sound, rate=info.rate))
    return probed


def _remove_duplicates(table: ClipTable) -> list[Clip]:
    """The clips, each once and with an id of its own."""
    clips, ids = dict[Path, Clip](), Counter[str]()
    for clip in table.clips:
        if clip.path in clips:
            table.remarks["rows that name a clip a second time, left out"] += 1
            continue
        ids[clip.id] += 1
        clips[clip.path] = clip if ids[clip.id] == 1 else replace(clip, id=f"{clip.id}-{ids[clip.id]}")
    return list(clips.values())


def _check_file(table: ClipTable, clip: Clip) -> bool:
    """Whether a clip's file can be opened; a problem is noted where it cannot."""
    path = clip.path
    if path.is_file() and path.stat().st_size:
        return True
    reason = "an empty file" if path.is_file() else "not a file" if path.exists() else "missing: no such file"
    table.add_problem(path, reason)
    return False
