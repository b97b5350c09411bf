"""Frames as an encoder takes them: their layout, size, depth and transparency."""

from __future__ import annotations

from dataclasses import dataclass, replace

import av

from cdrl.media.fields import FieldMarker, convert_fields
from cdrl.media.frames import Frame, PixelFormat
from cdrl.media.layers import is_half_transparent, layer_picture
from cdrl.media.layout import (
    Orientation,
    add_alpha,
    convert_format,
    extract_planes,
    fill_picture,
    layout_name,
    view,
    with_full_chroma,
)


@dataclass
class FrameConverter:
    """Converts the frames of a clip for its encoder."""

    size: tuple[int, int]
    """Width and height of the frames."""
    padded: tuple[int, int]
    """Width and height of the pictures, edges repeated."""
    target: PixelFormat
    """The format of the pictures, without their transparency."""
    alpha_layout: str
    """FFmpeg's name of the layout with transparency; empty for none."""
    fields: FieldMarker | None
    """What marks interlaced pictures; None for whole ones."""
    interlaced: bool
    """Whether frames are woven of two fields."""
    is_half_transparent: bool = False
    """Whether a layer was made where its source is half transparent."""

    def convert(self, frame: Frame, *, alpha: bool = True) -> av.VideoFrame:
        """`frame` in the encoder's layout, with its transparency where `alpha` and the layout holds it."""
        form, target = frame.format, self.target
        if target.depth > form.depth and form.sx == 4:  # FFmpeg has no such layout of more bits
            finer = replace(form, name=layout_name((2, 1), form.depth), sx=2, sy=1)
            planes = extract_planes(convert_format(fill_picture(frame, self.size, form), finer), finer, Orientation())
            frame, form = replace(frame, planes=planes, format=finer), finer
        depth = max(form.depth, target.depth)
        sx, sy = (2, 2) if form.gray else (form.sx, form.sy)
        layout = replace(form, name=layout_name((sx, sy), depth), depth=depth, sx=sx, sy=sy)
        picture = fill_picture(frame, self.padded, layout)
        if self.fields is not None and layout.sy != target.sy and picture.height % 4 == 0:
            picture = convert_fields(picture, target, layout)
        elif layout != target:
            picture = convert_format(picture, target, source=layout)
        return add_alpha(picture, frame, self.alpha_layout, target) if alpha and self.alpha_layout else picture

    def convert_layer(self, frame: Frame, source: Frame | None) -> av.VideoFrame:
        """What of `frame` differs from `source`, the frame before the edit, in the encoder's layout."""
        depth, interlaced = self.target.depth, self.interlaced
        above = self.convert(with_full_chroma(frame, depth, interlaced=interlaced), alpha=False)
        below = above
        if source is not None and source is not frame:
            below = self.convert(with_full_chroma(source, depth, interlaced=interlaced), alpha=False)
        layer = layer_picture(add_alpha(above, frame, self.alpha_layout, self.target), below, self.target)
        if frame.alpha is not None and not self.is_half_transparent:
            self.is_half_transparent = is_half_transparent(view(layer.planes[3], self.target), self.target.maximum)
        return layer
