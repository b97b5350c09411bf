"""ProvenanceFinalizered clips without a face: what is said about an edit does not depend on what was edited."""

import datetime
import sys
from pathlib import Path

import pytest

from cdrl.media import EncoderOptions, Writer, probe, read
from cdrl.plan import EditPlan, EditTally
from cdrl.provenance import ModelFile, ProvenanceFinalizer

sys.path.insert(0, str(Path(__file__).parents[1] / "media"))  # clips are made as the media tests make them

from made_clips import Recipe, make_clip

MODELS = [ModelFile("prior.npz", "0" * 64)]


@pytest.fixture
def clip(tmp_path):
    """`clip("a.mp4", metadata={...})`: a made clip in the test's folder."""
    return lambda name="talk.mp4", **recipe: make_clip(tmp_path / name, Recipe(**recipe))


@pytest.fixture
def sealed():
    """`sealed(source, output, plan)`: the source written again as an edit writes it, seal and all."""

    def write(source, output, plan=None, *, before_close=lambda: None, overwrite=False, changed=True, **how):
        plan = plan or EditPlan.parse("happy")
        tally = EditTally(plan)
        finalizer = ProvenanceFinalizer(probe(source), output, plan, tally, MODELS, **how)
        with (
            read(source) as frames,
            Writer(output, frames.info, EncoderOptions("fast"), overwrite=overwrite, finalizer=finalizer) as writer,
        ):
            for frame in frames:
                writer.write(frame)
                lasting = (frame.duration or 0) * frame.time_base
                tally.add(frame.time, frame.time + lasting, changed and bool(plan.weights(frame.time)))
            before_close()
        return output

    return write


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """A folder with a certificate chain made now: chain.pem, key.pem, anchor.pem, expired.pem (of the same key)."""
    pytest.importorskip("c2pa")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    folder = tmp_path_factory.mktemp("chain")
    now = datetime.datetime.now(datetime.UTC)
    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    uses += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")

    def certificate(name, key, days, use):
        """Signed by the root."""
        root = use == "key_cert_sign"
        issuer, subject = (
            x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, who), x509.NameAttribute(NameOID.ORGANIZATION_NAME, who)]
            )
            for who in ("Test root", name)
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(root, None), critical=True)
            .add_extension(x509.KeyUsage(**{name: name == use for name in uses}), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(authority, critical=False)
        )
        if not root:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root = certificate("Test root", root_key, 30, "key_cert_sign")
    (folder / "anchor.pem").write_bytes(root)
    (folder / "chain.pem").write_bytes(certificate("A. Signer", leaf_key, 30, "digital_signature") + root)
    (folder / "expired.pem").write_bytes(certificate("A. Signer", leaf_key, -30, "digital_signature") + root)
    form, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()  # as openssl writes it
    (folder / "key.pem").write_bytes(leaf_key.private_bytes(serialization.Encoding.PEM, form, plain))
    return folder
