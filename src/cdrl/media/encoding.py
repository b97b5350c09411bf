"""Which encoder, which settings, which layout of pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from cdrl.errors import OutputError, UsageError
from cdrl.media.threads import available_cores

if TYPE_CHECKING:
    from cdrl.media.frames import PixelFormat
    from cdrl.media.side_data import HdrMetadata

# What needs the codecs imports them itself: the command line reads its options from here before it loads anything.

CodecChoice = Literal["auto", "h264", "hevc", "vp9", "av1"]
Profile = Literal["auto", "fast", "web", "archive", "prores", "dnxhr", "ffv1", "sequence"]
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
# CRFs at which other presets reach the PSNR that ultrafast has at a number: mean of ten clips, veryfast, with
# `_AQ_STRENGTH`.
USUAL_CRF: Scale = ((0, 0), (10, 7.2), (18, 16.3), (26, 23.9), (34, 31.4), (51, 51))
_AQ_STRENGTH = "0.4"  # x264's 1.0 makes files of the same PSNR a tenth larger; 0 shows blocks in dark, flat areas
_MOST_FRAME_THREADS = 16  # that x265 takes
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


@dataclass(frozen=True)
class ProfileSettings:
    """What a profile chooses where nothing else is asked for."""

    preset: str = "veryfast"
    quality: float = 18
    pixel_format: PixelChoice = "auto"
    codec: str | None = None
    """A codec for editing or keeping, whose every frame stands alone; None: one for playing."""
    suffixes: tuple[str, ...] = ()
    """Endings of the containers that hold the codec, the default first; empty for all that hold one for playing."""


PICTURE_ENDINGS = (".png", ".exr")
"""Endings of numbered pictures that can be written."""

PROFILES: dict[str, ProfileSettings] = {
    "fast": ProfileSettings(preset="ultrafast"),
    "web": ProfileSettings(),
    "archive": ProfileSettings(preset="medium", quality=8, pixel_format="source"),
    "prores": ProfileSettings(codec="prores", suffixes=(".mov", ".mkv")),
    "dnxhr": ProfileSettings(codec="dnxhr", suffixes=(".mov",)),
    "ffv1": ProfileSettings(codec="ffv1", suffixes=(".mkv",)),
    "sequence": ProfileSettings(codec="png", suffixes=PICTURE_ENDINGS),
}
FILM_PROFILES = tuple(name for name, settings in PROFILES.items() if settings.codec != "png")
"""Profiles whose result is one file."""


DEFAULT_PROFILE = "web"


def check_profile(name: str) -> None:
    """Raises UsageError for a name that is no profile's."""
    if name not in PROFILES:
        raise UsageError(f"profile is {name!r}: choose one of {', '.join(PROFILES)}")


LAYER_PROFILES = ("prores", "sequence")
"""Profiles that hold transparency."""


