"""Feature networks from ONNX files: what is fed to them, and what is refused, in one line."""

from pathlib import Path

import numpy as np
import pytest

from cdrl.errors import ModelFileError
from cdrl.evaluation.feature_networks import FeatureNetworks, OnnxNetwork, load_networks

onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
SIDE = 32


def write(path: Path, shape: tuple[int, ...] = (1, 3, SIDE, SIDE), pooled: bool = True, **metadata: str) -> Path:
    """A network that gives the mean of each channel, [1,3]; unpooled, the picture itself."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    kind, how = ("ReduceMean", {"axes": [2, 3], "keepdims": 0}) if pooled else ("Identity", {})
    nodes = [helper.make_node(kind, ["x"], ["mean"], **how)]
    inputs = [helper.make_tensor_value_info("x", float32, shape)]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("mean", float32, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    """A picture red within 70 pixels of its middle and blue elsewhere, and landmarks: eyes 40 pixels apart there."""
    rgb = np.zeros((400, 400, 3), np.uint8)
    rgb[..., 2] = 255
    rgb[130:270, 130:270] = (255, 51, 0)
    points = np.full((468, 2), 200.0)
    points[[33, 133, 362, 263]] = [[175, 200], [185, 200], [215, 200], [225, 200]]
    points[[13, 14]] = [200, 220]
    return rgb, points


def test_it_sees_rgb_from_zero_to_one_in_a_box_around_the_face(tmp_path: Path, face: tuple) -> None:
    network = OnnxNetwork(write(tmp_path / "n.onnx"))
    assert network(*face) == pytest.approx([1, 0.2, 0], abs=0.01)
    assert network.name.startswith("n.onnx (SHA-256 ")


def test_the_files_metadata_say_otherwise(tmp_path: Path, face: tuple) -> None:
    network = OnnxNetwork(write(tmp_path / "n.onnx", channels="BGR", mean="0.5", std="0.5, 0.25, 0.5", box="1.0,0"))
    assert network(*face) == pytest.approx([-1, -1.2, 1], abs=0.01)
    wide = OnnxNetwork(write(tmp_path / "wide.onnx", box="4.0,0"))
    assert wide(*face)[2] > 0.5  # the blue around comes in


def test_a_turned_face_is_put_upright(tmp_path: Path, face: tuple) -> None:
    rgb, points = face
    rgb = rgb.copy()
    rgb[:, :200] = 0  # black on the side of the right eye
    half = OnnxNetwork(write(tmp_path / "n.onnx"))
    level = half(rgb, points)
    turned = np.ascontiguousarray(np.rot90(rgb))
    moved = np.stack([points[:, 1], 399 - points[:, 0]], 1)
    assert half(turned, moved) == pytest.approx(level, abs=0.05)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p.write_bytes(b"no network"), "not an ONNX network"),
        (lambda p: write(p, (1, 1, SIDE, SIDE)), r"takes one float \[1,3,S,S\]"),
        (lambda p: write(p, (1, 3, SIDE, 2 * SIDE)), r"takes one float \[1,3,S,S\]"),
        (lambda p: write(p, pooled=False), r"gives \[1, 3, 32, 32\]"),
        (lambda p: write(p, mean="gray"), "mean = 'gray'"),
        (lambda p: write(p, std="0"), "make no sense"),
        (lambda p: None, "n.onnx"),
    ],
)
def test_what_is_no_feature_network_is_refused_in_one_line(tmp_path: Path, make, says: str) -> None:
    make(tmp_path / "n.onnx")
    with pytest.raises(ModelFileError, match=says) as caught:
        load_networks(tmp_path / "n.onnx")
    assert "\n" not in str(caught.value)


def test_another_network_has_another_name(tmp_path: Path) -> None:
    networks = load_networks(None, write(tmp_path / "n.onnx"))
    assert networks.names["recognition (FAD, identity)"] == "dlib ResNet v1"
    assert networks.names["expression (CSIM)"] != FeatureNetworks().names["expression (CSIM)"]
