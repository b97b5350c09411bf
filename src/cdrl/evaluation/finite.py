"""Numbers as JSON can hold them: what is not finite becomes null, in every report that is written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def finite(value: float | None) -> float | None:
    """The number; None where it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def with_nulls(content: Any) -> Any:
    """`content` as JSON holds it, whatever it is made of: numbers that are not finite are None, at any depth."""
    if isinstance(content, Mapping):
        return {str(name): with_nulls(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_nulls(value) for value in content]
    if isinstance(content, np.ndarray | np.generic):
        return with_nulls(content.tolist())
    return finite(content) if isinstance(content, float) else content


def report_json(content: Any, indent: int | None = 1) -> bytes:
    """A report as the bytes of a JSON file; NaN and Infinity, which are no JSON, are written as null."""
    return (json.dumps(with_nulls(content), indent=indent, allow_nan=False) + "\n").encode()