@dataclass(frozen=True)
class EncoderOptions:
    """How the edited picture is compressed. The defaults play everywhere, at a quality the eye cannot tell."""

    profile: Profile = "auto"
    """What the result is for: web (small, plays everywhere), fast (less time, twice the size), archive (near lossless),
    prores (422 HQ or 4444), dnxhr (HQ, HQX or 444), ffv1 (lossless), sequence (numbered PNG or EXR); auto is what
    the request names, else web."""
    codec: CodecChoice = "auto"
    """Video codec; auto is H.264, which plays everywhere, and AV1 for 10 bits and HDR (HEVC in .mov, and where more
    than 4:2:0 is kept); VP9 and AV1 in .webm."""
    quality: float | None = None
    """Constant quality, 0–51, lower is better and larger: about as good with each codec and preset. None is 18, where
    an untouched picture stays at 40–52 dB, and 8 in archive."""
    preset: str = "auto"
    """How much time is spent to make the file smaller, ultrafast to veryslow (x264's names); auto is the profile's."""
    pixel_format: PixelChoice = "auto"
    """Layout of the pixels; auto is the profile's, 4:2:0 of 8 or 10 bits for players; source keeps depth and chroma
    resolution where the codec can."""
    threads: int = 0
    """Encoder threads; 0 takes as many as there are cores, up to 8."""

    def __post_init__(self) -> None:
        check_profile(self.profile_name)
        if self.quality is not None and not 0 <= self.quality <= 51:
            raise UsageError(f"quality is {self.quality}: choose 0 (best) to 51 (smallest), 18 is the default")
        if self.preset not in ("auto", *PRESETS):
            raise UsageError(f"preset is {self.preset!r}: choose one of {', '.join(PRESETS)}")
        if self.threads < 0:
            raise UsageError(f"threads is {self.threads}: choose 0 (all cores) or more")
        if PROFILES[self.profile_name].codec is not None:
            given = {
                "codec": self.codec != "auto",
                "quality": self.quality is not None,
                "preset": self.preset != "auto",
            }
            if any(given.values()):
                named = ", ".join(name for name, is_given in given.items() if is_given)
                raise UsageError(f"the profile {self.profile} has a codec of its own: drop {named}, or the profile")

    @property
    def profile_name(self) -> str:
        """The profile that counts, of `PROFILES`."""
        return DEFAULT_PROFILE if self.profile == "auto" else self.profile

    def with_profile(self, profile: str | None) -> EncoderOptions:
        """The same options with the profile that a request names, where they leave it open. Raises UsageError."""
        if profile is None or self.profile != "auto":
            return self
        return replace(self, profile=cast(Profile, profile))

    @property
    def is_sequence(self) -> bool:
        """Whether numbered pictures are written, not a film."""
        return self.profile_name == "sequence"

    @property
    def settings(self) -> ProfileSettings:
        """The profile's choices, with what is asked for beside it."""
        chosen = PROFILES[self.profile_name]
        layout = chosen.pixel_format if self.pixel_format == "auto" else self.pixel_format
        quality = chosen.quality if self.quality is None else self.quality
        preset = chosen.preset if self.preset == "auto" else self.preset
        return replace(chosen, preset=preset, quality=quality, pixel_format=layout)


@dataclass(frozen=True)
class Container:
    """An output file format and what it holds as it is."""

    name: str
    """For people: MP4."""
    muxer: str
    codecs: tuple[str, ...]
    """Video codecs, the default first."""
    deep_codec: str
    """The default for 4:2:0 of more than 8 bits and for HDR."""
    fine_codec: str
    """The same where more of the chroma is kept, which AV1's encoder cannot."""
    intermediates: tuple[str, ...]
    """Video codecs for editing and keeping."""
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
    "MP4", "mp4", ("h264", "hevc", "av1", "vp9"), "av1", "hevc", (), _MPEG_AUDIO | {"opus", "flac"}, _MPEG_TEXT, "aac",
    "mov_text", covers=True,
)  # fmt: skip
MOV = Container(
    "MOV", "mov", ("h264", "hevc"), "hevc", "hevc", ("prores", "dnxhr"), _MPEG_AUDIO | {"pcm_alaw", "pcm_mulaw"} | PCM,
    _MPEG_TEXT, "aac", "mov_text",
)  # fmt: skip
MKV = Container(
    "MKV", "matroska", ("h264", "hevc", "av1", "vp9"), "av1", "hevc", ("prores", "ffv1"), None, None, "flac", "subrip",
    attachments=True, milliseconds=True,
)  # fmt: skip
WEBM = Container(
    "WebM", "webm", ("vp9", "av1"), "av1", "av1", (), frozenset({"opus", "vorbis"}), frozenset({"webvtt"}), "libopus",
    "webvtt", milliseconds=True,
)  # fmt: skip
PICTURES = Container("PNG", "png", (), "", "", ("png",), frozenset(), frozenset(), "", "")
"""Numbered pictures, which are no film."""
CONTAINERS = {".mp4": MP4, ".m4v": MP4, ".mov": MOV, ".mkv": MKV, ".webm": WEBM}
ENCODERS = {
    "h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1",
    "prores": "prores_ks", "dnxhr": "dnxhd", "ffv1": "ffv1",
}  # fmt: skip


def container_of(path: Path) -> Container:
    """The file format that the suffix of `path` names; UsageError for an unknown one."""
    container = PICTURES if path.suffix.lower() in PICTURE_ENDINGS else CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise UsageError(
            f"{path}: unknown output type {path.suffix or '(no suffix)'}; end it in {', '.join(CONTAINERS)}"
        )
    return container


