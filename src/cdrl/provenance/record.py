"""What is said about one edit: a record for machines, and the same in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cdrl import assets
from cdrl.files import file_sha256
from cdrl.manipulation.plan import REGIONS, EditPlan

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a recording of which a part was made by a trained model."""

TOOL = "cdrl"
BEGINNING = "edited with cdrl "
"""How every description of ours begins; known again where a converter has kept nothing but the comment."""


@dataclass(frozen=True)
class ModelFile:
    """A file of numbers that took part in an edit."""

    name: str
    """File name, without folder: where somebody keeps their files is nobody's business."""
    sha256: str


def models_used(prior: Path | None, translator: Path | None, translated: bool) -> tuple[ModelFile, ...]:
    """The landmark network, the prior, and where `translated` the translator; None stands for the one that ships."""
    shipped = assets.listed()
    chosen = {assets.LANDMARKS: None, assets.PRIOR: prior} | ({assets.TRANSLATOR: translator} if translated else {})
    return tuple(
        ModelFile(name, shipped[name].sha256) if path is None else ModelFile(path.name, file_sha256(path))
        for name, path in chosen.items()
    )


def edit_record(plan: EditPlan, enrolled: Sequence[str] = (), beside: bool = False) -> dict[str, Any]:
    """One edit as JSON values: by what, which emotions how strongly from when to when (seconds), in which regions.

    The same plan gives the same record: when it was done stands in the sidecar, so that equal edits stay equal files.
    """
    return {
        "tool": TOOL,
        "version": version(TOOL),
        "segments": [
            {
                "start": float(segment.start),
                "end": None if segment.end is None else float(segment.end),
                "amounts": {name: round(amount, 4) for name, amount in segment.amounts.items()},
            }
            for segment in plan.segments
        ],
        "regions": [region for region in REGIONS if region in plan.regions],
        "reference": plan.reference is not None,
        "enrolled": sorted(enrolled),
        "side_by_side": beside,
    }


def in_words(record: Mapping[str, Any]) -> str:
    """A record as a sentence. Raises LookupError, TypeError, ValueError, AttributeError or OverflowError for
    what is no record."""
    moments = []
    for segment in record["segments"]:
        shown = " and ".join(f"{name} ({float(amount):g})" for name, amount in segment["amounts"].items())
        end = "the end" if segment["end"] is None else f"{float(segment['end']):g} s"
        moments.append(f"{shown} from {float(segment['start']):g} s to {end}")
    regions = record["regions"]
    where = "the face" if set(regions) == set(REGIONS) else f"the {' and '.join(map(str, regions))}"
    return f"{BEGINNING}{record['version']}: {where} made to show {', '.join(moments)}"
