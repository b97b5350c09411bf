"""The landmark bundle's face network in PyTorch: the same weights, differentiable and batched.

The editor runs it in LiteRT; here gradients reach the picture. It was trained by Google on faces of all kinds, so its
feature maps know lips, lids and brows of people that no data set of ours shows.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.face.bundle import NetworkLayer, read_layers

MEMBER = "face_landmarks_detector.tflite"
INPUT = 256  # pixels


class LandmarkNetwork(nn.Module):
    """The network as a list of operations; all weights are frozen."""

    def __init__(self) -> None:
        super().__init__()
        self._layers = read_layers(MEMBER)
        for number, layer in enumerate(self._layers):
            for place, constant in enumerate(layer.constants):
                self.register_buffer(f"constant_{number}_{place}", _weights(layer, torch.from_numpy(constant.copy())))

    def last_of(self, size: int) -> int:
        """Number of the last tensor that is `size` pixels wide."""
        return max(layer.output for layer in self._layers if len(layer.shape) == 4 and layer.shape[2] == size)

    def forward(self, images: Tensor, wanted: Collection[int] = ()) -> list[Tensor]:
        """RGB in [0, 1], [B, 3, 256, 256] → the tensors numbered in `wanted`, channels first.

        Without numbers: landmarks [B, 478, 3] in pixels of the input, and the logit [B] of a face being there.
        """
        computed = {self._layers[0].inputs[0]: images}
        last = max(wanted, default=self._layers[-1].output)
        for number, layer in enumerate(self._layers):
            if layer.kind in {"LOGISTIC", "RESHAPE", "DELEGATE"} or layer.output > last:
                continue
            constants = [getattr(self, f"constant_{number}_{place}") for place in range(len(layer.constants))]
            computed[layer.output] = _apply(layer, [computed[index] for index in layer.inputs], constants)
        if wanted:
            return [computed[number] for number in wanted]
        points = next(computed[layer.output] for layer in self._layers if layer.shape[-1] == 478 * 3)
        # Of the two numbers beside them, the one that the network itself turns into a probability is the tongue's.
        tongue = next(layer.inputs[0] for layer in self._layers if layer.kind == "LOGISTIC")
        there = next(layer.output for layer in self._layers if layer.shape == (1, 1, 1, 1) and layer.output != tongue)
        return [points.reshape(-1, 478, 3), computed[there].reshape(-1)]


def _weights(layer: NetworkLayer, constant: Tensor) -> Tensor:
    """A constant in PyTorch's order of dimensions."""
    if layer.kind == "CONV_2D" and constant.ndim == 4:
        return constant.permute(0, 3, 1, 2).contiguous()  # out, in, h, w
    if layer.kind == "DEPTHWISE_CONV_2D" and constant.ndim == 4:
        return constant.permute(3, 0, 1, 2).contiguous()
    return constant.reshape(-1) if layer.kind == "PRELU" else constant


def _apply(layer: NetworkLayer, inputs: list[Tensor], constants: list[Tensor]) -> Tensor:
    """One operation; TensorFlow's "same" padding puts the odd pixel last."""
    result = inputs[0]
    if layer.kind in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
        weight, bias = constants
        stride = -(-result.shape[3] // layer.shape[2]) if layer.shape[2] > 1 else 1
        spare = max((layer.shape[2] - 1) * stride + weight.shape[3] - result.shape[3], 0)
        if spare:
            result = functional.pad(result, (spare // 2, spare - spare // 2) * 2)
        groups = result.shape[1] if layer.kind == "DEPTHWISE_CONV_2D" else 1
        return functional.conv2d(result, weight, bias, stride, groups=groups)
    if layer.kind == "PRELU":
        return functional.prelu(result, constants[0])
    if layer.kind == "ADD":
        return inputs[0] + inputs[1]
    if layer.kind == "MAX_POOL_2D":
        return functional.max_pool2d(result, 2)
    if layer.kind == "PAD":  # of channels alone
        return functional.pad(result, (0, 0, 0, 0, 0, layer.shape[3] - result.shape[1]))
    raise NotImplementedError(f"the landmark network has an operation that is not known here: {layer.kind}")
