"""`cdrl data check`: what a data set holds, and the name of every clip that is broken or missing."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from cdrl.emotions import EMOTIONS
from cdrl.errors import CdrlError, InputError, ModelFileError

if TYPE_CHECKING:
    from cdrl.datasets.clip import ClipTable
    from cdrl.datasets.splits import PeopleSplit
    from cdrl.evaluation.people_check import Match


@dataclass(frozen=True)
class Options:
    """Read a data set's layout, say what it holds, and name every clip that is broken or missing.

    The exit code is 0 where all clips are there and 3 where one is not, or a person is in two splits (--people).
    """

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """The data set's folder."""
    layout: Literal["auto", "plain", "mead", "ravdess", "crema-d"] = "auto"
    """plain is a clips.csv with the columns path, actor and emotion."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file with the lists of names test
    and validation."""
    probe: FlagCreatePairsOff[bool] = False
    """Open every clip and decode its first frame, too."""
    people: FlagCreatePairsOff[bool] = False
    """Compare the faces of all clips by a recognition network, and name people who stand under two names."""


def run(options: Options) -> int:
    """Print what a data set holds and name its problems; returns the exit code."""
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table as Grid

    from cdrl.datasets.splits import SPLITS, load_split
    from cdrl.datasets.table import probe_clips, read_dataset
    from cdrl.media.decoding import pluralize

    console = Console(soft_wrap=True)
    table = read_dataset(options.folder, options.layout)
    if options.probe:
        shown = Console(stderr=True)
        table = probe_clips(table, lambda clips: track(clips, "opening", console=shown, transient=True))
    grid = Grid("", *SPLITS, "all", title=f"{options.folder} ({table.layout})", title_justify="left")
    split = load_split(options.split, {(clip.dataset, clip.actor) for clip in table.clips})
    by_split = [[clip for clip in table.clips if split.assign(clip.actor, clip.dataset) == name] for name in SPLITS]
    columns = [*by_split, list(table.clips)]
    grid.add_row("people", *(str(len({clip.actor for clip in clips})) for clips in columns))
    grid.add_row("clips", *(str(len(clips)) for clips in columns), end_section=True)
    for emotion in (*EMOTIONS, ""):
        counts = (sum(clip.emotion == emotion for clip in clips) for clips in columns)
        grid.add_row(emotion or "no label", *(str(count or "·") for count in counts))
    console.print(grid)
    sound = Counter(clip.has_sound for clip in table.clips)
    unknown = f", unknown before they are opened (--probe): {sound[None]}" if sound[None] else ""
    print(f"clips with sound: {sound[True]}, without: {sound[False]}{unknown}")
    for remark, count in table.remarks.items():
        print(f"{remark}: {count}")
    crossings = _compare_people(table, split) if options.people else []
    for problem in table.problems:
        print(problem, file=sys.stderr)
    if table.problems:
        count = sum(problem.count for problem in table.problems)
        print(f"broken or missing: {pluralize(count, 'clip')}", file=sys.stderr)
    return InputError.exit_code if table.problems or crossings else 0


def _compare_people(table: ClipTable, split: PeopleSplit) -> list[Match]:
    """Print who stands under two names; returns those that are in different splits. Clips without a face: problems."""
    from rich.console import Console
    from rich.progress import track

    from cdrl.evaluation.people_check import (
        PersonClip,
        describe_threshold,
        find_crossings,
        find_matches,
        recognize_file,
    )
    from cdrl.media.decoding import pluralize

    seen = list[PersonClip]()
    for clip in track(table.clips, "comparing people", console=Console(stderr=True), transient=True):
        try:
            seen.append(PersonClip(clip.id, clip.dataset, clip.actor, recognize_file(clip.path)))
        except ModelFileError:
            raise
        except CdrlError as error:
            table.add_problem(clip.path, str(error).removeprefix(str(clip.path)).lstrip(": "))
    matches = find_matches(seen)
    crossings = find_crossings(matches, split)
    for match in matches:
        print(f"{match}{'; they are in different splits' if match in crossings else ''}")
    print(
        f"people compared: {pluralize(len(seen), 'clip')}, {len(matches)} under two names, {len(crossings)} of them in "
        "different splits"
    )
    print(describe_threshold(seen))
    return crossings
