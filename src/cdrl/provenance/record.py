"""What is said about one edit: a record for machines, the same in plain words, and the sidecar beside the video.

The sidecar is a JSON file with what was done to the video and the SHA-256 of what went in and came out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cdrl import assets
from cdrl.errors import CdrlError, ProvenanceError
from cdrl.files import file_sha256, loads_untrusted, small_text
from cdrl.plan import REGIONS, EditPlan, EditTally

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
    """The landmark network, the segmenter, the prior, and where `translated` the translator.

    None stands for the one that ships.
    """
    shipped = assets.load_manifest()
    chosen: dict[str, Path | None] = {assets.LANDMARKS: None, assets.SEGMENTER: None, assets.PRIOR: prior}
    if translated:
        chosen[assets.TRANSLATOR] = translator
    return tuple(
        ModelFile(name, shipped[name].sha256) if path is None else ModelFile(path.name, file_sha256(path))
        for name, path in chosen.items()
    )


def renderer_used(path: Path | None) -> ModelFile:
    """The neural renderer; None stands for the one that ships."""
    if path is None:
        return ModelFile(assets.RENDERER, assets.load_manifest()[assets.RENDERER].sha256)
    return ModelFile(path.name, file_sha256(path))


def edit_record(
    plan: EditPlan, tally: EditTally, enrolled: Sequence[str] = (), *, beside: bool = False, layer: bool = False
) -> dict[str, Any]:
    """What was done to a clip, as JSON values: by what, which emotions how strongly, when, in how many frames.

    Only segments in which a frame was changed are told, each from its first changed frame to the end of its last one,
    in seconds of the result. When the edit was made stands in the sidecar, so that equal edits stay equal files.
    """
    return {
        "tool": TOOL,
        "version": version(TOOL),
        "segments": [
            {
                "start": round(float(span.start - tally.origin), 3),
                "end": round(float(span.end - tally.origin), 3),
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
        "layer": layer,
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
    alone = "; a layer of what was changed" if record.get("layer") else ""
    return f"{BEGINNING}{record['version']}: {where} made to show {', '.join(moments)}, {count}{alone}"


FORMAT = "cdrl-provenance/1"
EARLIER = "earlier_edits"
"""What the sidecar of pictures calls the records of the edits before; a film tells of them itself."""
LARGEST_SIDECAR = 32 << 20  # bytes; each of 200,000 pictures takes a hundred
_SHA256 = re.compile(r"[0-9a-f]{64}")


def encode_sidecar(content: dict[str, Any]) -> bytes:
    """The bytes of a sidecar."""
    return (json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def read_sidecar(path: Path) -> dict[str, Any]:
    """The content of a sidecar, its hashes and its edit in place. Raises ProvenanceError for a damaged one."""
    try:
        content = loads_untrusted(small_text(path, LARGEST_SIDECAR, "sidecar"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r:.40}, not {FORMAT}")
        for part in ("input", "output"):
            if not _SHA256.fullmatch(content[part]["sha256"]):
                raise ValueError(f"the SHA-256 of the {part} is none")
        for part in ("pictures", "sound"):
            _check_digests(content["output"].get(part, {}))
        if not isinstance(content["edit"], dict):
            raise ValueError("it tells no edit")
        if not isinstance(content.get(EARLIER, []), list):
            raise ValueError("its earlier edits are no list")
    except KeyError as error:
        raise _damaged(path, f"{error} is missing") from None
    except (TypeError, AttributeError):
        raise _damaged(path, "its parts are not what they should be") from None
    except (CdrlError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    return dict(content)


def _check_digests(files: Mapping[str, str]) -> None:
    """Raises ValueError where a file does not lie beside the sidecar, or its SHA-256 is none."""
    for name, digest in files.items():
        if not _SHA256.fullmatch(digest):
            raise ValueError(f"the SHA-256 of {name!r:.80} is none")
        if Path(name).name != name:
            raise ValueError(f"{name!r:.80} is no file beside it")


def _damaged(path: Path, why: str) -> ProvenanceError:
    return ProvenanceError(f"{path} is damaged ({why}): the video beside it cannot be checked; fetch both again")
