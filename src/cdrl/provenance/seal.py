"""What an edit puts on its result while that has no name yet: labels, sidecar, signature; all of them or no result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cdrl.errors import InputError, OutputError
from cdrl.files import file_sha256, sidecar_path
from cdrl.media import Limits
from cdrl.media.encoding import container_of
from cdrl.plan import EditPlan
from cdrl.provenance import xmp
from cdrl.provenance.filling import HeldLabels
from cdrl.provenance.marks import EDITS_LABEL, XMP_CONTAINERS, labels_for, read_mark
from cdrl.provenance.record import (
    DIGITAL_SOURCE_TYPE,
    TOLD_SEGMENTS,
    TOOL,
    ModelFile,
    describe_edit,
    edit_record,
)
from cdrl.provenance.sidecar import encoded
from cdrl.provenance.signing import Credentials, Signing
from cdrl.tally import EditTally

# Bytes by which a description and a record may grow once frames are counted: their numbers get more digits.
_ROOM, _ROOM_OF_SEGMENT = 30, 50


class Seal:
    """One for each result. `labels` go into the writer's `metadata`, the seal itself into its `seal`.

    What it says is counted in `tally`, which the edit fills frame by frame; it is read when the video is finished.
    """

    def __init__(
        self,
        source: Path,
        output: Path,
        plan: EditPlan,
        tally: EditTally,
        models: Sequence[ModelFile],
        *,
        enrolled: Sequence[str] = (),
        beside: bool = False,
        credentials: Credentials | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        """Raises UsageError, InputError or LimitError, before any work."""
        self.source, self.models = source, tuple(models)
        self.companion = sidecar_path(os.path.realpath(output))
        self._output = output.name
        reference = plan.reference
        self._reference = (
            {} if reference is None else {"reference": {"name": reference.name, "sha256": file_sha256(reference)}}
        )
        self._plan, self._tally, self._enrolled, self._beside = plan, tally, tuple(enrolled), beside
        self._muxer = container_of(output).muxer
        self._signing = None if credentials is None else Signing(credentials, output)
        self._before = _identity(source)
        self._mark = read_mark(source, limits)
        longest = labels_for(self._muxer, self._mark, self._record_of_all(), DIGITAL_SOURCE_TYPE)
        told = {name: len(plan.segments) if name == EDITS_LABEL else TOLD_SEGMENTS for name in longest}
        more = {name: _ROOM + _ROOM_OF_SEGMENT * min(count, len(plan.segments)) for name, count in told.items()}
        self._held = HeldLabels({name: len(text.encode()) + more[name] for name, text in longest.items()})
        self.labels = self._held.texts

    def close(self, whole: Path) -> bytes:
        """Label and sign the finished video in `whole`; returns the sidecar's content.

        Raises InputError where the source is not the file it was when the edit began, OutputError, OSError.
        """
        record = edit_record(self._plan, self._tally, self._enrolled, self._beside)
        words = describe_edit(record)
        # Where no frame was changed nothing was synthesized: that is no composite.
        source_type = DIGITAL_SOURCE_TYPE if record["segments"] else None
        labels = labels_for(self._muxer, self._mark, record, source_type)
        self._held.fill(whole, labels, matroska=self._muxer not in XMP_CONTAINERS)
        if self._muxer in XMP_CONTAINERS:
            packet = xmp.packet(self._mark.labels.get("xmp", ""), record, words, source_type)
            xmp.append_box(whole, packet)
        digest = self._source_sha256()
        if self._signing is not None:
            signed = whole.with_name(f"{whole.stem}.signed{whole.suffix}")
            try:
                self._signing.sign(whole, signed, self.source, record, words, source_type)
                signed.replace(whole)
            finally:
                signed.unlink(missing_ok=True)
        content: dict[str, Any] = {
            "tool": TOOL,
            "version": record["version"],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "words": words,
            "digital_source_type": source_type,
            "input": {"name": self.source.name, "sha256": digest},
            "output": {"name": self._output, "sha256": file_sha256(whole)},
            "models": [asdict(model) for model in self.models],
            "edit": record,
            "frames": record["frames"],
            "c2pa": self._signing is not None,
            **self._reference,
        }
        return encoded(content)

    def _record_of_all(self) -> dict[str, Any]:
        """The record of an edit that changes every segment: the longest there can be."""
        tally = EditTally(self._plan)
        for span in tally.spans:
            span.edited, span.start, span.end = 1, span.segment.start, span.segment.end or span.segment.start
        return edit_record(self._plan, tally, self._enrolled, self._beside)

    def _source_sha256(self) -> str:
        digest = file_sha256(self.source) if _identity(self.source) == self._before else ""
        if _identity(self.source) != self._before:
            raise InputError(f"{self.source} was changed while it was edited: edit it again once it is finished")
        return digest


def drop_sidecar(output: Path) -> None:
    """Remove the sidecar of a video that is overwritten without one: it would speak of another video."""
    path = sidecar_path(os.path.realpath(output))
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed ({error.strerror}), and speaks of a video that is gone") from error


def _identity(path: Path) -> tuple[int, ...]:
    """What changes when a file's content does, without reading it; () where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
