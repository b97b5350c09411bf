"""Change the emotion of a talking-head video and keep its speech.

>>> import cdrl
>>> cdrl.load().edit("talk.mp4", emotion="happy", intensity=0.8).save("happy.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cdrl.pipeline.editor import Editor

    __version__: str

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> str:
    """The version, read from the installed package when somebody asks: that takes 40 ms."""
    if name == "__version__":
        from importlib.metadata import version

        return version("cdrl")
    raise AttributeError(f"module 'cdrl' has no attribute {name!r}")


def load(prior: str | Path | None = None, model: str | Path | None = None) -> Editor:
    """Get an editor ready: networks verified and loaded once, then as many videos as you like.

    Args:
        prior: An emotion prior that `cdrl train prior` wrote; None for the one that ships.
        model: What adapts the prior to a person: "translator" (the one that ships for the shipped prior, with which it
            is the default), "prior" (nothing; the default with another prior), or a file that `cdrl train translator`
            wrote for that prior.

    Raises:
        ModelFileError: A model or data file is missing, or is not what it should be.
    """
    # Imported here so that `import cdrl` and `cdrl --help` do not wait for the networks' runtime.
    from cdrl.pipeline.editor import load_editor

    return load_editor(prior, model)
