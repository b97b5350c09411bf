"""Opens the networks that ship as ONNX in onnxruntime: one thread each, for the stages of an edit run side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cdrl.assets import user_bytes, verified_bytes
from cdrl.errors import ModelFileError


def open_network(network: str | Path) -> Any:
    """Open a network and return its onnxruntime session.

    Args:
        network: The name of one that ships, or the path of a file.

    Raises:
        ModelFileError: The file is missing, damaged, or no network.
    """
    import onnxruntime  # noqa: PLC0415  a quarter of a second that not everything needs

    content = user_bytes(network) if isinstance(network, Path) else verified_bytes(network)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise ModelFileError(f"{network}: no ONNX network ({str(error).splitlines()[0]:.120})") from error
