"""Opening a local media file, and nothing else: no network, no playlist that leads elsewhere, no pattern of names."""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from cdrl.errors import InputError, InputNotFoundError, LimitError
from cdrl.media.allocation import allocation_limit
from cdrl.media.boxes import check_sample_tables
from cdrl.media.decoding import error_text
from cdrl.media.limits import Limits
from cdrl.media.tiles import MOST_TILES, is_photo_file

# Demuxers that read one self-contained file. Those that follow names inside the file (hls, dash, concat, sdp, image2
# patterns, ...) are left out: a disguised playlist must not make us open other files.
DEMUXERS = (
    "3gp,aiff,apng,asf,avi,bmp_pipe,dv,exr_pipe,flv,gif,h261,h263,h264,hevc,ivf,jpeg_pipe,kux,m4v,matroska,mjpeg,mov,mp3,mp4,"
    "mpeg,mpegts,mpegvideo,mxf,nsv,nut,obu,ogg,png_pipe,rm,tiff_pipe,vc1,wav,webm,webp_pipe,wtv,y4m,yuv4mpegpipe"
)
EXR_MAGIC = b"\x76\x2f\x31\x01"
PHOTOS = {  # first bytes → demuxer, named so that a photo's file name is never read as a numbering pattern
    b"\xff\xd8\xff": "jpeg_pipe",
    b"\x89PNG\r\n\x1a\n": "png_pipe",
    b"BM": "bmp_pipe",
    b"II*\x00": "tiff_pipe",
    b"MM\x00*": "tiff_pipe",
    EXR_MAGIC: "exr_pipe",  # whose pixels are read by `cdrl.media.exr`
}
PLAYLIST = re.compile(
    rb"(\xef\xbb\xbf)?\s*(#EXTM3U|ffconcat|v=0\r?\n|\[playlist\]|(<\?xml[^>]*>\s*)?<(MPD|smil|asx)|FILE \")",
    re.IGNORECASE,
)
LARGEST_BLOCK = 384 << 20
"""Bytes that FFmpeg may take in one piece: a frame of 8K in 16-bit RGB, or an index of sixteen million samples."""
_PIXEL_BYTES = 9  # of a packed pixel, with what is put around a picture
ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")


def check_path(source: str | Path, limits: Limits) -> Path:
    """`source` as the absolute path of a readable, non-empty regular file.

    Raises InputNotFoundError, InputError (an address, a directory, a device, no permission, empty) or LimitError.
    """
    path = Path(source)
    try:
        status = path.stat()
    except FileNotFoundError:
        if ADDRESS.match(str(source)):
            # A Path has made one slash of the two.
            address = re.sub(r"^([A-Za-z][\w+.-]*):/(?=[^/])", r"\1://", str(source))
            raise InputError(
                f"{address} is an address, not a file: download it first and give the file's name"
            ) from None
        raise InputNotFoundError(f"{source}: no such file; check the name and the folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{source!s:.200}: not a usable file name ({error_text(error)}); check the name") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{source} is a folder, not a video: name one file in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{source} is not a regular file (a pipe or a device): save the video to a file first")
    if status.st_size == 0:
        raise InputError(f"{source} is empty (0 bytes): fetch or export it again")
    if status.st_size > limits.max_bytes:
        raise LimitError(
            f"{source} has {status.st_size:,} bytes, the limit is {limits.max_bytes:,}: raise max_bytes to allow it"
        )
    return path.absolute()


def photo_demuxer(head: bytes) -> str | None:
    """FFmpeg's demuxer for a photo that begins with `head`, None when it is no photo."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    if head.startswith(b"\x89PNG") and b"acTL" in head:  # an animated picture, which is a clip
        return "apng"
    return next((demuxer for magic, demuxer in PHOTOS.items() if head.startswith(magic)), None)


@contextmanager
def open_container(path: Path, limits: Limits) -> Iterator[InputContainer]:
    """An open container of a checked path, closed at the end.

    FFmpeg's bound on a single piece of memory is one of the process; `cdrl.media.allocation` says what holds where
    files with other limits are open at the same time.
    Raises InputError for what is no video file, LimitError for too many streams, and for an index that is too large.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error_text(error)}); check its permissions") from None
    if PLAYLIST.match(head):
        raise InputError(f"{path} is a playlist, not a video: name the video file it points to")
    check_sample_tables(path)
    streams = limits.max_streams
    if is_photo_file(head):  # of which each tile is a stream
        streams = max(streams, MOST_TILES)
    with (
        allocation_limit(max(LARGEST_BLOCK, _PIXEL_BYTES * limits.max_pixels)),
        _container(path, photo_demuxer(head), limits, streams) as container,
    ):
        if len(container.streams) > streams:
            bound = f"the limit is {limits.max_streams}: raise max_streams"
            raise LimitError(f"{path} has {len(container.streams)} streams, {bound}")
        yield container


def _container(path: Path, demuxer: str | None, limits: Limits, streams: int) -> InputContainer:
    """The file opened by `demuxer`, or by the one of `DEMUXERS` that knows it."""
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS, "max_pixels": str(limits.max_pixels)}
    options["export_xmp"] = "1"  # MP4 and MOV: the XMP packet is among the labels
    options["max_streams"] = str(streams + 1)  # each is looked into before we can count them
    wait = float(limits.max_wait)
    try:
        return av.open(f"file:{path}", format=demuxer, options=options, metadata_errors="replace", timeout=(wait, wait))
    except (av.FFmpegError, OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            bounds = f"{limits.max_streams} streams (max_streams) and {LARGEST_BLOCK:,} bytes for any part of it"
            raise LimitError(f"{path}: asks for more than the limits of {bounds}: export it again") from error
        raise InputError(
            f"{path}: not a video that can be read ({error_text(error)}); play it to see whether it is whole"
        ) from error
