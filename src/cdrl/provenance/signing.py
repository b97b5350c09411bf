"""C2PA: a manifest inside the video, signed with the user's certificate, by `c2pa-python` (extra `provenance`).

The intent is EDIT: the source is the parent ingredient, the actions are `c2pa.opened` and `c2pa.edited` with the
digital source type. Nothing is fetched: no time stamp unless an authority is named, no revocation list, no remote
manifest. C2PA technical specification 2.x.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import UUID

import cv2
import numpy as np

from cdrl.errors import CdrlError, InputError, OutputError, UsageError
from cdrl.files import small_bytes
from cdrl.provenance.record import TOOL

State = Literal["trusted", "valid", "invalid"]
TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime"}  # what C2PA can be put into here
BOX = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481")  # of a manifest in MP4 and MOV, near the beginning
OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credentials:
    """Who signs."""

    certificate: Path
    """PEM: the signer's certificate first, then those that vouch for it."""
    key: Path
    """PEM: the signer's private key, without a password."""
    tsa: str | None = None
    """Address of an RFC 3161 time stamp authority; None: no time stamp, and no network."""


@dataclass(frozen=True)
class Manifest:
    """What a signed manifest in a file comes to."""

    state: State
    """trusted: whole, and signed by somebody the given anchors vouch for; valid: whole; invalid: changed since."""
    signer: str
    generator: str
    """The program that wrote the manifest."""
    problems: tuple[str, ...]
    """Codes of the C2PA specification for what is wrong."""


class Signing:
    """Signs files; made before the work, so that a certificate that will not do is told at once."""

    def __init__(self, credentials: Credentials, output: Path) -> None:
        """Raises UsageError for credentials or an output that cannot be used, and where c2pa-python is missing."""
        self._library = _library()
        if self._library is None:
            raise UsageError("C2PA needs the package c2pa-python: pip install 'cdrl[provenance]'")
        if output.suffix.lower() not in TYPES:
            raise UsageError(f"{output}: C2PA cannot be put into {output.suffix}; end the name in {', '.join(TYPES)}")
        self._type = TYPES[output.suffix.lower()]
        self._credentials = credentials
        self._algorithm, self._chain, self._key = _loaded(credentials)
        self._try()

    def sign(
        self,
        whole: Path,
        signed: Path,
        source: Path,
        edit: Mapping[str, Any],
        description: str,
        source_type: str | None,
    ) -> None:
        """Write the finished video `whole` to `signed` with a manifest in it. Raises OutputError."""
        action = {
            "action": "c2pa.edited",
            "softwareAgent": {"name": TOOL, "version": edit["version"]},
            "parameters": {"description": description, "com.cdrl.edit": dict(edit)},
        } | ({} if source_type is None else {"digitalSourceType": source_type})
        with whole.open("rb") as unsigned, signed.open("w+b") as target, source.open("rb") as parent:
            self._sign(self._type, unsigned, target, action, source.name, parent, self._credentials.tsa)

    def _try(self) -> None:
        """Sign a tiny picture in memory."""
        picture = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
        action = {"action": "c2pa.edited"}
        try:
            self._sign("image/png", BytesIO(picture), BytesIO(), action, "", BytesIO(picture), None)
        except OutputError as error:
            raise UsageError(f"--c2pa-certificate: {error}") from error

    def _sign(
        self, media: str, unsigned: Any, target: Any, action: Any, title: str, parent: BinaryIO, tsa: str | None
    ) -> None:
        c2pa = self._library
        settings = {"verify": {**OFFLINE, "verify_after_sign": False}, "builder": {"thumbnail": {"enabled": False}}}
        manifest = {
            "claim_generator_info": [{"name": TOOL, "version": action.get("softwareAgent", {}).get("version", "0")}],
            "format": media,
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
        }
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(self._algorithm, self._chain, self._key, tsa))
            context = c2pa.Context(c2pa.Settings.from_dict(settings))
            with signer, context, c2pa.Builder(manifest, context) as builder:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
                self._add_parent(builder, title, parent)
                builder.sign(signer, media, unsigned, target)
        except c2pa.C2paError as error:
            raise OutputError(
                f"{self._credentials.certificate} cannot sign ({' '.join(str(error).split())}); C2PA wants an X.509 v3 "
                "chain, not expired, whose key may sign (digitalSignature, and emailProtection or documentSigning)"
            ) from error

    def _add_parent(self, builder: Any, title: str, content: BinaryIO) -> None:
        """The source as an ingredient; one that C2PA does not know, or cannot read, is taken as mere bytes."""
        described = json.dumps({"title": title, "relationship": "parentOf"})
        media = _media_type(content.read(12))
        content.seek(0)
        if media is not None:
            try:
                builder.add_ingredient(described, media, content)
                return
            except self._library.C2paError:
                content.seek(0)
        builder.add_ingredient(described, "application/octet-stream", content)


