"""Video files in and out: frames as planes with exact times, everything else copied packet by packet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdrl.media.encoding import EncoderOptions
    from cdrl.media.frames import Frame, PixelFormat
    from cdrl.media.limits import Limits
    from cdrl.media.numbering import ImageSequence, find_sequence
    from cdrl.media.picture_writing import SequenceWriter
    from cdrl.media.prefetching import prefetch, run_stages
    from cdrl.media.probing import ColorTags, Track, VideoInfo, probe
    from cdrl.media.reading import FrameReader, read
    from cdrl.media.writing import Writer

__all__ = [
    "ColorTags",
    "EncoderOptions",
    "Frame",
    "FrameReader",
    "ImageSequence",
    "Limits",
    "PixelFormat",
    "SequenceWriter",
    "Track",
    "VideoInfo",
    "Writer",
    "find_sequence",
    "prefetch",
    "probe",
    "read",
    "run_stages",
]

_MODULES = {
    **dict.fromkeys(("ColorTags", "Track", "VideoInfo", "probe"), "probing"),
    **dict.fromkeys(("Frame", "PixelFormat"), "frames"),
    **dict.fromkeys(("ImageSequence", "find_sequence"), "numbering"),
    **dict.fromkeys(("FrameReader", "read"), "reading"),
    **dict.fromkeys(("prefetch", "run_stages"), "prefetching"),
    "EncoderOptions": "encoding",
    "Limits": "limits",
    "SequenceWriter": "picture_writing",
    "Writer": "writing",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: who only wants the limits' names need not wait for the codecs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return found
