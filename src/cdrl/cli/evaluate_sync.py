"""`cdrl evaluate sync`: how well the lip-sync judge tells sound in its place from shifted sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.progress import track
from rich.table import Table
from tyro.conf import arg

from cdrl.errors import OutputError, UsageError


@dataclass(frozen=True)
class Options:
    """Judge the lip-sync judge on the people of the part "test" who are heard, real and made people apart.

    AUC: how often a clip's own sound is nearer to its lips than sound shifted by three moments of 1/25 s or more.
    """

    data: Annotated[tuple[Path, ...], arg(metavar="PREPARED...")]
    """Folders that `cdrl data prepare` made; real and synthetic ones together."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Where all numbers go."""
    sync: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A checkpoint of `cdrl train sync`; the one that ships where none is given."""


def run(options: Options) -> int:
    """Judge, print the table, and write what was asked for."""
    if options.json is not None and (options.json.is_dir() or not options.json.parent.is_dir()):
        raise OutputError(f"{options.json}: not a place for a file; name one in a folder that exists")
    from cdrl.datasets.prepared import Prepared
    from cdrl.evaluation.finite import report_json
    from cdrl.evaluation.sync_auc import judge_of_sync
    from cdrl.evaluation.sync_expert import load_sync
    from cdrl.evaluation.sync_moments import moments_of
    from cdrl.files import atomic_write, file_sha256

    network = load_sync(options.sync)
    prepared = Prepared.open(options.data)
    if prepared.speech != network.config.speech:
        raise UsageError(
            f"the data holds speech features {prepared.speech!r} and the judge was trained on "
            f"{network.config.speech!r}: prepare the data with the same --speech"
        )
    console = Console()
    clips = track(prepared.of("test"), "looking at lips", console=console, transient=True)
    found = [moments for clip in clips if (moments := moments_of(clip)) is not None]
    rows = judge_of_sync(network, found)
    table = Table(title="The judge of lips and sound, on people it never saw", title_justify="left")
    for heading in ("people", "measure", "over", "value", "95 % interval", "people (clips)", "wanted"):
        table.add_column(heading)
    for row in rows:
        said = row.found
        value = said.reason if said.value is None else f"{said.value:.3f}"
        interval = "" if said.low is None else f"[{said.low:.3f}, {said.high:.3f}] over {said.unit}"
        table.add_row(
            row.people,
            row.measure,
            row.condition,
            value,
            interval,
            f"{len(said.people)} ({said.count})",
            str(row.bar or ""),
        )
    console.print(table)
    if options.json is not None:
        source = "the one that ships" if options.sync is None else f"{options.sync.name}, {file_sha256(options.sync)}"
        facts = {"checkpoint": source, "rows": [row.to_json() for row in rows]}
        atomic_write(options.json, [report_json(facts)])
    return 0
