"""What is said about one edit: a record for machines, and the same in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cdrl import assets
from cdrl.files import file_sha256
from cdrl.plan import REGIONS, EditPlan
from cdrl.tally import EditTally

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a recording of which a part was made by a trained model."""

TOOL = "cdrl"
BEGINNING = "edited with cdrl "
"""How the description of every edit begins; known again where a converter has kept nothing but the comment."""

TOLD_SEGMENTS = 20
"""Segments that a description names; QuickTime's labels hold no more than 64 KiB."""

COPY_BEGINNING = "copied with cdrl "
"""How the description of a result begins in which no frame was changed."""


@dataclass(frozen=True)
class ModelFile:
    """A file of numbers that took part in an edit."""

    name: str
    """File name, without folder: where somebody keeps their files is nobody's business."""
    sha256: str


def models_used(prior: Path | None, translator: Path | None, translated: bool) -> tuple[ModelFile, ...]:
    """The landmark network, the prior, and where `translated` the translator; None stands for the one that ships."""
    shipped = assets.load_manifest()
    chosen = {assets.LANDMARKS: None, assets.PRIOR: prior} | ({assets.TRANSLATOR: translator} if translated else {})
    return tuple(
        ModelFile(name, shipped[name].sha256) if path is None else ModelFile(path.name, file_sha256(path))
        for name, path in chosen.items()
    )


def edit_record(plan: EditPlan, tally: EditTally, enrolled: Sequence[str] = (), beside: bool = False) -> dict[str, Any]:
    """What was done to a clip, as JSON values: by what, which emotions how strongly, when, in how many frames.

    Only segments in which a frame was changed are told, each from its first changed frame to the end of its last one,
    in seconds. When the edit was made stands in the sidecar, so that equal edits stay equal files.
    """
    return {
        "tool": TOOL,
        "version": version(TOOL),
        "segments": [
            {
                "start": round(float(span.start), 3),
                "end": round(float(span.end), 3),
                "amounts": {name: round(amount, 4) for name, amount in span.segment.amounts.items()},
                "frames": {"edited": span.edited, "total": span.total},
            }
            for span in tally.spans
            if span.edited
        ],
        "frames": {"edited": tally.edited, "total": tally.total},
        "regions": [region for region in REGIONS if region in plan.regions],
        "reference": plan.reference is not None,
        "enrolled": sorted(enrolled),
        "side_by_side": beside,
    }


def describe_edit(record: Mapping[str, Any]) -> str:
    """Write a record as a sentence.

    Raises LookupError, TypeError, ValueError, AttributeError or OverflowError for what is no record.
    """
    if not record["segments"]:
        return f"{COPY_BEGINNING}{record['version']}: no frame was changed"
    moments = []
    for segment in record["segments"][:TOLD_SEGMENTS]:
        shown = " and ".join(f"{name} ({float(amount):g})" for name, amount in segment["amounts"].items())
        moments.append(f"{shown} from {float(segment['start']):.10g} s to {float(segment['end']):.10g} s")
    if more := len(record["segments"]) - TOLD_SEGMENTS:
        moments += [f"and {more} times more"] if more > 0 else []
    regions, frames = record["regions"], record["frames"]
    where = "the face" if set(regions) == set(REGIONS) else f"the {' and '.join(map(str, regions))}"
    count = f"in {int(frames['edited'])} of {int(frames['total'])} frames"
    return f"{BEGINNING}{record['version']}: {where} made to show {', '.join(moments)}, {count}"
