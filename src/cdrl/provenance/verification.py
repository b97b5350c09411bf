"""What a video and what lies beside it say about its making, and whether it is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cdrl.errors import CdrlError, InputError, ProvenanceError, one_line
from cdrl.files import file_sha256, sidecar_path
from cdrl.media import Limits
from cdrl.media.opening import check_path
from cdrl.provenance.marks import Mark, read_mark
from cdrl.provenance.record import describe_edit, read_sidecar
from cdrl.provenance.signing import Manifest, available, read_manifest

Status = Literal["verified", "unmarked", "unproven", "changed", "damaged"]


@dataclass(frozen=True)
class Verdict:
    """What was found. `problem` is '' for a verified file, else one line that says what is wrong and what to do."""

    path: Path
    status: Status
    problem: str = ""
    edits: list[Any] = field(default_factory=list)
    """Records of the edits, oldest first."""
    source_type: str | None = None
    """IPTC digital source type."""
    sidecar: Mapping[str, Any] | None = None
    manifest: Manifest | None = None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "file": str(self.path),
            "status": self.status,
            "problem": self.problem,
            "digital_source_type": self.source_type,
            "edits": self.edits,
            "sidecar": self.sidecar,
            "c2pa": None if self.manifest is None else asdict(self.manifest),
        }

    def lines(self) -> list[str]:
        """What was found in plain words, with nothing in it that a terminal would obey."""
        said = [f"{self.path}: {self.status}", *(f"  {_sentence(edit)}" for edit in self.edits)]
        if self.manifest is not None and not self.edits:
            said.append("  nothing says that cdrl edited it")
        if self.source_type is not None:
            said.append(f"  digital source type: {self.source_type}")
        if self.sidecar is not None:
            said.append(
                f"  sidecar: of {self.sidecar.get('time', 'no time')}, from {self.sidecar['input'].get('name')}"
            )
        if self.manifest is not None:
            said.append(f"  C2PA: {_signed(self.manifest)}")
        elif not available():
            said.append("  C2PA: not looked for; pip install 'cdrl[provenance]'")
        return [line[: len(line) - len(line.lstrip())] + one_line(line) for line in said]


def verify(
    path: str | Path,
    *,
    source: str | Path | None = None,
    anchors: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Verdict:
    """Read the labels, the sidecar and the C2PA manifest of a video, and check what can be checked.

    `source`: the file it was made of, whose SHA-256 is compared, too. `anchors`: PEM file of certificates that vouch
    for signers. Raises InputError or LimitError for what is no readable file, and for a file without sidecar that is no
    video.
    """
    checked = check_path(path, limits)
    beside = sidecar_path(checked)
    if not beside.exists():
        beside = sidecar_path(checked.resolve())  # where a link leads to
    sidecar: dict[str, Any] | None = None
    if beside.exists():
        try:
            sidecar = read_sidecar(beside)
        except ProvenanceError as error:
            return Verdict(checked, "damaged", str(error), *_told(checked, limits))
        if _sha256(checked) != sidecar["output"]["sha256"]:
            problem = f"{path} is not the file that {beside.name} speaks of: it was changed or cut off after the edit"
            return Verdict(checked, "changed", problem, *_told(checked, limits), sidecar=sidecar)
    mark = read_mark(checked, limits)
    manifest = read_manifest(checked, anchors)
    status, problem = _judged(str(path), mark, sidecar, manifest)
    if not problem and source is not None:
        status, problem = _compared(check_path(source, limits), sidecar, beside)
    edits = mark.edits or ([] if sidecar is None else [sidecar["edit"]])
    return Verdict(checked, status, problem, edits, mark.source_type, sidecar, manifest)


def _judged(path: str, mark: Mark, sidecar: Mapping[str, Any] | None, manifest: Manifest | None) -> tuple[Status, str]:
    if manifest is not None and manifest.state == "invalid":
        found = ", ".join(manifest.problems)
        return "changed", f"{path}: its C2PA manifest does not hold ({found}): it was changed since, or badly signed"
    # A copy of an edited video, in which nothing was changed, adds no edit to those that the video tells.
    if sidecar is not None and mark.edits and sidecar["edit"].get("segments") and sidecar["edit"] != mark.edits[-1]:
        return "changed", f"{path}: its sidecar tells another edit than the file itself: one of them was changed"
    if sidecar is None and manifest is None:
        if mark.is_cdrl:
            said = mark.comment or _sentence(mark.edits[-1])
            return "unproven", (
                f"{path} says “{said}”, but without its sidecar nothing can be checked: fetch it, or it was "
                "converted after the edit"
            )
        return "unmarked", (
            f"{path} has no provenance, inside or beside it: it was not edited with cdrl, or its labels were removed"
        )
    return "verified", ""


def _compared(source: Path, sidecar: Mapping[str, Any] | None, beside: Path) -> tuple[Status, str]:
    """Whether `source` is what the sidecar says the video was made of."""
    if sidecar is None:
        return "unproven", f"{source}: there is no {beside.name} that tells the SHA-256 of the source: fetch it"
    if _sha256(source) != sidecar["input"]["sha256"]:
        return "changed", f"{source} is not the file that the video was made of: its SHA-256 is not the one told"
    return "verified", ""


def _told(path: Path, limits: Limits) -> tuple[list[Any], str | None]:
    """What a file that has failed already says all the same; nothing where it cannot even be opened."""
    try:
        mark = read_mark(path, limits)
    except CdrlError:
        return [], None
    return mark.edits, mark.source_type


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _sentence(edit: Any) -> str:
    try:
        return describe_edit(edit)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return "an edit that is told in a way this version does not understand"


def _signed(manifest: Manifest) -> str:
    description = {
        "trusted": f"valid, signed by {manifest.signer}, whom the given anchors vouch for",
        "valid": f"valid, signed by {manifest.signer}; untrusted: nobody you named vouches for the signer",
        "invalid": f"invalid ({', '.join(manifest.problems)})",
    }
    return description[manifest.state] + (f"; written by {manifest.generator}" if manifest.generator else "")
