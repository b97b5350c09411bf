"""What a video and what lies beside it say about its making, and whether it is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cdrl.errors import CdrlError, InputError, InputNotFoundError, ProvenanceError, one_line
from cdrl.files import SIDECAR_ENDING, file_sha256, sidecar_path
from cdrl.media import Limits
from cdrl.media.decoding import pluralize
from cdrl.media.encoding import PICTURE_ENDINGS
from cdrl.media.numbering import NumberPattern, find_sequence, list_names
from cdrl.media.opening import check_path
from cdrl.media.picture_writing import find_pictures
from cdrl.provenance.marks import Mark, read_mark
from cdrl.provenance.record import EARLIER, describe_edit, read_sidecar
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

    `path`: a video; or numbered pictures, as a pattern, their folder, or one of them. `source`: what it was made of,
    whose SHA-256 is compared, too. `anchors`: PEM file of certificates that vouch for signers. Raises InputError or
    LimitError for what is no readable file, and for a file without sidecar that is no video.
    """
    pattern = _named_pictures(Path(path))
    if pattern is not None:
        return _verify_pictures(pattern, source, limits)
    checked = check_path(path, limits)
    beside = _find_sidecar(checked)
    sidecar: dict[str, Any] | None = None
    told: str | None = None
    if beside.exists():
        try:
            sidecar = read_sidecar(beside)
        except ProvenanceError as error:
            return Verdict(checked, "damaged", str(error), *_told(checked, limits))
        told = sidecar["output"].get("pictures", {}).get(checked.name) or sidecar["output"]["sha256"]
        if _sha256(checked) != told:
            problem = f"{path} is not the file that {beside.name} speaks of: it was changed or cut off after the edit"
            return Verdict(checked, "changed", problem, *_told(checked, limits), sidecar=sidecar)
    mark = read_mark(checked, limits)
    manifest = read_manifest(checked, anchors)
    status, problem = _judged(str(path), mark, sidecar, manifest)
    if not problem and source is not None:
        status, problem = _compared(Path(source), sidecar, beside, limits)
    edits = mark.edits or ([] if sidecar is None else [sidecar["edit"]])
    return Verdict(checked, status, problem, edits, mark.source_type, sidecar, manifest)


def _named_pictures(path: Path) -> NumberPattern | None:
    """The pictures that a pattern or a folder names; None for the name of a file."""
    if not path.is_dir():
        return None if path.exists() else NumberPattern.parse(path)
    patterns = [pattern for name in list_names(path) if (pattern := _told_pattern(path / name)) is not None]
    if len(patterns) > 1:
        names = ", ".join(pattern.path.name for pattern in patterns[:3])
        raise InputError(f"{path} holds several sequences that were edited ({names}): name one of them")
    if patterns:
        return patterns[0]
    sequence = find_sequence(path, None, Limits())
    return None if sequence is None else sequence.pattern


def _told_pattern(path: Path) -> NumberPattern | None:
    """The pictures that a sidecar speaks of, by its name; None for another file."""
    is_sidecar = path.name.endswith(SIDECAR_ENDING)
    return NumberPattern.parse(path.with_name(path.name.removesuffix(SIDECAR_ENDING) or "-")) if is_sidecar else None


def _find_sidecar(path: Path) -> Path:
    """The sidecar of a file: its own, beside it or where a link leads to, or that of the pictures it is one of."""
    candidates = [sidecar_path(path), sidecar_path(path.resolve())]
    if path.suffix.lower() in PICTURE_ENDINGS:
        told = ((path.with_name(name), _told_pattern(path.with_name(name))) for name in list_names(path.parent))
        candidates += [beside for beside, pattern in told if pattern and pattern.number_of(path.name) is not None]
    return next((beside for beside in candidates if beside.exists()), candidates[0])


def _verify_pictures(pattern: NumberPattern, source: str | Path | None, limits: Limits) -> Verdict:
    """Check all pictures of a sequence, and the sound beside them, against their sidecar."""
    path, beside = pattern.path, sidecar_path(pattern.path)
    there = find_pictures(pattern)
    if not there:
        raise InputNotFoundError(f"{path}: no such pictures; check the name and the folder")
    names = [there[number] for number in sorted(there)]
    marks = (read_mark(pattern.folder / name, limits) for name in names)
    if not beside.exists():
        mark = next((mark for mark in marks if mark.is_cdrl), None) or read_mark(pattern.folder / names[0], limits)
        return Verdict(path, *_judged(str(path), mark, None, None), mark.edits, mark.source_type)
    try:
        sidecar = read_sidecar(beside)
    except ProvenanceError as error:
        return Verdict(path, "damaged", str(error))
    told, sound = (sidecar["output"].get(part, {}) for part in ("pictures", "sound"))
    digests = {name: _sha256(check_path(pattern.folder / name, limits)) for name in names}
    found = {
        "missing": [name for name in told if name not in digests],
        "changed": [name for name in names if name in told and digests[name] != told[name]],
        "not of this edit": [name for name in names if name not in told],
    }
    wrong = [f"{pluralize(len(some), 'picture')} {what}, first {some[0]}" for what, some in found.items() if some]
    wrong += [f"the sound {name} is {what}" for name in sound if (what := _fault(pattern.folder / name, sound[name]))]
    status: Status = "changed" if wrong else "verified"
    problem = f"{path}: {'; '.join(wrong)}: fetch the whole edit again" if wrong else ""
    if not problem and source is not None:
        status, problem = _compared(Path(source), sidecar, beside, limits)
    edits = [*sidecar.get(EARLIER, []), *([sidecar["edit"]] if sidecar["edit"].get("segments") else [])]
    return Verdict(path, status, problem, edits or [sidecar["edit"]], sidecar.get("digital_source_type"), sidecar)


def _fault(path: Path, digest: str) -> str:
    """What is wrong with a file beside pictures; empty for nothing."""
    if not path.is_file():
        return "missing"
    return "" if _sha256(path) == digest else "changed"


def _judged(path: str, mark: Mark, sidecar: Mapping[str, Any] | None, manifest: Manifest | None) -> tuple[Status, str]:
    if manifest is not None and manifest.state == "invalid":
        found = ", ".join(manifest.problems)
        return "changed", f"{path}: its C2PA manifest does not hold ({found}): it was changed since, or badly signed"
    # A copy of an edited video, in which nothing was changed, adds no edit to those that the video tells.
    edit = None if sidecar is None or "pictures" in sidecar["output"] else sidecar["edit"]  # a picture tells of itself
    if edit is not None and mark.edits and edit.get("segments") and edit != mark.edits[-1]:
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


def _compared(source: Path, sidecar: Mapping[str, Any] | None, beside: Path, limits: Limits) -> tuple[Status, str]:
    """Whether `source` is what the sidecar says the result was made of."""
    sequence = find_sequence(source, None, limits)
    path = check_path(source, limits) if sequence is None else sequence.path
    if sidecar is None:
        return "unproven", f"{path}: there is no {beside.name} that tells the SHA-256 of the source: fetch it"
    if (_sha256(path) if sequence is None else sequence.sha256()) != sidecar["input"]["sha256"]:
        return "changed", f"{path} is not the file that the video was made of: its SHA-256 is not the one told"
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
