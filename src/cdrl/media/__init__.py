"""Video files in and out: frames as planes with exact times, everything else copied packet by packet."""

from cdrl.media.encoding import EncoderOptions
from cdrl.media.frames import Frame, PixelFormat
from cdrl.media.limits import Limits
from cdrl.media.prefetching import prefetch
from cdrl.media.probing import ColourTags, Track, VideoInfo, probe
from cdrl.media.reading import FrameReader, read
from cdrl.media.writing import Writer

__all__ = [
    "ColourTags",
    "EncoderOptions",
    "Frame",
    "FrameReader",
    "Limits",
    "PixelFormat",
    "Track",
    "VideoInfo",
    "Writer",
    "prefetch",
    "probe",
    "read",
]
