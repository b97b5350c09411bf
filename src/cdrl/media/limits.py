"""How large an input may be. Guards against decompression bombs and typos, not against long films: all adjustable."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds on one input; what exceeds one is refused, with the bound and both numbers."""

    max_bytes: int = 16 << 30
    """Largest file, in bytes."""
    max_seconds: int = 4 * 3600
    """Longest clip, in seconds."""
    max_pixels: int = 8192 * 4352
    """Most pixels in a frame (width × height); 4K has 8,847,360, 8K has 35,389,440."""
    max_frames: int = 4 * 3600 * 120
    """Most frames in a clip, for files whose times stand still; four hours at 120 frames a second have 1,728,000."""
    max_streams: int = 64
    """Most streams (video, audio, subtitles, data together) in one file."""
    max_damaged_packets: int = 10_000
    """Packets in a row that give no picture, after which a file is given up rather than searched further."""
    max_wait: int = 60
    """Seconds that opening a file, or reading one packet of it, may take."""
