"""What lets one numeric core compute with NumPy arrays and with PyTorch tensors.

NumPy is a namespace of the Python array API standard itself. For tensors `array_api_compat` makes one; it comes with
the extra `train` and is imported only where there are tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A NumPy array or a PyTorch tensor. Functions on `Array` keep the kind, the dtype and the device of their input, and
gradients pass through them."""


def array_namespace(array: Array) -> Any:
    """Return the module of array functions that `array` goes with.

    Args:
        array: A NumPy array or scalar, a Python number, or a tensor.

    Returns:
        NumPy, or PyTorch as a namespace of the array API standard.
    """
    if isinstance(array, np.ndarray | np.generic | float | int):
        return np
    from array_api_compat import array_namespace as find_namespace  # noqa: PLC0415  only tensors need it

    return find_namespace(array)


def match_array(constant: NDArray[Any], like: Array) -> Array:
    """Return a constant as an array of the kind, dtype and device of `like`; a NumPy array as it is."""
    if isinstance(like, np.ndarray | np.generic):
        return constant
    return array_namespace(like).asarray(constant, dtype=like.dtype, device=like.device)


def to_double(values: Array) -> Array:
    """Return values in double precision: numbers that are one per face cost nothing and are computed exactly."""
    return np.asarray(values, np.float64)[()] if array_namespace(values) is np else values.double()


def at_least(values: Array, bound: float) -> Array:
    """Return the larger of values and a bound; the gradient is zero below it."""
    return np.maximum(values, bound) if array_namespace(values) is np else values.clamp(min=bound)


def at_most(values: Array, bound: float) -> Array:
    """Return the smaller of values and a bound; the gradient is zero above it."""
    return np.minimum(values, bound) if array_namespace(values) is np else values.clamp(max=bound)


def scale(values: Array, factor: Array) -> Array:
    """Multiply `values` [..., m, n] by `factor` [...], one number per leading index, in the precision of `values`."""
    numpy = array_namespace(values) is np
    exact = np.asarray(factor, values.dtype) if numpy else factor.to(values.dtype)
    return exact[..., None, None] * values
