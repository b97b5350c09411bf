"""What travels beside the pixels: light levels of HDR, captions, and what a file says of a stream."""

from __future__ import annotations

import ctypes
import gc
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import av.logging
from av.container import InputContainer
from av.dictionary import Dictionary
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

PQ, HLG = 16, 18
"""Transfer characteristics of HDR, ITU-T H.273: SMPTE ST 2084 and ARIB STD-B67."""
_MASTERING = struct.Struct("22i")  # FFmpeg's AVMasteringDisplayMetadata: ten fractions and two flags
DYNAMIC = (SideDataType.DOVI_METADATA, SideDataType.DOVI_RPU_BUFFER, SideDataType.DYNAMIC_HDR_PLUS)
"""HDR that changes from frame to frame."""


@dataclass(frozen=True)
class HdrMetadata:
    """What HDR10 says of a whole clip: the display it was graded on, and how bright it gets; SMPTE ST 2086, CTA-861."""

    primaries: tuple[tuple[float, float], ...] = ()
    """CIE x, y of red, green, blue and white; empty where they are unknown."""
    luminance: tuple[float, float] | None = None
    """Darkest and brightest of the display, candelas per square meter."""
    light_level: tuple[int, int] | None = None
    """The brightest pixel and the brightest mean of a frame, candelas per square meter."""

    def mastering_display(self, chroma_unit: float, luminance_unit: float) -> str:
        """The display as encoders take it, in the given units: `G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`; may be empty."""
        if not self.primaries or self.luminance is None:
            return ""
        points = [f"({_count(x, chroma_unit)},{_count(y, chroma_unit)})" for x, y in self.primaries]
        red, green, blue, white = points
        darkest, brightest = (_count(level, luminance_unit) for level in self.luminance)
        return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"


def _count(value: float, unit: float) -> str:
    return f"{value:.5g}" if unit == 1 else str(round(value / unit))


def side_data(picture: VideoFrame) -> dict[SideDataType, bytes]:
    """What travels beside the pixels of a decoded picture, by type."""
    entries = list(cast(Iterable[SideData], picture.side_data))
    for entry in entries:
        _keep_labels(entry)
    return {entry.type: bytes(entry) for entry in entries}


def _keep_labels(entry: SideData) -> None:
    """Keep what PyAV 18 made of an entry's labels for ever: it frees them, and then the picture they belong to does.

    Only the color profile of a PNG has some, its name.
    """
    for held in gc.get_referents(entry):
        if isinstance(held, Dictionary) and len(held):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def _unnamed(kind: Any, value: int) -> Any:
    """A type that FFmpeg has and PyAV has no name for: a photo's EXIF, without which no side data could be read."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"TYPE_{value}", value
    return member


SideDataType._missing_ = classmethod(_unnamed)  # type: ignore[assignment]


def read_hdr_metadata(held: dict[SideDataType, bytes]) -> HdrMetadata | None:
    """Read the static metadata of HDR10; None where there is none."""
    primaries: tuple[tuple[float, float], ...] = ()
    luminance = light_level = None
    display, light = held.get(SideDataType.MASTERING_DISPLAY_METADATA), held.get(SideDataType.CONTENT_LIGHT_LEVEL)
    if display is not None and len(display) >= _MASTERING.size:
        *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(display)
        values = [top / bottom if bottom else 0.0 for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
        if has_primaries:
            primaries = tuple(zip(values[0:8:2], values[1:8:2], strict=True))
        if has_luminance:
            luminance = (values[8], values[9])
    if light is not None and len(light) >= 8:
        brightest, mean = struct.unpack_from("II", light)
        light_level = (brightest, mean) if brightest or mean else None
    found = HdrMetadata(primaries, luminance, light_level)
    return None if found == HdrMetadata() else found


def read_captions(picture: VideoFrame) -> bytes:
    """CEA-608 and CEA-708 captions of a decoded picture, as triplets of ATSC A/53; empty for none."""
    # A picture that was asked for its side data lives until garbage is collected: a small one may.
    small = picture.reformat(width=16, height=16)
    for entry in cast(Iterable[SideData], small.side_data):
        if entry.type == SideDataType.A53_CC:
            return bytes(entry)
    return b""


def describe_container(container: InputContainer) -> str:
    """FFmpeg's own description of a file, which names what PyAV has no access to."""
    level = av.logging.get_level()
    try:
        av.logging.set_level(av.logging.INFO)
        return str(cast(Any, container).dumps_format())
    finally:
        av.logging.set_level(level)
