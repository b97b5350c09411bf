"""What says that a video was edited: labels inside it, a sidecar beside it, a signature where one is wanted."""

from cdrl.files import sidecar_path
from cdrl.provenance.record import DIGITAL_SOURCE_TYPE, ModelFile, models_used
from cdrl.provenance.seal import Seal, drop_sidecar
from cdrl.provenance.signing import Credentials
from cdrl.provenance.verification import Verdict, verify

__all__ = [
    "DIGITAL_SOURCE_TYPE",
    "Credentials",
    "ModelFile",
    "Seal",
    "Verdict",
    "drop_sidecar",
    "models_used",
    "sidecar_path",
    "verify",
]
