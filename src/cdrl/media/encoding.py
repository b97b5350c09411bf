"""Which encoder, which settings, which layout of pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cdrl.errors import OutputError, UsageError
from cdrl.media.threads import available_cores

if TYPE_CHECKING:
    from cdrl.media.frames import PixelFormat
    from cdrl.media.side_data import HdrMetadata

# What needs the codecs imports them itself: the command line reads its options from here before it loads anything.

CodecChoice = Literal["auto", "h264", "hevc", "vp9", "av1"]
PixelChoice = Literal["auto", "source", "yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
LOOKAHEAD = "10"  # frames held before they are encoded: 40 cost 120 MB at 1080p and gain little
Scale = tuple[tuple[float, float], ...]
# Where other encoders reach the PSNR that x264 has at a number: (quality, the encoder's own number), linear in between.
# Measured by benchmarks/codec_quality.py at "ultrafast", where x264 is much better at a number than at other presets
# and x265 much worse, and at "veryfast" and "medium", which hardly differ.
ULTRAFAST_SCALES: dict[str, Scale] = {
    "hevc": ((0, 0), (7, 1), (10, 2), (14, 6), (18, 11), (26, 20), (34, 29.5), (40, 36.5), (51, 51)),
    "vp9": ((0, 0), (7, 2), (10, 3), (14, 7), (18, 16), (22, 26), (26, 34), (30, 42), (34, 50), (40, 60), (51, 63)),
    "av1": ((0, 1), (10, 1.5), (14, 3), (18, 6), (22, 16), (26, 31), (30, 46), (34, 56), (40, 62), (51, 63)),
}
USUAL_SCALES: dict[str, Scale] = {
    "hevc": ((0, 0), (10, 10.4), (18, 19.5), (26, 28.7), (34, 37), (51, 51)),
    "vp9": ((0, 0), (10, 6.5), (18, 24.5), (26, 42), (34, 58), (51, 63)),
    "av1": ((0, 1), (10, 3.5), (18, 19), (26, 48), (34, 60), (51, 63)),
}
LIGHT_OF_AV1 = ("mastering-display", "content-light")
LIGHT_CODECS = frozenset(("h264", "hevc", "av1"))
"""Codecs whose own headers hold the light levels of HDR10."""
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


@dataclass(frozen=True)
class EncoderOptions:
    """How the edited picture is compressed. The defaults are for speed on a CPU at a quality the eye cannot tell."""

    codec: CodecChoice = "auto"
    """Video codec; auto is H.264, which plays everywhere, and HEVC for 10 bits and HDR; VP9 and AV1 in .webm."""
    quality: float = 18
    """Constant quality, 0–51, lower is better and larger: H.264's CRF, and with other codecs about as good. At 18 an
    untouched picture stays at 40–52 dB."""
    preset: str = "ultrafast"
    """How much time is spent to make the file smaller, ultrafast to veryslow (x264's names)."""
    pixel_format: PixelChoice = "auto"
    """Layout of the pixels; auto is 4:2:0 of 8 or 10 bits, which players show; source keeps depth and chroma resolution
    where the codec can."""
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
    deep_codec: str
    """The default for more than 8 bits and for HDR."""
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
_MPEG_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "mp2"})
_MPEG_TEXT = frozenset({"mov_text"})
MP4 = Container(
    "MP4", "mp4", ("h264", "hevc", "av1", "vp9"), "hevc", _MPEG_AUDIO | {"opus", "flac"}, _MPEG_TEXT, "aac", "mov_text",
    covers=True,
)  # fmt: skip
MOV = Container(
    "MOV", "mov", ("h264", "hevc"), "hevc", _MPEG_AUDIO | {"pcm_alaw", "pcm_mulaw"} | PCM, _MPEG_TEXT, "aac", "mov_text"
)
MKV = Container(
    "MKV",
    "matroska",
    ("h264", "hevc", "av1", "vp9"),
    "hevc",
    None,
    None,
    "flac",
    "subrip",
    attachments=True,
    milliseconds=True,
)
WEBM = Container(
    "WebM", "webm", ("vp9", "av1"), "av1", frozenset({"opus", "vorbis"}), frozenset({"webvtt"}), "libopus", "webvtt",
    milliseconds=True,
)  # fmt: skip
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


def codec_of(options: EncoderOptions, container: Container, path: Path, *, deep: bool = False) -> str:
    """Choose the codec.

    Args:
        options: What is asked for.
        container: Where it goes.
        path: The output, for the message.
        deep: Whether the source has more than 8 bits, or HDR: H.264 with more than 8 bits plays nearly nowhere.

    Raises:
        UsageError: The container cannot hold the chosen one.
    """
    if options.codec == "auto":
        deep = deep if options.pixel_format in ("auto", "source") else options.pixel_format.endswith("10le")
        return container.deep_codec if deep else container.codecs[0]
    if options.codec not in container.codecs:
        raise UsageError(f"{path}: {path.suffix} cannot hold {options.codec}; choose {' or '.join(container.codecs)}")
    return options.codec


