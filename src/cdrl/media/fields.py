"""Interlaced pictures: which of the two woven fields is shown first. PyAV tells and sets it by filters alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import av
import av.filter

from cdrl.media.frames import PixelFormat
from cdrl.media.layout import convert_format, view

FirstField = Literal["top", "bottom", ""]
FIELD_ORDER = {"top": 2, "bottom": 3}  # FFmpeg's AVFieldOrder
_ANY_CLOCK = Fraction(1, 1000)


def find_first_field(picture: av.VideoFrame) -> FirstField:
    """The field that is shown first of a picture of two woven ones; empty for a whole one."""
    if not picture.interlaced_frame:
        return ""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base or _ANY_CLOCK
    )
    chosen, sink = graph.add("select", "eq(interlace_type,TOPFIRST)"), graph.add("buffersink")
    source.link_to(chosen)
    chosen.link_to(sink)
    try:
        graph.configure()
        graph.push(picture)
        graph.push(None)
        graph.pull()
    except av.FFmpegError:  # nothing is chosen
        return "bottom"
    return "top"


class FieldMarker:
    """Says of pictures that they are woven of two fields, the one of which is shown first."""

    def __init__(self, size: tuple[int, int], layout: str, first: FirstField) -> None:
        self.setting = "tff" if first == "top" else "bff"
        """FFmpeg's and x264's name of the order."""
        self._graph, form = av.filter.Graph(), av.VideoFormat(layout)
        source = self._graph.add_buffer(width=size[0], height=size[1], format=form, time_base=_ANY_CLOCK)
        marked, sink = self._graph.add("setfield", self.setting), self._graph.add("buffersink")
        source.link_to(marked)
        marked.link_to(sink)
        self._graph.configure()

    def mark(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The same picture, marked."""
        self._graph.push(picture)
        marked = self._graph.pull()
        assert isinstance(marked, av.VideoFrame)
        marked.pts, marked.time_base = picture.pts, picture.time_base
        return marked


def convert_fields(picture: av.VideoFrame, target: PixelFormat, source: PixelFormat) -> av.VideoFrame:
    """A picture of two woven fields in another layout, each field by itself: one's chroma is none of the other's.

    Its height is a multiple of four.
    """
    whole = av.VideoFrame(picture.width, picture.height, target.name)
    for first in (0, 1):
        field = av.VideoFrame(picture.width, picture.height // 2, source.name)
        for plane, lines in zip(field.planes, picture.planes, strict=True):
            view(plane, source)[:] = view(lines, source)[first::2]
        converted = convert_format(field, target, source=source)
        for plane, lines in zip(whole.planes, converted.planes, strict=True):
            view(plane, target)[first::2] = view(lines, target)
    return whole
