"""Numbers as JSON can hold them: what is not finite becomes null, in every report that is written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def finite_or_none(value: float | None) -> float | None:
    """Return the number; None where it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def replace_nonfinite(content: Any) -> Any:
    """Return `content` as JSON holds it, whatever it is made of: numbers that are not finite are None, at any depth."""
    if isinstance(content, Mapping):
        return {str(name): replace_nonfinite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [replace_nonfinite(value) for value in content]
    if isinstance(content, np.ndarray | np.generic):
        return replace_nonfinite(content.tolist())
    return finite_or_none(content) if isinstance(content, float) else content


def encode_report(content: Any, indent: int | None = 1) -> bytes:
    """Return a report as the bytes of a JSON file; NaN and Infinity, which are no JSON, are written as null."""
    return (json.dumps(replace_nonfinite(content), indent=indent, allow_nan=False) + "\n").encode()
