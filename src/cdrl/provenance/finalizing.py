"""What is put on a finished result before it gets its name: labels, sidecar, signature; all of them or no result."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from cdrl.errors import CdrlError, InputError, OutputError, UsageError
from cdrl.files import file_sha256, sidecar_path
from cdrl.media import VideoInfo
from cdrl.media.encoding import container_of
from cdrl.media.numbering import list_sha256
from cdrl.plan import EditPlan, EditTally
from cdrl.provenance import xmp
from cdrl.provenance.marks import EDITS_LABEL, XMP_CONTAINERS, HeldLabels, Mark, labels_for, parse_labels
from cdrl.provenance.record import (
    DIGITAL_SOURCE_TYPE,
    EARLIER,
    TOLD_SEGMENTS,
    TOOL,
    ModelFile,
    describe_edit,
    edit_record,
    encode_sidecar,
    read_sidecar,
)
from cdrl.provenance.signing import Credentials, Signing

# Bytes by which a description and a record may grow once frames are counted: their numbers get more digits.
_GROWTH, _GROWTH_PER_SEGMENT = 30, 50


@dataclass
class ResultProvenance:
    """What the marks of a film and of numbered pictures have in common.

    What they say is counted in a tally, which the edit fills frame by frame and which is read when the result is
    finished.

    Args:
        source: The clip that is edited.
        output: The name of the result.
        plan: What is to be shown.
        tally: Counts the frames.
        models: Files of numbers that take part.
        enrolled: Emotions that the person's own examples were given for.
        beside: Whether the source is shown beside the edit.
        layer: Whether the result is a layer over the source.
        credentials: Who signs; nobody for None.

    Raises:
        UsageError: The credentials cannot sign this output.
        InputError: A file cannot be read.
    """

    source: VideoInfo
    output: Path
    plan: EditPlan
    tally: EditTally
    models: Sequence[ModelFile]
    _: KW_ONLY
    enrolled: Sequence[str] = ()
    beside: bool = False
    layer: bool = False
    credentials: Credentials | None = None

    def __post_init__(self) -> None:
        """Look at the files before the edit."""
        reference = self.plan.reference
        self.sidecar = sidecar_path(os.path.realpath(self.output))
        self._reference = {} if reference is None else {"reference": _describe_file(reference)}
        if self.credentials is not None and self.source.sequence is not None:
            raise UsageError(f"{self.source.path}: C2PA names one file as the source: leave the edit unsigned")
        self._signing = None if self.credentials is None else Signing(self.credentials, self.output)
        self._before = _identity(self.source)
        self._mark = parse_labels(self.source.labels)

    def _record(self, tally: EditTally) -> dict[str, Any]:
        return edit_record(self.plan, tally, self.enrolled, beside=self.beside, layer=self.layer)

    def _hash_source(self) -> str:
        """SHA-256 of the source. Raises InputError where it is not what it was when the edit began."""
        digest = source_sha256(self.source) if _identity(self.source) == self._before else ""
        if _identity(self.source) != self._before:
            raise InputError(f"{self.source.path} was changed while it was edited: edit it again once it is finished")
        return digest

    def _encode_sidecar(
        self, record: Mapping[str, Any], source_sha256: str, output: Mapping[str, Any], earlier: Sequence[Any] = ()
    ) -> bytes:
        content: dict[str, Any] = {
            "tool": TOOL,
            "version": record["version"],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "words": describe_edit(record),
            "digital_source_type": _source_type(record) or self._mark.source_type,  # of an earlier edit
            "input": {"name": self.source.path.name, "sha256": source_sha256},
            "output": output,
            "models": [asdict(model) for model in self.models],
            "edit": record,
            "frames": record["frames"],
            **({EARLIER: list(earlier)} if earlier else {}),
            "c2pa": self._signing is not None,
            **self._reference,
        }
        return encode_sidecar(content)


class ProvenanceFinalizer(ResultProvenance):
    """Labels, sidecar and signature of one film; an `OutputFinalizer` of the writer."""

    def __post_init__(self) -> None:
        """Prepare the labels."""
        super().__post_init__()
        self._muxer = container_of(self.output).muxer
        rooms, segments = {}, len(self.plan.segments)
        for name, text in labels_for(self._muxer, self._mark, self._record_of_all(), DIGITAL_SOURCE_TYPE).items():
            told = segments if name == EDITS_LABEL else min(TOLD_SEGMENTS, segments)
            rooms[name] = len(text.encode()) + _GROWTH + _GROWTH_PER_SEGMENT * told
        self._held = HeldLabels(rooms)
        self.labels: Mapping[str, str] = self._held.texts

    def finalize(self, whole: Path) -> bytes:
        """Label and sign the finished video in `whole`; returns the sidecar's content.

        Raises InputError where the source is not the file it was when the edit began, OutputError, OSError.
        """
        record = self._record(self.tally)
        description, source_type = describe_edit(record), _source_type(record)
        labels = labels_for(self._muxer, self._mark, record, source_type)
        self._held.fill(whole, labels, matroska=self._muxer not in XMP_CONTAINERS)
        if self._muxer in XMP_CONTAINERS:
            xmp.append_box(whole, _packet(self._mark, record))
        digest = self._hash_source()
        if self._signing is not None:
            signed = whole.with_name(f"{whole.stem}.signed{whole.suffix}")
            try:
                self._signing.sign(whole, signed, self.source.path, record, description, source_type)
                signed.replace(whole)
            finally:
                signed.unlink(missing_ok=True)
        return self._encode_sidecar(record, digest, _describe_file(whole) | {"name": self.output.name})

    def _record_of_all(self) -> dict[str, Any]:
        """The record of an edit that changes every segment: the longest there can be."""
        tally = EditTally(self.plan)
        for span in tally.spans:
            span.edited, span.start, span.end = 1, span.segment.start, span.segment.end or span.segment.start
        return self._record(tally)


class PictureProvenance(ResultProvenance):
    """Labels of numbered pictures, and one sidecar for all; a `PictureMarker` of the writer."""

    def label(self, start: Fraction, end: Fraction, edited: bool, held: Mapping[str, str]) -> Mapping[str, str]:
        """Say of one picture, shown from `start` to `end` seconds, whether and how it was edited.

        Args:
            start: Seconds from the clip's first frame.
            end: The same.
            edited: Whether the edit changed it.
            held: Texts of the source's picture, which stay.
        """
        tally = EditTally(self.plan)
        tally.add(start, end, edited)
        record, mark = self._record(tally), parse_labels(held)
        if self.source.sequence is None:  # each picture tells of the edits of the film that it comes from
            mark = replace(mark, source_type=self._mark.source_type, edits=self._mark.edits)
        return {**labels_for("png", mark, record, _source_type(record)), "xmp": _packet(mark, record)}

    def list_replaced(self) -> Collection[str]:
        """Names of the pictures that an older sidecar of this name tells of; none where it cannot be read."""
        try:
            return frozenset(read_sidecar(self.sidecar)["output"].get("pictures", ()))
        except (CdrlError, OSError):
            return ()

    def finalize(self, pictures: Mapping[str, str], sound: Mapping[str, str]) -> bytes:
        """The sidecar's content.

        Args:
            pictures: Name and SHA-256 of each picture, in order.
            sound: The same of the sound beside them.

        Raises:
            InputError: The source is not what it was when the edit began.
        """
        rate = self.source.rate
        output = {
            "name": self.output.name,
            "sha256": list_sha256(pictures.values()),
            "frame_rate": None if rate is None else str(rate),
            "timecode": self.source.timecode,
            "pictures": dict(pictures),
            **({"sound": dict(sound)} if sound else {}),
        }
        return self._encode_sidecar(self._record(self.tally), self._hash_source(), output, self._mark.edits)


def _packet(mark: Mark, record: Mapping[str, Any]) -> str:
    """The XMP packet of a result: what its source says, and the edit."""
    source_type = _source_type(record) or mark.source_type
    return xmp.packet(mark.labels.get("xmp", ""), record, describe_edit(record), source_type, mark.edits)


def _source_type(record: Mapping[str, Any]) -> str | None:
    """IPTC's term; None where no frame was changed, so that nothing was synthesized: that is no composite."""
    return DIGITAL_SOURCE_TYPE if record["segments"] else None


def remove_sidecar(output: Path) -> None:
    """Remove the sidecar of a video that is overwritten without one: it would speak of another video."""
    path = sidecar_path(os.path.realpath(output))
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed ({error.strerror}), and speaks of a video that is gone") from error


def _describe_file(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": file_sha256(path)}


def source_sha256(source: VideoInfo) -> str:
    """SHA-256 of a source; of a sequence that of its pictures (`ImageSequence.sha256`)."""
    return file_sha256(source.path) if source.sequence is None else source.sequence.sha256()


def _identity(source: VideoInfo) -> list[tuple[int, ...]]:
    """What changes when a source's content does, without reading it; () for each file that is gone."""
    return [_file_identity(path) for path in ([source.path] if source.sequence is None else source.sequence.files())]


def _file_identity(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
