"""Writes trained networks as ONNX, for programs without torch."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def export_network(
    model: nn.Module, inputs: tuple[Tensor, ...], names: tuple[Sequence[str], Sequence[str]], facts: Mapping[str, str]
) -> bytes:
    """Return a network as ONNX, in one file.

    Args:
        model: The network, in evaluation mode.
        inputs: Examples of its inputs, whose shapes stay fixed.
        names: What inputs and outputs are called.
        facts: What the file says of itself.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of libraries that are not needed
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            model, inputs, dynamo=True, verbose=False, input_names=list(names[0]), output_names=list(names[1])
        )
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # paths of the machine it was traced on
        program.model.metadata_props.update(facts)
        path = Path(folder) / "model.onnx"
        program.save(str(path), external_data=False)
        return path.read_bytes()