def check_layer(
    options: EncoderOptions, *, side_by_side: bool = False, profiles: Sequence[str] = LAYER_PROFILES
) -> None:
    """Raises UsageError where a layer cannot be written so; `profiles` are those of `LAYER_PROFILES` to choose from."""
    if options.profile_name not in profiles:
        choices = " or ".join(f"--profile {name}" for name in profiles)
        raise UsageError(f"a layer is transparent, which the profile {options.profile_name} cannot hold: add {choices}")
    if side_by_side:
        raise UsageError("a layer shows the edit alone: drop --layer or --side-by-side")


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
    settings = options.settings
    if settings.codec is not None:
        if settings.codec not in container.intermediates:
            endings = " or ".join(settings.suffixes)
            raise UsageError(f"{path}: {path.suffix} cannot hold the profile {options.profile}; end it in {endings}")
        return settings.codec
    if container is PICTURES:
        raise UsageError(f"{path}: pictures are written by the profile sequence: add --profile sequence")
    if options.codec == "auto":
        layout = settings.pixel_format
        deep = deep if layout in ("auto", "source") else layout.endswith("10le")
        if not deep:
            return container.codecs[0]
        return container.deep_codec if layout in ("auto", "yuv420p10le") else container.fine_codec
    if options.codec not in container.codecs:
        raise UsageError(f"{path}: {path.suffix} cannot hold {options.codec}; choose {' or '.join(container.codecs)}")
    return options.codec


def encoder_settings(
    codec: str, options: EncoderOptions, target: PixelFormat, hdr: HdrMetadata | None = None
) -> dict[str, str]:
    """The encoder's own options; `hdr` are light levels to be written into the picture's headers."""
    threads, preset = str(options.threads or available_cores()), options.settings.preset
    if codec in INTERMEDIATE_SETTINGS:
        return {"threads": threads, **INTERMEDIATE_SETTINGS[codec](target)}
    speed = PRESETS.index(preset)
    quality = own_quality(codec, options)
    crf = f"{quality:.4g}"
    levels = "".join(f":{setting}" for setting in _light_settings(codec, hdr))
    if codec == "h264":
        settings = {"preset": preset, "crf": crf, "threads": threads, "rc-lookahead": LOOKAHEAD}
        own = ""
        if preset == "ultrafast":  # with these two, half a millisecond a frame buys 10 % of size and no blocks
            own = "cabac=1:no-deblock=0:deblock=0,0"
        else:
            settings["aq-strength"] = _AQ_STRENGTH
        if own or levels:
            settings["x264-params"] = (own + levels).strip(":")
        return settings
    if codec == "hevc":
        # Without its pool of workers, which share out the rows of a picture, and in rare cases wait for ever.
        frames = min(int(threads), _MOST_FRAME_THREADS)
        own = f"log-level=none:pools=none:no-wpp=1:frame-threads={frames}{levels}"
        return {"preset": preset, "crf": crf, "x265-params": own}
    if codec == "vp9":
        steady = {"b": "0", "deadline": "realtime", "row-mt": "1"}
        return {**steady, "crf": str(round(quality)), "cpu-used": str(max(0, 8 - speed)), "threads": threads}
    # SVT-AV1's presets count down; above 10 nothing is gained, and the best pictures come out damaged.
    return {"preset": str(min(10, 11 - speed)), "crf": crf, "svtav1-params": f"lp={threads}{levels}"}


def _prores_settings(target: PixelFormat) -> dict[str, str]:
    return {"profile": "4444" if target.sx == 1 else "hq", "vendor": "apl0"}  # the name that editors expect


def _dnxhr_settings(target: PixelFormat) -> dict[str, str]:
    return {"profile": "dnxhr_444" if target.sx == 1 else "dnxhr_hq" if target.depth == 8 else "dnxhr_hqx"}


def _ffv1_settings(_: PixelFormat) -> dict[str, str]:
    return {"level": "3", "slicecrc": "1", "g": "1"}  # checksums, and every frame stands alone


