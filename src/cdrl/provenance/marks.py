"""The labels inside a video: which are written into what container, and reading them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdrl.files import loads_untrusted
from cdrl.media import Limits
from cdrl.media.opening import check_path, open_container
from cdrl.provenance import xmp
from cdrl.provenance.record import BEGINNING, COPY_BEGINNING, describe_edit

XMP_CONTAINERS = {"mp4", "mov"}  # muxers; Matroska and WebM hold labels of any name instead
_BEGINNINGS = (BEGINNING, COPY_BEGINNING)
SOURCE_TYPE_LABEL, EDITS_LABEL = "DIGITAL_SOURCE_TYPE", "CDRL_EDITS"


@dataclass(frozen=True)
class Mark:
    """What a file says about itself."""

    source_type: str | None
    """IPTC digital source type."""
    edits: list[Any]
    """Records as `edit_record` makes them, oldest first; not checked."""
    comment: str
    """Our words in the file's comment, which outlive a conversion; '' for none."""
    labels: Mapping[str, str]
    """All labels of the file, as they stand."""

    @property
    def is_cdrl(self) -> bool:
        """Whether anything here says that this program edited the file."""
        return bool(self.edits or self.comment)


def read_mark(path: str | Path, limits: Limits = Limits()) -> Mark:  # noqa: B008 - frozen
    """Read what a local video says about itself. Raises InputError or LimitError as `cdrl.media.probe` does."""
    with open_container(check_path(path, limits), limits) as container:
        return parse_labels(container.metadata)


def parse_labels(texts: Mapping[str, str]) -> Mark:
    """Read what a file's labels, name → text, say about it."""
    labels = {key: text.rstrip() for key, text in texts.items()}  # ours are filled up with blanks
    known = {key.upper(): text for key, text in labels.items()}
    source_type, edits = xmp.parse_xmp(known.get("XMP", ""))
    if not edits:
        source_type = source_type or known.get(SOURCE_TYPE_LABEL) or None
        try:
            listed = loads_untrusted(known.get(EDITS_LABEL, "[]")[: xmp.LARGEST])
            edits = listed if isinstance(listed, list) else []
        except ValueError:
            edits = []
    comments = (known.get(key, "") for key in ("COMMENT", "DESCRIPTION"))
    return Mark(source_type, edits, next((text for text in comments if text.startswith(BEGINNING)), ""), labels)


def labels_for(muxer: str, source: Mark, record: Mapping[str, Any], source_type: str | None) -> dict[str, str]:
    """The labels of a new file beside the source's own, of which none is replaced but ours.

    `record` is the edit's, as `edit_record` makes it; `source_type` is None where no frame was changed.
    """
    said = {key.lower() for key, text in source.labels.items() if text and not text.startswith(_BEGINNINGS)}
    free = next((key for key in ("comment", "description") if key not in said), None)
    labels = {} if free is None else {free: describe_edit(record)}
    if muxer in XMP_CONTAINERS:
        return labels
    edits = [*source.edits, record] if record["segments"] else source.edits
    kept = source.source_type or ""
    return labels | {
        SOURCE_TYPE_LABEL: source_type or kept,
        EDITS_LABEL: json.dumps(edits, ensure_ascii=False),
    }
