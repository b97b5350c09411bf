"""`cdrl export`: a performance for an avatar."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from cdrl.cli.consent import ConsentGiven, require_consent
from cdrl.cli.edit_options import TimedEmotionOptions
from cdrl.cli.progress import progress_bar
from cdrl.errors import UsageError, one_line
from cdrl.media.limits import Limits
from cdrl.request import find_source

ENDINGS = {".csv": "livelink-csv", ".json": "json"}


@dataclass(frozen=True)
class Options:
    """Write what a face does, frame by frame, for an avatar: 52 ARKit coefficients, head and eyes.

    With an emotion, a reference or segments the edited performance is written, too; no video is made. JSON holds both
    in one file. As CSV, FILE.csv holds the edited one and FILE.source.csv the source's.
    """

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    """The video; it is never changed."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Where to write the performance."""
    format: Annotated[
        Literal["livelink-csv", "json"] | None,
        arg(metavar="livelink-csv|json", help_behavior_hint="(default: by FILE's ending, .csv or .json)"),
    ] = None
    """livelink-csv: as the app Live Link Face records it. json: with exact times and frames without a face as null."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the files that are to be written where they exist."""
    i_have_consent: ConsentGiven = False
    shown: TimedEmotionOptions = field(default_factory=TimedEmotionOptions)
    limits: Limits = field(default_factory=Limits)


def run(options: Options) -> int:
    """Read the performance off the landmarks, write it, and say how many frames show no face."""
    request = None
    if options.shown.has_target:
        request = options.shown.request(options.source)  # before the networks load: a slip is told at once
    elif options.shown != TimedEmotionOptions(face=options.shown.face, frame_rate=options.shown.frame_rate):
        raise UsageError("--intensity, --regions and the like change an edit: say which, with --emotion or --reference")
    if request is not None and request.is_part:
        raise UsageError("--from, --to and --handles cut a video: a performance is of the whole clip")
    form = options.format or ENDINGS.get(options.output.suffix.lower())
    if form is None:
        raise UsageError(f"{options.output}: end the name in .csv or .json, or give --format livelink-csv or json")
    beside = options.output.with_name(f"{options.output.stem}.source{options.output.suffix}")
    clip = find_source(options.source, options.shown.frame_rate, options.limits)
    require_consent(options.i_have_consent)
    # These load the networks' runtime.
    from cdrl import export, load
    from cdrl.media.outputs import check_output

    for path in (options.output, beside) if request is not None and form != "json" else (options.output,):
        check_output(path, path.resolve(), options.source, options.overwrite)
    job = None if request is None else load(request.prior, request.model).edit(request, limits=options.limits)
    with progress_bar("reading") as progress:
        source, edited = export.extract_performances(clip, job, options.shown.face, options.limits, progress)
    if form == "json":
        export.write_json(options.output, source, edited, options.overwrite)
    else:
        if edited is not None:
            export.write_livelink(beside, source, options.overwrite)
        export.write_livelink(options.output, edited or source, options.overwrite)
    total, missing = len(source.times), source.missing
    if missing:
        as_what = "null" if form == "json" else "a row of zeros each"
        said = f"{options.source}: no face in {missing} of {total} frames; those are {as_what}"
        print("cdrl: warning:", one_line(said), file=sys.stderr)
    print(one_line(f"{options.output}: {total - missing} of {total} frames with a face"))
    return 0
