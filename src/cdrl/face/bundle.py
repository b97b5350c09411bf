"""Google's face landmark bundle (`face_landmarker_v2.task`, Apache-2.0), run directly in LiteRT.

The bundle is a zip of three networks and of the metadata of the canonical face mesh. It ships in the package and
is loaded only after its SHA-256 is verified.

The runtime greets on the process's standard error when the first network is made, and has no switch for it; only the
program `cdrl` keeps that from users, see `cdrl.cli.streams`.
"""

import io
import zipfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from cdrl.assets import verified_bytes

Floats = NDArray[np.floating[Any]]
"""Arrays of floats of any precision."""

_BUNDLE = "face_landmarker_v2.task"


@cache
def _members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(verified_bytes(_BUNDLE))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class TFLiteModel:
    """One network of the bundle, on one thread: two threads cost small networks more than they give.

    Not thread-safe: make one object a thread.
    """

    def __init__(self, member: str) -> None:
        content = _members()[member]
        self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def __call__(self, tensor: Floats) -> list[Floats]:
        """Run the network on one input tensor and return copies of all its outputs."""
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


@dataclass(frozen=True)
class CanonicalMesh:
    """The canonical face."""

    vertices: Floats
    """[468, 3] cm: x to the face's left, y up, z to the viewer."""

    triangles: NDArray[np.int32]
    """[n, 3] vertex numbers."""


def _parse_protobuf(message: bytes) -> dict[int, list[Any]]:
    """Return the fields of a protobuf message by number, in wire format: varint, 32/64 bit and length-delimited."""
    fields: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            value: Any = varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            value = message[at : at + size]
            at += size
        fields.setdefault(key >> 3, []).append(value)
    return fields


@cache
def canonical_mesh() -> CanonicalMesh:
    """Return the mesh in the bundle's geometry metadata (`Mesh3d`: vertex buffer in field 3, index buffer in 4)."""
    metadata = _parse_protobuf(_members()["geometry_pipeline_metadata_landmarks.binarypb"])
    mesh = _parse_protobuf(metadata[1][0])
    vertices = np.frombuffer(b"".join(mesh[3]), "<f4").reshape(-1, 5)  # the last two are places in a texture
    return CanonicalMesh(vertices[:, :3].copy(), np.array(mesh[4], np.int32).reshape(-1, 3))


@dataclass(frozen=True)
class NetworkLayer:
    """One operation of a network."""

    kind: str
    """TensorFlow Lite's name of the operation."""
    inputs: tuple[int, ...]
    """Numbers of computed tensors; the network's input is one."""
    constants: tuple[Floats, ...]
    """Its weights in order."""
    output: int
    """Number of the tensor that it computes."""
    shape: tuple[int, ...]
    """[1, h, w, channels], shape of that tensor."""


def read_layers(member: str) -> list[NetworkLayer]:
    """Read the operations of a network of the bundle in order, for building it again in another framework.

    Args:
        member: Name of the network's file in the bundle.

    Returns:
        The operations, with weights as float32; those that only unpack weights are left out.
    """
    interpreter: Any = Interpreter(
        model_content=_members()[member],
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    entry = interpreter.get_input_details()[0]
    interpreter.set_tensor(entry["index"], np.zeros(entry["shape"], np.float32))
    interpreter.invoke()
    computed, layers = {int(entry["index"])}, []
    for operation in interpreter._get_ops_details():
        if operation["op_name"] == "DEQUANTIZE":
            continue
        operands, output = [int(index) for index in operation["inputs"] if index >= 0], int(operation["outputs"][0])
        constants = tuple(interpreter.get_tensor(index) for index in operands if index not in computed)
        inputs = tuple(index for index in operands if index in computed)
        shape = tuple(int(size) for size in tensors[output]["shape"])
        layers.append(NetworkLayer(operation["op_name"], inputs, constants, output, shape))
        computed.add(output)
    return layers