def read_manifest(path: Path, anchors: Path | None = None) -> Manifest | None:
    """The active manifest of a file, checked; None where there is none, or where c2pa-python is missing.

    `anchors`: a PEM file of certificates whose word is taken for who the signer is. Raises InputError for a PEM file
    that is none.
    """
    c2pa = _library()
    with path.open("rb") as file:
        head = file.read(1 << 20)
    media = _media_type(head)
    if c2pa is None or media is None:
        return None
    settings: dict[str, Any] = {"verify": dict(OFFLINE)}
    if anchors is not None:
        settings["trust"] = {"trust_anchors": _pem(anchors, "--c2pa-trust-anchors").decode("ascii", "replace")}
    try:
        with path.open("rb") as file:
            context = c2pa.Context(c2pa.Settings.from_dict(settings))
            with context, c2pa.Reader(media, file, context=context) as reader:
                state, told = reader.get_validation_state(), reader.get_active_manifest() or {}
                results = reader.get_validation_results() or {}
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        # A damaged file without a manifest ends here, too.
        return Manifest("invalid", "", "", (" ".join(str(error).split()),)) if BOX.bytes in head else None
    signature, generators = told.get("signature_info", {}), told.get("claim_generator_info") or [{}]
    failures = [str(one.get("code")) for one in results.get("activeManifest", {}).get("failure", [])]
    return Manifest(
        {"Trusted": "trusted", "Valid": "valid"}.get(state, "invalid"),  # type: ignore[arg-type]
        str(signature.get("common_name") or signature.get("issuer") or "somebody without a name"),
        f"{generators[0].get('name', '')} {generators[0].get('version', '')}".strip(),
        tuple(code for code in failures if code != "signingCredential.untrusted"),  # which the state tells
    )


def _media_type(head: bytes) -> str | None:
    """MIME type of an MP4 or MOV that begins with `head`, whatever its name; None for everything else."""
    if head[4:8] != b"ftyp":
        return None
    return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"


def available() -> bool:
    """Whether c2pa-python is installed."""
    return _library() is not None


def _library() -> Any:
    try:
        import c2pa  # a library of 20 MB, which only who signs or checks waits for
    except ImportError:
        return None
    return c2pa


def _loaded(credentials: Credentials) -> tuple[str, bytes, bytes]:
    """Algorithm, chain and key as C2PA wants them. Raises UsageError in words."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    certificate, key_file = credentials.certificate, credentials.key
    chain, text = _pem(certificate, "--c2pa-certificate"), _pem(key_file, "--c2pa-key")
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise UsageError(f"--c2pa-certificate {certificate} is no certificate: give a chain in PEM") from None
    try:
        key = serialization.load_pem_private_key(text, None)
    except TypeError:
        raise UsageError(
            f"--c2pa-key {key_file} has a password: give a copy without, which only you can read"
        ) from None
    except ValueError:
        raise UsageError(f"--c2pa-key {key_file} is no private key: give it in PEM") from None
    if key.public_key() != first.public_key():
        raise UsageError(f"--c2pa-key {key_file} is not the key of the first certificate in {certificate}")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = key.private_bytes(encoding, form, serialization.NoEncryption())
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name], chain, plain
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519", chain, plain
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256", chain, plain
    raise UsageError(f"--c2pa-key {key_file} is of a kind that C2PA does not take: use P-256, P-384, Ed25519 or RSA")


def _pem(path: Path, flag: str) -> bytes:
    try:
        return small_bytes(path, 1 << 20, "PEM file")
    except CdrlError as error:
        raise InputError(f"{flag} {error}") from None
