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
from cdrl.manipulation.plan import EditPlan
from cdrl.media import Limits
from cdrl.media.encoding import container_of
from cdrl.provenance import xmp
from cdrl.provenance.marks import XMP_CONTAINERS, labels_for, read_mark
from cdrl.provenance.record import DIGITAL_SOURCE_TYPE, TOOL, ModelFile, edit_record, in_words
from cdrl.provenance.sidecar import encoded
from cdrl.provenance.signing import Credentials, Signing


class Seal:
    """One for each result. `labels` go into the writer's `metadata`, the seal itself into its `seal`."""

    def __init__(
        self,
        source: Path,
        output: Path,
        plan: EditPlan,
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
        self.frames = (0, 0)
        """Edited and all frames; set before the writer ends."""
        self._output = output.name
        reference = plan.reference
        self._reference = (
            {} if reference is None else {"reference": {"name": reference.name, "sha256": file_sha256(reference)}}
        )
        self._edit = edit_record(plan, enrolled, beside)
        self._words = in_words(self._edit)
        # An intensity of 0 leaves every pixel as decoded: that is no composite.
        self._source_type = None if plan.changes_nothing else DIGITAL_SOURCE_TYPE
        self._muxer = container_of(output).muxer
        self._signing = None if credentials is None else Signing(credentials, output)
        self._before = _identity(source)
        self._mark = read_mark(source, limits)
        self.labels = labels_for(self._muxer, self._mark, self._edit, self._words, self._source_type)

    def close(self, whole: Path) -> bytes:
        """Label and sign the finished video in `whole`; returns the sidecar's content.

        Raises InputError where the source is not the file it was when the edit began, OutputError, OSError.
        """
        if self._muxer in XMP_CONTAINERS:
            text = xmp.packet(self._mark.labels.get("xmp", ""), self._edit, self._words, self._source_type)
            xmp.append_box(whole, text)
        digest = self._source_sha256()
        if self._signing is not None:
            signed = whole.with_name(f"{whole.stem}.signed{whole.suffix}")
            try:
                self._signing.sign(whole, signed, self.source, self._edit, self._words, self._source_type)
                signed.replace(whole)
            finally:
                signed.unlink(missing_ok=True)
        content: dict[str, Any] = {
            "tool": TOOL,
            "version": self._edit["version"],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "words": self._words,
            "digital_source_type": self._source_type,
            "input": {"name": self.source.name, "sha256": digest},
            "output": {"name": self._output, "sha256": file_sha256(whole)},
            "models": [asdict(model) for model in self.models],
            "edit": self._edit,
            "frames": {"edited": self.frames[0], "total": self.frames[1]},
            "c2pa": self._signing is not None,
            **self._reference,
        }
        return encoded(content)

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
