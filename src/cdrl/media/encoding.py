"""Which encoder, which settings, which layout of pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av

from cdrl.errors import OutputError, UsageError
from cdrl.media.frames import PixelFormat
from cdrl.media.layout import SUBSAMPLING, layout_name
from cdrl.media.threads import available_cores

CodecChoice = Literal["auto", "h264", "hevc", "vp9", "av1"]
PixelChoice = Literal["source", "yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
LOOKAHEAD = "10"  # frames held before they are encoded: 40 cost 120 MB at 1080p and gain little
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


@dataclass(frozen=True)
class EncoderOptions:
    """How the edited picture is compressed. The defaults are for speed on a CPU at a quality the eye cannot tell."""

    codec: CodecChoice = "auto"
    """Video codec; auto is H.264, which plays everywhere, and VP9 in .webm."""
    quality: float = 18
    """Constant quality (CRF), 0–51, lower is better and larger; at 18 an untouched picture stays at 40–52 dB."""
    preset: str = "ultrafast"
    """How much time is spent to make the file smaller, ultrafast to veryslow (x264's names)."""
    pixel_format: PixelChoice = "source"
    """Layout of the pixels; source keeps depth and chroma resolution where the codec can."""
    threads: int = 0
    """Encoder threads; 0 takes as many as there are cores, up to 8."""

    def __post_init__(self) -> None:
        if not 0 <= self.quality <= 51:
            raise UsageError(f"quality is {self.quality}: choose 0 (best) to 51 (smallest), 18 is the default")
        if self.preset not in PRESETS:
            raise UsageError(f"preset is {self.preset!r}: choose one of {', '.join(PRESETS)}")
        if self.threads < 0:
            raise UsageError(f"threads is {self.threads}: choose 0 (all cores) or more")


@dataclass(frozen=True)
class Container:
    """An output file format and what it holds as it is."""

    name: str
    """For people: MP4."""
    muxer: str
    codecs: tuple[str, ...]
    """Video codecs, the default first."""
    audio: frozenset[str] | None
    """Audio codecs copied as they are, by FFmpeg's canonical name; None: all it can."""
    subtitles: frozenset[str] | None
    """Subtitle codecs copied as they are; None: all it can."""
    audio_fallback: str
    """Encoder for sound it cannot hold."""
    text_subtitles: str
    """Encoder for text subtitles it cannot hold."""
    covers: bool = False
    """Holds a cover picture."""
    attachments: bool = False
    """Holds attached files (fonts)."""
    milliseconds: bool = False
    """True: every time is rounded to 1/1000 s. False: any rational time base is kept."""


PCM = {f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "u8", "s8")}
MP4 = Container(
    "MP4",
    "mp4",
    ("h264", "hevc", "av1", "vp9"),
    frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "mp2"}),
    frozenset({"mov_text"}),
    "aac",
    "mov_text",
    covers=True,
)
MOV = Container(
    "MOV",
    "mov",
    ("h264", "hevc"),
    frozenset({"aac", "mp3", "ac3", "eac3", "alac", "mp2", "pcm_alaw", "pcm_mulaw"} | PCM),
    frozenset({"mov_text"}),
    "aac",
    "mov_text",
)
MKV = Container(
    "MKV", "matroska", ("h264", "hevc", "av1", "vp9"), None, None, "flac", "subrip", attachments=True, milliseconds=True
)
WEBM = Container(
    "WebM",
    "webm",
    ("vp9", "av1"),
    frozenset({"opus", "vorbis"}),
    frozenset({"webvtt"}),
    "libopus",
    "webvtt",
    milliseconds=True,
)
CONTAINERS = {".mp4": MP4, ".m4v": MP4, ".mov": MOV, ".mkv": MKV, ".webm": WEBM}
ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}


def container_of(path: Path) -> Container:
    """The file format that the suffix of `path` names; UsageError for an unknown one."""
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UsageError(
            f"{path}: unknown output type {path.suffix or '(no suffix)'}; end it in {', '.join(CONTAINERS)}"
        )
    return container


def codec_of(options: EncoderOptions, container: Container, path: Path) -> str:
    """The codec to use; UsageError when the container cannot hold the chosen one."""
    if options.codec == "auto":
        return container.codecs[0]
    if options.codec not in container.codecs:
        raise UsageError(f"{path}: {path.suffix} cannot hold {options.codec}; choose {' or '.join(container.codecs)}")
    return options.codec


def encoder_settings(codec: str, options: EncoderOptions) -> dict[str, str]:
    """The encoder's own options."""
    threads = str(options.threads or available_cores())
    speed = PRESETS.index(options.preset)
    quality = f"{options.quality:g}"
    if codec == "h264":
        settings = {"preset": options.preset, "crf": quality, "threads": threads, "rc-lookahead": LOOKAHEAD}
        if options.preset == "ultrafast":  # with these two, half a millisecond a frame buys 10 % of size and no blocks
            settings["x264-params"] = "cabac=1:no-deblock=0:deblock=0,0"
        return settings
    if codec == "hevc":
        return {
            "preset": options.preset,
            "crf": quality,
            "x265-params": f"log-level=none:pools={threads}:frame-threads=2",
        }
    if codec == "vp9":
        cpu_used = str(max(0, 8 - speed))
        return {
            "crf": quality,
            "b": "0",
            "deadline": "realtime",
            "cpu-used": cpu_used,
            "row-mt": "1",
            "threads": threads,
        }
    # SVT-AV1 counts quality to 63 and presets from 13 (fastest) down.
    return {"preset": str(12 - speed), "crf": str(round(options.quality * 63 / 51)), "svtav1-params": f"lp={threads}"}


def target_format(source: PixelFormat, encoder: str, options: EncoderOptions) -> tuple[PixelFormat, str]:
    """The layout to encode, and a note on what it changes ('' for nothing). Range and matrix always stay."""
    if options.pixel_format == "source":
        depth = 8 if source.depth == 8 else 10
        wanted = (source.sx, source.sy) if not source.grey else (2, 2)  # grey H.264 does not play everywhere
    else:
        depth = 10 if options.pixel_format.endswith("10le") else 8
        wanted = SUBSAMPLING[options.pixel_format[3:6]]
    offered = {form.name for form in av.Codec(encoder, "w").video_formats or ()}
    choices = [(wanted, depth), ((2, 2), depth), ((2, 2), 8)]
    (sx, sy), depth = next(choice for choice in choices if layout_name(*choice) in offered)
    target = replace(source, name=layout_name((sx, sy), depth), depth=depth, sx=sx, sy=sy)
    if target.name == source.name:
        return target, ""
    return target, f"pixels are written as {target.name} (the source has {source.name})"


def check_encoder(codec: str) -> str:
    """The name of the encoder for `codec`; OutputError when this build of FFmpeg has none."""
    encoder = ENCODERS[codec]
    if encoder not in av.codecs_available:
        raise OutputError(
            f"there is no {codec} encoder ({encoder}) in the installed PyAV: install the official wheel of av"
        )
    return encoder