INTERMEDIATE_SETTINGS = {"prores": _prores_settings, "dnxhr": _dnxhr_settings, "ffv1": _ffv1_settings}
"""Codec for editing or keeping → its encoder's options for a layout of pixels."""
SMALLEST_DNXHR = (256, 120)  # pixels across and down


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
    settings = options.settings
    usual_crf = _read(USUAL_CRF, settings.quality)
    if codec in USUAL_SCALES:
        ultrafast, usual = _read(ULTRAFAST_SCALES[codec], settings.quality), _read(USUAL_SCALES[codec], usual_crf)
    else:
        ultrafast, usual = settings.quality, usual_crf
    share = max(0.0, 1 - 0.5 * PRESETS.index(settings.preset))  # superfast lies in the middle
    return share * ultrafast + (1 - share) * usual


def _read(scale: Scale, quality: float) -> float:
    (low, best), (high, worst) = next(pair for pair in pairwise(scale) if quality <= pair[1][0])
    return best + (worst - best) * (quality - low) / (high - low)


def target_format(
    source: PixelFormat,
    encoder: str,
    options: EncoderOptions,
    pixels: str = "",
    *,
    hdr: bool = False,
    alpha: bool = False,
) -> tuple[PixelFormat, str]:
    """Choose the layout to encode. Range and matrix stay, but where a codec for editing has one of each.

    Args:
        source: The format of the frames.
        encoder: FFmpeg's name of the encoder.
        options: What is asked for.
        pixels: FFmpeg's name of the layout that the clip is decoded in, where it is not that of the frames.
        hdr: Whether the numbers stand for HDR, which 8 bits are too few for.
        alpha: Whether transparency is to be kept, for which ProRes needs 4:4:4.

    Returns:
        The format, and a note on what it changes ('' for nothing).
    """
    from cdrl.media.layout import SUBSAMPLING, is_rgb, layout_name  # noqa: PLC0415

    layout, codec = options.settings.pixel_format, options.settings.codec
    own_chroma = (source.sx, source.sy) if not source.gray else (2, 2)  # gray H.264 does not play everywhere
    depth = 8 if source.depth == 8 and not hdr else 10
    if codec is not None:
        full = (1, 1) if own_chroma == (1, 1) else (2, 1)
        by_codec = {"prores": ((1, 1) if alpha else full, 10), "dnxhr": (full, 10 if full == (1, 1) else depth)}
        wanted, depth = by_codec.get(codec, (own_chroma, source.depth))
    elif layout == "auto":
        wanted = (2, 2)
    else:
        wanted = own_chroma
    if alpha and codec == "ffv1" and depth == 12:  # beside transparency FFmpeg 5.1 cannot read it
        depth = 16
    choices = [(wanted, depth), ((2, 2), depth), ((2, 2), 8), ((2, 1), 10)]
    if layout not in ("auto", "source"):
        choices.insert(0, (SUBSAMPLING[layout[3:6]], 10 if layout.endswith("10le") else 8))
    offered = encoder_layouts(encoder)
    (sx, sy), depth = next(choice for choice in choices if layout_name(*choice) in offered)
    target = replace(source, name=layout_name((sx, sy), depth), depth=depth, sx=sx, sy=sy)
    if codec in ("prores", "dnxhr"):  # which know no full range
        target = replace(target, full_range=False)
    if codec == "dnxhr" and source.matrix == "bt601":  # its headers know none but the matrices of high definition
        target = replace(target, matrix="bt709")
    is_coarser = not source.gray and (sx > source.sx or sy > source.sy)
    loses = depth < source.depth or is_coarser or bool(pixels and is_rgb(pixels))
    if target.name == source.name and not loses:
        return target, ""
    if codec is not None and not loses:  # more than the source has
        return target, ""
    return target, f"pixels are written as {target.name} (the source has {pixels or source.name})"


def holds_alpha(codec: str, container: Container) -> bool:
    """Whether transparency can be written: VP9 keeps it in a second picture, for which Matroska and WebM have room."""
    return codec in ("prores", "ffv1") or (codec == "vp9" and container in (MKV, WEBM))


def encoder_layouts(encoder: str) -> set[str]:
    """The layouts of pixels that an encoder takes."""
    import av  # noqa: PLC0415

    return {form.name for form in av.Codec(encoder, "w").video_formats or ()}


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
