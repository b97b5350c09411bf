"""What says that a video was edited: labels inside it, a sidecar beside it, a signature where one is wanted."""

from cdrl.files import sidecar_path
from cdrl.provenance.finalizing import PictureProvenance, ProvenanceFinalizer, remove_sidecar
from cdrl.provenance.record import DIGITAL_SOURCE_TYPE, ModelFile, models_used, renderer_used
from cdrl.provenance.signing import Credentials
from cdrl.provenance.verification import Verdict, verify

__all__ = [
    "DIGITAL_SOURCE_TYPE",
    "Credentials",
    "ModelFile",
    "PictureProvenance",
    "ProvenanceFinalizer",
    "Verdict",
    "models_used",
    "remove_sidecar",
    "renderer_used",
    "sidecar_path",
    "verify",
]
