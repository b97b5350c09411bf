"""Packages that only some commands need, and how to get them: one place that knows, one sentence that says so."""

from __future__ import annotations

from importlib.util import find_spec

from cdrl.errors import UsageError

EXTRAS = {
    **dict.fromkeys(("torch", "onnx", "onnxscript", "safetensors", "scipy", "tensorboard", "transformers"), "train"),
    **dict.fromkeys(("dlib", "python_speech_features", "matplotlib", "jinja2", "pandas", "sklearn"), "evaluate"),
    **dict.fromkeys(("c2pa", "cryptography"), "provenance"),
    "ray": "cluster",
    "pygame": "live",
    "gradio": "app",
    "OpenEXR": "exr",
    "PIL": "webp",
}
"""Module → the extra of cdrl that brings it."""

SOURCES = {"cdrl-synthetic": "pip install ./packages/cdrl-synthetic, in cdrl's source tree"}
"""Distribution of this repository that adds commands → how it is installed, with all that it needs."""

INSTALL = {
    **{module: f"pip install 'cdrl[{extra}]'" for module, extra in EXTRAS.items()},
    **dict.fromkeys(("cdrl_synthetic", "moderngl", "pocketsphinx"), SOURCES["cdrl-synthetic"]),
}
"""Module that only some commands need → how it is installed."""


def missing_module(name: str | None, program: str) -> UsageError | None:
    """The error for a module that an extra brings and that is not installed.

    Args:
        name: The module that could not be imported, as `ModuleNotFoundError.name` has it.
        program: What needs it, as in `cdrl train content`.

    Returns:
        The error to raise; None where the module is of no extra, so that its absence is a fault of the package.
    """
    module = (name or "").partition(".")[0]
    if module not in INSTALL:
        return None
    return UsageError(f"{program} needs {module}, which is not installed: {INSTALL[module]}")


def require_modules(program: str, *modules: str) -> None:
    """Refuse before the work what would miss a module in the midst of it.

    Raises:
        UsageError: One of `modules` (keys of `INSTALL`) is not installed.
    """
    for module in modules:
        if not _installed(module) and (error := missing_module(module, program)) is not None:
            raise error


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # blocked, or half imported
        return False