def encoder_settings(codec: str, options: EncoderOptions, hdr: HdrMetadata | None = None) -> dict[str, str]:
    """The encoder's own options; `hdr` are light levels to be written into the picture's headers."""
    threads = str(options.threads or available_cores())
    speed = PRESETS.index(options.preset)
    quality = own_quality(codec, options)
    crf = f"{quality:.4g}"
    levels = "".join(f":{setting}" for setting in _light_settings(codec, hdr))
    if codec == "h264":
        settings = {"preset": options.preset, "crf": crf, "threads": threads, "rc-lookahead": LOOKAHEAD}
        own = "cabac=1:no-deblock=0:deblock=0,0" if options.preset == "ultrafast" else ""
        if own or levels:  # with these two, half a millisecond a frame buys 10 % of size and no blocks
            settings["x264-params"] = (own + levels).strip(":")
        return settings
    if codec == "hevc":
        own = f"log-level=none:pools={threads}:frame-threads=2{levels}"
        return {"preset": options.preset, "crf": crf, "x265-params": own}
    if codec == "vp9":
        steady = {"b": "0", "deadline": "realtime", "row-mt": "1"}
        return {**steady, "crf": str(round(quality)), "cpu-used": str(max(0, 8 - speed)), "threads": threads}
    # SVT-AV1's presets count down; above 10 nothing is gained, and the best pictures come out damaged.
    return {"preset": str(min(10, 12 - speed)), "crf": crf, "svtav1-params": f"lp={threads}{levels}"}


def _light_settings(codec: str, hdr: HdrMetadata | None) -> list[str]:
    """What an encoder is told of the light levels of HDR10."""
    names = {"h264": ("mastering-display", "cll"), "hevc": ("master-display", "max-cll"), "av1": LIGHT_OF_AV1}
    if hdr is None or codec not in names:
        return []
    display, light = names[codec]
    units = (1, 1) if codec == "av1" else (0.00002, 0.0001)  # of chromaticity, and of candelas per square meter
    found = {
        display: hdr.mastering_display(*units),
        light: ",".join(map(str, hdr.light_level or ())),
    }
    return [f"{name}={value}" for name, value in found.items() if value]


def own_quality(codec: str, options: EncoderOptions) -> float:
    """The number on an encoder's own scale that stands for a quality of 0 (best) to 51: it rises with it."""
    if codec not in USUAL_SCALES:
        return options.quality
    ultrafast, usual = (_read(scales[codec], options.quality) for scales in (ULTRAFAST_SCALES, USUAL_SCALES))
    share = max(0.0, 1 - 0.5 * PRESETS.index(options.preset))  # superfast lies in the middle
    return share * ultrafast + (1 - share) * usual


def _read(scale: Scale, quality: float) -> float:
    (low, best), (high, worst) = next(pair for pair in pairwise(scale) if quality <= pair[1][0])
    return best + (worst - best) * (quality - low) / (high - low)


def target_format(
    source: PixelFormat, encoder: str, options: EncoderOptions, pixels: str = "", *, hdr: bool = False
) -> tuple[PixelFormat, str]:
    """Choose the layout to encode. Range and matrix always stay.

    Args:
        source: The format of the frames.
        encoder: FFmpeg's name of the encoder.
        options: What is asked for.
        pixels: FFmpeg's name of the layout that the clip is decoded in, where it is not that of the frames.
        hdr: Whether the numbers stand for HDR, which 8 bits are too few for.

    Returns:
        The format, and a note on what it changes ('' for nothing).
    """
    import av  # noqa: PLC0415

    from cdrl.media.layout import SUBSAMPLING, is_rgb, layout_name  # noqa: PLC0415

    depth = 8 if source.depth == 8 and not hdr else 10
    if options.pixel_format == "auto":
        wanted = (2, 2)
    elif options.pixel_format == "source":
        wanted = (source.sx, source.sy) if not source.gray else (2, 2)  # gray H.264 does not play everywhere
    else:
        depth = 10 if options.pixel_format.endswith("10le") else 8
        wanted = SUBSAMPLING[options.pixel_format[3:6]]
    offered = {form.name for form in av.Codec(encoder, "w").video_formats or ()}
    choices = [(wanted, depth), ((2, 2), depth), ((2, 2), 8)]
    (sx, sy), depth = next(choice for choice in choices if layout_name(*choice) in offered)
    target = replace(source, name=layout_name((sx, sy), depth), depth=depth, sx=sx, sy=sy)
    if target.name == source.name and not (pixels and is_rgb(pixels)):
        return target, ""
    return target, f"pixels are written as {target.name} (the source has {pixels or source.name})"


def check_encoder(codec: str) -> str:
    """The name of the encoder for `codec`; OutputError when this build of FFmpeg has none."""
    import av  # noqa: PLC0415

    encoder = ENCODERS[codec]
    os.environ.setdefault("SVT_LOG", "1")  # libsvtav1 prints its settings unless it is told to print errors alone
    if encoder not in av.codecs_available:
        raise OutputError(
            f"there is no {codec} encoder ({encoder}) in the installed PyAV: install the official wheel of av"
        )
    return encoder
