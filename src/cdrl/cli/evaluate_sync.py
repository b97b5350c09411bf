"""`cdrl evaluate sync`: how well the lip-sync network tells sound in its place from shifted sound."""

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
    """Measure the lip-sync network on the test people who are heard, real and synthetic people apart.

    AUC: how often a clip's own sound is nearer to its lips than sound shifted by three moments of 1/25 s or more.
    """

    data: Annotated[tuple[Path, ...], arg(metavar="PREPARED...")]
    """Folders that `cdrl data prepare` made; real and synthetic ones together."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """File for all numbers."""
    sync: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A checkpoint of `cdrl train sync`; the one that ships where none is given."""


def run(options: Options) -> int:
    """Measure, print the table, and write what was asked for."""
    if options.json is not None and (options.json.is_dir() or not options.json.parent.is_dir()):
        raise OutputError(f"{options.json}: not a place for a file; name one in a folder that exists")
    from cdrl.datasets.prepared import PreparedDataset
    from cdrl.evaluation.json_numbers import encode_report
    from cdrl.evaluation.lip_clips import read_lip_clip
    from cdrl.evaluation.sync_auc import measure_lip_sync
    from cdrl.files import atomic_write, file_sha256
    from cdrl.representations.checkpoints import refuse_trained_people
    from cdrl.representations.lip_sync import load_lip_sync

    network = load_lip_sync(options.sync)
    prepared = PreparedDataset.open(options.data, options.split)
    if options.sync is not None:
        refuse_trained_people(options.sync, {clip.metadata.actor for clip in prepared.select("test", synthetic=False)})
    if prepared.speech != network.config.speech:
        raise UsageError(
            f"the data holds speech features {prepared.speech!r} and the network was trained on "
            f"{network.config.speech!r}: prepare the data with the same --speech"
        )
    console = Console()
    clips = track(prepared.select("test"), "looking at lips", console=console, transient=True)
    rows = measure_lip_sync(network, [seen for clip in clips if (seen := read_lip_clip(clip)) is not None])
    table = Table(
        *("people", "measure", "over", "value", "95 % interval", "people (clips)", "wanted"),
        title="The lip-sync network, on people it never saw",
        title_justify="left",
    )
    for row in rows:
        estimate = row.estimate
        value = estimate.reason if estimate.value is None else f"{estimate.value:.3f}"
        interval = "" if estimate.low is None else f"[{estimate.low:.3f}, {estimate.high:.3f}] over {estimate.unit}"
        people = f"{len(estimate.people)} ({estimate.count})"
        table.add_row(row.people, row.measure, row.condition, value, interval, people, str(row.threshold or ""))
    console.print(table)
    if options.json is not None:
        source = "the one that ships" if options.sync is None else f"{options.sync.name}, {file_sha256(options.sync)}"
        atomic_write(options.json, [encode_report({"checkpoint": source, "rows": [row.to_json() for row in rows]})])
    return 0
