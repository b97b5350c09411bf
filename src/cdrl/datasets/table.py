"""Reads a data set into one typed table, whatever layout it comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cdrl.datasets.clip import Clip, ClipTable
from cdrl.datasets.layouts import EXAMPLES, READERS, TABLE, FileTree, detect_layouts
from cdrl.errors import CdrlError, InputError, InputNotFoundError, UsageError
from cdrl.files import file_sha256
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
    tree = FileTree(folder) if (folder / TABLE).is_file() and layout in ("auto", "plain") else FileTree.scan(folder)
    chosen = _choose_layout(tree) if layout == "auto" else layout
    if chosen == "plain" and not (folder / TABLE).is_file():
        raise InputNotFoundError(f"{folder}: holds no {TABLE}, which the plain layout needs")
    table = ClipTable(folder, chosen)
    READERS[chosen](table, tree)
    table.clips = [clip for clip in _remove_duplicates(table) if _check_file(table, clip)]
    for path in tree.dangling:
        table.add_problem(path, "a link to what is not there")
    table.add_remark("archives that are not read: unpack them", tree.archives)
    if not table.clips and not table.problems:
        raise InputError(f"{folder}: an empty data set, no clip in the layout {chosen}; found {tree.describe()}")
    return table


def _choose_layout(tree: FileTree) -> str:
    """The layout that a folder is in. Raises InputError where it is in none of them, or in several."""
    found = detect_layouts(tree)
    if len(found) == 1:
        return next(iter(found))
    if found:
        sets = ", ".join(f"{layout} ({tree.shorten(path)})" for layout, path in found.items())
        raise InputError(
            f"{tree.folder}: holds several data sets, {sets}: give the folder of one, or name its --layout"
        )
    wanted = "; ".join(f"{layout}: {example}" for layout, example in EXAMPLES.items())
    raise InputError(
        f"{tree.folder}: in none of the layouts; looked for {wanted}; found {tree.describe()}. For any other set write "
        f"a {TABLE} with path,actor,emotion"
    )


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
    """The clips, each once and with an id of its own.

    A clip is the same as another by its path, by its name in a layout whose names tell clips apart ("001 (1).mp4", .flv
    beside .mp4), or by its content. Where copies are labeled differently, the later one is a problem.
    """
    paths, ids, contents = set[Path](), Counter[str](), dict[bytes, Clip]()
    clips, copies = list[Clip](), list[Path]()
    sizes = Counter(_size(clip.path) for clip in table.clips)
    for clip in table.clips:
        if clip.path in paths:
            table.remarks["rows that name a clip a second time, left out"] += 1
            continue
        paths.add(clip.path)
        digest = bytes.fromhex(file_sha256(clip.path)) if sizes[_size(clip.path)] > 1 and _size(clip.path) else b""
        same = contents.get(digest) if digest else None
        if same is not None and (same.actor, same.emotion) != (clip.actor, clip.emotion):
            labels = f"{same.actor} {same.emotion}, {clip.actor} {clip.emotion}"
            table.add_problem(clip.path, f"a copy of {table.shorten(same.path)} with other labels ({labels})")
            continue
        if same is not None or (table.layout != "plain" and ids[clip.id]):
            copies.append(clip.path)
            continue
        ids[clip.id] += 1
        clips.append(clip if ids[clip.id] == 1 else replace(clip, id=f"{clip.id}-{ids[clip.id]}"))
        if digest:
            contents[digest] = clips[-1]
    table.add_remark("copies of other clips, counted once", copies)
    return clips


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _check_file(table: ClipTable, clip: Clip) -> bool:
    """Whether a clip's file can be opened; a problem is noted where it cannot."""
    path = clip.path
    if path.is_file() and path.stat().st_size:
        return True
    reason = "an empty file" if path.is_file() else "not a file" if path.exists() else "missing: no such file"
    table.add_problem(path, reason)
    return False
