"""`cdrl edit --dry-run`: all that can be checked without the networks, and what would be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cdrl.assets import user_bytes
from cdrl.media.encoding import codec_of, container_of
from cdrl.media.outputs import check_output
from cdrl.media.probing import probe
from cdrl.plan import REGIONS, EditPlan

if TYPE_CHECKING:
    from cdrl.cli.edit import Options
    from cdrl.media import VideoInfo
    from cdrl.media.parts import ClipPart
    from cdrl.request import EditRequest


def describe_edit(request: EditRequest, output: Path, options: Options) -> list[str]:
    """Check the source, the output's name, the files that are named, and the times asked for; write nothing.

    Returns:
        Lines that say what would be done.

    Raises:
        CdrlError: What the edit itself would raise for these.
    """
    container = container_of(output)
    codec_of(options.encoder, container, output)  # refused before the files are looked at
    if not options.encoder.is_sequence:
        check_output(output, output.resolve(), request.source, options.overwrite)
    info = probe(request.find_source(options.limits), options.limits)
    plan, part = request.fit_plan(info), request.fit_part(info)
    codec = codec_of(options.encoder, container, output, deep=info.is_deep)
    for path in (request.reference, *request.enroll.values()):
        if path is not None:
            probe(path, options.limits)
    for path in (request.prior, request.model_file, request.renderer_file):
        if path is not None:
            user_bytes(path)
    rate = "" if info.rate is None else f", {float(info.rate):.5g} frames/s"
    length = "" if info.duration is None else f", {float(info.duration):.5g} s"
    settings = options.encoder.settings
    layer = ", a layer of what is changed" if options.layer else ""
    form = f"numbered {output.suffix[1:].upper()}" if options.encoder.is_sequence else f"{container.name}, {codec}"
    quality = "" if settings.codec is not None else f", quality {settings.quality:g}"
    if info.sequence is not None:
        files = info.sequence.file(0), info.sequence.file(info.sequence.count - 1)
        length += f", {info.sequence.count} pictures {' to '.join(path.name for path in files)}"
    lines = [
        f"source   {request.source}: {info.width}x{info.height}{rate}{length}",
        *([] if part is None else [_describe_part(part, info)]),
        *(f"shows    {line}" for line in _describe_segments(plan)),
        f"in       {', '.join(name for name in REGIONS if name in plan.regions)}; the face: {request.face}",
        *(f"knows    how this person shows {name}: {path}" for name, path in request.enroll.items()),
        f"result   {output}: {form}{quality}{layer}",
    ]
    extra = {"preview": options.preview, "report": options.report, "project": options.save_project}
    lines += [f"{name:<8} {path}" for name, path in extra.items() if path is not None]
    return [*lines, "nothing was written (--dry-run)"]


def _describe_part(part: ClipPart, info: VideoInfo) -> str:
    """Which frames are written."""
    count = part.describe(info).frame_count
    frames = "" if count is None else f", about {count} frames"
    return f"part     from frame {part.skipped} on{frames}"


def _describe_segments(plan: EditPlan) -> list[str]:
    """Each segment's amounts and times."""
    lines = []
    for segment in plan.segments:
        amounts = " + ".join(f"{name} {amount:.3g}" for name, amount in segment.amounts.items())
        end = "the end" if segment.end is None else f"{float(segment.end):.5g} s"
        lines.append(f"{amounts}, from {float(segment.start):.5g} s to {end}")
    if plan.reference is not None:
        lines[-1] += f"; reference: {plan.reference}"
    return lines
